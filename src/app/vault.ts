/**
 * `${keyvault:vault/secret}` in a configuration.
 */

/** @throws Error with the reason, and what to do, as its message */
export async function readVaultSecret(reference: string): Promise<string> {
  const { readSecret } = await import('../lake/azure/key-vault.ts');
  return await readSecret(reference);
}
