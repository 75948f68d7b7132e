/** A source that does not answer for a while what a pipeline asks it beside the stream. The stream comes back by itself (source.md). */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { CaptureBench, OPTIONS, T0, events, turns } from '../../test/fakes/capture-bench.ts';
import { MemoryBus } from '../../test/fakes/memory-bus.ts';
import { ScriptedSource, type Script } from '../../test/fakes/scripted-source.ts';
import { SluiceError } from '../core/error.ts';
import { HISTORY_LOST, SOURCE_UNAVAILABLE } from '../core/errors.ts';
import type { ChangeBatch, ResumePoint } from '../core/event.ts';
import type { DocumentBatch, KeyRange, SnapshotSource, SnapshotTarget } from '../core/snapshot.ts';
import type { SourceIdentity, StartAt } from '../core/source.ts';
import type { Timestamp } from '../core/time.ts';
import { silentLog } from '../ops/log.ts';
import { newStats, type PipelineStats } from '../ops/stats.ts';
import { Capture } from './capture.ts';
import { PRODUCER, checkpointPath, decodeCheckpoint, type Checkpoint } from './checkpoint.ts';
import { Produce } from './produce.ts';

type Question = 'open' | 'resolve' | 'targets' | 'cut' | 'clusterTime';
const QUESTIONS: readonly Question[] = ['open', 'resolve', 'targets', 'cut', 'clusterTime'];
const SECONDS_MAX = 3_600;
const END: Timestamp = { t: T0 + 60, i: 1 };

/** What MongoDB answers, and what it does not. */
class Server {
  /** Questions of each kind that stay without an answer. */
  readonly #silent = new Map<Question, number>();

  away(times: number, questions: readonly Question[] = QUESTIONS): void {
    for (const question of questions) this.#silent.set(question, times);
  }

  /** None of the questions that were to stay without an answer is left. */
  get wasAsked(): boolean {
    return [...this.#silent.values()].every((times) => times === 0);
  }

  asked(question: Question): void {
    const times = this.#silent.get(question) ?? 0;
    if (times === 0) return;
    this.#silent.set(question, times - 1);
    throw new SluiceError(SOURCE_UNAVAILABLE, question);
  }
}

class Changes extends ScriptedSource {
  readonly #server: Server;
  /** What the stream breaks with after its first batch, the next time that it is read. */
  breaksWith: SluiceError | null = null;

  constructor(server: Server, script: Partial<Script>) {
    const onBatch: Script['onBatch'] = async (index, isLast) => {
      await script.onBatch?.(index, isLast);
      // A source that says nothing leaves the event loop to others.
      await nextTurn();
    };
    super({ events: [], batchEvents: 1, end: END, fingerprint: 'A', ...script, onBatch });
    this.#server = server;
  }

  override async open(): Promise<SourceIdentity> {
    this.#server.asked('open');
    return await super.open();
  }

  override async resolve(start: StartAt): Promise<ResumePoint> {
    this.#server.asked('resolve');
    return await super.resolve(start);
  }

  override async *changes(after: ResumePoint, signal: AbortSignal): AsyncGenerator<ChangeBatch> {
    const error = this.breaksWith;
    this.breaksWith = null;
    for await (const batch of super.changes(after, signal)) {
      yield batch;
      if (error === null) continue;
      this.#server.away(2);
      throw error;
    }
  }
}

/** Collections of one document each. */
function documentsOf(server: Server, ...names: readonly string[]): SnapshotSource {
  const target = (coll: string): SnapshotTarget => ({ namespace: { db: 'db', coll }, documents: 1, bytes: 3, refused: null, caveat: null });
  return {
    covers: () => true,
    targets: async () => (server.asked('targets'), names.map(target)),
    cut: async (): Promise<readonly KeyRange[]> => (server.asked('cut'), [{ from: null, to: null }]),
    documents: async function* (): AsyncGenerator<DocumentBatch> {
      yield { count: 1, lines: Buffer.from('{}\n'), lastKey: Buffer.from('k'), release: () => {} };
    },
    clusterTime: async () => (server.asked('clusterTime'), END),
    hurry: async () => {},
    [Symbol.asyncDispose]: async () => {},
  };
}

const KINDS = ['capture', 'produce'] as const;

class Run {
  readonly stats: PipelineStats = newStats();
  readonly job: Capture | Produce;
  readonly #bench: CaptureBench;
  readonly #kind: (typeof KINDS)[number];
  readonly #stop = new AbortController();
  #ended: Promise<unknown> = Promise.resolve();
  #hasEnded = false;

  private constructor(kind: (typeof KINDS)[number], bench: CaptureBench, job: (stats: PipelineStats) => Capture | Produce) {
    this.#kind = kind;
    this.#bench = bench;
    this.job = job(this.stats);
  }

