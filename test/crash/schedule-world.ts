/**
 * A small world for schedules: one store that outlives its processes, a history, and processes that die, freeze or stop
 * before any one of their steps.
 *
 * A process is a capture over a lake of its own. A step is what changes the store, so dying after a step is the same as
 * dying before the next. While a world runs, it watches that nothing is done before a durable checkpoint says so.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { createHash } from 'node:crypto';
import type { Clock } from '../../src/core/clock.ts';
import { SluiceError } from '../../src/core/error.ts';
import { LAKE_CONFLICT, LAKE_LOST_OWNERSHIP } from '../../src/core/errors.ts';
import type { Lake, LakePath } from '../../src/core/lake.ts';
import { LAYOUT_PRESETS, eventFileTime } from '../../src/core/layout.ts';
import { isSealedLine, type LedgerLine, type SealedLine } from '../../src/core/ledger.ts';
import { endOfHour, hourName, hourOf, parseHourName, compareTimestamps, type Timestamp } from '../../src/core/time.ts';
import { MemoryStore, openMemoryLake, type MemoryOperation } from '../../src/lake/memory/memory.ts';
import { silentLog } from '../../src/ops/log.ts';
import { newStats } from '../../src/ops/stats.ts';
import { Capture, type CaptureOptions } from '../../src/pipeline/capture.ts';
import { checkpointPath, decodeCheckpoint } from '../../src/pipeline/checkpoint.ts';
import { ScriptedSource, type ScriptedEvent } from '../fakes/scripted-source.ts';

export interface WorldEvent extends ScriptedEvent {
  /** Fingerprints whose filter lets it through; all unless said. */
  readonly seenBy?: readonly string[];
}

export interface History {
  readonly events: readonly WorldEvent[];
  readonly batchEvents: number;
  readonly end: Timestamp;
}

/** How a process goes through its steps. */
export interface Process {
  steps: number;
  dead: boolean;
  /** Called before each step. */
  readonly onStep: (step: number) => void | Promise<void>;
}

/**
 * `leases` keeps what lies beyond the checkpoint, as the Azure lakes do; `two steps` makes a part first and leases it then,
 * as append blobs do; `cutting` cuts what lies beyond the checkpoint, as a local disk does.
 */
export type LakeKind = 'leases' | 'two steps' | 'cutting';

export interface How extends Partial<CaptureOptions> {
  /** Of the stream that it reads; `A` unless said. */
  readonly fingerprint?: string;
  /** Stops cleanly after this many batches. */
  readonly stopAfterBatches?: number;
  /** Never hears that it has lost the pipeline, as an owner behind a cut network does not. */
  readonly deaf?: boolean;
  /** To look at a file is a step, too: others may come between what was seen and what is done. */
  readonly looksAreSteps?: boolean;
  /** A ledger file with so many lines takes no more appends, as an append blob with 50,000 blocks. */
  readonly ledgerLinesMax?: number;
}

const running = new AsyncLocalStorage<Process>();

class Crash extends Error {}

async function takeStep(): Promise<void> {
  const process = running.getStore()!;
  if (process.dead) throw new Crash();
  process.steps += 1;
  await process.onStep(process.steps);
  if (process.dead) throw new Crash();
}

export class World {
  readonly store = new MemoryStore();
  /** What was done too early. */
  readonly faults: string[] = [];
  readonly #history: History;
  readonly #kind: LakeKind;
  readonly #always: How;
  /** Every ledger line that was ever seen, with its hash. */
  readonly #sealed = new Map<LakePath, string>();

  /** @param always how every process runs, unless its own options say otherwise */
  constructor(history: History, kind: LakeKind = 'leases', always: How = {}) {
    this.#history = history;
    this.#kind = kind;
    this.#always = always;
    this.store.onOperation = async (operation) => {
      await takeStep();
      this.#watch(operation);
    };
  }

