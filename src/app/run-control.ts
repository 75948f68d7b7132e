/**
 * What a running pipeline answers to those who ask over HTTP.
 */
import { systemClock } from '../core/clock.ts';
import { SluiceError } from '../core/error.ts';
import { CONFIG_CONFLICT, LAKE_OWNED } from '../core/errors.ts';
import type { QueryResult, Warehouse } from '../core/warehouse.ts';
import type { EraseSummary } from '../pipeline/erase.ts';
import type { DeadLetter } from '../pipeline/dead-letters.ts';
import type { RetainSummary } from '../pipeline/retain.ts';
import { chosenBy } from '../pipeline/snapshot-question.ts';
import type { Logger } from '../ops/log.ts';
import { writesPerMillion, type PipelineStats } from '../ops/stats.ts';
import type { Control } from './control.ts';
import { listWith, readWith, replayWith } from './dead-letters.ts';
import { discoverWith } from './discover.ts';
import { dumpWith } from './dump.ts';
import { eraseWith } from './erase.ts';
import { restoredLines, restoreWith } from './restore.ts';
import { retainWith } from './retain.ts';
import { loadWith, mergeWith, setStatuses } from './load.ts';
import { queryWith } from './query.ts';
import type { LoadLoop } from './load-loop.ts';
import type { Running } from './run.ts';
import { ledgerFiles } from './ledger-files.ts';
import { Overviews } from './overview.ts';
import type { FilesArgs, FilesReport, Overview } from './overview-types.ts';
import { collectionsOf, schemasOf } from './schema.ts';
import { sealedBy } from './sealed-since.ts';
import { assertSnapshots, snapshotByProducer, summaryOf } from './snapshot.ts';
import { NO_OWNER, statusOf } from './status.ts';
import type {
  CollectionsArgs,
  DeadLettersReport,
  DiscoverArgs,
  DiscoverSummary,
  DumpArgs,
  DumpSummary,
  EraseArgs,
  LoadArgs,
  LoadSummary,
  MergeArgs,
  MergeSummary,
  PauseSummary,
  PipelineStatus,
  QueryArgs,
  RegistryReport,
  ReplaySummary,
  RestoreArgs,
  RestoreDocumentsArgs,
  RestoreSummary,
  RetainArgs,
  SchemaArgs,
  SchemaReport,
  SealSummary,
  SnapshotSummary,
  VerifyArgs,
  VerifyReport,
} from './types.ts';
import { verifyAll } from './verify.ts';

/** Of dead letters, for a page: each is a file of its own. */
const LETTERS_MAX = 200;

/** Of each check; the report has them all. */
const FINDINGS_LOGGED = 10;

export class RunControl implements Control {
  readonly #running: Running;
  readonly #log: Logger;
  readonly #overviews: Overviews;

  constructor(running: Running, log: Logger) {
    this.#running = running;
    this.#log = log;
    this.#overviews = new Overviews(running);
  }

  get pipeline(): string {
    return this.#running.config.pipeline;
  }

  get stats(): PipelineStats {
    return this.#running.stats;
  }

