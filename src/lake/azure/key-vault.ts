/**
 * Secrets from Azure Key Vault, by the identity that the environment gives (DefaultAzureCredential).
 */
import type { SecretClient } from '@azure/keyvault-secrets';
import { reasonOf } from '../../core/error.ts';

export type MakeSecretClient = (vaultUrl: string) => Promise<Pick<SecretClient, 'getSecret'>>;

const REFERENCE = /^(?<vault>[A-Za-z0-9.-]+)\/(?<name>[A-Za-z0-9-]+)(?:\/(?<version>[0-9a-f]+))?$/;

/** @param reference `vault/secret` or `vault/secret/version`; a vault of another cloud by its whole host. @throws Error with the reason, and what to do */
export async function readSecret(reference: string, makeClient: MakeSecretClient = secretClient): Promise<string> {
  const parts = REFERENCE.exec(reference)?.groups;
  if (parts === undefined) throw new Error('write it as ${keyvault:vault/secret}');
  const { vault = '', name = '', version } = parts;
  const host = vault.includes('.') ? vault : `${vault}.vault.azure.net`;
  let value: string | undefined;
  try {
    const client = await makeClient(`https://${host}`);
    ({ value } = await client.getSecret(name, version === undefined ? {} : { version }));
  } catch (error) {
    throw new Error(whyNot(error, host), { cause: error });
  }
  if (value === undefined) throw new Error('it has no value');
  return value;
}

function whyNot(error: unknown, host: string): string {
  const { statusCode } = error as { readonly statusCode?: number };
  if (statusCode === 404) return `there is no such secret in ${host}`;
  if (statusCode === 403)
    return `this identity may not read it: give it the role "Key Vault Secrets User" on ${host}, and let this machine through its firewall`;
  if (statusCode === 401) return `${host} does not accept this identity`;
  return `${host}: ${reasonOf(error).split('\n', 1)[0]}`;
}

async function secretClient(vaultUrl: string): Promise<SecretClient> {
  const { SecretClient: Client } = await import('@azure/keyvault-secrets');
  const { DefaultAzureCredential } = await import('@azure/identity');
  return new Client(vaultUrl, new DefaultAzureCredential());
}
