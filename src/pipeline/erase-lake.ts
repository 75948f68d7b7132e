/**
 * The sealed files of an erasure: each that holds a line of the subject is written anew, hour by hour (swap.ts).
 */
import type { Clock } from '../core/clock.ts';
import { SluiceError, reasonOf } from '../core/error.ts';
import { LAKE_CONFLICT, LAKE_DAMAGED, WAREHOUSE_FAILED } from '../core/errors.ts';
import { folderOf, type Lake, type LakePath } from '../core/lake.ts';
import { erasedPath, hoursPerPart, isSnapshotPath } from '../core/layout.ts';
import type { SealedLine } from '../core/ledger.ts';
import { formatNamespace, type Namespace } from '../core/namespace.ts';
import type { ParquetWriter } from '../core/parquet.ts';
import { Scratch } from '../core/scratch.ts';
import { SECONDS_PER_HOUR, parseHourName, type Hour } from '../core/time.ts';
import type { Logger } from '../ops/log.ts';
import { hourKey } from './checkpoint.ts';
import { isOver } from './compaction-plan.ts';
import { countErased, makeErased, removeErasedEvents, type EraseInto, type IsErased } from './erased-file.ts';
import type { ErasureRecord } from './erasure-record.ts';
import { isGone, readHorizon } from './horizon.ts';
import { readSealed } from './ledger.ts';
import { linesOf, readDecoded } from './read-lines.ts';
import { withSwap, type NewFile, type Swap } from './swap.ts';
import { digestOf, identityIn } from './subject.ts';
import type { WholePipeline } from './whole.ts';

export interface EraseLakeParts {
  readonly lake: Lake;
  readonly clock: Clock;
  readonly log: Logger;
  /** @param folder for what does not fit into memory */
  readonly openWriter: (folder: string) => Promise<ParquetWriter>;
}

/** What would go, of one collection. */
export interface WouldErase {
  readonly namespace: string;
  /** Documents with a line in the lake. */
  readonly documents: number;
  readonly files: number;
  readonly rows: number;
  /** Lines of files whose hours are not over: they go once they are. */
  readonly rowsWaiting: number;
  /** Rows of bronze. */
  readonly warehouseRows: number;
}

/** What is wrong with one hour alone. */
const OF_ONE_HOUR = [LAKE_DAMAGED, LAKE_CONFLICT, WAREHOUSE_FAILED] as const;

interface Ledgered {
  /** Files in force that are asked for, by collection-hour or snapshot. */
  readonly groups: ReadonlyMap<string, readonly SealedLine[]>;
  readonly byPath: ReadonlyMap<LakePath, SealedLine>;
  /** Every path that was ever used. */
  readonly taken: Set<LakePath>;
}

export class EraseLake {
  readonly #parts: EraseLakeParts;
  readonly #about: WholePipeline;
  readonly #record: ErasureRecord;
  readonly #keys: ReadonlyMap<string, ReadonlySet<string>>;

  constructor(parts: EraseLakeParts, about: WholePipeline, record: ErasureRecord) {
    this.#parts = parts;
    this.#about = about;
    this.#record = record;
    this.#keys = keysOf(record);
  }