  status(signal: AbortSignal): Promise<PipelineStatus> {
    const { config, lake, warehouse, stats, role } = this.#running;
    const how = { log: this.#log, signal };
    // That it runs says nothing of who writes the lake.
    if (role === 'load') return statusOf(config, lake, warehouse, { ...NO_OWNER, loader: { pid: process.pid } }, how);
    const { writes, reads, lists } = stats.lake;
    const storage = config.lake.kind === 'local' ? null : { writes, reads, lists, writesPerMillionEvents: writesPerMillion(stats) };
    const owner = { state: stats.state, pid: process.pid };
    return statusOf(config, lake, warehouse, { owner, loader: null, storage, oplogHeadroomSeconds: stats.oplogHeadroomSeconds }, how);
  }

  overview(): Promise<Overview> {
    return this.#overviews.read();
  }

  get revision(): string {
    return this.#overviews.revision;
  }

  files(args: FilesArgs, signal: AbortSignal): Promise<FilesReport> {
    const { lake, warehouse } = this.#running;
    return ledgerFiles(lake, this.pipeline, warehouse, args, signal);
  }

  async seal(signal: AbortSignal): Promise<SealSummary> {
    const { capture, lake, stats } = this.#running;
    if (capture === null) throw new SluiceError(CONFIG_CONFLICT, 'this process only loads: there is nothing to seal');
    if (stats.epoch === 0) throw new SluiceError(LAKE_OWNED, 'this process stands by');
    this.#log.info('asked to seal what is open');
    return await sealedBy(lake, this.pipeline, () => capture.seal(signal), signal);
  }

  async snapshot(args: CollectionsArgs, signal: AbortSignal): Promise<SnapshotSummary> {
    const { capture, config, lake } = this.#running;
    assertSnapshots(config);
    // The producer may be in another process, on another machine.
    if (config.bus !== null) return await snapshotByProducer(config, args, lake, signal);
    if (capture?.snapshot === undefined) throw new SluiceError(CONFIG_CONFLICT, 'this process only loads: it cannot read collections');
    return summaryOf(await capture.snapshot(chosenBy(args.collections), signal), true);
  }

  async dump(args: DumpArgs, signal: AbortSignal): Promise<DumpSummary> {
    const { config, lake, capture, stats } = this.#running;
    // What there is of the present hour is dumped, too.
    if (capture !== null && stats.epoch > 0) await capture.seal(signal);
    return await dumpWith(config, args, { lake, clock: systemClock, log: this.#log }, signal);
  }

  retain(args: RetainArgs, signal: AbortSignal): Promise<RetainSummary> {
    const { config, lake, warehouse, stats } = this.#running;
    return retainWith(config, args, { lake, warehouse, stats, clock: systemClock, log: this.#log }, signal);
  }

  async erase(args: EraseArgs, signal: AbortSignal): Promise<EraseSummary> {
    const { config, lake, warehouse } = this.#running;
    this.#log.info({ dryRun: args.dryRun }, 'asked to erase');
    const summary = await eraseWith(config, args, { lake, warehouse, clock: systemClock, log: this.#log }, signal);
    this.#overviews.changed();
    return summary;
  }

  async restore(args: RestoreArgs, signal: AbortSignal): Promise<RestoreSummary> {
    const { config, lake } = this.#running;
    const { warehouse } = this.#loading();
    this.#log.info({ collection: args.collection, from: args.from, to: args.to }, 'asked to restore');
    return await restoreWith(config, args, { lake, warehouse }, signal);
  }

  async restoreDocuments(args: RestoreDocumentsArgs, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
    const { warehouse } = this.#loading();
    this.#log.info({ collection: args.collection }, 'asked for what a collection held');
    return await restoredLines(this.#running.config, args, warehouse, signal);
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
    const { lake, warehouse, config } = this.#running;
    return this.#overviews.verifying(async () => {
      const report = await verifyAll(config, lake, warehouse, args, { log: this.#log }, signal);
      const checks = Object.fromEntries(report.checks.map(({ name, outcome }) => [name, outcome]));
      this.#log[report.ok ? 'info' : 'error'](checks, report.ok ? 'verified: everything agrees' : 'verified: something is off');
      for (const finding of report.checks.flatMap(({ findings }) => findings.slice(0, FINDINGS_LOGGED)))
        this.#log.error({ finding }, 'a verification has found');
      return report;
    });
  }

  async pause(args: CollectionsArgs): Promise<PauseSummary> {
    const summary = await setStatuses(this.#loading().warehouse, args, 'PAUSED');
    for (const collection of summary.collections) this.#log.info({ collection }, 'loading is paused');
    this.#overviews.changed();
    return summary;
  }

  async resume(args: CollectionsArgs): Promise<PauseSummary> {
    const { loads, warehouse } = this.#loading();
    const summary = await setStatuses(warehouse, args, 'ACTIVE');
    for (const collection of summary.collections) this.#log.info({ collection }, 'loading goes on');
    loads.retry();
    this.#overviews.changed();
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

  deadLetters(signal: AbortSignal): Promise<DeadLettersReport> {
    return listWith(this.#running.lake, this.pipeline, LETTERS_MAX, signal);
  }

  deadLetter(name: string, signal: AbortSignal): Promise<DeadLetter> {
    return readWith(this.#running.lake, this.pipeline, name, signal);
  }

  async replay(names: readonly string[], signal: AbortSignal): Promise<ReplaySummary> {
    const { config, lake } = this.#running;
    try {
      const summary = await replayWith(config, lake, names, { log: this.#log }, signal);
      this.#log.info({ messages: summary.replayed.length }, 'dead letters were sent to the topic again');
      return summary;
    } finally {
      // Cut short, some have gone.
      this.#overviews.changed();
    }
  }

  #loading(): { loads: LoadLoop; warehouse: Warehouse } {
    const { loads, warehouse, config } = this.#running;
    if (loads !== null && warehouse !== null) return { loads, warehouse };
    if (config.warehouse === null) throw new SluiceError(CONFIG_CONFLICT, 'the configuration has no warehouse');
    throw new SluiceError(LAKE_OWNED, 'this process does not hold the warehouse');
  }
}
