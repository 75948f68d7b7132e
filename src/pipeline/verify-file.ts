/**
 * Proves one sealed file against its ledger line: reads its bytes once, hashes them as stored and looks at every line.
 *
 * Every line is parsed, because only that shows that it is JSON; a checker that trusts what it checks proves nothing.
 * Memory is bounded by a chunk and the longest line.
 */
import { isUtf8 } from 'node:buffer';
import { createHash, type Hash } from 'node:crypto';
import { Readable, pipeline } from 'node:stream';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import { SluiceError, reasonOf } from '../core/error.ts';
import { LAKE_DAMAGED } from '../core/errors.ts';
import { LINE_PREFIX, OPERATIONS, positionAt, type Position } from '../core/event.ts';
import type { Lake, LakePath } from '../core/lake.ts';
import type { SealedLine } from '../core/ledger.ts';
import { isSnapshotPath } from '../core/layout.ts';
import { documentKeyOf, parseLine } from '../core/line.ts';
import { formatNamespace } from '../core/namespace.ts';
import { hourName, hourOf, type Timestamp } from '../core/time.ts';
import { isParquet, parquetLines } from './parquet-lines.ts';
import { CompactedLines } from './verify-compacted.ts';
import { LineFindings, type Findings } from './verify-findings.ts';

const NEWLINE = 0x0a;
const PREFIX = Buffer.from(LINE_PREFIX);

/** What was found in a file, whatever its ledger line says. */
export interface FileFacts {
  readonly rows: number;
  /** As stored. */
  bytes: number;
}

/**
 * @param hours how many hours a file covers
 * @param originals ledger lines of the files whose lines it holds, of a Parquet file
 */
export async function verifyFile(
  lake: Lake,
  line: SealedLine,
  hours: number,
  originals: readonly SealedLine[],
  findings: Findings,
  signal: AbortSignal,
): Promise<FileFacts> {
  const scan = new FileScan(line, hours, originals);
  const stored = { bytes: 0, hash: createHash('sha256') };
  try {
    for await (const chunk of contentOf(lake, line, stored, signal)) scan.push(chunk);
  } catch (error) {
    signal.throwIfAborted();
    if (SluiceError.is(error, LAKE_DAMAGED)) {
      findings.add('file-missing', line.path, `the ledger says ${line.rows} rows, ${line.bytes} bytes`);
      return { rows: 0, bytes: 0 };
    }
    // What is left is a decoder that has stopped in the middle; the bytes are hashed all the same.
    if (error instanceof SluiceError || !isEncoded(line.path)) throw error;
    scan.found.add('line', `cannot be decompressed after ${scan.rows} lines: ${reasonOf(error)}`);
    Object.assign(stored, { bytes: 0, hash: createHash('sha256') });
    for await (const _ of counted(lake.read(line.path, 0, signal), stored));
  }
  const { bytes, hash } = stored;
  if (bytes !== line.bytes) scan.found.add('file-size', `${bytes} bytes, the ledger says ${line.bytes}`);
  const sha256 = hash.digest('hex');
  if (sha256 !== line.sha256) scan.found.add('file-hash', `${sha256}, the ledger says ${line.sha256}`);
  scan.end();
  scan.found.moveTo(findings, line.path);
  return { rows: scan.rows, bytes };
}

/** Positions of a file in the order in which they are there; lines that are not ours are left out. */
export async function* positionsOf(lake: Lake, line: SealedLine, signal: AbortSignal): AsyncGenerator<Position> {
  const cutter = new LineCutter();
  for await (const chunk of contentOf(lake, line, { bytes: 0, hash: createHash('sha256') }, signal)) {
    for (const each of cutter.push(chunk)) if (begins(each)) yield positionAt(each, 0);
  }
}

function isEncoded(path: LakePath): boolean {
  return path.endsWith('.gz') || path.endsWith('.zst') || isParquet(path);
}

/** Lines of a file; its bytes as stored are counted and hashed on the way. */
async function* contentOf(lake: Lake, line: SealedLine, stored: Stored, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const bytes = counted(lake.read(line.path, 0, signal), stored);
  if (!isParquet(line.path)) return yield* decompressed(bytes, line);
  // It is decoded in pieces, beginning at its end: the whole of it is a reading of its own.
  for await (const _ of bytes);
  yield* parquetLines(lake, line.path, signal);
}

/** The bytes as they were before compression, by suffix. An empty file has no member at all, which is not an error. */
function decompressed(stored: AsyncIterable<Uint8Array>, { path, bytes }: SealedLine): AsyncIterable<Uint8Array> {
  if (!isEncoded(path) || bytes === 0) return stored;
  const decompress = path.endsWith('.gz') ? createGunzip() : createZstdDecompress();
  // `pipeline` and not `compose`: an error of a composed stream that comes while nobody reads ends the process.
  pipeline(Readable.from(stored), decompress, () => {});
  return decompress;
}

interface Stored {
  bytes: number;
  hash: Hash;
}

async function* counted(stored: AsyncIterable<Uint8Array>, sum: Stored): AsyncGenerator<Uint8Array> {
  for await (const chunk of stored) {
    sum.bytes += chunk.byteLength;
    sum.hash.update(chunk);
    yield chunk;
  }
}

