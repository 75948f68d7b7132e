/**
 * A small lake as data, written by hand and not by the writer: what checks the writer must not be checked with it.
 * A test plants a fault in it, in the files before their ledger lines are made, in the ledger, or in the lake.
 */
import { createHash } from 'node:crypto';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { asPosition, type Operation } from '../../src/core/event.ts';
import type { Lake, LakePath } from '../../src/core/lake.ts';
import { LAYOUT_PRESETS, partPath } from '../../src/core/layout.ts';
import type { EpochLine, SealedLine } from '../../src/core/ledger.ts';
import { formatNamespace, type Namespace } from '../../src/core/namespace.ts';
import { parseHourName, SECONDS_PER_HOUR, type Timestamp } from '../../src/core/time.ts';
import {
  checkpointPath,
  encodeCheckpoint,
  hourFilePath,
  ledgerFolder,
  newCheckpoint,
  type Checkpoint,
  type PartRecord,
} from '../../src/pipeline/checkpoint.ts';
import { manifestPath } from '../../src/pipeline/publish.ts';

const never = new AbortController().signal;
export const H7 = '20261121-07';
export const H8 = '20261121-08';
export const H9 = '20261121-09';
export const ORDERS: Namespace = { db: 'shop', coll: 'orders' };
export const CARTS: Namespace = { db: 'shop', coll: 'carts' };
const SHOP: Namespace = { db: 'shop', coll: null };

export interface Event {
  readonly ns: Namespace;
  readonly t: number;
  readonly i: number;
  readonly op: Operation;
}

export interface FileSpec {
  readonly ns: Namespace;
  readonly hour: string;
  readonly part: number;
  readonly suffix: '' | '.gz' | '.zst';
  /** Lines as text, newline included. */
  lines: string[];
  events: Event[];
}

/** A lake as data, so that a test can plant a fault before it is written. */
export interface LakeSpec {
  readonly files: FileSpec[];
  readonly checkpoint: Checkpoint;
  ledger: { [path: LakePath]: (SealedLine | EpochLine)[] };
  /** What else lies there. */
  readonly others: Map<LakePath, string>;
  readonly data: Map<LakePath, Buffer>;
}

function positionOf({ t, i }: Event): string {
  return `82${t.toString(16).padStart(8, '0').toUpperCase()}${i.toString(16).padStart(8, '0').toUpperCase()}2B04`;
}

export function lineOf(event: Event): string {
  const { ns, t, i, op } = event;
  const meta = {
    position: positionOf(event),
    operationType: op,
    ns: ns.coll === null ? { db: ns.db } : { db: ns.db, coll: ns.coll },
    at: new Date(t * 1000).toISOString(),
    clusterTime: { $timestamp: { t, i } },
    v: 1,
  };
  return `${JSON.stringify({ _meta: meta, documentKey: { _id: i }, fullDocument: { _id: i, text: `Grüße ${t}` } })}\n`;
}

export function fileSpec(ns: Namespace, hour: string, part: number, count: number, suffix: FileSpec['suffix'] = ''): FileSpec {
  const start = parseHourName(hour)! * SECONDS_PER_HOUR + part * 600;
  const ops: readonly Operation[] = ns.coll === null ? ['dropDatabase'] : ['insert', 'update', 'delete'];
  const events = Array.from({ length: count }, (_, n): Event => ({ ns, t: start + n, i: 1 + (n % 2), op: ops[n % ops.length]! }));
  return { ns, hour, part, suffix, events, lines: events.map(lineOf) };
}

export function pathOf({ ns, hour, part, suffix }: FileSpec): LakePath {
  return partPath(LAYOUT_PRESETS.hive, ns, parseHourName(hour)!, part, suffix);
}

/** Each line a member of its own, as the writer's appends are. */
export function stored({ suffix, lines }: FileSpec): Buffer {
  if (suffix === '') return Buffer.from(lines.join(''));
  return Buffer.concat(lines.map((line) => (suffix === '.gz' ? gzipSync(line) : zstdCompressSync(line))));
}