  /** Seconds: hours up to here are over, and asked for. */
  get before(): number {
    const perPart = hoursPerPart(this.#about.layout);
    let hour = Math.floor(this.#record.until.t / SECONDS_PER_HOUR) - perPart;
    while (hour > 0 && !isOver(this.#about, hour)) hour -= perPart;
    return Math.max(0, hour + perPart) * SECONDS_PER_HOUR;
  }

  /** Collections that are being read whole: the files of a snapshot are its owner's until it is complete. */
  get apart(): ReadonlySet<string> {
    return new Set(this.#about.snapshots.map(({ ns }) => formatNamespace(ns)).filter((name) => this.#keys.has(name)));
  }

  /** @returns what could not be done, for people */
  async run(signal: AbortSignal): Promise<string[]> {
    const { lake, clock, log, openWriter } = this.#parts;
    const { pipeline, layout } = this.#about;
    const left = [...this.apart].map((name) => `${name}: a snapshot of it is being read, until when it waits`);
    await using scratch = await Scratch.make('sluice-erase');
    const { folder } = scratch;
    const opened: ParquetWriter[] = [];
    const parquet: EraseInto['parquet'] = async () => {
      if (opened.length === 0) opened.push(await openWriter(folder));
      return { writer: opened[0]!, folder };
    };
    const beforeRemove = (old: LakePath, by: SealedLine): Promise<void> => removeErasedEvents(lake, old, by, signal);
    try {
      await withSwap({ lake, clock, log, pipeline, layout, beforeRemove }, (swap) => this.#all(swap, parquet, left, signal), signal);
    } finally {
      for (const writer of opened) await writer[Symbol.asyncDispose]();
    }
    const waiting = new Set((await this.#waiting(signal)).map(({ key }) => key));
    return [...left, ...[...waiting].map((key) => `${key}: it is not over yet`)];
  }

  async #all(swap: Swap, parquet: EraseInto['parquet'], left: string[], signal: AbortSignal): Promise<void> {
    await swap.goOn(signal);
    const ledgered = await this.#ledgered(signal);
    for (const [key, files] of ledgered.groups) {
      signal.throwIfAborted();
      if (!this.#isDue(files[0]!)) continue;
      try {
        await this.#group(swap, files, ledgered, parquet, signal);
      } catch (error) {
        if (signal.aborted || !SluiceError.is(error, ...OF_ONE_HOUR)) throw error;
        left.push(`${key}: ${error.code}: ${reasonOf(error)}`);
        this.#parts.log.error({ err: error, hour: key }, 'this hour stays as it is');
      }
    }
  }

  /** The files of one collection-hour, or of one snapshot. */
  async #group(
    swap: Swap,
    files: readonly SealedLine[],
    { byPath, taken }: Ledgered,
    parquet: EraseInto['parquet'],
    signal: AbortSignal,
  ): Promise<void> {
    const { lake } = this.#parts;
    const mine = this.#isMine(files[0]!);
    const made: NewFile[] = [];
    for (const file of files) {
      const rows = await countErased(lake, file, mine, signal);
      if (rows === 0) continue;
      let number = 1;
      while (taken.has(erasedPath(file.path, number))) number += 1;
      const path = erasedPath(file.path, number);
      taken.add(path);
      const supersedes = [file.path, ...ancestorsOf(file, byPath)];
      made.push(await makeErased(lake, file, rows, mine, { path, epoch: swap.epoch, by: this.#record.id, supersedes, parquet }, signal));
    }
    if (made.length > 0) await swap.replace(made, files, signal);
  }

  async would(signal: AbortSignal): Promise<WouldErase[]> {
    const { groups } = await this.#ledgered(signal);
    const waiting = await this.#waiting(signal);
    const found: WouldErase[] = [];
    for (const [name, keys] of this.#keys) {
      const documents = new Set<string>();
      let [files, rows] = [0, 0];
      for (const file of [...groups.values()].flat().filter((line) => formatNamespace(line) === name && this.#isDue(line))) {
        const before = rows;
        for await (const line of linesOf(readDecoded(this.#parts.lake, file.path, 0, signal))) {
          const identity = identityIn(line);
          const digest = identity === null ? null : digestOf(this.#record.salt, file, identity);
          if (digest === null || !keys.has(digest)) continue;
          documents.add(digest);
          rows += 1;
        }
        if (rows > before) files += 1;
      }
      const later = waiting.filter(({ name: of }) => of === name);
      for (const { digests } of later) for (const digest of digests) documents.add(digest);
      const rowsWaiting = later.reduce((sum, each) => sum + each.rows, 0);
      found.push({ namespace: name, documents: documents.size, files, rows, rowsWaiting, warehouseRows: 0 });
    }
    return found;
  }

  async #ledgered(signal: AbortSignal): Promise<Ledgered> {
    const { lake } = this.#parts;
    const horizon = await readHorizon(lake, this.#about.pipeline, signal);
    const { lines, superseded } = await readSealed(lake, this.#about.pipeline, () => true, signal);
    const isAsked = (line: SealedLine): boolean =>
      this.#keys.has(formatNamespace(line)) && !superseded.has(line.path) && !isGone(line, horizon) && this.#isBefore(line);
    const keyOf = (line: SealedLine): string => (isSnapshotPath(line.path) ? folderOf(line.path) : hourKey(line, line.hour));
    return {
      groups: Map.groupBy(lines.filter(isAsked), keyOf),
      byPath: new Map(lines.map((line) => [line.path, line])),
      taken: new Set(lines.map(({ path }) => path)),
    };
  }

  #isMine(ns: Pick<Namespace, 'db' | 'coll'>): IsErased {
    const keys = this.#keys.get(formatNamespace(ns));
    return (line) => {
      const identity = identityIn(line);
      return identity !== null && keys?.has(digestOf(this.#record.salt, ns, identity)) === true;
    };
  }

  #isBefore({ hour }: Pick<SealedLine, 'hour'>): boolean {
    return hourNumber(hour) * SECONDS_PER_HOUR < this.#record.until.t;
  }

  #isDue(line: SealedLine): boolean {
    return !this.apart.has(formatNamespace(line)) && isOver(this.#about, hourNumber(line.hour));
  }

  /** Files, sealed or not, with lines of the subject and of hours that are not over. */
  async #waiting(signal: AbortSignal): Promise<{ key: string; name: string; rows: number; digests: Set<string> }[]> {
    const { groups } = await this.#ledgered(signal);
    const isSealedNow = new Set([...groups.values()].flat().map(({ path }) => path));
    const sealed = [...groups.values()].flat().filter((line) => !this.#isDue(line) && !this.apart.has(formatNamespace(line)));
    const open = this.#about.parts
      .filter(({ path, ns, rows }) => rows > 0 && this.#keys.has(formatNamespace(ns)) && !isSealedNow.has(path))
      .map(({ path, ns, hour }) => ({ path, ...ns, hour }))
      .filter((part) => this.#isBefore(part));
    const found: { key: string; name: string; rows: number; digests: Set<string> }[] = [];
    for (const { path, db, coll, hour } of [...sealed, ...open]) {
      const digests = new Set<string>();
      let rows = 0;
      let isBroken = false;
      try {
        for await (const line of linesOf(readDecoded(this.#parts.lake, path, 0, signal))) {
          const identity = identityIn(line);
          const digest = identity === null ? null : digestOf(this.#record.salt, { db, coll }, identity);
          if (digest === null || this.#keys.get(formatNamespace({ db, coll }))?.has(digest) !== true) continue;
          digests.add(digest);
          rows += 1;
        }
      } catch (error) {
        if (signal.aborted || (error instanceof SluiceError && !SluiceError.is(error, LAKE_DAMAGED))) throw error;
        // A part that is being written may end in the middle of a member, or be sealed and replaced by now: looked at again the next time.
        isBroken = true;
      }
      if (rows > 0 || isBroken) found.push({ key: hourKey({ db, coll }, hour), name: formatNamespace({ db, coll }), rows, digests });
    }
    return found;
  }
}

export function keysOf(record: ErasureRecord): Map<string, ReadonlySet<string>> {
  return new Map(record.documents.map(({ db, coll, keys }) => [formatNamespace({ db, coll }), new Set(keys)]));
}

function hourNumber(hour: string): Hour {
  return parseHourName(hour) ?? 0;
}

/** All that a file has replaced, and what that had replaced. */
function ancestorsOf({ supersedes = [] }: SealedLine, byPath: ReadonlyMap<LakePath, SealedLine>): LakePath[] {
  const all = supersedes.flatMap((path) => [path, ...ancestorsOf(byPath.get(path) ?? ({ supersedes: [] } as unknown as SealedLine), byPath)]);
  return [...new Set(all)];
}
