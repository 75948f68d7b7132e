/**
 * Reads collections whole while the stream goes on: workers read ranges into parts of their own, the main job names and seals them.
 *
 * Rows of a snapshot share the position at which it began, and every change after it comes in the stream, with a higher one: so
 * neither waits for the other, and silver is right as soon as both are there.
 * Invariants: as with events, a part exists only after a durable checkpoint has named it, and is sealed only after one holds its
 * ledger line; a range moves on to a key in the same checkpoint that holds the line of the part that reaches up to it. So a
 * document is in the sealed parts once, and whoever comes after a crash throws away what was not sealed and reads it again.
 *
 * Only the main job changes checkpoint and ledger, in {@link Snapshots.settle}: workers ask it, and it is woken.
 */
import type { Clock } from '../core/clock.ts';
import { SluiceError } from '../core/error.ts';
import { SNAPSHOT_FAILED, SNAPSHOT_REFUSED } from '../core/errors.ts';
import type { EventBatch } from '../core/event.ts';
import type { Lake } from '../core/lake.ts';
import { snapshotPath } from '../core/layout.ts';
import { formatNamespace, type Namespace } from '../core/namespace.ts';
import type { SnapshotPoint, SnapshotsAsked, SnapshotSource, SnapshotTarget } from '../core/snapshot.ts';
import { failpoint } from '../ops/failpoint.ts';
import type { Logger } from '../ops/log.ts';
import type { PipelineStats } from '../ops/stats.ts';
import type { Committer } from './committer.ts';
import { nextOf, renameTargets, takeUp, tellMissing } from './arrivals.ts';
import { SUFFIX, type Compression } from './compression.ts';
import type { Ledger } from './ledger.ts';
import { inParallel } from './parallel.ts';
import { patientSnapshots } from './patient-sources.ts';
import { endRepairs, isRepairing } from './repairs.ts';
import { SnapshotFile } from './snapshot-file.ts';
import { SnapshotReaders, type Moved, type SnapshotDesk } from './snapshot-readers.ts';
import { folderOf, newSnapshot, snapshotLine, type SnapshotRecord, type SnapshotStart } from './snapshot-record.ts';

export interface SnapshotLimits {
  readonly compression: Compression;
  readonly rollBytesMax: number;
  readonly flushBytesMax: number;
  /** Ranges that are read at one time. */
  readonly rangesAtOnce: number;
  /** After this long without an answer of the source it is said aloud. */
  readonly unavailableAfterMs: number;
}

export interface SnapshotParts {
  readonly source: SnapshotSource;
  readonly lake: Lake;
  readonly committer: Committer;
  readonly ledger: Ledger;
  readonly clock: Clock;
  readonly stats: PipelineStats;
  readonly log: Logger;
}

/** What can be asked of the main job, and what it answers. */
type Ask = { readonly resolve: (file: SnapshotFile | null) => void; readonly reject: (error: unknown) => void } & (
  | { readonly kind: 'plan'; readonly targets: readonly SnapshotTarget[]; readonly start: Omit<SnapshotStart, 'since'> }
  | { readonly kind: 'name'; readonly record: SnapshotRecord; readonly part: number | null }
  | { readonly kind: 'seal'; readonly file: SnapshotFile; readonly sha256: string; readonly moved: Moved | null }
  | { readonly kind: 'move'; readonly moved: Moved | null }
);

const FILES_AT_ONCE = 16;

export class Snapshots implements AsyncDisposable {
  readonly #options: SnapshotLimits;
  readonly #parts: SnapshotParts;
  readonly #wake: () => void;
  readonly #readers: SnapshotReaders;
  readonly #files = new Set<SnapshotFile>();
  #asks: Ask[] = [];
  #failure: { readonly error: unknown } | null = null;

  /** @param wake makes the main job call {@link Snapshots.settle} soon */
  constructor(options: SnapshotLimits, parts: SnapshotParts, wake: () => void) {
    this.#options = options;
    this.#parts = parts;
    this.#wake = wake;
    const source = patientSnapshots(parts.source, { ...parts, ...options });
    this.#readers = new SnapshotReaders(this.#desk(), options, { ...parts, source });
    this.#count();
  }

  /** Nothing is left to be read, or what is left cannot be. */
  get isIdle(): boolean {
    return this.#asks.length === 0 && this.#records.every(({ failed }) => failed !== undefined);
  }

