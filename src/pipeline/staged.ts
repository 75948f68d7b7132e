/**
 * What a Spark job has staged of Capture files (src/render/spark-job/): lines by partition, collection and hour, and facts beside them.
 *
 * Another program wrote it, perhaps in many tries. So nothing of it is believed: a folder counts once its last file is there, and every
 * file of lines is held against its facts before a byte of it goes to the lake.
 */
import { crc32 } from 'node:zlib';
import type { BusRecord } from '../core/bus.ts';
import { SluiceError, reasonOf } from '../core/error.ts';
import { STAGED_DIFFERS, STAGED_NOT_WHOLE } from '../core/errors.ts';
import { LINE_PREFIX, asPosition, positionAt, type Position } from '../core/event.ts';
import type { Lake, LakePath } from '../core/lake.ts';
import type { Timestamp } from '../core/time.ts';
import { readFile } from './read-file.ts';

/** How far the job has come in a partition, and from where. */
export interface StagedPartition {
  readonly partition: number;
  readonly fingerprint: string;
  /** Of the first message: where a lake begins that has nothing yet. */
  readonly firstAt: Timestamp;
  /** Sequence numbers: of the first message that was looked at, and after the last. */
  readonly from: bigint;
  readonly next: bigint;
  readonly fromPosition: Position;
  readonly position: Position;
  readonly clusterTime: Timestamp;
  readonly watermark: Timestamp;
  readonly events: number;
}

/** Lines of one partition, collection and hour, in order. */
export interface StagedFile {
  readonly file: string;
  readonly partition: number;
  readonly ns: string;
  /** In hours since the epoch. */
  readonly hour: number;
  readonly part: number;
  readonly rows: number;
  readonly bytes: number;
  /** Sum of the CRC-32 of every line, without its newline; decimal digits. */
  readonly crc32Sum: string;
  readonly first: Position;
  readonly last: Position;
  readonly firstAt: Timestamp;
  readonly lastAt: Timestamp;
  readonly ops: Readonly<Record<string, number>>;
}

/** A message that is no event of ours. */
export interface StagedBad {
  readonly partition: number;
  readonly record: BusRecord;
  /** It was sent once more, and its partition had passed this position. */
  readonly behind: Position | null;
}

export interface Staged {
  readonly pipeline: string;
  readonly partitions: readonly StagedPartition[];
  readonly files: readonly StagedFile[];
  readonly bad: readonly StagedBad[];
}

const NEWLINE = 0x0a;
const PREFIX = Buffer.from(LINE_PREFIX);
const FORMAT = 1;

/** @throws STAGED_NOT_WHOLE */
export async function readStaged(lake: Lake, signal: AbortSignal): Promise<Staged> {
  try {
    const partitions = await rowsOf(lake, 'partitions', signal);
    const names = [...new Set(partitions.map(({ pipeline }) => pipeline))];
    const [pipeline] = names;
    if (typeof pipeline !== 'string') throw new Error('no partition is there: the job has not ended, or has found nothing');
    if (names.length > 1) throw new Error(`it is of several pipelines: ${names.join(', ')}`);
    const files = (await rowsOf(lake, 'files', signal)) as unknown as StagedFile[];
    const bad = (await rowsOf(lake, 'bad', signal)).map(badOf);
    const staged = { pipeline, partitions: partitions.map(partitionOf), files, bad };
    assertAddsUp(staged);
    return staged;
  } catch (cause) {
    signal.throwIfAborted();
    if (cause instanceof SluiceError) throw cause;
    throw new SluiceError(STAGED_NOT_WHOLE, `${lake.description}: ${reasonOf(cause)}`, { cause });
  }
}

type Row = Readonly<Record<string, unknown>>;

/** Spark puts `_SUCCESS` into a folder when all of it is there. */
async function rowsOf(lake: Lake, folder: string, signal: AbortSignal): Promise<Row[]> {
  const rows: Row[] = [];
  if ((await lake.stat(`${folder}/_SUCCESS`)) === null) throw new Error(`${folder}/_SUCCESS is missing: the job has not ended`);
  for (const path of await dataFiles(lake, folder, signal)) {
    const lines = (await readFile(lake, path, signal)).toString('utf8').split('\n');
    rows.push(...lines.filter((line) => line !== '').map((line) => JSON.parse(line) as Row));
  }
  return rows;
}

