import { gzipSync, zstdCompressSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { openMemoryLake } from '../lake/memory/memory.ts';
import { linesOf, readDecoded } from './read-lines.ts';

const { signal } = new AbortController();

async function linesIn(path: string, bytes: Uint8Array, from = 0): Promise<string[]> {
  const lake = await openMemoryLake();
  await lake.put(path, bytes, 'absent');
  const lines: string[] = [];
  for await (const line of linesOf(readDecoded(lake, path, from, signal))) lines.push(line.toString());
  return lines;
}

const TEXT = Array.from({ length: 5_000 }, (_, n) => `line ${n} ${'x'.repeat(n % 300)}\n`);
const half = TEXT.length / 2;

describe('the lines of a file', () => {
  it.each([
    ['plain', 'a.jsonl', (text: string) => Buffer.from(text)],
    ['gzip', 'a.jsonl.gz', (text: string) => gzipSync(text)],
    ['zstd', 'a.jsonl.zst', (text: string) => zstdCompressSync(text)],
  ])('are read whole over several members: %s', async (_name, path, encode) => {
    const bytes = Buffer.concat([encode(TEXT.slice(0, half).join('')), encode(TEXT.slice(half).join(''))]);
    expect(await linesIn(path, bytes)).toEqual(TEXT);
  });

  it.each(['a.jsonl', 'a.jsonl.gz', 'a.jsonl.zst'])('are none in an empty %s', async (path) => {
    expect(await linesIn(path, new Uint8Array())).toEqual([]);
  });

  it('do not include a last one without its newline', async () => {
    expect(await linesIn('a.jsonl', Buffer.from('one\ntwo'))).toEqual(['one\n']);
  });

  it.each(['a.jsonl.gz', 'a.jsonl.zst'])('that were cut are an error: %s', async (path) => {
    const whole = path.endsWith('.gz') ? gzipSync(TEXT.join('')) : zstdCompressSync(TEXT.join(''));
    await expect(linesIn(path, whole.subarray(0, whole.length / 2))).rejects.toThrow();
  });
});
