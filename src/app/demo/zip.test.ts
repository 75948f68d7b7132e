import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32, deflateRawSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MONGOD_NOT_FOUND } from '../../core/errors.ts';
import { extractZipMember, zipMembers, type ZipMember } from './zip.ts';

const signal = new AbortController().signal;
const program = Buffer.from('#!/bin/sh\necho hello\n'.repeat(5000));

interface Entry {
  readonly name: string;
  readonly data: Buffer;
  readonly method: 0 | 8;
  /** Bit 3: the local header leaves the sizes out. */
  readonly flags?: number;
}

/** A zip file as the specification has it, with an extra field in each local header that the directory does not have. */
function zipOf(entries: readonly Entry[], comment = Buffer.alloc(0)): Buffer {
  const files: Buffer[] = [];
  const directory: Buffer[] = [];
  let at = 0;
  for (const { name, data, method, flags = 0 } of entries) {
    const packed = method === 8 ? deflateRawSync(data) : data;
    const sizes = Buffer.alloc(12);
    sizes.writeUInt32LE(crc32(data), 0);
    sizes.writeUInt32LE(packed.length, 4);
    sizes.writeUInt32LE(data.length, 8);
    const local = Buffer.alloc(30);
    local.writeUInt32LE(0x04034b50, 0);
    local.writeUInt16LE(flags, 6);
    local.writeUInt16LE(method, 8);
    if ((flags & 8) === 0) sizes.copy(local, 14);
    local.writeUInt16LE(Buffer.byteLength(name), 26);
    local.writeUInt16LE(4, 28);
    const central = Buffer.alloc(46);
    central.writeUInt32LE(0x02014b50, 0);
    central.writeUInt16LE(flags, 8);
    central.writeUInt16LE(method, 10);
    sizes.copy(central, 16);
    central.writeUInt16LE(Buffer.byteLength(name), 28);
    central.writeUInt32LE(at, 42);
    const file = Buffer.concat([local, Buffer.from(name), Buffer.from([1, 0, 0, 0]), packed, (flags & 8) === 0 ? Buffer.alloc(0) : sizes]);
    files.push(file);
    directory.push(central, Buffer.from(name));
    at += file.length;
  }
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(entries.length, 10);
  end.writeUInt32LE(Buffer.concat(directory).length, 12);
  end.writeUInt32LE(at, 16);
  end.writeUInt16LE(comment.length, 20);
  return Buffer.concat([...files, ...directory, end, comment]);
}

describe('a zip file', () => {
  let folder: string;
  let zip: string;
  let target: string;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sluice-zip-'));
    zip = join(folder, 'a.whl');
    target = join(folder, 'out');
  });
  afterEach(async () => await rm(folder, { recursive: true, force: true }));

  async function member(name: string): Promise<ZipMember> {
    const found = (await zipMembers(zip)).find((entry) => entry.name === name);
    if (found === undefined) throw new Error(`${name} is not listed`);
    return found;
  }

  it.each([
    { how: 'stored', method: 0, flags: 0 },
    { how: 'deflated', method: 8, flags: 0 },
    { how: 'deflated with its sizes after it', method: 8, flags: 8 },
  ] as const)('gives back a member that is $how, byte for byte and executable', async ({ method, flags }) => {
    const others = { name: 'a/licence ü', data: Buffer.from('free'), method } as const;
    await writeFile(zip, zipOf([others, { name: 'a/bin/mongod', data: program, method, flags }, { ...others, name: 'z' }]));
    expect((await zipMembers(zip)).map(({ name }) => name)).toEqual(['a/licence ü', 'a/bin/mongod', 'z']);
    await extractZipMember(zip, await member('a/bin/mongod'), target, 0o755, signal);
    expect((await readFile(target)).equals(program)).toBe(true);
    expect((await stat(target)).mode & 0o777).toBe(0o755);
  });

  it('may hold an empty member', async () => {
    await writeFile(zip, zipOf([{ name: 'empty', data: Buffer.alloc(0), method: 0 }]));
    await extractZipMember(zip, await member('empty'), target, 0o644, signal);
    expect((await stat(target)).size).toBe(0);
  });

  it('may end in a comment that looks like an end', async () => {
    const comment = Buffer.concat([Buffer.from([0x50, 0x4b, 5, 6]), Buffer.alloc(40, 7)]);
    await writeFile(zip, zipOf([{ name: 'x', data: program, method: 8 }], comment));
    await extractZipMember(zip, await member('x'), target, 0o644, signal);
    expect((await stat(target)).size).toBe(program.length);
  });

  it('is refused when a byte of the member has changed', async () => {
    const bytes = zipOf([{ name: 'x', data: program, method: 0 }]);
    bytes[1000] = (bytes[1000] ?? 0) ^ 1;
    await writeFile(zip, bytes);
    await expect(extractZipMember(zip, await member('x'), target, 0o644, signal)).rejects.toMatchObject({
      kind: MONGOD_NOT_FOUND,
      message: expect.stringContaining('x is damaged'),
    });
  });

  it('is refused when it is cut short, is no zip file, or is encrypted', async () => {
    const whole = zipOf([{ name: 'x', data: program, method: 8, flags: 1 }]);
    for (const bytes of [whole.subarray(0, -10), program, Buffer.alloc(0)]) {
      await writeFile(zip, bytes);
      await expect(zipMembers(zip)).rejects.toMatchObject({ kind: MONGOD_NOT_FOUND });
    }
    await writeFile(zip, whole);
    await expect(extractZipMember(zip, await member('x'), target, 0o644, signal)).rejects.toMatchObject({
      message: expect.stringContaining('encrypted'),
    });
  });

  it('stops unpacking when it is told to', async () => {
    await writeFile(zip, zipOf([{ name: 'x', data: program, method: 8 }]));
    await expect(extractZipMember(zip, await member('x'), target, 0o644, AbortSignal.abort(new Error('enough')))).rejects.toThrow();
  });
});
