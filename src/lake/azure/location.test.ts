import { describe, expect, it } from 'vitest';
import { CONFIG_INVALID } from '../../core/errors.ts';
import { parseAzureUrl } from './location.ts';

describe('the URL of a lake on Azure', () => {
  it.each([
    ['abfss://lake@acct.dfs.core.windows.net', 'lake', '', 'dfs'],
    ['abfss://lake@acct.dfs.core.windows.net/', 'lake', '', 'dfs'],
    ['abfss://lake@acct.dfs.core.windows.net/a/b/', 'lake', 'a/b/', 'dfs'],
    ['https://acct.blob.core.windows.net/lake/a', 'lake', 'a/', 'append-blob'],
    ['https://acct.dfs.core.windows.net/lake/a%20b', 'lake', 'a b/', 'dfs'],
  ] as const)('%s', (url, container, prefix, writer) => {
    expect(parseAzureUrl(url, null)).toMatchObject({
      account: 'acct',
      container,
      prefix,
      writer,
      blobEndpoint: 'https://acct.blob.core.windows.net',
      dfsEndpoint: 'https://acct.dfs.core.windows.net',
      sas: null,
    });
  });

  it('is followed by `lake.writer`, whatever its endpoint', () => {
    expect(parseAzureUrl('https://acct.blob.core.windows.net/lake', 'dfs').writer).toBe('dfs');
    expect(parseAzureUrl('abfss://lake@acct.dfs.core.windows.net', 'append-blob').writer).toBe('append-blob');
  });

  it('may be of another cloud, of a zone, of a domain of one’s own', () => {
    expect(parseAzureUrl('abfss://lake@acct.dfs.core.chinacloudapi.cn/p', null).blobEndpoint).toBe('https://acct.blob.core.chinacloudapi.cn');
    expect(parseAzureUrl('https://acct.z12.blob.storage.azure.net/lake', null)).toMatchObject({
      account: 'acct',
      dfsEndpoint: 'https://acct.z12.dfs.storage.azure.net',
    });
    expect(parseAzureUrl('https://files.example.com/lake', null)).toMatchObject({ account: '', blobEndpoint: 'https://files.example.com' });
  });

  it('of an emulator has the account in its path', () => {
    for (const scheme of ['http', 'https']) {
      expect(parseAzureUrl(`${scheme}://127.0.0.1:10000/devstoreaccount1/lake/p`, null)).toMatchObject({
        account: 'devstoreaccount1',
        container: 'lake',
        prefix: 'p/',
        blobEndpoint: `${scheme}://127.0.0.1:10000/devstoreaccount1`,
        dfsEndpoint: `${scheme}://127.0.0.1:10000/devstoreaccount1`,
        writer: 'append-blob',
      });
    }
  });

  it('may hold a SAS, which is never shown', () => {
    const location = parseAzureUrl('https://acct.blob.core.windows.net/lake/p?sv=1&sig=secret', null);
    expect(location.sas).toBe('sv=1&sig=secret');
    expect(location.shown).toBe('https://acct.blob.core.windows.net/lake/p');
  });

  it.each([
    'abfss://acct.dfs.core.windows.net',
    'https://acct.blob.core.windows.net',
    'ftp://a/b',
    'https://acct.blob.core.windows.net/c/%zz',
    'abfss://l@a.dfs.x/a/../b',
  ])('is refused as %s', (url) => {
    expect(() => parseAzureUrl(url, null)).toThrow(expect.objectContaining({ kind: CONFIG_INVALID }));
  });
});
