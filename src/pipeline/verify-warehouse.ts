/**
 * The proof of a warehouse against the lake: every sealed file is loaded, bronze holds its lines and nothing else, and
 * silver is what bronze says.
 *
 * It only reads, and an owner may be loading meanwhile. So the lake's ledger is read before the warehouse is asked: what
 * the warehouse has beyond that is looked up in the ledger again, and what it lacks is asked for again at the end.
 * Memory grows with the number of files of one collection, not with their content.
 */
import { SluiceError, reasonOf } from '../core/error.ts';
import { LAKE_DAMAGED } from '../core/errors.ts';
import type { Lake, LakePath } from '../core/lake.ts';
import { dataBytes, isSealedLine, type SealedLine } from '../core/ledger.ts';
import { formatNamespace, type Namespace } from '../core/namespace.ts';
import { digestOf, LineSum, type LoadedFile, type LoadRecord, type WarehouseCheck } from '../core/warehouse-proof.ts';
import type { Warehouse } from '../core/warehouse.ts';
import { sealedEvents } from './event-files.ts';
import { isGone, NO_HORIZON, readHorizon, type Horizon } from './horizon.ts';
import { readLedger } from './ledger.ts';
import { inParallel } from './parallel.ts';
import { erasedPaths, Replaced } from './replaced.ts';
import { Findings, type Finding } from './verify-findings.ts';

export interface WarehouseReport {
  readonly pipeline: string;
  readonly ok: boolean;
  /** Files that the lake's ledger names, and how many of them the warehouse holds or need not hold. */
  readonly files: number;
  readonly filesLoaded: number;
  /** Rows of bronze that were compared. */
  readonly rows: number;
  readonly collections: number;
  readonly findings: readonly Finding<WarehouseCheck>[];
  readonly findingsTotal: number;
  readonly checks: Readonly<Partial<Record<WarehouseCheck, number>>>;
}

const FILES_AT_ONCE = 4;
const EXAMPLES_PER_CHECK = 20;
const PATHS_PER_QUESTION = 1_000;
const NEWLINE_BYTES = 1;

/** @throws LEDGER_BAD, and what the lake and the warehouse throw when they cannot be read */
export async function verifyWarehouse(lake: Lake, pipeline: string, warehouse: Warehouse, signal: AbortSignal): Promise<WarehouseReport> {
  const proof = new WarehouseProof(lake, pipeline, warehouse, signal);
  return await proof.run();
}

class WarehouseProof {
  readonly #lake: Lake;
  readonly #pipeline: string;
  readonly #warehouse: Warehouse;
  readonly #signal: AbortSignal;
  readonly #findings = new Findings<WarehouseCheck>();
  /** Sealed files that the warehouse did not know when it was asked. */
  readonly #notLoaded = new Map<LakePath, SealedLine>();
  /** Files of the warehouse that the lake did not know when its ledger was read. */
  readonly #unknown: LoadedFile[] = [];
  #replaced: Replaced;
  #rows = 0;
  /** Files of which something was erased: nothing may be left of them. */
  #erased: ReadonlySet<LakePath> = new Set();
  /** What the lake has no longer cannot be compared; it stays in the warehouse. */
  #horizon: Horizon = NO_HORIZON;

  constructor(lake: Lake, pipeline: string, warehouse: Warehouse, signal: AbortSignal) {
    this.#lake = lake;
    this.#pipeline = pipeline;
    this.#warehouse = warehouse;
    this.#signal = signal;
    this.#replaced = Replaced.of(lake, []);
  }

