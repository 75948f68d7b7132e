/**
 * Takes single members out of a zip file (a Python wheel is one), so that no machine needs `unzip`.
 *
 * Invariant: when `extractZipMember` resolves, the target holds every byte of the member, its length and CRC are those
 * of the central directory, and the bytes are on the disk. Sizes are taken from the central directory alone: a local
 * header may leave them to a data descriptor. Zip64, encryption and methods other than stored and deflate are refused.
 */
import { createReadStream, createWriteStream } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { crc32, createInflateRaw } from 'node:zlib';
import type { SluiceError } from '../../core/error.ts';
import { mongodNotFound } from './not-found.ts';

export interface ZipMember {
  readonly name: string;
  /** 0 stored, 8 deflate. */
  readonly method: number;
  readonly flags: number;
  readonly crc32: number;
  readonly compressedBytes: number;
  readonly bytes: number;
  /** Offset of the local header in the file. */
  readonly headerAt: number;
}

const END_SIGNATURE = 0x06054b50;
const END_BYTES = 22;
const COMMENT_BYTES_MAX = 0xffff;
const CENTRAL_SIGNATURE = 0x02014b50;
const CENTRAL_BYTES = 46;
const LOCAL_SIGNATURE = 0x04034b50;
const LOCAL_BYTES = 30;
const ENCRYPTED = 1;
const ZIP64_MARK = 0xffffffff;

/** All members, in the order of the central directory. @throws MONGOD_NOT_FOUND when this is not a zip file we can read */
export async function zipMembers(path: string): Promise<readonly ZipMember[]> {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    const tail = await readAt(file, path, Math.max(0, size - END_BYTES - COMMENT_BYTES_MAX), Math.min(size, END_BYTES + COMMENT_BYTES_MAX));
    const end = findEnd(tail);
    if (end < 0) throw broken(path, 'it has no central directory');
    const count = tail.readUInt16LE(end + 10);
    const directoryBytes = tail.readUInt32LE(end + 12);
    const directoryAt = tail.readUInt32LE(end + 16);
    if (count === 0xffff || directoryAt === ZIP64_MARK) throw broken(path, 'it is a zip64 file');
    return parseDirectory(await readAt(file, path, directoryAt, directoryBytes), count, path);
  } finally {
    await file.close();
  }
}

/** Writes a member to `target`, which is made or replaced. @param mode of the new file, `0o755` for a program */
export async function extractZipMember(path: string, member: ZipMember, target: string, mode: number, signal: AbortSignal): Promise<void> {
  if ((member.flags & ENCRYPTED) !== 0) throw broken(path, `${member.name} is encrypted`);
  if (member.method !== 0 && member.method !== 8) throw broken(path, `${member.name} uses compression method ${member.method}`);
  const start = await dataStart(path, member);
  let sum = 0;
  let bytes = 0;
  const check = async function* (chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of chunks) {
      sum = crc32(chunk, sum);
      bytes += chunk.length;
      yield chunk;
    }
  };
  // An `end` before `start` would mean "to the end of the file", hence the empty source for an empty member.
  const source = member.compressedBytes === 0 ? [] : createReadStream(path, { start, end: start + member.compressedBytes - 1 });
  const sink = createWriteStream(target, { mode, flush: true });
  if (member.method === 8) await pipeline(source, createInflateRaw(), check, sink, { signal });
  else await pipeline(source, check, sink, { signal });
  if (bytes !== member.bytes || sum !== member.crc32) throw broken(path, `${member.name} is damaged`);
}

function findEnd(tail: Buffer): number {
  for (let at = tail.length - END_BYTES; at >= 0; at--) {
    // The comment must end where the file ends: the signature may also occur inside the comment.
    if (tail.readUInt32LE(at) === END_SIGNATURE && at + END_BYTES + tail.readUInt16LE(at + 20) === tail.length) return at;
  }
  return -1;
}

function parseDirectory(directory: Buffer, count: number, path: string): ZipMember[] {
  const members: ZipMember[] = [];
  let at = 0;
  while (members.length < count) {
    if (at + CENTRAL_BYTES > directory.length || directory.readUInt32LE(at) !== CENTRAL_SIGNATURE) throw broken(path, 'its directory is damaged');
    const nameBytes = directory.readUInt16LE(at + 28);
    const member: ZipMember = {
      name: directory.toString('utf8', at + CENTRAL_BYTES, at + CENTRAL_BYTES + nameBytes),
      flags: directory.readUInt16LE(at + 8),
      method: directory.readUInt16LE(at + 10),
      crc32: directory.readUInt32LE(at + 16),
      compressedBytes: directory.readUInt32LE(at + 20),
      bytes: directory.readUInt32LE(at + 24),
      headerAt: directory.readUInt32LE(at + 42),
    };
    if ([member.compressedBytes, member.bytes, member.headerAt].includes(ZIP64_MARK)) throw broken(path, `${member.name} needs zip64`);
    members.push(member);
    at += CENTRAL_BYTES + nameBytes + directory.readUInt16LE(at + 30) + directory.readUInt16LE(at + 32);
  }
  return members;
}

/** The local header has a name and extra field of its own lengths: only it tells where the bytes begin. */
async function dataStart(path: string, member: ZipMember): Promise<number> {
  const file = await open(path, 'r');
  try {
    const header = await readAt(file, path, member.headerAt, LOCAL_BYTES);
    if (header.readUInt32LE(0) !== LOCAL_SIGNATURE) throw broken(path, `${member.name} is not where the directory says`);
    return member.headerAt + LOCAL_BYTES + header.readUInt16LE(26) + header.readUInt16LE(28);
  } finally {
    await file.close();
  }
}

async function readAt(file: FileHandle, path: string, position: number, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length);
  const { bytesRead } = await file.read(buffer, 0, length, position);
  if (bytesRead !== length) throw broken(path, 'it is cut short');
  return buffer;
}

function broken(path: string, why: string): SluiceError {
  return mongodNotFound(`${path} cannot be unpacked, ${why}`);
}
