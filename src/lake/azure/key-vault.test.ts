import { SecretClient, type SecretClientOptions } from '@azure/keyvault-secrets';
import { describe, expect, it } from 'vitest';
import { readSecret } from './key-vault.ts';

/** The real client over a vault that answers as Key Vault does: a challenge first, then what there is. */
function vault(answers: Readonly<Record<string, readonly [number, unknown]>>): {
  readonly asked: string[];
  readonly make: Parameters<typeof readSecret>[1];
} {
  const asked: string[] = [];
  const httpClient: NonNullable<SecretClientOptions['httpClient']> = {
    async sendRequest(request) {
      const { pathname, host } = new URL(request.url);
      if (request.headers.get('authorization') === undefined) {
        const challenge =
          'Bearer authorization="https://login.microsoftonline.com/00000000-0000-0000-0000-000000000000", resource="https://vault.azure.net"';
        return { request, status: 401, headers: headersOf(request, 'www-authenticate', challenge) };
      }
      asked.push(`${host}${pathname}`);
      const [status, body] = answers[pathname] ?? [404, { error: { code: 'SecretNotFound', message: 'A secret with this name was not found' } }];
      return { request, status, headers: headersOf(request, 'content-type', 'application/json'), bodyAsText: JSON.stringify(body) };
    },
  };
  const credential = { getToken: async () => ({ token: 't', expiresOnTimestamp: Date.now() + 3_600_000 }) };
  return { asked, make: async (url) => new SecretClient(url, credential, { httpClient, retryOptions: { maxRetries: 0 } }) };
}

type Asked = Parameters<NonNullable<SecretClientOptions['httpClient']>['sendRequest']>[0];

/** Headers of an answer: the SDK makes no others. */
function headersOf(request: Asked, name: string, value: string): Asked['headers'] {
  const Headers = request.headers.constructor as new (raw: Readonly<Record<string, string>>) => Asked['headers'];
  return new Headers({ [name]: value });
}

const SECRET = { value: 'the password', id: 'https://v.vault.azure.net/secrets/db/1', attributes: {} };

describe('a secret in Azure Key Vault', () => {
  it('is read, in its newest version or the one that is named', async () => {
    const { asked, make } = vault({ '/secrets/db/': [200, SECRET], '/secrets/db/0a1b': [200, { ...SECRET, value: 'the old one' }] });
    expect(await readSecret('v/db', make)).toBe('the password');
    expect(await readSecret('v/db/0a1b', make)).toBe('the old one');
    expect(asked).toEqual(['v.vault.azure.net/secrets/db/', 'v.vault.azure.net/secrets/db/0a1b']);
  });

  it.each([
    ['is missing', {}, 'there is no such secret in v.vault.azure.net'],
    ['may not be read', { '/secrets/db/': [403, { error: { code: 'Forbidden', message: 'no' } }] }, 'Key Vault Secrets User'],
    ['cannot be read now', { '/secrets/db/': [500, { error: { code: 'InternalError', message: 'try later' } }] }, 'try later'],
  ] as const)('that %s is told, with what to do', async (_, answers, words) => {
    await expect(readSecret('v/db', vault(answers).make)).rejects.toThrow(words);
  });

  it('needs a vault and a name', async () => {
    for (const reference of ['', 'v', 'v/', '/s', 'v/s/x/y', 'https://v/s'])
      await expect(readSecret(reference, vault({}).make)).rejects.toThrow('${keyvault:vault/secret}');
  });
});
