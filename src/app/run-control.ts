/**
 * What a running pipeline answers to those who ask over HTTP.
 */
import { SluiceError } from '../core/error.ts';
import { CONFIG_CONFLICT, LAKE_OWNED } from '../core/errors.ts';
import type { QueryResult, Warehouse } from '../core/warehouse.ts';
import type { Logger } from '../ops/log.ts';
import { writesPerMillion, type PipelineStats } from '../ops/stats.ts';
import type { Control } from './control.ts';
import { discoverWith } from './discover.ts';
import { loadWith, mergeWith, setStatuses } from './load.ts';
import { queryWith } from './query.ts';
import type { LoadLoop } from './load-loop.ts';
import type { Running } from './run.ts';
import { collectionsOf, schemasOf } from './schema.ts';
import { sealedBy } from './sealed-since.ts';
import { statusOf } from './status.ts';
import type {
  CollectionsArgs,
  DiscoverArgs,
  DiscoverSummary,
  LoadArgs,
  LoadSummary,
  MergeArgs,
  MergeSummary,
  PauseSummary,
  PipelineStatus,
  QueryArgs,
  RegistryReport,
  SchemaArgs,
  SchemaReport,
  SealSummary,
  VerifyArgs,
  VerifyReport,
} from './types.ts';
import { verifyWith } from './verify.ts';

export class RunControl implements Control {
  readonly #running: Running;
  readonly #log: Logger;

  constructor(running: Running, log: Logger) {
    this.#running = running;
    this.#log = log;
  }

  get pipeline(): string {
    return this.#running.config.pipeline;
  }

  get stats(): PipelineStats {
    return this.#running.stats;
  }

  status(signal: AbortSignal): Promise<PipelineStatus> {
    const { config, lake, warehouse, stats } = this.#running;
    const { writes, reads, lists } = stats.lake;
    const storage = config.lake.kind === 'local' ? null : { writes, reads, lists, writesPerMillionEvents: writesPerMillion(stats) };
    return statusOf(config, lake, warehouse, { state: stats.state, pid: process.pid, storage }, signal);
  }

  async seal(signal: AbortSignal): Promise<SealSummary> {
    const { capture, lake, stats } = this.#running;
    if (capture === null) throw new SluiceError(CONFIG_CONFLICT, 'this process only loads: there is nothing to seal');
    if (stats.epoch === 0) throw new SluiceError(LAKE_OWNED, 'this process stands by');
    return await sealedBy(lake, this.pipeline, () => capture.seal(signal), signal);
  }

  load(args: LoadArgs, signal: AbortSignal): Promise<LoadSummary> {
    const { loads, warehouse } = this.#loading();
    const { lake, config, stats } = this.#running;
    if (args.hours === null) return loads.catchUp(signal);
    return loads.inTurn(() => loadWith(lake, warehouse, { pipeline: config.pipeline, hours: args.hours, log: this.#log, stats }, signal));
  }

  merge(args: MergeArgs, signal: AbortSignal): Promise<MergeSummary> {
    const { loads, warehouse } = this.#loading();
    return loads.inTurn(() => mergeWith(warehouse, args, signal));
  }

  query(args: QueryArgs, signal: AbortSignal): Promise<QueryResult> {
    return queryWith(this.#loading().warehouse, args, signal);
  }

  verify(args: VerifyArgs, signal: AbortSignal): Promise<VerifyReport> {
    const { lake, warehouse } = this.#running;
    return verifyWith(lake, this.pipeline, warehouse, args, signal);
  }

  pause(args: CollectionsArgs): Promise<PauseSummary> {
    return setStatuses(this.#loading().warehouse, args, 'PAUSED');
  }

  async resume(args: CollectionsArgs): Promise<PauseSummary> {
    const { loads, warehouse } = this.#loading();
    const summary = await setStatuses(warehouse, args, 'ACTIVE');
    loads.retry();
    return summary;
  }

  discover(args: DiscoverArgs, signal: AbortSignal): Promise<DiscoverSummary> {
    return discoverWith(this.#running.config, this.#loading().warehouse, args, signal);
  }

  async collections(): Promise<RegistryReport> {
    return await collectionsOf(this.#loading().warehouse);
  }

  async schema(args: SchemaArgs, signal: AbortSignal): Promise<SchemaReport> {
    return await schemasOf(this.#loading().warehouse, args, signal);
  }

  #loading(): { loads: LoadLoop; warehouse: Warehouse } {
    const { loads, warehouse, config } = this.#running;
    if (loads !== null && warehouse !== null) return { loads, warehouse };
    if (config.warehouse === null) throw new SluiceError(CONFIG_CONFLICT, 'the configuration has no warehouse');
    throw new SluiceError(LAKE_OWNED, 'this process does not hold the warehouse');
  }
}
