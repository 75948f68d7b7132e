/**
 * Becoming the owner of a checkpoint: standing by while another one lives, and making sure whose lake it is.
 */
import type { Clock } from '../core/clock.ts';
import { SluiceError } from '../core/error.ts';
import { LAKE_CONFLICT, LAKE_DAMAGED, LAKE_FOREIGN, LAKE_OWNED } from '../core/errors.ts';
import type { Lake, Ownership } from '../core/lake.ts';
import { failpoint } from '../ops/failpoint.ts';
import type { Logger } from '../ops/log.ts';
import type { PipelineStats } from '../ops/stats.ts';
import { PIPELINE_FILE, checkpointPath, type Scope } from './checkpoint.ts';
import { readFile } from './read-file.ts';

export interface OwnOptions {
  readonly pipeline: string;
  /** Stands by while another owner lives; otherwise LAKE_OWNED. */
  readonly wait: boolean;
  readonly takeOver: boolean;
}

export interface OwnParts {
  readonly lake: Lake;
  readonly clock: Clock;
  readonly stats: PipelineStats;
  readonly log: Logger;
}

/** What any pipeline writes there. */
const PIPELINE_CLAIM = /^\{"v":\d+,"pipeline":"[^"]+".*\}$/;
const STANDBY_POLL_MS = 1_000;

/** @throws LAKE_OWNED when another one lives and `wait` is not given */
export async function own(options: OwnOptions & { readonly scope: Scope }, parts: OwnParts, signal: AbortSignal): Promise<Ownership> {
  const { lake, clock, log, stats } = parts;
  const { pipeline, scope, takeOver, wait } = options;
  const path = checkpointPath(pipeline, scope);
  for (let told = false; ; told = true) {
    signal.throwIfAborted();
    const ownership = await lake.own(path, { takeOver }, signal);
    if (ownership !== null) return ownership;
    if (!wait) throw new SluiceError(LAKE_OWNED, `${pipeline} in ${lake.description}`);
    if (!told) {
      stats.state = 'standby';
      log.info({ scope }, 'another process owns this pipeline: standing by, ready to take over when it stops');
    }
    await clock.sleep(STANDBY_POLL_MS, signal);
  }
}

/** One lake prefix belongs to one pipeline. @throws LAKE_FOREIGN, LAKE_DAMAGED */
export async function claimPrefix(lake: Lake, pipeline: string, signal: AbortSignal): Promise<void> {
  const mine = Buffer.from(`${JSON.stringify({ v: 1, pipeline })}\n`);
  try {
    if ((await lake.stat(PIPELINE_FILE)) === null) {
      failpoint('pipeline.before-claim');
      await lake.put(PIPELINE_FILE, mine, 'absent');
      failpoint('pipeline.after-claim');
    }
  } catch (error) {
    if (!SluiceError.is(error, LAKE_CONFLICT)) throw error;
  }
  const there = await readFile(lake, PIPELINE_FILE, signal);
  if (there.equals(mine)) return;
  const text = there.toString('utf8').trim();
  if (!PIPELINE_CLAIM.test(text)) throw new SluiceError(LAKE_DAMAGED, `${PIPELINE_FILE} does not say whose lake it is: ${JSON.stringify(text)}`);
  throw new SluiceError(LAKE_FOREIGN, `${lake.description} holds ${text}`);
}
