/**
 * Where the files go, as answered: a folder, or a container of a storage account and a way to log in there.
 *
 * Invariant: a secret is never part of the URL, which is written into the configuration.
 */
import { resolve } from 'node:path';
import { SluiceError } from '../../core/error.ts';
import { USAGE } from '../../core/errors.ts';
import type { Io } from '../io.ts';

/** Ways to log in that one secret is enough for, with the key that it has in `lake.auth`. The others need none. */
const SECRETS = { accountKey: 'key', connectionString: 'value', sas: 'token' } as const;
export const LOGINS = ['default', 'managedIdentity', 'workloadIdentity', 'azureCli', ...(Object.keys(SECRETS) as (keyof typeof SECRETS)[])] as const;
export type LoginKind = (typeof LOGINS)[number];

/** In the environment, or in `.env`. */
export const LAKE_VARIABLE = 'LAKE_SECRET';

export interface LakeLogin {
  readonly kind: LoginKind;
  readonly [key: string]: string;
}
export interface AzureAnswer {
  readonly is: 'azure';
  readonly url: string;
  /** `lake.auth` as it is to be written: with the name of the variable in place of the secret. */
  readonly auth: LakeLogin;
  /** `null` for ways to log in that need none, and for one that is in the environment already. */
  readonly secretToKeep: string | null;
}
export type LakeAnswer = { readonly is: 'folder'; readonly path: string } | AzureAnswer;

export const isAzureUrl = (written: string): boolean => /^(?:abfss|https?):\/\//.test(written.trim());

export const needsSecret = (kind: LoginKind): boolean => Object.hasOwn(SECRETS, kind);

/** `file:./lake` and `./lake` are the same answer. */
export function stripScheme(written: string, scheme: string): string {
  const text = written.trim();
  return text.startsWith(scheme) ? text.slice(scheme.length) : text;
}

/** @param folder of the configuration. @throws SluiceError when the folder cannot be written to */
export async function folderAnswer(written: string, folder: string): Promise<LakeAnswer> {
  const { probeFolder } = await import('../../app/probe.ts');
  const path = stripScheme(written, 'file:');
  await probeFolder(resolve(folder, path));
  return { is: 'folder', path };
}

/** @param asked the secret, if it was asked for; else it is in the environment. @throws SluiceError what the account says */
export async function azureAnswer(io: Io, written: string, kind: LoginKind, asked: string | null): Promise<LakeAnswer> {
  const url = written.trim();
  if (url.includes('?')) {
    throw new SluiceError(USAGE, 'the URL of the lake has a query, which would be written into the configuration', {
      next: `Leave it out. For a SAS token use --lake-auth sas, with the token in ${LAKE_VARIABLE}.`,
    });
  }
  const secret = asked ?? io.env[LAKE_VARIABLE] ?? '';
  if (needsSecret(kind) && secret === '')
    throw new SluiceError(USAGE, `--lake-auth ${kind} needs a secret`, { next: `Put it into the environment as ${LAKE_VARIABLE}.` });
  if (secret !== '') io.secrets.add(secret);
  const { accountOf, probeAccount } = await import('../../app/probe.ts');
  const account = kind === 'accountKey' ? await accountOf(url) : null;
  const authWith = (value: string): LakeLogin => ({
    kind,
    ...(account !== null && { account }),
    ...(needsSecret(kind) && { [SECRETS[kind as keyof typeof SECRETS]]: value }),
  });
  await probeAccount(url, authWith(secret));
  return { is: 'azure', url, auth: authWith(`\${${LAKE_VARIABLE}}`), secretToKeep: needsSecret(kind) ? asked : null };
}