  static async begin(kind: (typeof KINDS)[number], source: Changes, snapshots: SnapshotSource, options: Partial<typeof OPTIONS> = {}): Promise<Run> {
    const bench = new CaptureBench();
    const lake = await bench.lake();
    const all = { ...OPTIONS, startAt: { kind: 'snapshot' }, partitionBy: 'collection', messageBytesMax: 10_000, ...options } as const;
    const make = (stats: PipelineStats): Capture | Produce => {
      const parts = { source, snapshots, lake, clock: bench.clock, stats, log: silentLog };
      return kind === 'capture' ? new Capture(all, parts) : new Produce(all, { ...parts, bus: new MemoryBus(1) });
    };
    const run = new Run(kind, bench, make);
    const ended = run.job.run(run.#stop.signal).catch((error: unknown) => error);
    run.#ended = ended.finally(() => (run.#hasEnded = true));
    return run;
  }

  /** Time passes until it is so, or the run has ended. */
  async until(isSo: () => boolean): Promise<void> {
    for (let seconds = 0; !isSo() && !this.#hasEnded; seconds += 1) {
      if (seconds > SECONDS_MAX) throw new Error(`an hour later it is not so: ${this.stats.state}`);
      this.#bench.clock.move(1_000);
      await turns();
    }
  }

  /** Time passes until it has ended. @returns what it failed with */
  async end(): Promise<unknown> {
    await this.until(() => false);
    return await this.#ended;
  }

  stop(): void {
    this.#stop.abort(new Error('stopped'));
  }

  get checkpoint(): Checkpoint {
    return decodeCheckpoint(this.#bench.bytes(checkpointPath('p', this.#kind === 'produce' ? PRODUCER : null)), 'checkpoint');
  }

  /** Collections that were read whole. */
  get whole(): string[] {
    const ends = this.#bench.paths().filter((path) => path.endsWith('/end.jsonl'));
    return ends.map((path) => (JSON.parse(this.#bench.bytes(path).toString()) as { _meta: { ns: { coll: string } } })._meta.ns.coll);
  }
}

/** Before that batch. */
const once =
  (batch: number, act: () => void) =>
  (index: number): void => {
    if (index === batch) act();
  };
const RENAME = events([1, 'a'], [2, 'outside', { op: 'rename', to: 'db.a' }], [3, 'a']);

describe.each(KINDS)('MongoDB is away for a while: %s', (kind) => {
  it('and answers in the end what was renamed, and what the snapshot asks', async () => {
    const server = new Server();
    const source = new Changes(server, { events: RENAME, onBatch: once(1, () => server.away(3, ['resolve', 'targets', 'cut', 'clusterTime'])) });
    const run = await Run.begin(kind, source, documentsOf(server, 'a'), { untilIdleMs: 30_000 });
    expect(await run.end()).toBeUndefined();
    expect(server.wasAsked).toBe(true);
    expect(run.whole).toEqual(['a', 'a']);
    expect(run.checkpoint).toMatchObject({ snapshots: [], cleanStop: true });
    expect(run.stats.state).toBe('stopped');
  });

  it('as history is lost, and what the gap has left out is read whole all the same', async () => {
    const server = new Server();
    const source = new Changes(server, { events: events([1, 'a'], [20, 'a']), oldest: { t: T0 + 10, i: 1 } });
    source.breaksWith = new SluiceError(HISTORY_LOST);
    const run = await Run.begin(kind, source, documentsOf(server, 'a'), { untilIdleMs: 30_000, startAt: { kind: 'now' }, onHistoryLost: 'repair' });
    expect(await run.end()).toBeUndefined();
    expect(server.wasAsked).toBe(true);
    expect(run.whole).toEqual(['a']);
    expect(run.checkpoint.gaps).toMatchObject([{ from: { t: T0 + 1 }, to: { t: T0 + 10 }, repairAt: expect.anything() as unknown }]);
  });

  it('and a stop does not wait for it: what was read before is kept, the rename comes again', async () => {
    const server = new Server();
    const source = new Changes(server, { events: RENAME, onBatch: once(1, () => server.away(Infinity)) });
    const run = await Run.begin(kind, source, documentsOf(server, 'a'));
    await run.until(() => run.stats.state === 'reconnecting');
    run.stop();
    expect(await run.end()).toBeUndefined();
    expect(run.checkpoint).toMatchObject({ cleanStop: true, resume: { clusterTime: { t: T0 + 1 } } });
  });

  it.each(['open', 'resolve', 'targets'] as const)('and a first start does not wait for it (%s)', async (question) => {
    const server = new Server();
    server.away(1, [question]);
    const run = await Run.begin(kind, new Changes(server, {}), documentsOf(server, 'a'));
    expect(await run.end()).toMatchObject({ kind: SOURCE_UNAVAILABLE });
    expect(run.stats.state).toBe('failed');
  });
});

it('what is open is sealed for who asks while MongoDB does not say what was renamed', async () => {
  const server = new Server();
  const source = new Changes(server, { events: RENAME, onBatch: once(1, () => server.away(Infinity)) });
  const run = await Run.begin('capture', source, documentsOf(server));
  await run.until(() => run.stats.state === 'reconnecting');
  let isSealed = false;
  const sealing = (run.job as Capture).seal(new AbortController().signal).then(() => (isSealed = true));
  await run.until(() => isSealed);
  await sealing;
  expect(run.stats).toMatchObject({ partsOpen: 0, partsSealed: 1 });
  run.stop();
  expect(await run.end()).toBeUndefined();
});