export function sealed(file: FileSpec, epoch: number): SealedLine {
  const bytes = stored(file);
  const { events } = file;
  const [first, last] = [events[0], events.at(-1)];
  const ops: Partial<Record<Operation, number>> = {};
  for (const { op } of events) ops[op] = (ops[op] ?? 0) + 1;
  return {
    path: pathOf(file),
    db: file.ns.db,
    coll: file.ns.coll,
    hour: file.hour,
    bytes: bytes.length,
    rows: events.length,
    sha256: createHash('sha256').update(bytes).digest('hex'),
    first: first === undefined ? null : asPosition(positionOf(first)),
    last: last === undefined ? null : asPosition(positionOf(last)),
    firstAt: first === undefined ? null : { t: first.t, i: first.i },
    lastAt: last === undefined ? null : { t: last.t, i: last.i },
    ops,
    epoch,
  };
}

export function openPart(file: FileSpec): PartRecord {
  const { path, ops, hour, ...line } = sealed(file, 3);
  const { rows, first, firstAt, last, lastAt } = line;
  const base = { path, ns: file.ns, hour, number: file.part, length: line.bytes, rows, first, firstAt, last, lastAt, ops };
  return { ...base, fingerprint: 'f', epoch: 3, rolled: false, state: 'open' };
}

export const DAY_1 = `${ledgerFolder('shop')}/20261121.jsonl`;
export const DAY_2 = `${ledgerFolder('shop')}/20261122.jsonl`;
export const OPEN = fileSpec(ORDERS, H9, 0, 3);

/** The stream has been read up to the middle of hour 9. */
const AT_9: Timestamp = { t: parseHourName(H9)! * SECONDS_PER_HOUR + 1000, i: 1 };
const PROGRESS = {
  watermark: AT_9,
  resume: { position: asPosition(positionOf({ ns: ORDERS, ...AT_9, op: 'insert' })), clusterTime: AT_9, token: new Uint8Array([5, 0, 0, 0, 0]) },
};

/**
 * Hours 7 and 8 of two collections and a database are over, hour 9 is open. Sealed by three owners. `edit` changes
 * files before their ledger lines are made from them, so that the change alone is off and not the hash as well.
 */
export function makeSpec(edit: (files: FileSpec[]) => void = () => {}): LakeSpec {
  const files = [
    fileSpec(ORDERS, H7, 0, 30),
    fileSpec(ORDERS, H7, 1, 20),
    fileSpec(ORDERS, H8, 0, 25, '.gz'),
    fileSpec(ORDERS, H8, 1, 25, '.zst'),
    fileSpec(CARTS, H7, 0, 5),
    fileSpec(CARTS, H7, 1, 0, '.gz'),
    fileSpec(SHOP, H8, 0, 1),
  ];
  edit(files);
  const lines = files.map((file, n) => sealed(file, n < 3 ? 1 : 2));
  const epoch = (number: number): EpochLine => ({ epoch: number, at: '2026-11-21T08:00:00.000Z' });
  const others = new Map<LakePath, string>();
  const spec: LakeSpec = {
    files,
    checkpoint: {
      ...newCheckpoint('shop', LAYOUT_PRESETS.hive),
      epoch: 3,
      cleanStop: false,
      parts: [openPart(OPEN)],
      ...PROGRESS,
      startedAt: { t: parseHourName(H7)! * SECONDS_PER_HOUR, i: 1 },
      nextHour: parseHourName(H9)!,
    },
    // The owner of epoch 2 writes first what the one before it had sealed.
    ledger: { [DAY_1]: [epoch(1), ...lines.slice(0, 2), epoch(2), ...lines.slice(2)], [DAY_2]: [epoch(2), epoch(3)] },
    others,
    data: new Map([...files, OPEN].map((file) => [pathOf(file), stored(file)])),
  };
  publish(spec);
  return spec;
}

