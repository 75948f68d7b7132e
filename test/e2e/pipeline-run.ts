/**
 * `sluice run` in this process: started, watched by its own counters, stopped.
 */
import type { ClientSession, Document, Timestamp as BsonTimestamp, MongoClient } from 'mongodb';
import { expect } from 'vitest';
import type { Control } from '../../src/app/control.ts';
import { runPipeline } from '../../src/app/run.ts';
import type { RunOptions } from '../../src/app/types.ts';
import type { Config } from '../../src/config/config.ts';
import { SluiceError } from '../../src/core/error.ts';
import { SOURCE_UNAVAILABLE } from '../../src/core/errors.ts';
import { compareTimestamps, type Timestamp } from '../../src/core/time.ts';
import { silentLog } from '../../src/ops/log.ts';
import { newStats, type PipelineStats } from '../../src/ops/stats.ts';
import { eventsOf, type LakeLine } from './lake-files.ts';
import { until } from './until.ts';
import type { Settings, Workspace } from './workspace.ts';

export interface PipelineRunOptions extends Partial<Pick<RunOptions, 'role' | 'untilIdleMs' | 'wait' | 'acceptGap' | 'log'>> {
  /** Called before it gives up what it owns. */
  readonly onLeaving?: () => Promise<void>;
}

export class PipelineRun implements AsyncDisposable {
  readonly #stop = new AbortController();
  readonly #done: Promise<PipelineStats>;
  #stats: PipelineStats = newStats();
  #control: Control | null = null;
  #failed = false;

  /** Role `capture` unless another one is asked for. */
  constructor(config: Config, { onLeaving = async () => {}, ...options }: PipelineRunOptions = {}) {
    const run: RunOptions = {
      role: 'capture',
      untilIdleMs: null,
      wait: false,
      takeOver: false,
      acceptGap: false,
      log: silentLog,
      ...options,
      // Called at once, with the object that the run goes on counting in.
      progress: (stats) => void (this.#stats = stats),
      serve: async (control) => {
        this.#control = control;
        return { owned: async () => {}, opened: async () => {}, leaving: onLeaving, [Symbol.asyncDispose]: async () => {} };
      },
    };
    this.#done = runPipeline(config, run, this.#stop.signal);
    this.#done.catch(() => void (this.#failed = true));
  }

  /**
   * One that runs, from a source that may not answer at once, or is given little time to. The product does not try a start
   * again, and a machine with other work to do may stand still for longer than that: then another one is started.
   */
  static async patient(config: Config): Promise<PipelineRun> {
    return await until('the pipeline runs', async () => {
      try {
        return await new PipelineRun(config).running();
      } catch (error) {
        if (SluiceError.is(error, SOURCE_UNAVAILABLE)) return null;
        throw error;
      }
    });
  }

  get stats(): Readonly<PipelineStats> {
    return this.#stats;
  }

  get control(): Control {
    if (this.#control === null) throw new Error('the run has not begun to serve');
    return this.#control;
  }

  /** The end by itself: idle, or an error. */
  get done(): Promise<PipelineStats> {
    return this.#done;
  }

  /** Its start is resolved: what happens from now on is captured. @throws the error of a run that failed */
  async running(): Promise<this> {
    await this.#until('the pipeline runs', () => this.#stats.state === 'running');
    return this;
  }

  /** All that happened up to `at` is durable in the lake. @throws the error of a run that failed */
  async reaches(at: Timestamp): Promise<void> {
    await this.#until(`the lake holds all up to ${at.t}.${at.i}`, () => {
      const { watermark } = this.#stats;
      return watermark !== null && compareTimestamps(watermark, at) >= 0;
    });
  }

  /** In good order, as SIGTERM does it. */
  async stop(): Promise<PipelineStats> {
    this.#stop.abort();
    return await this.#done;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop().catch(() => undefined);
  }

  async #until(what: string, poll: () => boolean): Promise<void> {
    await until(what, () => this.#failed || poll());
    if (this.#failed) await this.#done;
  }
}

/**
 * Ends a test's writes. @returns when the last one happened: a lake that has reached it has all up to it
 *
 * Two inserts: a watermark is exclusive, and a stream that starts now begins with that of the very next write.
 */
export async function mark(client: MongoClient, db: string, coll: string): Promise<Timestamp> {
  const documents = [{ mark: true }, { mark: true }];
  const { operationTime } = await client.db(db).command({ insert: coll, documents, writeConcern: { w: 'majority' } });
  return timeOf(operationTime as BsonTimestamp);
}

export function timeOf({ t, i }: BsonTimestamp): Timestamp {
  return { t, i };
}

export interface During {
  readonly work: Workspace;
  readonly settings: Settings;
  readonly client: MongoClient;
  /** A namespace that the pipeline captures: the run ends with a mark there. */
  readonly markIn: string;
}

/** Captures while `act` does its work. @returns all lines of the lake, which the product has proved, in order */
export async function captureDuring({ work, settings, client, markIn }: During, act: () => Promise<void> = async () => {}): Promise<LakeLine[]> {
  const [db = '', coll = ''] = markIn.split('.');
  await using run = await new PipelineRun(work.config(settings)).running();
  await act();
  await run.reaches(await mark(client, db, coll));
  await run.stop();
  expect(await work.verify()).toEqual([]);
  return await eventsOf(work.lake);
}

/** Without marks and the collection `mark`. */
export function withoutMarks(lines: readonly LakeLine[]): LakeLine[] {
  const isOfMark = ({ event }: LakeLine): boolean =>
    (event['fullDocument'] as Document | undefined)?.['mark'] === true || event._meta.ns.coll === 'mark';
  return lines.filter((line) => !isOfMark(line));
}

export async function inTransaction(client: MongoClient, work: (session: ClientSession) => Promise<void>): Promise<void> {
  await client.withSession(async (session) => {
    await session.withTransaction(async () => await work(session), { writeConcern: { w: 'majority' } });
  });
}
