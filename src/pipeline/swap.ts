/**
 * Puts other files in the place of sealed ones: what compaction and erasure have in common.
 *
 * A second writer beside the owner of the pipeline, with a checkpoint, a lock or lease, an epoch and a ledger of its own, by the rules of
 * docs/specs/lake.md. For each collection-hour, in this order: the checkpoint names the new files → they are put → their ledger lines,
 * which say what they supersede, are durable together → the manifest is swapped → the old files go.
 *
 * Invariant: whoever follows the ledger can read every line that is promised at every moment, in the old files or in the new; a crash
 * anywhere leaves a checkpoint from which the next of its kind goes on. Nothing of an hour is touched before its new files are whole on the lake.
 */
import { createHash } from 'node:crypto';
import type { Clock } from '../core/clock.ts';
import { SluiceError } from '../core/error.ts';
import { LAKE_CONFLICT, LAKE_DAMAGED } from '../core/errors.ts';
import type { Lake, LakePath } from '../core/lake.ts';
import { isSnapshotPath } from '../core/layout.ts';
import type { SealedLine } from '../core/ledger.ts';
import { failpoint } from '../ops/failpoint.ts';
import type { Logger } from '../ops/log.ts';
import { newStats } from '../ops/stats.ts';
import { MAINTENANCE, hourKey, type PartRecord } from './checkpoint.ts';
import { Committer } from './committer.ts';
import { isGone, readHorizon } from './horizon.ts';
import { Ledger, readSealed } from './ledger.ts';
import { manifestPath } from './publish.ts';
import { readCheckpoint } from './read-checkpoint.ts';
import { readFile } from './read-file.ts';

/** A file that is to be, with its ledger line, which names what it supersedes. */
export interface NewFile {
  readonly bytes: Uint8Array;
  readonly line: SealedLine;
}

export interface SwapParts {
  readonly lake: Lake;
  readonly clock: Clock;
  readonly log: Logger;
  readonly pipeline: string;
  readonly layout: string;
  /** Of a file that is about to be removed, what else goes with it. It may be asked again after a crash. */
  readonly beforeRemove?: (old: LakePath, by: SealedLine, signal: AbortSignal) => Promise<void>;
}

/** Did a swap end in the middle? */
export async function hasBegun(lake: Lake, pipeline: string, signal: AbortSignal): Promise<boolean> {
  const checkpoint = await readCheckpoint(lake, pipeline, MAINTENANCE, signal);
  return checkpoint !== null && checkpoint.parts.length > 0;
}

/** Does `work` as the next epoch of the maintenance, whose lock or lease the caller holds. */
export async function withSwap<T>(parts: SwapParts, work: (swap: Swap) => Promise<T>, signal: AbortSignal): Promise<T> {
  const { lake, pipeline, layout, clock } = parts;
  const committer = await Committer.load(lake, pipeline, layout, clock, newStats(), signal, MAINTENANCE);
  committer.state.epoch += 1;
  committer.state.cleanStop = false;
  await committer.save('swap-epoch');
  const ledger = new Ledger(lake, committer, clock);
  let result: T;
  try {
    await ledger.recover(signal);
    result = await work(new Swap(parts, committer, ledger));
  } finally {
    await ledger.close();
  }
  committer.state.cleanStop = true;
  await committer.save('swap-end');
  return result;
}

export class Swap {
  readonly #parts: SwapParts;
  readonly #committer: Committer;
  readonly #ledger: Ledger;

  constructor(parts: SwapParts, committer: Committer, ledger: Ledger) {
    this.#parts = parts;
    this.#committer = committer;
    this.#ledger = ledger;
  }

  get epoch(): number {
    return this.#committer.state.epoch;
  }

  /**
   * What one before this one had begun: what is on the lake is finished, what is not is forgotten.
   * @returns the lines that are in force now, if any were begun
   */
  async goOn(signal: AbortSignal): Promise<readonly SealedLine[]> {
    const lines = this.#committer.state.parts.map(({ line }) => line!);
    const [first] = lines;
    if (first === undefined) return [];
    const { lake, log, pipeline } = this.#parts;
    const key = hourKey(first, first.hour);
    // Retention has come in between, and taken away what was there of the hour.
    if (isGone(first, await readHorizon(lake, pipeline, signal))) {
      for (const { path } of lines) await lake.remove(path);
      this.#clear(key);
      return [];
    }
    const isOurs = async ({ path, bytes, sha256 }: SealedLine): Promise<boolean> =>
      (await lake.stat(path))?.size === bytes &&
      createHash('sha256')
        .update(await readFile(lake, path, signal))
        .digest('hex') === sha256;
    const found: SealedLine[] = [];
    // Lines of an hour are written together: one tells of all.
    const isTold = this.#ledger.has(first.path);
    if (!isTold) for (const line of lines) if (await isOurs(line)) found.push(line);
    if (isTold || found.length === lines.length) {
      log.info({ files: lines.map(({ path }) => path) }, 'finishing what was begun');
      await this.#ledger.append(lines, signal);
      await this.#finish(lines, await this.#inForce(first, signal), signal);
      return lines;
    }
    for (const { path } of found) await lake.remove(path);
    this.#clear(key);
    return [];
  }