/** Two files of events and what names them: hours 7 (sealed) and 9 (open) of one collection, one file per event. */
export function makeEventSpec(edit: (entries: EventEntry[]) => void = () => {}): LakeSpec {
  const data = new Map<LakePath, Buffer>();
  const indexOf = (hour: string): { file: FileSpec; path: LakePath; eventBytes: number } => {
    const file = fileSpec(ORDERS, hour, 0, 12);
    const entries = file.events.map((event): EventEntry => ({ event, path: eventPathOf(event), line: lineOf(event) }));
    if (hour === H7) edit(entries);
    for (const { path, line } of entries) data.set(path, Buffer.from(line));
    file.lines = entries.map((entry, n) => indexLineOf(file.events[n]!, entry));
    return { file, path: `${EVENT_FOLDER}/_index-${hour}.jsonl`, eventBytes: entries.reduce((sum, { line }) => sum + Buffer.byteLength(line), 0) };
  };
  const [over, open] = [indexOf(H7), indexOf(H9)];
  const line = { ...sealed(over.file, 1), path: over.path, eventBytes: over.eventBytes };
  for (const { path, file } of [over, open]) data.set(path, stored(file));
  const layout = LAYOUT_PRESETS['per-event'];
  const part = { ...openPart(open.file), path: open.path, eventBytes: open.eventBytes, epoch: 1 };
  const others = new Map<LakePath, string>();
  others.set(manifestPath('shop', layout, ORDERS, H7), JSON.stringify({ v: 1, revision: 1, ns: ORDERS, hour: H7, files: [line] }));
  others.set(hourFilePath('shop', H7), JSON.stringify({ v: 1, hour: H7, complete: true, collections: ['shop.orders'] }));
  const checkpoint = { ...newCheckpoint('shop', layout), epoch: 1, cleanStop: false, parts: [part], ...PROGRESS };
  return { files: [over.file], checkpoint, ledger: { [DAY_1]: [{ epoch: 1, at: '2026-11-21T08:00:00.000Z' }, line], [DAY_2]: [] }, others, data };
}

export interface EventEntry {
  readonly event: Event;
  path: LakePath;
  /** Of the event's file. */
  line: string;
}

export const EVENT_FOLDER = 'shop/orders/year=2026/month=11/day=21';

export function eventPathOf(event: Event): LakePath {
  const time = new Date(event.t * 1000).toISOString().slice(0, 19).replaceAll(/[-:]/g, '');
  const hash = createHash('sha256').update(positionOf(event)).digest('hex').slice(0, 16);
  return `${EVENT_FOLDER}/${event.op}-${event.i}-${time}Z-${event.i}-${hash}.json`;
}

function indexLineOf(event: Event, { path, line }: EventEntry): string {
  const { fullDocument: _, ...rest } = JSON.parse(lineOf(event)) as Record<string, unknown>;
  const sha256 = createHash('sha256').update(line).digest('hex');
  return `${JSON.stringify({ ...rest, file: { path, bytes: Buffer.byteLength(line), sha256 } })}\n`;
}

export function publish({ files, ledger, others }: LakeSpec): void {
  const lines = Object.values(ledger)
    .flat()
    .filter((line) => 'path' in line);
  for (const { ns, hour } of files) {
    const path = manifestPath('shop', LAYOUT_PRESETS.hive, ns, hour);
    const mine = lines.filter((line) => line.hour === hour && line.db === ns.db && line.coll === ns.coll);
    others.set(path, JSON.stringify({ v: 1, revision: 1, ns, hour, files: mine }));
    others.set(path.replace('_manifest.json', '_SUCCESS'), '');
  }
  for (const hour of [H7, H8]) {
    const collections = [...new Set(lines.filter((line) => line.hour === hour).map((line) => formatNamespace({ db: line.db, coll: line.coll })))];
    others.set(hourFilePath('shop', hour), JSON.stringify({ v: 1, hour, complete: true, collections }));
  }
}

export async function write(lake: Lake, spec: LakeSpec): Promise<void> {
  const put = (path: LakePath, bytes: string | Uint8Array) => lake.put(path, Buffer.from(bytes), 'absent');
  for (const [path, bytes] of spec.data) await put(path, bytes);
  for (const [path, text] of spec.others) await put(path, text);
  for (const [path, lines] of Object.entries(spec.ledger)) {
    const text = lines.map((line) => `${JSON.stringify(line)}\n`).join('');
    await put(path, text);
    if (path === DAY_2) spec.checkpoint.ledger = { path, length: Buffer.byteLength(text) };
  }
  await put(checkpointPath('shop'), encodeCheckpoint(spec.checkpoint));
}

export const FIRST = partPath(LAYOUT_PRESETS.hive, ORDERS, parseHourName(H7)!, 0, '');
export const FOLDER_7 = FIRST.slice(0, FIRST.lastIndexOf('/'));
export const FOLDER_9 = FOLDER_7.replace('hour=07', 'hour=09');

/** Replaces the bytes of a file. */
export async function overwrite(lake: Lake, path: LakePath, change: (text: string) => string): Promise<void> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of lake.read(path, 0, never)) chunks.push(chunk);
  await lake.remove(path);
  await lake.put(path, Buffer.from(change(Buffer.concat(chunks).toString())), 'absent');
}