/** Names with a dot or an underscore are Spark's own. */
async function dataFiles(lake: Lake, folder: string, signal: AbortSignal): Promise<LakePath[]> {
  const found: LakePath[] = [];
  for await (const { path } of lake.list(`${folder}/`, signal)) if (/\/[^/._][^/]*$/.test(path)) found.push(path);
  return found;
}

function partitionOf(row: Row): StagedPartition {
  if (row['v'] !== FORMAT) throw new Error(`it is of format ${String(row['v'])}, this version knows ${FORMAT}`);
  const { partition, fingerprint, fromPosition, position, firstAt, clusterTime, watermark, events, messages } = row;
  const [from, next] = [BigInt(row['from'] as string), BigInt(row['next'] as string)];
  if (BigInt(messages as number) !== next - from)
    throw new Error(`partition ${String(partition)} has ${String(messages)} messages from ${from} to ${next}`);
  return {
    partition: partition as number,
    fingerprint: fingerprint as string,
    firstAt: firstAt as Timestamp,
    from,
    next,
    fromPosition: asPosition(fromPosition as string),
    position: asPosition(position as string),
    clusterTime: clusterTime as Timestamp,
    watermark: watermark as Timestamp,
    events: events as number,
  };
}

function badOf(row: Row): StagedBad {
  const headers = ((row['headers'] ?? []) as { key: string; value: string }[]).map(({ key, value }) => [key, value] as const);
  const record: BusRecord = {
    offset: BigInt(row['offset'] as string),
    timeMs: Date.parse(`${String(row['enqueued']).replace(/Z$|[+-]\d\d:?\d\d$/, '')}Z`) || Date.parse(`${String(row['enqueued'])} UTC`) || 0,
    key: null,
    value: typeof row['body'] === 'string' ? Buffer.from(row['body'], 'base64') : null,
    header: (name) => headers.find(([key]) => key === name)?.[1] ?? null,
    headers: () => headers.map(([key, value]) => [key, Buffer.from(value)]),
  };
  return { partition: row['partition'] as number, record, behind: typeof row['behind'] === 'string' ? asPosition(row['behind']) : null };
}

function assertAddsUp({ partitions, files }: Staged): void {
  for (const { partition, events } of partitions) {
    const rows = files.filter((file) => file.partition === partition).reduce((sum, file) => sum + file.rows, 0);
    if (rows !== events) throw new Error(`partition ${partition} has ${events} events, its files have ${rows} lines`);
  }
}

/** The lines of a file, held against its facts. @throws STAGED_DIFFERS */
export async function readStagedLines(lake: Lake, of: StagedFile, signal: AbortSignal): Promise<Buffer> {
  const differs = (detail: string): SluiceError => new SluiceError(STAGED_DIFFERS, `lines/file=${of.file} in ${lake.description}: ${detail}`);
  const paths = await dataFiles(lake, `lines/file=${of.file}`, signal);
  if (paths.length !== 1) throw differs(`it has ${paths.length} files, not one`);
  const bytes = await readFile(lake, paths[0]!, signal);
  if (bytes.length !== of.bytes) throw differs(`it has ${bytes.length} bytes, the job says ${of.bytes}`);
  let rows = 0;
  let sum = 0n;
  let last = asPosition('');
  for (let start = 0; start < bytes.length; rows += 1) {
    const end = bytes.indexOf(NEWLINE, start);
    if (end < 0 || PREFIX.compare(bytes, start, start + PREFIX.length) !== 0) throw differs(`line ${rows + 1} is none of sluice`);
    sum += BigInt(crc32(bytes.subarray(start, end)));
    const position = positionAt(bytes, start);
    if (rows === 0 && position !== of.first) throw differs(`it begins at ${position}, the job says ${of.first}`);
    if (position <= last) throw differs(`line ${rows + 1}: ${position} after ${last}`);
    last = position;
    start = end + 1;
  }
  if (rows !== of.rows || last !== of.last) throw differs(`it has ${rows} lines up to ${last}, the job says ${of.rows} up to ${of.last}`);
  if (sum.toString() !== of.crc32Sum) throw differs('its lines are not those that the job has read');
  return bytes;
}