/** Cuts chunks into lines. Only lines that lie across chunks are copied, once, however long they are. */
class LineCutter {
  readonly #begun: Buffer[] = [];

  /** Whole lines, newline included. */
  *push(chunk: Uint8Array): Generator<Buffer> {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    let start = 0;
    for (let end = bytes.indexOf(NEWLINE); end >= 0; end = bytes.indexOf(NEWLINE, start)) {
      const tail = bytes.subarray(start, end + 1);
      yield this.#begun.length === 0 ? tail : Buffer.concat([...this.#begun.splice(0), tail]);
      start = end + 1;
    }
    if (start < bytes.length) this.#begun.push(bytes.subarray(start));
  }

  /** Bytes after the last newline. */
  get left(): number {
    return this.#begun.reduce((sum, bytes) => sum + bytes.length, 0);
  }
}

function begins(line: Buffer): boolean {
  return line.length > PREFIX.length && PREFIX.compare(line, 0, PREFIX.length) === 0;
}

class FileScan {
  readonly found = new LineFindings();
  rows = 0;
  readonly #line: SealedLine;
  readonly #compacted: CompactedLines | null;
  readonly #hours: number;
  readonly #ns: string;
  readonly #ops = new Uint32Array(OPERATIONS.length);
  readonly #cutter = new LineCutter();
  readonly #isSnapshot: boolean;
  #lastKey: string | null = null;
  #first: { readonly position: Position; readonly at: Timestamp } | null = null;
  #last: { readonly position: Position; readonly at: Timestamp } | null = null;

  constructor(line: SealedLine, hours: number, originals: readonly SealedLine[]) {
    this.#line = line;
    this.#compacted = line.lines === undefined ? null : new CompactedLines(line.lines, originals);
    this.#hours = hours;
    this.#isSnapshot = isSnapshotPath(line.path);
    this.#ns = formatNamespace({ db: line.db, coll: line.coll });
  }

  push(chunk: Uint8Array): void {
    for (const line of this.#cutter.push(chunk)) {
      this.#compacted?.add(line);
      this.#look(line);
    }
  }

  end(): void {
    const { found } = this;
    const { left } = this.#cutter;
    if (left > 0) found.add('torn-line', `${left} bytes after the last newline`);
    for (const fault of this.#compacted?.end() ?? []) found.add('same-lines', fault);
    const said = this.#line;
    if (this.rows !== said.rows) found.add('row-count', `${this.rows} rows, the ledger says ${said.rows}`);
    for (const [index, op] of OPERATIONS.entries()) {
      const count = this.#ops[index];
      if (count !== (said.ops[op] ?? 0)) found.add('op-count', `${count} of ${op}, the ledger says ${said.ops[op] ?? 0}`);
    }
    this.#compare('first', this.#first, said.first, said.firstAt);
    this.#compare('last', this.#last, said.last, said.lastAt);
  }

  #compare(which: string, is: { position: Position; at: Timestamp } | null, position: Position | null, at: Timestamp | null): void {
    const here = is === null ? 'none' : `${is.position} at ${timeText(is.at)}`;
    const said = position === null || at === null ? 'none' : `${position} at ${timeText(at)}`;
    if (here !== said) this.found.add('first-last', `${which} event ${here}, the ledger says ${said}`);
  }

  #look(bytes: Buffer): void {
    this.rows += 1;
    const { found, rows } = this;
    if (!begins(bytes)) found.add('line', `line ${rows} does not begin as lines do`);
    if (!isUtf8(bytes)) found.add('line', `line ${rows} is not valid UTF-8`);
    let facts: ReturnType<typeof parseLine>;
    try {
      facts = parseLine(bytes);
    } catch (error) {
      found.add('line', `line ${rows}: ${reasonOf(error)}`);
      return;
    }
    const { position, at, ns, op } = facts;
    this.#ops[op] = (this.#ops[op] ?? 0) + 1;
    const last = this.#last?.position;
    if (this.#isSnapshot) {
      const key = documentKeyOf(bytes);
      if (last !== undefined && position !== last) found.add('order', `line ${rows}: ${position}, the lines of a snapshot have one position`);
      if (rows > 1 && key === this.#lastKey) found.add('duplicate', `line ${rows} has the key of the line before it, ${key ?? 'none'}`);
      this.#lastKey = key;
    } else if (last === position) found.add('duplicate', `line ${rows} has the position of the line before it, ${position}`);
    else if (last !== undefined && position < last) found.add('order', `line ${rows}: ${position} after ${last}`);
    const of = hourOf(at.t);
    const hour = hourName(of - (of % this.#hours));
    if (hour !== this.#line.hour) found.add('hour', `line ${rows} is of ${hour}, the file of ${this.#line.hour}`);
    const name = formatNamespace(ns);
    if (name !== this.#ns) found.add('namespace', `line ${rows} is of ${name}, the file of ${this.#ns}`);
    this.#last = { position, at };
    this.#first ??= this.#last;
  }
}

function timeText({ t, i }: Timestamp): string {
  return `${t}.${i}`;
}