  /** True when the process has finished its work (`until idle`), false when it died, stood down or was stopped. */
  async run(process: Process, how: How = {}): Promise<boolean> {
    const finished = await running.run(process, () => this.#capture(process, how));
    this.#noteSealed();
    return finished && how.stopAfterBatches === undefined;
  }

  /** Content of all files. */
  files(): Map<LakePath, Buffer> {
    return new Map([...this.store.files].map(([path, file]) => [path, file.bytes.subarray(0, file.size)]));
  }

  /** A lake that takes no step: for reading. */
  lake(): Promise<Lake> {
    return openMemoryLake(this.store);
  }

  ledger(): SealedLine[] {
    return [...this.files()]
      .filter(([path]) => path.startsWith('_sluice/p/ledger/'))
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .flatMap(([, bytes]) => bytes.toString('utf8').split('\n').slice(0, -1))
      .map((text) => JSON.parse(text) as LedgerLine)
      .filter(isSealedLine);
  }

  /** Sealed once, with other bytes later. */
  changed(): string[] {
    const files = this.files();
    return [...this.#sealed]
      .filter(([path, hash]) => sha256(files.get(path) ?? Buffer.from('gone')) !== hash)
      .map(([path]) => `${path} was sealed and has changed`);
  }

  async #capture(process: Process, how: How): Promise<boolean> {
    const {
      fingerprint = 'A',
      stopAfterBatches,
      deaf = false,
      looksAreSteps = false,
      ledgerLinesMax = Infinity,
      ...options
    } = { ...this.#always, ...how };
    const stop = new AbortController();
    let nowMs = (this.#history.events[0]?.at.t ?? 0) * 1000;
    const clock: Clock = { now: () => nowMs, sleep: async () => {} };
    const source = new ScriptedSource({
      ...this.#history,
      fingerprint,
      sees: ({ id }) => this.#history.events[id]!.seenBy?.includes(fingerprint) ?? true,
      onBatch: (index, isLast) => {
        if (index === stopAfterBatches) stop.abort(new Error('stopped'));
        nowMs += isLast ? 60_000 : 600;
      },
    });
    const lake = this.#lakeOf(await openMemoryLake(this.store), { deaf, looksAreSteps, ledgerLinesMax });
    const capture = new Capture({ ...OPTIONS, ...options }, { source, lake, clock, stats: newStats(), log: silentLog });
    try {
      await capture.run(stop.signal);
      return !process.dead;
    } catch (error) {
      if (process.dead) return false;
      // Who meets another owner stands down; anything else is a bug.
      if (SluiceError.is(error, LAKE_CONFLICT, LAKE_LOST_OWNERSHIP)) return false;
      throw error;
    }
  }

  #lakeOf(bare: Lake, how: Required<Pick<How, 'deaf' | 'looksAreSteps' | 'ledgerLinesMax'>>): Lake {
    const { store } = this;
    const kind = this.#kind;
    const { deaf, looksAreSteps, ledgerLinesMax } = how;
    const lake = ledgerLinesMax === Infinity ? bare : withFullLedgers(bare, store, ledgerLinesMax);
    return new Proxy(lake, {
      get(target, name) {
        if (name === 'own' && deaf) {
          const own: Lake['own'] = async (...args) => {
            const ownership = await target.own(...args);
            return ownership && { lost: new AbortController().signal, [Symbol.asyncDispose]: () => ownership[Symbol.asyncDispose]() };
          };
          return own;
        }
        if (name === 'open' && kind === 'two steps') {
          const open: Lake['open'] = async (path, how, signal) => {
            const opened = await target.open(path, how, signal);
            if (how.expect === 'any') return opened;
            await opened[Symbol.asyncDispose]();
            return target.open(path, { ...how, expect: 'any' }, signal);
          };
          return open;
        }
        if (name === 'open' && kind === 'cutting') {
          const open: Lake['open'] = async (path, how, signal) => {
            const opened = await target.open(path, how, signal);
            const file = store.files.get(path)!;
            if (how.length === undefined || file.size <= how.length) return opened;
            file.size = how.length;
            return target.open(path, how, signal);
          };
          return open;
        }
        if (name === 'stat' && looksAreSteps) {
          const stat: Lake['stat'] = async (path) => {
            await takeStep();
            return await target.stat(path);
          };
          return stat;
        }
        if (name === 'read' && looksAreSteps) {
          const read: Lake['read'] = async function* (...args) {
            await takeStep();
            yield* target.read(...args);
          };
          return read;
        }
        const value: unknown = Reflect.get(target, name, target);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
  }

  /** The first rule: nothing is made, sealed or published before a durable checkpoint says so. */
  #watch({ kind, path }: MemoryOperation): void {
    const isData = !path.startsWith('_sluice/');
    const hour = kind === 'put' ? publishedHour(path) : null;
    const makes = kind === 'open' && isData && !this.store.files.has(path);
    const seals = kind === 'close' && isData;
    const event = kind === 'put' ? eventFileTime(path) : null;
    if (!makes && !seals && hour === null && event === null) return;
    const file = this.store.files.get(checkpointPath('p'))!;
    const { parts, watermark } = decodeCheckpoint(file.bytes.subarray(0, file.size), path);
    const part = parts.find((each) => each.path === path);
    const early = (what: string): void => void this.faults.push(`${what} before a checkpoint said so: ${path}`);
    if (makes && part === undefined) early('made');
    const isOfEvent = (index: LakePath): boolean => path.startsWith(index.slice(0, index.lastIndexOf('/') + 1));
    if (event !== null && !parts.some((each) => isOfEvent(each.path) && each.hour === hourName(hourOf(event.t)))) early('put');
    if (seals && part?.state !== 'sealing') early('closed');
    if (hour !== null && compareTimestamps(watermark, endOfHour(parseHourName(hour)!)) < 0) early('published');
  }

  #noteSealed(): void {
    for (const line of this.ledger()) this.#sealed.set(line.path, line.sha256);
  }
}

export const OPTIONS: CaptureOptions = {
  pipeline: 'p',
  startAt: { kind: 'now' },
  collections: ['db.*'],
  excluded: [],
  layout: LAYOUT_PRESETS.hive,
  compression: 'none',
  rollBytesMax: 400,
  rollAgeMs: 3_600_000,
  partsOpenMax: 100,
  flushBytesMax: 1,
  flushAgeMs: 0,
  readAheadBytesMax: 0,
  checkpointIntervalMs: 1_000,
  untilIdleMs: 30_000,
  wait: true,
  takeOver: true,
  acceptGap: false,
  onHistoryLost: 'fail',
  rangesAtOnce: 2,
  unavailableAfterMs: 60_000,
};

function withFullLedgers(lake: Lake, store: MemoryStore, linesMax: number): Lake {
  const linesIn = (path: LakePath): number => {
    const { bytes, size } = store.files.get(path)!;
    return bytes.subarray(0, size).toString().split('\n').length - 1;
  };
  const open: Lake['open'] = async (path, ...rest) => {
    const opened = await lake.open(path, ...rest);
    if (!path.includes('/ledger/')) return opened;
    const append = opened.append.bind(opened);
    opened.append = async (...args) => {
      if (linesIn(path) >= linesMax + 1) throw new Error(`${path} takes no more`);
      await append(...args);
    };
    return Object.defineProperty(opened, 'isFull', { get: () => linesIn(path) >= linesMax });
  };
  return new Proxy(lake, {
    get: (target, name) => {
      if (name === 'open') return open;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

/** The hour that a manifest, a `_SUCCESS` or an hour file speaks of. */
function publishedHour(path: LakePath): string | null {
  const folder = /year=(\d{4})\/month=(\d\d)\/day=(\d\d)\/hour=(\d\d)\/_/.exec(path);
  if (folder !== null) return `${folder[1]}${folder[2]}${folder[3]}-${folder[4]}`;
  return /\/hours\/(\d{8}-\d\d)\.json$/.exec(path)?.[1] ?? null;
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

export const calm = (): Process => ({ steps: 0, dead: false, onStep: () => {} });

export function dieAt(step: number): Process {
  const process: Process = {
    steps: 0,
    dead: false,
    onStep: (at) => {
      if (at === step) process.dead = true;
    },
  };
  return process;
}

/** Freezes before a step; `wake` lets it go on. */
export function freezeAt(step: number): { process: Process; frozen: Promise<void>; wake: () => void } {
  let wake!: () => void;
  let arrived!: () => void;
  const woken = new Promise<void>((resolve) => (wake = resolve));
  const frozen = new Promise<void>((resolve) => (arrived = resolve));
  const process: Process = {
    steps: 0,
    dead: false,
    onStep: async (at) => {
      if (at !== step) return;
      arrived();
      await woken;
    },
  };
  return { process, frozen, wake };
}

/** Does `work` before a step and goes on. */
export function pauseAt(step: number, work: () => Promise<void>): Process {
  return { steps: 0, dead: false, onStep: (at) => (at === step ? work() : undefined) };
}

/** Xorshift: a schedule is named by its seed. */
export function random(seed: number): () => number {
  let s = seed >>> 0 || 1;
  return () => {
    s ^= s << 13;
    s >>>= 0;
    s ^= s >>> 17;
    s ^= s << 5;
    s >>>= 0;
    return s / 4_294_967_296;
  };
}

/** Processes that take their steps in turns: nobody takes one before it is told to. */
export class Turns {
  /** Steps that wait, in the order in which they came; a process may have several at once. */
  #waiting: { readonly process: Process; readonly go: () => void }[] = [];

  /** Begins a process: `run` runs what it is given. */
  begin(run: (process: Process) => Promise<unknown>): Promise<unknown> {
    const process: Process = { steps: 0, dead: false, onStep: () => new Promise<void>((go) => void this.#waiting.push({ process, go })) };
    return run(process);
  }

  /** Processes that have not ended. Over a lake in memory all that happens between two steps happens within a turn. */
  async live(): Promise<readonly Process[]> {
    await new Promise((resolve) => setImmediate(resolve));
    return [...new Set(this.#waiting.map(({ process }) => process))];
  }

  step(process: Process): void {
    const index = this.#waiting.findIndex((each) => each.process === process);
    this.#waiting.splice(index, 1)[0]!.go();
  }
}
