/**
 * Sealed files for tests of warehouses: lines as the source's encoder writes them, with the ledger line that a writer
 * would have made. Positions are numbers here: event `n` happens `n` seconds after a fixed start.
 */
import { createHash } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { createReadStream } from 'node:fs';
import { dirname, join } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { asPosition, type Operation, type Position } from '../../src/core/event.ts';
import type { SealedLine } from '../../src/core/ledger.ts';
import type { Namespace } from '../../src/core/namespace.ts';
import { hourName, hourOf, type Timestamp } from '../../src/core/time.ts';
import type { SealedFile } from '../../src/core/warehouse.ts';
import { openParquetWriter } from '../../src/warehouse/duckdb/parquet.ts';

/** 2026-11-21T00:00:00Z. */
export const START_SECONDS = 1_795_219_200;

export interface TestEvent {
  readonly n: number;
  readonly op: Operation;
  /** Text of `documentKey._id`, canonical Extended JSON; left out for events without a document. */
  readonly key?: string;
  /** Text of the document, or `null` for an update whose document was gone. */
  readonly doc?: string | null;
  /** Further members after `fullDocument`, as text: `"to":{…}`. */
  readonly rest?: string;
  /** Text of the whole document key, when it holds more than `_id`. */
  readonly documentKey?: string;
}

export function timeOf(n: number): Timestamp {
  return { t: START_SECONDS + n, i: 1 };
}

export function isoOf(n: number): string {
  return new Date((START_SECONDS + n) * 1000).toISOString();
}

export function positionOf(n: number): Position {
  const hex = (value: number): string => value.toString(16).toUpperCase().padStart(8, '0');
  return asPosition(`82${hex(START_SECONDS + n)}${hex(1)}2B0229296E04`);
}

/** One line, without its newline. */
export function lineOf(ns: Namespace, event: TestEvent): string {
  const time = timeOf(event.n);
  const meta = [
    `"position":"${positionOf(event.n)}"`,
    `"operationType":${JSON.stringify(event.op)}`,
    `"ns":${JSON.stringify(ns.coll === null ? { db: ns.db } : ns)}`,
    `"at":"${isoOf(event.n)}"`,
    `"clusterTime":{"$timestamp":{"t":${time.t},"i":${time.i}}}`,
    `"v":1`,
  ];
  const documentKey = event.documentKey ?? (event.key === undefined ? undefined : `{"_id":${event.key}}`);
  const members = [
    `"_meta":{${meta.join(',')}}`,
    ...(documentKey === undefined ? [] : [`"documentKey":${documentKey}`]),
    ...(event.doc === undefined ? [] : [`"fullDocument":${event.doc ?? 'null'}`]),
    ...(event.rest === undefined ? [] : [event.rest]),
  ];
  return `{${members.join(',')}}`;
}

export interface SealHow {
  readonly path?: string;
  readonly compression?: 'gz' | 'zst';
  /** As `sluice compact` writes it. */
  readonly parquet?: boolean;
  /** Lines per compressed member. */
  readonly linesPerMember?: number;
  readonly supersedes?: readonly string[];
  /** What the ledger line says, where it is to be wrong. */
  readonly claim?: Partial<SealedLine>;
  /** Served through `read`, as from a lake on another machine. */
  readonly remote?: boolean;
}

/** A lake of sealed files in a folder. */
export class SealedFiles {
  readonly root: string;
  #count = 0;

  constructor(root: string) {
    this.root = root;
  }

  async seal(ns: Namespace, events: readonly TestEvent[], how: SealHow = {}): Promise<SealedFile> {
    const facts = { ops: {} as Record<string, number>, first: events[0]?.n, last: events.at(-1)?.n };
    for (const { op } of events) facts.ops[op] = (facts.ops[op] ?? 0) + 1;
    return this.#write(
      ns,
      events.map((event) => lineOf(ns, event)),
      facts,
      how,
    );
  }

  /** Lines as they are, good or bad. */
  async sealLines(ns: Namespace, lines: readonly string[], how: SealHow = {}): Promise<SealedFile> {
    return this.#write(ns, lines, { ops: {}, first: 0, last: 0 }, how);
  }

  async #write(
    ns: Namespace,
    lines: readonly string[],
    facts: { ops: Readonly<Record<string, number>>; first: number | undefined; last: number | undefined },
    how: SealHow,
  ): Promise<SealedFile> {
    this.#count += 1;
    const suffix = how.parquet === true ? '.parquet' : how.compression === undefined ? '.jsonl' : `.jsonl.${how.compression}`;
    const path = how.path ?? `${encodeURIComponent(ns.db)}/${encodeURIComponent(ns.coll ?? '_database')}/part-${this.#count}${suffix}`;
    const local = join(this.root, path);
    await mkdir(dirname(local), { recursive: true });
    const plain = encode(lines, how);
    const bytes = how.parquet === true ? await this.#asParquet(plain, local) : plain;
    await writeFile(local, bytes);
    const time = (n: number | undefined): Timestamp | null => (n === undefined ? null : timeOf(n));
    const line: SealedLine = {
      path,
      db: ns.db,
      coll: ns.coll,
      hour: hourName(hourOf(timeOf(facts.first ?? 0).t)),
      bytes: bytes.length,
      rows: lines.length,
      sha256: createHash('sha256').update(bytes).digest('hex'),
      first: facts.first === undefined ? null : positionOf(facts.first),
      last: facts.last === undefined ? null : positionOf(facts.last),
      firstAt: time(facts.first),
      lastAt: time(facts.last),
      ops: facts.ops,
      epoch: 1,
      ...(how.supersedes === undefined ? {} : { supersedes: how.supersedes }),
      ...(how.parquet === true && { lines: { bytes: plain.length, sha256: createHash('sha256').update(plain).digest('hex') } }),
      ...how.claim,
    };
    return { line, localPath: how.remote === true ? null : local, read: (signal) => createReadStream(local, { signal }) };
  }

  async #asParquet(lines: Buffer, local: string): Promise<Buffer> {
    await using writer = await openParquetWriter(this.root);
    const [from, to] = [`${local}.lines`, `${local}.made`];
    await writeFile(from, lines);
    await writer.write(from, to, ROWS_PER_GROUP, new AbortController().signal);
    return await readFile(to);
  }
}

/** Few, so that a file has several groups. */
const ROWS_PER_GROUP = 2;

function encode(lines: readonly string[], how: SealHow): Buffer {
  if (how.compression === undefined) return Buffer.from(lines.map((line) => `${line}\n`).join(''));
  const compress = how.compression === 'gz' ? gzipSync : zstdCompressSync;
  const members: Buffer[] = [];
  const step = how.linesPerMember ?? 2;
  for (let from = 0; from < lines.length; from += step) {
    members.push(
      compress(
        Buffer.from(
          lines
            .slice(from, from + step)
            .map((line) => `${line}\n`)
            .join(''),
        ),
      ),
    );
  }
  return Buffer.concat(members);
}
