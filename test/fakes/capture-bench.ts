/**
 * Captures over one store in memory: a clock that the test moves, batches that come when the test says so, and the lake's
 * files as a test wants to see them.
 */
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import type { Clock } from '../../src/core/clock.ts';
import type { Lake } from '../../src/core/lake.ts';
import { LAYOUT_PRESETS } from '../../src/core/layout.ts';
import { isSealedLine, type LedgerLine, type SealedLine } from '../../src/core/ledger.ts';
import type { SnapshotSource } from '../../src/core/snapshot.ts';
import type { Source } from '../../src/core/source.ts';
import { MemoryStore, openMemoryLake } from '../../src/lake/memory/memory.ts';
import { silentLog } from '../../src/ops/log.ts';
import { newStats, type PipelineStats } from '../../src/ops/stats.ts';
import { Capture, type CaptureOptions } from '../../src/pipeline/capture.ts';
import { checkpointPath, decodeCheckpoint, type Checkpoint } from '../../src/pipeline/checkpoint.ts';
import { verifyLake, type LakeReport } from '../../src/pipeline/verify-lake.ts';
import { ScriptedSource, type Script, type ScriptedEvent } from './scripted-source.ts';

export const HOUR = 3600;
/** A full hour: 2026-11-21 08:00 UTC. */
export const T0 = 1_795_248_000;
/** Folder of collection `a` of database `db` in the hour that begins `hours` after T0. */
export const folderOf = (coll: string, hours = 0): string => `db/${coll}/year=2026/month=11/day=21/hour=${String(8 + hours).padStart(2, '0')}/`;

/** Events at seconds after T0. */
export function events(...list: readonly (readonly [number, string, Partial<ScriptedEvent>?])[]): ScriptedEvent[] {
  return list.map(([s, coll, more], id) => ({ at: { t: T0 + s, i: 1 }, ns: `db.${coll}`, id, ...more }));
}

export class TestClock implements Clock {
  #nowMs = T0 * 1000;
  /** Waits, in ms, that were begun. */
  readonly sleeps: number[] = [];
  readonly #sleepers = new Set<{ readonly untilMs: number; readonly wake: () => void }>();

  now(): number {
    return this.#nowMs;
  }

  /** Waits that are not over. */
  get waiting(): number {
    return this.#sleepers.size;
  }

