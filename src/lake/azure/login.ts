/**
 * From `lake.auth` to what signs the requests. The identity SDK is loaded when it is needed: keys and SAS tokens do not.
 */
import type { TokenCredential } from '@azure/identity';
import { SluiceError, reasonOf } from '../../core/error.ts';
import { BUS_UNAVAILABLE, CONFIG_INVALID, LAKE_LOGIN } from '../../core/errors.ts';

/** A way to log in: its kind and the keys that go with it, as the configuration has it. */
export interface AzureAuth {
  readonly kind: string;
  readonly [key: string]: string | undefined;
}

export type Login =
  | { readonly is: 'key'; readonly shown: string; readonly account: string; readonly key: string }
  | { readonly is: 'sas'; readonly shown: string; readonly token: string }
  | { readonly is: 'token'; readonly shown: string; readonly credential: TokenCredential };

const SCOPE = 'https://storage.azure.com/.default';

/** @param urlSas from `lake.url`; with `kind: default` it is what logs in. @throws CONFIG_INVALID, LAKE_LOGIN */
export async function loginOf(auth: AzureAuth, account: string, urlSas: string | null): Promise<Login> {
  const { kind } = auth;
  if (kind === 'default' && urlSas !== null) return { is: 'sas', shown: 'the SAS token in lake.url', token: urlSas };
  if (kind === 'accountKey') return keyLogin('accountKey', auth['account'] ?? account, auth['key'] ?? '');
  if (kind === 'sas') return { is: 'sas', shown: 'sas', token: (auth['token'] ?? '').replace(/^\?/, '') };
  if (kind === 'connectionString') return fromConnectionString(auth['value'] ?? '');
  return { is: 'token', shown: kind, credential: steady(await credentialOf(auth)) };
}

/**
 * Tokens of an Entra identity for another service of Azure, by its scope. The identity is found when the first is asked for, and
 * keeps them until they are nearly over.
 */
export function azureTokens(auth: AzureAuth): (scope: string) => Promise<string> {
  let found: Promise<TokenCredential> | null = null;
  let hasWorked = false;
  return async (scope) => {
    try {
      const token = await (await (found ??= credentialOf(auth))).getToken(scope);
      if (token === null) throw new Error(`no token for ${scope}`);
      hasWorked = true;
      return token.token;
    } catch (cause) {
      // As in `steady`: what has worked once will work again.
      throw hasWorked ? new SluiceError(BUS_UNAVAILABLE, `no token at this moment: ${reasonOf(cause)}`, { cause }) : cause;
    }
  };
}

function keyLogin(shown: string, account: string, key: string): Login {
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(key))
    throw new SluiceError(LAKE_LOGIN, 'the account key is not Base64', { next: 'Copy the whole key: 88 characters, with == at its end.' });
  return { is: 'key', shown, account, key };
}

function fromConnectionString(text: string): Login {
  const parts = new Map<string, string>();
  for (const part of text.split(';')) {
    const at = part.indexOf('=');
    if (at > 0) parts.set(part.slice(0, at).trim().toLowerCase(), part.slice(at + 1).trim());
  }
  const sas = parts.get('sharedaccesssignature');
  if (sas !== undefined) return { is: 'sas', shown: 'connectionString (SAS)', token: sas.replace(/^\?/, '') };
  const [account, key] = [parts.get('accountname'), parts.get('accountkey')];
  if (account !== undefined && key !== undefined) return keyLogin('connectionString (key)', account, key);
  throw new SluiceError(CONFIG_INVALID, 'lake.auth.value holds neither AccountName with AccountKey nor SharedAccessSignature', {
    next: 'Copy the whole connection string from "Access keys" of the storage account.',
  });
}

async function credentialOf(auth: AzureAuth): Promise<TokenCredential> {
  const identity = await import('@azure/identity');
  const { clientId, tenantId } = auth;
  const cloud = { disableInstanceDiscovery: isPrivateCloud(process.env['AZURE_AUTHORITY_HOST']) };
  switch (auth.kind) {
    case 'default':
      return new identity.DefaultAzureCredential(cloud);
    case 'managedIdentity':
      return clientId === undefined ? new identity.ManagedIdentityCredential() : new identity.ManagedIdentityCredential({ clientId });
    case 'workloadIdentity':
      return new identity.WorkloadIdentityCredential({
        ...cloud,
        ...(clientId !== undefined && { clientId }),
        ...(tenantId !== undefined && { tenantId }),
        ...(auth['tokenFile'] !== undefined && { tokenFilePath: auth['tokenFile'] }),
      });
    case 'servicePrincipal': {
      const certificate = auth['certificateFile'];
      if (certificate !== undefined)
        return new identity.ClientCertificateCredential(tenantId ?? '', clientId ?? '', { certificatePath: certificate }, cloud);
      return new identity.ClientSecretCredential(tenantId ?? '', clientId ?? '', auth['clientSecret'] ?? '', cloud);
    }
    case 'azureCli':
      return new identity.AzureCliCredential();
    default:
      throw new SluiceError(CONFIG_INVALID, `lake.auth.kind ${auth.kind} is not known`);
  }
}

const PUBLIC_CLOUDS = /(?:^|\.)(?:microsoftonline\.(?:com|us|cn)|windows\.net|chinacloudapi\.cn)$/;

/**
 * Of an authority that it does not know the SDK asks the public cloud first, which knows nothing of a private or disconnected one, if
 * it can be reached from there at all. Whoever names an authority in the environment trusts it.
 */
function isPrivateCloud(authority: string | undefined): boolean {
  if (authority === undefined || authority === '') return false;
  const url = URL.parse(authority.includes('://') ? authority : `https://${authority}`);
  return url !== null && !PUBLIC_CLOUDS.test(url.hostname);
}

/**
 * Whoever has logged in once is right about it: what fails later is the service that gives tokens out, and that comes back.
 * Told as a credential error it would end the run.
 */
function steady(credential: TokenCredential): TokenCredential {
  let hasWorked = false;
  return {
    async getToken(scopes, options) {
      try {
        const token = await credential.getToken(scopes, options);
        hasWorked = true;
        return token;
      } catch (error) {
        throw hasWorked ? new Error(`no token at this moment: ${reasonOf(error)}`, { cause: error }) : error;
      }
    },
  };
}

/** Who a login is, as its token says; for `doctor`. @throws LAKE_LOGIN */
export async function describeLogin(login: Login): Promise<string> {
  if (login.is !== 'token') return login.shown;
  try {
    const token = await login.credential.getToken(SCOPE);
    return token === null ? login.shown : `${login.shown}, as ${claimsOf(token.token)}`;
  } catch (cause) {
    throw new SluiceError(LAKE_LOGIN, `${login.shown}: ${reasonOf(cause).split('\n', 1)[0]}`, { cause });
  }
}

function claimsOf(token: string): string {
  try {
    const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8')) as Record<string, unknown>;
    const found = ['upn', 'unique_name', 'xms_mirid', 'appid', 'oid'].map((name) => claims[name]).find((claim) => typeof claim === 'string');
    return typeof found === 'string' ? found : 'an identity that its token does not name';
  } catch {
    return 'an identity whose token cannot be read';
  }
}