  /** @throws SNAPSHOT_FAILED when a collection could not be read */
  assertRead(): void {
    const failed = this.#records.filter((record) => record.failed !== undefined);
    if (failed.length === 0) return;
    throw new SluiceError(SNAPSHOT_FAILED, failed.map((record) => `${formatNamespace(record.ns)}: ${record.failed}`).join('; '));
  }

  /**
   * What a former owner left: parts with a ledger line are sealed, the others thrown away. Called once, after the ledger is
   * fenced and before anything is written.
   */
  async recover(signal: AbortSignal): Promise<void> {
    const { lake, committer, ledger } = this.#parts;
    const { epoch } = committer.state;
    const left = this.#records.flatMap((record) => record.parts.map((part) => ({ record, part })));
    for (const record of this.#records) delete record.failed;
    if (left.length === 0) return;
    await inParallel(left, FILES_AT_ONCE, async ({ part }) => {
      failpoint('snapshot.before-fence');
      // Of one that is thrown away nothing is needed, and somebody before us may have died after he had removed it.
      const length = part.state === 'sealing' ? part.length : 0;
      const appender = await lake.open(part.path, { epoch, expect: 'any', length }, signal);
      failpoint('snapshot.after-fence');
      await (part.state === 'sealing' ? appender.close() : appender[Symbol.asyncDispose]());
    });
    await committer.assertOwner();
    const sealing = left.filter(({ part }) => part.state === 'sealing');
    await ledger.append(
      sealing.map(({ part }) => part.line!),
      signal,
    );
    for (const { record, part } of sealing) this.#sealed(record, part.path);
    for (const { record, part } of left) {
      if (part.state === 'sealing') continue;
      // Not used again: numbers rise. A file that a former owner could still make under this name would be empty.
      failpoint('snapshot.before-remove');
      await lake.remove(part.path);
      failpoint('snapshot.after-remove');
      record.parts = record.parts.filter((each) => each !== part);
    }
    await committer.save('snapshot-recovered');
  }

  start(): void {
    this.#readers.start();
  }

  /**
   * Takes up the collections that `choose` says, because somebody has asked; resolves when a durable checkpoint says so. Those
   * that are being read already are not begun again.
   * @param now gives the point that they are taken at @throws SNAPSHOT_REFUSED nothing is chosen
   */
  async request(choose: (ns: Namespace) => boolean, now: () => Promise<SnapshotPoint>, signal: AbortSignal): Promise<SnapshotsAsked> {
    const { source, clock } = this.#parts;
    const chosen = (await source.targets(signal)).filter(({ namespace }) => choose(namespace));
    if (chosen.length === 0) throw new SluiceError(SNAPSHOT_REFUSED, 'the source has no such collection, or the configuration does not include it');
    const reading = new Set(this.#records.map(({ ns }) => formatNamespace(ns)));
    const readable = chosen.filter(({ refused }) => refused === null);
    const underWay = readable.filter(({ namespace }) => reading.has(formatNamespace(namespace)));
    const targets = readable.filter((target) => !underWay.includes(target));
    const start = { cause: 'asked', at: await now(), begunAt: new Date(clock.now()).toISOString() } as const;
    if (targets.length > 0) await this.#ask((answer) => ({ kind: 'plan', targets, start, ...answer }));
    return { begun: targets, underWay, refused: chosen.filter(({ refused }) => refused !== null) };
  }

  /**
   * Collections that begin without inserts, as the batch says that is about to be written: before the position moves, so that a crash
   * after that does not forget them. Called by the main job alone.
   * @param isWanted else they are told, and not read
   */
  async meet(events: EventBatch, isWanted: boolean, now: () => Promise<SnapshotPoint>, signal: AbortSignal): Promise<void> {
    const { source, log } = this.#parts;
    const renamed = renameTargets(events).filter((ns) => source.covers(ns));
    if (renamed.length === 0) return;
    if (isWanted) await this.#arrived(renamed, now, signal);
    else tellMissing(renamed, 'renamed', log);
  }

  /** Somebody else has taken up collections in the state of the checkpoint. Called by the main job alone. */
  takenUp(): void {
    this.#count();
    this.#readers.tell();
  }

  /** Takes up what is asked for, and reads all that is to be read, without anybody who reads the stream meanwhile. */
  static async alone(
    options: SnapshotLimits,
    parts: SnapshotParts,
    { choose, now }: { readonly choose: (ns: Namespace) => boolean; readonly now: () => Promise<SnapshotPoint> },
    signal: AbortSignal,
  ): Promise<SnapshotsAsked> {
    let news = Promise.withResolvers<void>();
    signal.addEventListener('abort', () => news.resolve(), { once: true });
    await using snapshots = new Snapshots(options, parts, () => news.resolve());
    await snapshots.recover(new AbortController().signal);
    const asked = snapshots.request(choose, now, signal);
    // What it fails with is told by whoever waits for it.
    asked.catch(() => {});
    await Promise.race([asked, news.promise]);
    const woken = async (): Promise<void> => {
      await news.promise;
      news = Promise.withResolvers();
    };
    await snapshots.#runAlone(woken, signal);
    return await asked;
  }

  async #runAlone(woken: () => Promise<void>, signal: AbortSignal): Promise<void> {
    this.start();
    while (!this.isIdle && !signal.aborted) {
      await this.settle(new AbortController().signal);
      if (!this.isIdle) await woken();
    }
    await this.stop(new AbortController().signal);
    signal.throwIfAborted();
    this.assertRead();
  }

  /** Answers what was asked since the last call. Called by the main job alone. @returns how many files were sealed */
  async settle(signal: AbortSignal): Promise<number> {
    if (this.#failure !== null) throw this.#failure.error;
    const asks = this.#asks;
    if (asks.length === 0) return 0;
    this.#asks = [];
    try {
      return await this.#answer(asks, signal);
    } catch (error) {
      for (const { reject } of asks) reject(error);
      throw error;
    }
  }

  /** What is being read ends with what was read so far; parts that have rows are sealed. */
  async stop(signal: AbortSignal): Promise<void> {
    this.#readers.stop();
    while (this.#readers.alive > 0 || this.#asks.length > 0) {
      await this.settle(signal);
      if (this.#readers.alive > 0 && this.#asks.length === 0) await this.#readers.news;
    }
    await this.settle(signal);
  }

  /** Ends at once; the next owner throws away what is not sealed. */
  async [Symbol.asyncDispose](): Promise<void> {
    const error = new Error('stopped');
    this.#failure ??= { error };
    this.#readers.stop();
    for (const { reject } of this.#asks.splice(0)) reject(error);
    await this.#readers.ended();
    for (const file of this.#files) await file[Symbol.asyncDispose]();
  }

  get #records(): SnapshotRecord[] {
    return this.#parts.committer.state.snapshots;
  }

  async #arrived(collections: readonly Namespace[], now: () => Promise<SnapshotPoint>, signal: AbortSignal): Promise<void> {
    const { source, committer, ledger, clock, log } = this.#parts;
    const names = new Set(collections.map(formatNamespace));
    const begunAt = new Date(clock.now()).toISOString();
    const at = await now();
    // One that has gone again has nothing to be read.
    const targets = (await source.targets(signal)).filter(({ namespace }) => names.has(formatNamespace(namespace)));
    takeUp(committer.state, targets, { cause: 'renamed', at, begunAt, since: ledger.day }, log);
    this.takenUp();
  }

  async #answer(asks: readonly Ask[], signal: AbortSignal): Promise<number> {
    const { committer, ledger } = this.#parts;
    const answers = asks.map((ask) => ({ ask, file: this.#apply(ask) }));
    await committer.save('snapshot');
    const named = answers.flatMap(({ ask, file }) => (ask.kind === 'name' && file !== null ? [file] : []));
    const sealing = answers.flatMap(({ ask }) => (ask.kind === 'seal' ? [ask.file] : []));
    await this.#create(named, signal);
    await inParallel(sealing, FILES_AT_ONCE, async (file) => {
      failpoint('snapshot.before-close');
      await file.close();
      failpoint('snapshot.after-close');
      this.#files.delete(file);
    });
    await ledger.append(
      sealing.map(({ part }) => part.line!),
      signal,
    );
    for (const { record, part } of sealing) this.#sealed(record, part.path);
    this.#count();
    for (const { ask, file } of answers) ask.resolve(file);
    this.#readers.tell();
    return sealing.length;
  }

  /** Changes the checkpoint as was asked, before it is saved. @returns the file that is named */
  #apply(ask: Ask): SnapshotFile | null {
    const { committer, ledger } = this.#parts;
    const { epoch } = committer.state;
    if (ask.kind === 'plan') {
      const known = new Set(this.#records.map(({ ns }) => formatNamespace(ns)));
      const fresh = ask.targets.filter(({ namespace }) => !known.has(formatNamespace(namespace)));
      this.#records.push(...fresh.map((target) => newSnapshot(target, { ...ask.start, since: ledger.day })));
      return null;
    }
    if (ask.kind === 'name') {
      const path = snapshotPath(folderOf(ask.record), ask.part, SUFFIX[this.#options.compression]);
      const file = new SnapshotFile(ask.record, { path, length: 0, rows: 0, epoch, state: 'open' }, this.#options.flushBytesMax);
      ask.record.parts.push(file.part);
      return file;
    }
    if (ask.kind === 'seal') {
      const { record, part } = ask.file;
      part.line = snapshotLine(record, part, ask.sha256, epoch, isEnd(record, part.path) ? 'snapshotEnd' : 'snapshot');
      part.state = 'sealing';
    }
    if (ask.moved !== null) {
      const { range, after, done } = ask.moved;
      range.done = done;
      if (after !== null) range.after = Buffer.from(after).toString('base64');
    }
    return null;
  }

  async #create(files: readonly SnapshotFile[], signal: AbortSignal): Promise<void> {
    if (files.length === 0) return;
    const { lake, committer } = this.#parts;
    await inParallel(files, FILES_AT_ONCE, async (file) => {
      failpoint('snapshot.before-create');
      file.created(await lake.open(file.part.path, { epoch: file.part.epoch, expect: 'absent' }, signal));
      failpoint('snapshot.after-create');
      this.#files.add(file);
    });
    await committer.assertOwner();
  }

  /** The ledger has its line. With the last one of them the snapshot is complete. */
  #sealed(record: SnapshotRecord, path: string): void {
    const { committer, ledger, clock, stats, log } = this.#parts;
    const { state } = committer;
    const part = record.parts.find((each) => each.path === path)!;
    record.parts = record.parts.filter((each) => each !== part);
    stats.partsSealed += 1;
    if (!isEnd(record, path)) {
      record.files += 1;
      record.rows += part.rows;
      record.bytesRead += part.length;
      return;
    }
    const next = nextOf(record, new Date(clock.now()).toISOString(), ledger.day);
    state.snapshots = [...state.snapshots.filter((each) => each !== record), ...next];
    ledger.forgetSnapshot(folderOf(record));
    log.info({ collection: formatNamespace(record.ns), rows: record.rows, files: record.files }, 'the snapshot of a collection is complete');
    // Over a bus there may be more to be read for it.
    if (record.cause === 'repair' && committer.scope === null && !isRepairing(state)) endRepairs(state, clock.now(), log);
  }

  #count(): void {
    const { stats } = this.#parts;
    stats.snapshotsOpen = this.#records.length;
    stats.snapshotsFailed = this.#records.filter(({ failed }) => failed !== undefined).length;
  }

  #desk(): SnapshotDesk {
    // Of arrow functions `this` is this object, and the list is another one after each change.
    const records = (): readonly SnapshotRecord[] => this.#records;
    return {
      get records() {
        return records();
      },
      name: async (record, part) => (await this.#ask((answer) => ({ kind: 'name', record, part, ...answer })))!,
      seal: async (file, moved) => {
        const sha256 = await file.finish();
        await this.#ask((answer) => ({ kind: 'seal', file, sha256, moved, ...answer }));
      },
      move: async (moved) => void (await this.#ask((answer) => ({ kind: 'move', moved, ...answer }))),
      failed: async () => void (await this.#ask((answer) => ({ kind: 'move', moved: null, ...answer }))),
      ended: (error) => {
        if (error !== null) this.#failure ??= { error };
        this.#wake();
      },
    };
  }

  async #ask(make: (answer: Pick<Ask, 'resolve' | 'reject'>) => Ask): Promise<SnapshotFile | null> {
    if (this.#failure !== null) throw this.#failure.error;
    const { promise, resolve, reject } = Promise.withResolvers<SnapshotFile | null>();
    this.#asks.push(make({ resolve, reject }));
    this.#wake();
    this.#readers.tell();
    return await promise;
  }
}

function isEnd(record: SnapshotRecord, path: string): boolean {
  return path.startsWith(`${folderOf(record)}end.`);
}
