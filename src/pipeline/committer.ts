/**
 * The one place that replaces the checkpoint.
 *
 * Invariant (no hole): whoever calls `save` has made durable all that `state.resume` and `state.watermark` cover.
 * Invariant (one owner): a save succeeds only over the content that this owner wrote last.
 */
import { randomUUID } from 'node:crypto';
import type { Clock } from '../core/clock.ts';
import { SluiceError } from '../core/error.ts';
import { CHECKPOINT_BAD, LAKE_CONFLICT, LAKE_LOST_OWNERSHIP } from '../core/errors.ts';
import type { Lake, LakeFile, LakePath } from '../core/lake.ts';
import { failpoint } from '../ops/failpoint.ts';
import type { PipelineStats } from '../ops/stats.ts';
import {
  PIPELINE_FILE,
  PRODUCER,
  checkpointPath,
  decodeCheckpoint,
  doctorFolder,
  dumpsFolder,
  encodeCheckpoint,
  ledgerFolder,
  newCheckpoint,
  verificationPath,
  type Checkpoint,
  type Scope,
} from './checkpoint.ts';
import { dumpPaths } from './dump-record.ts';
import { readFile } from './read-file.ts';
import { questionPath } from './snapshot-question.ts';

export class Committer {
  /** Changed in place by the writer and the sealer; durable only after `save`. */
  readonly state: Checkpoint;
  readonly scope: Scope;
  readonly #lake: Lake;
  readonly #path: LakePath;
  readonly #clock: Clock;
  readonly #stats: PipelineStats;
  #file: LakeFile | 'absent';
  #savedAtMs = 0;
  readonly #owner = randomUUID();
  #saves = 0;

  private constructor(lake: Lake, clock: Clock, stats: PipelineStats, state: Checkpoint, file: LakeFile | 'absent', scope: Scope) {
    this.#lake = lake;
    this.#clock = clock;
    this.#stats = stats;
    this.scope = scope;
    this.#path = checkpointPath(state.pipeline, scope);
    this.state = state;
    this.#file = file;
  }

  /** Reads the checkpoint, or begins one. Called by the owner only. @throws CHECKPOINT_BAD, CHECKPOINT_NEWER */
  static async load(
    lake: Lake,
    pipeline: string,
    layout: string,
    clock: Clock,
    stats: PipelineStats,
    signal: AbortSignal,
    scope: Scope = null,
  ): Promise<Committer> {
    const path = checkpointPath(pipeline, scope);
    const file = await lake.stat(path);
    if (file === null) await assertEmpty(lake, pipeline, scope, signal);
    const state = file === null ? newCheckpoint(pipeline, layout) : decodeCheckpoint(await readFile(lake, path, signal), path);
    return new Committer(lake, clock, stats, state, file ?? 'absent', scope);
  }

  /** Wall clock of the last save, ms. */
  get savedAtMs(): number {
    return this.#savedAtMs;
  }

  /** @throws LAKE_LOST_OWNERSHIP another owner has replaced the checkpoint */
  async save(why: string): Promise<void> {
    failpoint(`checkpoint.before-${why}`);
    this.state.savedAt = new Date(this.#clock.now()).toISOString();
    this.#saves += 1;
    this.state.savedBy = `${this.#owner}.${this.#saves}`;
    const bytes = encodeCheckpoint(this.state);
    try {
      this.#file = await this.#lake.put(this.#path, bytes, this.#file);
    } catch (error) {
      if (!SluiceError.is(error, LAKE_CONFLICT)) throw error;
      throw await this.#conflict(error);
    }
    this.#savedAtMs = this.#clock.now();
    this.#stats.checkpointSaves += 1;
    this.#stats.gaps = this.state.gaps.length;
    this.#stats.gapsOpen = this.state.gaps.filter((gap) => gap.to === null).length;
    // A producer mends those of the partitions, too.
    this.#stats.gapsMended = [...this.state.gaps, ...(this.state.mends ?? [])].filter(({ repaired }) => repaired !== undefined).length;
    failpoint(`checkpoint.after-${why}`);
  }

  /**
   * After a part or the ledger was fenced and before its first write: a newer owner may have come in between, whose
   * own fence ours has just undone. @throws LAKE_LOST_OWNERSHIP
   */
  async assertOwner(): Promise<void> {
    const now = await this.#lake.stat(this.#path);
    if (this.#file !== 'absent' && now?.etag === this.#file.etag) return;
    throw await this.#conflict(undefined);
  }

  async #conflict(cause: unknown): Promise<SluiceError> {
    const now = await this.#lake.stat(this.#path);
    if (now === null) return new SluiceError(LAKE_LOST_OWNERSHIP, `${this.#path} is gone`, { cause });
    const other = decodeCheckpoint(await readFile(this.#lake, this.#path, new AbortController().signal), this.#path);
    return new SluiceError(LAKE_LOST_OWNERSHIP, `this is owner ${this.state.epoch}, the checkpoint says ${other.epoch}`, { cause });
  }
}

/** Files of a lake, under whatever layout; people leave other things in a folder, too. */
const OF_A_LAKE = /^_sluice\/|\.(?:jsonl?|gz|zst)$/;

/**
 * A pipeline's first file after the one that says whose lake it is, is its checkpoint. Where there are others, it has
 * been lost: to begin again would leave out what happened since, without a word. A partition shares the lake with others:
 * of it only its own ledger can tell. @throws CHECKPOINT_BAD
 */
async function assertEmpty(lake: Lake, pipeline: string, scope: Scope, signal: AbortSignal): Promise<void> {
  const within = scope === null || scope === PRODUCER ? '' : `${ledgerFolder(pipeline, scope)}/`;
  const checkpoint = checkpointPath(pipeline, scope);
  let dumped: ReadonlySet<LakePath> = new Set();
  for await (const { path } of lake.list(within, signal)) {
    if (!OF_A_LAKE.test(path) || isOfCommands(path, pipeline) || dumped.has(path)) continue;
    // Asked only now: a dump's file is there after its record. One that has failed takes its file away, and then says so in its record.
    dumped = await dumpPaths(lake, pipeline, signal);
    if (dumped.has(path) || (await lake.stat(path)) === null) continue;
    // Not missing: another owner has begun the pipeline since we looked.
    if ((await lake.stat(checkpoint)) !== null) throw new SluiceError(LAKE_LOST_OWNERSHIP, `${checkpoint} has just been made`);
    throw new SluiceError(CHECKPOINT_BAD, `${checkpoint} is missing, but the lake holds ${path}`);
  }
}

/**
 * What commands write whether the pipeline has begun or not: it says nothing of a checkpoint. What they write only of a pipeline that has
 * (`erasures/`, `retention.json`, `maintenance/`) does, and so does whatever this version does not know.
 */
function isOfCommands(path: LakePath, pipeline: string): boolean {
  if ([PIPELINE_FILE, verificationPath(pipeline), questionPath(pipeline)].includes(path)) return true;
  return [doctorFolder(pipeline), dumpsFolder(pipeline)].some((folder) => path.startsWith(`${folder}/`));
}
