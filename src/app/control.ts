/**
 * What may be asked of a running pipeline. The HTTP server offers it, `run` implements it.
 */
import type { PipelineStats } from '../ops/stats.ts';
import type { EraseSummary } from '../pipeline/erase.ts';
import type { DeadLetter } from '../pipeline/dead-letters.ts';
import type { RetainSummary } from '../pipeline/retain.ts';
import type { QueryResult } from '../core/warehouse.ts';
import type { FilesArgs, FilesReport, Overview } from './overview-types.ts';
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

/**
 * Each call may come at any time, also while the pipeline stands by or stops; what cannot be done then is a SluiceError
 * (LAKE_OWNED while standing by). `signal` aborts when the asker has gone.
 */
export interface Control {
  readonly pipeline: string;
  /** Live: read at each scrape. */
  readonly stats: PipelineStats;
  status(signal: AbortSignal): Promise<PipelineStatus>;
  /** For the dashboard: made at most once a second, however many ask. */
  overview(signal: AbortSignal): Promise<Overview>;
  /** Differs whenever the overview would. Live: read about once a second while somebody looks. */
  readonly revision: string;
  files(args: FilesArgs, signal: AbortSignal): Promise<FilesReport>;
  seal(signal: AbortSignal): Promise<SealSummary>;
  snapshot(args: CollectionsArgs, signal: AbortSignal): Promise<SnapshotSummary>;
  dump(args: DumpArgs, signal: AbortSignal): Promise<DumpSummary>;
  retain(args: RetainArgs, signal: AbortSignal): Promise<RetainSummary>;
  erase(args: EraseArgs, signal: AbortSignal): Promise<EraseSummary>;
  /** Into a table alone. */
  restore(args: RestoreArgs, signal: AbortSignal): Promise<RestoreSummary>;
  /** Out of the warehouse, as lines for whoever writes them (restore-lines.ts). */
  restoreDocuments(args: RestoreDocumentsArgs, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>>;
  load(args: LoadArgs, signal: AbortSignal): Promise<LoadSummary>;
  merge(args: MergeArgs, signal: AbortSignal): Promise<MergeSummary>;
  query(args: QueryArgs, signal: AbortSignal): Promise<QueryResult>;
  verify(args: VerifyArgs, signal: AbortSignal): Promise<VerifyReport>;
  pause(args: CollectionsArgs, signal: AbortSignal): Promise<PauseSummary>;
  resume(args: CollectionsArgs, signal: AbortSignal): Promise<PauseSummary>;
  discover(args: DiscoverArgs, signal: AbortSignal): Promise<DiscoverSummary>;
  collections(signal: AbortSignal): Promise<RegistryReport>;
  schema(args: SchemaArgs, signal: AbortSignal): Promise<SchemaReport>;
  /** The newest of them. */
  deadLetters(signal: AbortSignal): Promise<DeadLettersReport>;
  /** With its value. */
  deadLetter(name: string, signal: AbortSignal): Promise<DeadLetter>;
  /** @param names empty: all */
  replay(names: readonly string[], signal: AbortSignal): Promise<ReplaySummary>;
}

/** A server in front of a {@link Control}; disposed when the run ends. */
export interface Serving extends AsyncDisposable {
  /** To be called when the pipeline is owned: from here on other commands on this machine find this process. */
  owned(): Promise<void>;
  /** To be called when this process has the warehouse open: what is asked of it is asked here. */
  opened(): Promise<void>;
  /**
   * To be called while what was owned is owned still: from here on other commands do not find this process by it. Later, the file that
   * is taken away could be that of whoever owns it by then. What a lock of the warehouse guards stays until this is disposed.
   */
  leaving(): Promise<void>;
}

export type Serve = (control: Control) => Promise<Serving>;