  /**
   * @param made of one collection-hour, or of one snapshot
   * @param inForce what the ledger promises of it, the new files not included
   * @throws LAKE_CONFLICT something else is where a new file is to be; LAKE_DAMAGED the hour has no manifest
   */
  async replace(made: readonly NewFile[], inForce: readonly SealedLine[], signal: AbortSignal): Promise<void> {
    const { lake } = this.#parts;
    const lines = made.map(({ line }) => line);
    const [first] = lines as [SealedLine];
    const { db, coll, hour } = first;
    const manifest = this.#manifestOf(first);
    if (manifest !== null && (await lake.stat(manifest)) === null) throw new SluiceError(LAKE_DAMAGED, `${manifest} is missing`);
    const committer = this.#committer;
    const { state } = committer;
    state.parts = lines.map((line, number) => intentOf(line, number));
    state.hours = [{ ns: { db, coll }, hour, next: lines.length, since: this.#ledger.day, state: 'publishing' }];
    await committer.save('swap-intent');
    try {
      for (const { line, bytes } of made) await putOnce(lake, line.path, bytes, signal);
    } catch (error) {
      if (SluiceError.is(error, LAKE_CONFLICT)) this.#clear(hourKey(first, hour));
      throw error;
    }
    await committer.assertOwner();
    await this.#ledger.append(lines, signal);
    const gone = new Set(lines.flatMap(({ supersedes = [] }) => supersedes));
    await this.#finish(lines, [...inForce.filter(({ path }) => !gone.has(path)), ...lines], signal);
  }

  /** The ledger has the lines. From here on every step may be done again. */
  async #finish(lines: readonly SealedLine[], inForce: readonly SealedLine[], signal: AbortSignal): Promise<void> {
    const { lake, beforeRemove } = this.#parts;
    const [first] = lines as [SealedLine];
    await this.#swapManifest(first, inForce, signal);
    // Who was cut off for a while must not take anything away.
    await this.#committer.assertOwner();
    for (const line of lines) {
      for (const path of line.supersedes ?? []) {
        await beforeRemove?.(path, line, signal);
        failpoint('swap.before-remove');
        await lake.remove(path);
        failpoint('swap.after-remove');
      }
    }
    this.#clear(hourKey(first, first.hour));
  }

  async #inForce(of: SealedLine, signal: AbortSignal): Promise<SealedLine[]> {
    const key = hourKey(of, of.hour);
    const isOfHour = (line: SealedLine): boolean => !isSnapshotPath(line.path) && hourKey(line, line.hour) === key;
    const { lines, superseded } = await readSealed(this.#parts.lake, this.#parts.pipeline, isOfHour, signal);
    return lines.filter(({ path }) => !superseded.has(path));
  }

  /** Durable with the next save: until then whoever comes finds everything done. */
  #clear(key: string): void {
    const { state } = this.#committer;
    for (const { path } of state.parts) if (isSnapshotPath(path)) this.#ledger.forgetSnapshot(path);
    state.parts = [];
    state.hours = [];
    this.#ledger.forget(key);
  }

  /** `null`: files of a snapshot belong to none. */
  #manifestOf({ path, db, coll, hour }: SealedLine): LakePath | null {
    return isSnapshotPath(path) ? null : manifestPath(this.#parts.pipeline, this.#parts.layout, { db, coll }, hour);
  }

  async #swapManifest(of: SealedLine, inForce: readonly SealedLine[], signal: AbortSignal): Promise<void> {
    const { lake } = this.#parts;
    const path = this.#manifestOf(of);
    if (path === null) return;
    const files = inForce.toSorted((a, b) => (a.path < b.path ? -1 : 1));
    for (;;) {
      const there = await lake.stat(path);
      if (there === null) throw new SluiceError(LAKE_DAMAGED, `${path} is missing`);
      const manifest = JSON.parse((await readFile(lake, path, signal)).toString('utf8')) as { revision: number; files: unknown };
      if (JSON.stringify(manifest.files) === JSON.stringify(files)) return;
      const bytes = Buffer.from(`${JSON.stringify({ ...manifest, revision: manifest.revision + 1, files }, null, 1)}\n`);
      failpoint('swap.before-manifest');
      try {
        await lake.put(path, bytes, there);
      } catch (error) {
        // Somebody else has changed it in between, and only adds to it: looked at again.
        if (!SluiceError.is(error, LAKE_CONFLICT)) throw error;
        continue;
      }
      failpoint('swap.after-manifest');
      return;
    }
  }
}

/** As it is named by the checkpoint before it is made. */
function intentOf(line: SealedLine, number: number): PartRecord {
  const { path, db, coll, hour, bytes, rows, first, firstAt, last, lastAt, ops, epoch } = line;
  const counted = { length: bytes, rows, first, firstAt, last, lastAt, ops };
  return { path, ns: { db, coll }, hour, number, ...counted, fingerprint: '', epoch, rolled: true, state: 'sealing', line };
}

async function putOnce(lake: Lake, path: LakePath, bytes: Uint8Array, signal: AbortSignal): Promise<void> {
  failpoint('swap.before-put');
  try {
    await lake.put(path, bytes, 'absent');
  } catch (error) {
    if (!SluiceError.is(error, LAKE_CONFLICT)) throw error;
    const there = await readFile(lake, path, signal);
    if (!there.equals(bytes)) throw new SluiceError(LAKE_CONFLICT, `${path} is there, and sluice did not put it there`, { cause: error });
  }
  failpoint('swap.after-put');
}