  async run(): Promise<WarehouseReport> {
    const waiting = new Set((await this.#warehouse.unmerged()).map(formatNamespace));
    this.#horizon = await readHorizon(this.#lake, this.#pipeline, this.#signal);
    const lines = await this.#ledger();
    this.#replaced = Replaced.of(this.#lake, lines.values());
    this.#erased = erasedPaths(lines.values());
    const byCollection = Map.groupBy(lines.values(), (line) => formatNamespace(line));
    const namespaces = new Map<string, Namespace>();
    for (const [name, [line]] of byCollection) if (line !== undefined) namespaces.set(name, { db: line.db, coll: line.coll });
    for (const { namespace } of await this.#warehouse.collections()) namespaces.set(formatNamespace(namespace), namespace);
    for (const [name, ns] of namespaces) {
      await this.#proveFiles(ns, byCollection.get(name) ?? []);
      await this.#proveWithin(name, ns);
    }
    await this.#settleNotLoaded();
    await this.#settleUnknown();
    await this.#proveState(waiting);
    const { list, total, counts } = this.#findings;
    return {
      pipeline: this.#pipeline,
      ok: total === 0,
      files: lines.size,
      filesLoaded: lines.size - this.#notLoaded.size,
      rows: this.#rows,
      collections: namespaces.size,
      findings: list,
      findingsTotal: total,
      checks: Object.fromEntries(counts),
    };
  }

  async #ledger(): Promise<Map<LakePath, SealedLine>> {
    const lines = new Map<LakePath, SealedLine>();
    for await (const line of readLedger(this.#lake, this.#pipeline, '', this.#signal)) if (isSealedLine(line)) lines.set(line.path, line);
    return lines;
  }

  async #proveFiles(ns: Namespace, lines: readonly SealedLine[]): Promise<void> {
    const expected = new Map(lines.map((line) => [line.path, line]));
    const known: { readonly file: LoadedFile; readonly line: SealedLine }[] = [];
    for await (const file of this.#warehouse.loadedFiles(ns, this.#signal)) {
      const line = expected.get(file.path);
      expected.delete(file.path);
      this.#rows += file.rows;
      if (line === undefined) this.#unknown.push(file);
      else if (!isGone(line, this.#horizon)) known.push({ file, line });
    }
    for (const line of expected.values()) if (!isGone(line, this.#horizon) && !this.#erased.has(line.path)) this.#notLoaded.set(line.path, line);
    await inParallel(known, FILES_AT_ONCE, ({ file, line }) => this.#proveFile(ns, file, line));
  }

  async #proveFile(ns: Namespace, file: LoadedFile, line: SealedLine): Promise<void> {
    const { path, record, rows, sum } = file;
    this.#signal.throwIfAborted();
    if (record === null) {
      this.#notLoaded.set(path, line);
      return this.#findings.add('bronze-unknown', path, `${rows} rows, the load ledger does not know the file`);
    }
    const difference = differenceOf(record, line);
    if (difference !== null) this.#findings.add('load-ledger', path, difference);
    if (record.state !== 'LOADED') {
      if (rows > 0) this.#findings.add('bronze-unknown', path, `${rows} rows, the file is ${record.state}`);
      return;
    }
    if (this.#erased.has(path)) return this.#findings.add('erased-loaded', path, `${rows} rows, some of which were erased from the lake`);
    if (rows === 0 && line.rows > 0) return this.#findings.add('load-without-rows', path, `${line.rows} rows, bronze has none of them`);
    try {
      const there = new LineSum();
      for await (const each of this.#linesOf(line)) there.add(each);
      if (there.rows !== rows || there.toString() !== sum) await this.#compareLines(ns, line);
    } catch (error) {
      this.#signal.throwIfAborted();
      // The lake's own proof says more of a file that is gone or cannot be decompressed.
      if (error instanceof SluiceError && error.kind !== LAKE_DAMAGED) throw error;
      this.#findings.add('file-missing', path, reasonOf(error));
    }
  }

  /** Each line without its newline. */
  async *#linesOf(sealed: SealedLine): AsyncGenerator<Uint8Array> {
    const lines = await this.#whereItsLinesAre(sealed);
    for await (const line of lines) yield line.subarray(0, line.length - NEWLINE_BYTES);
  }

  /** A file that was compacted may be gone, also since the ledger was read. */
  async #whereItsLinesAre(sealed: SealedLine): Promise<AsyncIterable<Uint8Array>> {
    if (!this.#replaced.has(sealed.path)) {
      if ((await this.#lake.stat(sealed.path)) !== null) return sealedEvents(this.#lake, sealed, this.#signal);
      this.#replaced = Replaced.of(this.#lake, (await this.#ledger()).values());
    }
    return this.#replaced.has(sealed.path) ? this.#replaced.lines(sealed, this.#signal) : sealedEvents(this.#lake, sealed, this.#signal);
  }

  /** Says which lines differ, now that some are known to. */
  async #compareLines(ns: Namespace, sealed: SealedLine): Promise<void> {
    const { path } = sealed;
    const found = new Map<WarehouseCheck, { total: number; first: number }>();
    const note = (check: WarehouseCheck, number: number): void => {
      const known = found.get(check);
      if (known === undefined) found.set(check, { total: 1, first: number });
      else known.total += 1;
    };
    const loaded = this.#warehouse.loadedLines(ns, path, this.#signal)[Symbol.asyncIterator]();
    try {
      let row = await loaded.next();
      let number = 0;
      for await (const line of this.#linesOf(sealed)) {
        number += 1;
        for (; row.done !== true && row.value.number < number; row = await loaded.next()) note('bronze-extra', row.value.number);
        if (row.done === true || row.value.number > number) {
          note('bronze-missing', number);
          continue;
        }
        if (row.value.digest !== digestOf(number, line)) note('bronze-changed', number);
        row = await loaded.next();
        for (; row.done !== true && row.value.number === number; row = await loaded.next()) note('bronze-duplicate', number);
      }
      for (; row.done !== true; row = await loaded.next()) note('bronze-extra', row.value.number);
    } finally {
      await loaded.return?.(undefined);
    }
    for (const [check, { total, first }] of found) this.#findings.add(check, path, `row ${first}${total === 1 ? '' : ` and ${total - 1} more`}`);
  }

  async #proveWithin(name: string, ns: Namespace): Promise<void> {
    for (const { check, total, examples } of await this.#warehouse.prove(ns, EXAMPLES_PER_CHECK, this.#signal)) {
      for (const { where, detail } of examples) this.#findings.add(check, name, where === name ? detail : `${where}: ${detail}`);
      this.#findings.count(check, total - examples.length);
    }
  }

  /** Whoever loads has gone on meanwhile. */
  async #settleNotLoaded(): Promise<void> {
    const paths = [...this.#notLoaded.keys()];
    for (let at = 0; at < paths.length; at += PATHS_PER_QUESTION) {
      for (const path of await this.#warehouse.loaded(paths.slice(at, at + PATHS_PER_QUESTION))) this.#notLoaded.delete(path);
    }
    await this.#settleReplacing();
    for (const { path, rows } of this.#notLoaded.values()) this.#findings.add('file-not-loaded', path, `${rows} rows`);
  }

  /** A file whose lines came with those that it has replaced need not be loaded, nor need those whose lines came with it. */
  async #settleReplacing(): Promise<void> {
    for (const line of this.#notLoaded.values()) {
      const { supersedes = [] } = line;
      if (line.lines === undefined || line.erased !== undefined || supersedes.length === 0) continue;
      const known = await this.#warehouse.loaded(supersedes);
      if (supersedes.every((path) => known.has(path))) this.#notLoaded.delete(line.path);
    }
  }

  async #settleUnknown(): Promise<void> {
    if (this.#unknown.length === 0) return;
    const lines = await this.#ledger();
    for (const { path, record, rows } of this.#unknown) {
      if (record === null) this.#findings.add('bronze-unknown', path, `${rows} rows, neither ledger knows the file`);
      // Sealed and loaded while this proof was under way: the next one compares it. Superseded files may be gone.
      else if (!lines.has(path) && record.state === 'LOADED') this.#findings.add('load-unknown', path, `${rows} rows in bronze`);
    }
  }

  /** @param waiting what was not merged in the beginning: whoever loads merges right after */
  async #proveState(waiting: ReadonlySet<string>): Promise<void> {
    const still = (await this.#warehouse.unmerged()).map(formatNamespace).filter((name) => waiting.has(name));
    for (const name of still) this.#findings.add('not-merged', name, 'rows of bronze wait for the merge');
    for (const { namespace, status, reason } of await this.#warehouse.collections()) {
      if (status === 'ERROR') this.#findings.add('status', formatNamespace(namespace), reason ?? '');
    }
  }
}

/** What the load ledger says otherwise than the lake's, or `null`. A file that was replaced has no facts there. */
function differenceOf(record: LoadRecord, line: SealedLine): string | null {
  if (record.state === 'SUPERSEDED' || record.state === 'ERASED') return null;
  const pairs: readonly (readonly [name: string, is: string | number | null, said: string | number | null])[] = [
    ['hour', record.hour, line.hour],
    ['bytes', record.bytes, dataBytes(line)],
    ['rows', record.rows, line.rows],
    ['sha256', record.sha256, line.sha256],
    ...(record.state === 'SKIPPED' ? [] : ([['first', record.first, line.first], ['last', record.last, line.last]] as const)), // prettier-ignore
  ];
  const off = pairs.find(([, is, said]) => is !== said);
  return off === undefined ? null : `${off[0]} ${off[1]}, the lake says ${off[2]}`;
}