  /** Forward or back. */
  move(ms: number): void {
    this.#nowMs += ms;
    for (const sleeper of this.#sleepers) if (sleeper.untilMs <= this.#nowMs) sleeper.wake();
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    this.sleeps.push(ms);
    return new Promise((resolve, reject) => {
      const sleeper = { untilMs: this.#nowMs + ms, wake: () => end(resolve) };
      const onAbort = (): void => end(() => reject(signal?.reason));
      const end = (settle: () => void): void => {
        this.#sleepers.delete(sleeper);
        signal?.removeEventListener('abort', onAbort);
        settle();
      };
      this.#sleepers.add(sleeper);
      if (signal?.aborted) onAbort();
      else signal?.addEventListener('abort', onAbort, { once: true });
    });
  }
}

/** Lets a source's batches go one at a time. */
export class Feed {
  #asked = Promise.withResolvers<void>();
  #go = Promise.withResolvers<void>();

  readonly onBatch = async (): Promise<void> => {
    this.#asked.resolve();
    await this.#go.promise;
  };

  /** Lets one batch go; resolves when it has been dealt with and the next is asked for. */
  async next(): Promise<void> {
    await this.#asked.promise;
    const go = this.#go;
    this.#asked = Promise.withResolvers();
    this.#go = Promise.withResolvers();
    go.resolve();
    await this.#asked.promise;
  }
}

export interface Live extends AsyncDisposable {
  readonly capture: Capture;
  readonly stats: PipelineStats;
  /** How often `onSealed` was called. */
  readonly sealed: { times: number };
  /** The end by itself, or an error. */
  readonly done: Promise<void>;
  /** As SIGTERM does it; resolves when the capture has ended. */
  stop(): Promise<void>;
}

/** Captures that a test has begun, so that all of them can be ended after it. */
export function liveCaptures() {
  let open: Live[] = [];
  return {
    watch: (live: Live): void => void open.push(live),
    /** Nobody will end them: they hang, as the test wants it. */
    forget: (): void => void (open = []),
    stopAll: async (): Promise<void> => {
      for (const live of open.splice(0)) await live.stop().catch(() => {});
    },
    /** A capture whose batches come one at a time. */
    fed: async (bench: CaptureBench, script: Partial<Script>, options: Partial<CaptureOptions> = {}): Promise<Live & { readonly feed: Feed }> => {
      const feed = new Feed();
      const live = await bench.start(bench.source({ batchEvents: 1, onBatch: feed.onBatch, ...script }), options);
      open.push(live);
      return { ...live, feed };
    },
  };
}

/** Everything that can go on without time or a batch has gone on. */
export async function turns(): Promise<void> {
  for (let n = 0; n < 5; n += 1) await new Promise((resolve) => setImmediate(resolve));
}

export class CaptureBench {
  readonly store: MemoryStore;
  readonly clock = new TestClock();
  /** Called at the end of a run that was idle. */
  onIdle: () => Promise<void> = async () => {};
  /** Called before an owner gives the pipeline up. */
  onLeaving: () => Promise<void> = async () => {};
  /** `null`: collections cannot be read whole. */
  snapshots: SnapshotSource | null = null;

  constructor(store: MemoryStore = new MemoryStore()) {
    this.store = store;
  }

  lake(): Promise<Lake> {
    return openMemoryLake(this.store);
  }

  source(script: Partial<Script>): Source {
    return new ScriptedSource({ events: [], batchEvents: 1_000_000, end: { t: T0, i: 1 }, fingerprint: 'A', ...script });
  }

  async start(source: Source, options: Partial<CaptureOptions> = {}): Promise<Live> {
    const stop = new AbortController();
    const stats = newStats();
    const sealed = { times: 0 };
    const parts = {
      source,
      lake: await this.lake(),
      clock: this.clock,
      stats,
      log: silentLog,
      onSealed: () => void (sealed.times += 1),
      onIdle: this.onIdle,
      onLeaving: this.onLeaving,
      ...(this.snapshots !== null && { snapshots: this.snapshots }),
    };
    const capture = new Capture({ ...OPTIONS, ...options }, parts);
    const done = capture.run(stop.signal);
    done.catch(() => {});
    const end = async (): Promise<void> => {
      stop.abort(new Error('stopped'));
      await done;
    };
    return { capture, stats, sealed, done, stop: end, [Symbol.asyncDispose]: () => end().catch(() => {}) };
  }

  /** Runs until idle: all that the script has is sealed then. */
  async run(script: Partial<Script>, options: Partial<CaptureOptions> = {}): Promise<PipelineStats> {
    const onBatch = (_: number, isLast: boolean): void => this.clock.move(isLast ? 60_000 : 10);
    const live = await this.start(this.source({ onBatch, ...script }), { untilIdleMs: 30_000, ...options });
    await live.done;
    return live.stats;
  }

  /** Runs and stops cleanly once the script has been read, so that its last parts stay open. */
  async runAndStop(script: Partial<Script>, options: Partial<CaptureOptions> = {}): Promise<void> {
    const read = Promise.withResolvers<void>();
    const onBatch = async (_: number, isLast: boolean): Promise<void> => {
      if (!isLast) return;
      read.resolve();
      await new Promise(() => {});
    };
    const live = await this.start(this.source({ onBatch, ...script }), options);
    await Promise.race([read.promise, live.done]);
    await live.stop();
  }

  paths(): string[] {
    return [...this.store.files.keys()].toSorted();
  }

  /** Data files. */
  parts(): string[] {
    return this.paths().filter((path) => path.startsWith('db/') && path.includes('/events-'));
  }

  bytes(path: string): Buffer {
    const file = this.store.files.get(path);
    if (file === undefined) throw new Error(`${path} is not there`);
    return Buffer.from(file.bytes.subarray(0, file.size));
  }

  json(path: string): Record<string, unknown> {
    return JSON.parse(this.bytes(path).toString()) as Record<string, unknown>;
  }

  hourFile(hours: number): Record<string, unknown> {
    return this.json(`_sluice/p/hours/20261121-${String(8 + hours).padStart(2, '0')}.json`);
  }

  /** Ids of the events in a file, in order. */
  ids(path: string): number[] {
    const stored = this.bytes(path);
    const bytes = path.endsWith('.gz') ? gunzipSync(stored) : path.endsWith('.zst') ? zstdDecompressSync(stored) : stored;
    const lines = bytes.toString().split('\n').slice(0, -1);
    return lines.map((line) => (JSON.parse(line) as { fullDocument: { _id: number } }).fullDocument._id);
  }

  /** Ids per data file. */
  content(): Record<string, number[]> {
    return Object.fromEntries(this.parts().map((path) => [path, this.ids(path)]));
  }

  checkpoint(): Checkpoint {
    return decodeCheckpoint(this.bytes(checkpointPath('p')), 'checkpoint');
  }

  ledger(): SealedLine[] {
    const texts = this.paths().filter((path) => path.startsWith('_sluice/p/ledger/')).flatMap((path) => this.bytes(path).toString().split('\n').slice(0, -1)); // prettier-ignore
    return texts.map((text) => JSON.parse(text) as LedgerLine).filter(isSealedLine);
  }

  async verify(): Promise<LakeReport> {
    return await verifyLake(await this.lake(), 'p', { signal: new AbortController().signal });
  }
}

export const OPTIONS: CaptureOptions = {
  pipeline: 'p',
  startAt: { kind: 'now' },
  collections: ['db.*'],
  excluded: [],
  layout: LAYOUT_PRESETS.hive,
  compression: 'none',
  rollBytesMax: 1_000_000,
  rollAgeMs: HOUR * 1000,
  partsOpenMax: 1_000,
  flushBytesMax: 1_000_000,
  flushAgeMs: 0,
  readAheadBytesMax: 0,
  checkpointIntervalMs: 1_000,
  untilIdleMs: null,
  wait: false,
  takeOver: false,
  acceptGap: false,
  onHistoryLost: 'fail',
  rangesAtOnce: 2,
  unavailableAfterMs: 60_000,
};
