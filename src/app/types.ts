/**
 * What the commands and the HTTP API ask of the application, and what they get back.
 *
 * Plain JSON values throughout: the same types go over HTTP to a command that talks to a running owner.
 */
import type { StorageReport, VerificationOverview } from './overview-types.ts';
import type { Logger } from '../ops/log.ts';
import type { PipelineState, PipelineStats } from '../ops/stats.ts';
import type { CollectionRow, CollectionStatus, SchemaVersion } from '../core/warehouse.ts';
import type { Hour, Timestamp } from '../core/time.ts';
import type { RestoreTotals } from '../pipeline/restore.ts';
import type { DumpOutcome } from '../pipeline/dump.ts';
import type { CompactionTotals } from '../pipeline/compaction.ts';
import type { EraseRequest, EraseSummary } from '../pipeline/erase.ts';
import type { ErasureRecord } from '../pipeline/erasure-record.ts';
import type { RetainSummary } from '../pipeline/retain.ts';
import type { Serve } from './control.ts';

export const ROLES = ['all', 'capture', 'produce', 'consume', 'load'] as const;
export type Role = (typeof ROLES)[number];

/** What a progress line is made of; whoever shows it works out rates and lag. */
export type Progress = Readonly<PipelineStats>;

export interface RunOptions {
  readonly role: Role;
  /** Seal, load, merge and end when nothing has come for so long; `null`: run until stopped. */
  readonly untilIdleMs: number | null;
  /** As long as it is false nothing counts as idle; absent: it may end at once. */
  readonly mayEnd?: (() => boolean) | undefined;
  /** Stand by while another owner lives; else LAKE_OWNED. */
  readonly wait: boolean;
  /** Break the lease of the present owner (no effect on a local lake). */
  readonly takeOver: boolean;
  /** Go on after a gap in the history, which stays recorded. */
  readonly acceptGap: boolean;
  /** Called about once a second and once more at the end. */
  readonly progress: ((progress: Progress) => void) | null;
  /** Called once, before the pipeline is owned: starts the HTTP server. `null`: none. */
  readonly serve: Serve | null;
  readonly log: Logger;
}

/** For commands that do one thing and end. */
export interface CommandOptions {
  readonly log: Logger;
}

/** Whole hours, both ends included. */
export interface HourRange {
  readonly from: Hour;
  readonly to: Hour;
}

export interface LoadArgs {
  /** `null`: whatever is sealed and not loaded. */
  readonly hours: HourRange | null;
}

export interface ReshapeArgs {
  /** Where the Capture files are, as `lake.url` is written. */
  readonly from: string;
  /** As the hub's owner has chosen it. */
  readonly pattern: string;
  /** The lake that the producer writes claims to; `null`: the lake that is written. */
  readonly claims: string | null;
  /** What becomes of files that are in the lake. */
  readonly readFiles: 'keep' | 'delete' | 'move';
  /** A folder of the files' place. */
  readonly moveTo: string;
  /** Look for new files this often, and never end; `null`: once. */
  readonly watchMs: number | null;
  readonly takeOver: boolean;
  readonly acceptGap: boolean;
}

export interface ReshapeSummary {
  readonly events: number;
  /** Events that the lake had already. */
  readonly replayed: number;
  readonly partsSealed: number;
  readonly hoursComplete: number;
  /** Capture files that were deleted or moved. */
  readonly filesDone: number;
}

export interface AdoptArgs {
  /** Where the Spark job has written to, as `lake.url` is written. */
  readonly from: string;
  readonly takeOver: boolean;
}

export interface AdoptSummary {
  readonly events: number;
  readonly partsSealed: number;
  readonly hoursComplete: number;
  readonly deadLetters: number;
  /** Another process adopts or reshapes them. */
  readonly partitionsOwnedByOthers: readonly number[];
}

export interface DumpArgs {
  /** Globs over `db.collection`; empty: all that the configuration dumps. */
  readonly collections: readonly string[];
  /** Of changes: this hour alone; `null`: what is not dumped yet. */
  readonly hour: Hour | null;
  /** `null`: as the configuration says. */
  readonly layout: 'ndjson' | 'document' | 'array' | null;
  readonly content: 'documents' | 'changes' | null;
}

export interface DumpSummary {
  readonly ok: boolean;
  readonly dumps: readonly DumpOutcome[];
}

export interface CompactArgs {
  /** Globs over `db.collection`; empty: all. */
  readonly collections: readonly string[];
  /** `null`: all that are over. */
  readonly hours: HourRange | null;
  /** Break the lease of a compaction that is gone. */
  readonly takeOver: boolean;
}

/** Counts, and what stays as it is: hours of collections as `20261121-07/shop.orders`. */
export type CompactSummary = Readonly<CompactionTotals>;

export type { RetainSummary };

export interface RetainArgs {
  /** Says what would go, and removes nothing. */
  readonly dryRun: boolean;
}

export type { EraseSummary };

export interface EraseArgs {
  /** `null`: only what is left of earlier ones. */
  readonly request: EraseRequest | null;
  /** Says what would go, and takes nothing. */
  readonly dryRun: boolean;
}

export interface ErasuresReport {
  readonly erasures: readonly (Omit<ErasureRecord, 'v' | 'documents' | 'salt' | 'until'> & { readonly collections: readonly string[] })[];
}

export interface RestoreArgs {
  /** `db.collection` */
  readonly collection: string;
  /** Inclusive. */
  readonly asOf: Timestamp;
  /** `file:<path>`, `table:<schema>.<name>` or a connection string. */
  readonly to: string;
  /** With a connection string: another name; `null`: its own. */
  readonly into: string | null;
  /** Where the lines are read. */
  readonly from: 'lake' | 'warehouse';
}

/** Of the documents themselves, out of the warehouse. */
export type RestoreDocumentsArgs = Pick<RestoreArgs, 'collection' | 'asOf'>;

export interface RestoreSummary extends RestoreTotals {
  readonly collection: string;
  readonly asOf: Timestamp;
  readonly from: RestoreArgs['from'];
  /** That was made, and its columns beside key and document. */
  readonly table: { readonly name: string; readonly columns: readonly string[] } | null;
}

export interface MergeArgs {
  /** Globs over `db.collection`; empty: all that have something to merge. */
  readonly collections: readonly string[];
  /** Fold all of bronze anew. */
  readonly rebuild: boolean;
}

export interface QueryArgs {
  readonly sql: string;
  /** Rows at most. */
  readonly limit: number;
  /** The collections as they were at that moment, ISO 8601; `null`: as they are. */
  readonly asOf: string | null;
}

/** All false: everything that the configuration has. */
export interface VerifyArgs {
  readonly lake: boolean;
  readonly warehouse: boolean;
  readonly source: boolean;
}

export interface CollectionsArgs {
  /** Globs over `db.collection`; empty: all. */
  readonly collections: readonly string[];
}

export interface DiscoverArgs {
  /** Documents to look at, of each collection of which nothing is known; 0: none. */
  readonly sample: number;
}

export interface DiscoverSummary {
  readonly collections: readonly {
    readonly namespace: string;
    /** The warehouse did not know it. */
    readonly isNew: boolean;
    readonly status: CollectionStatus;
    /** `null`: this user may not count. */
    readonly sourceCount: number | null;
    readonly sampled: boolean;
  }[];
  /** Views and time series, which have no change events. */
  readonly leftOut: readonly { readonly namespace: string; readonly type: string }[];
}

/** The registry of the warehouse. */
export interface RegistryReport {
  readonly collections: readonly (Omit<CollectionRow, 'namespace'> & { readonly namespace: string })[];
}

export interface SchemaArgs {
  /** `null`: all. */
  readonly collection: string | null;
  /** Also counts the current documents whose values the view shows as NULL: reads all of silver. */
  readonly check: boolean;
}

export interface SchemaReport {
  readonly collections: readonly {
    readonly namespace: string;
    /** Oldest first; none: nothing is known of it. */
    readonly versions: readonly SchemaVersion[];
    /** `null`: not asked for. */
    readonly failedCasts: readonly { readonly column: string; readonly documents: number }[] | null;
  }[];
}

export interface SealSummary {
  readonly files: readonly string[];
  readonly rows: number;
}

export interface LoadSummary {
  readonly files: number;
  readonly rows: number;
  readonly rejected: readonly { readonly path: string; readonly reason: string }[];
}

export interface MergeSummary {
  readonly collections: readonly { readonly namespace: string; readonly rows: number }[];
}

/** `sluice snapshot`. */
export interface SnapshotSummary {
  /** With a running owner: begun. Without one: read to their end. */
  readonly collections: readonly { readonly namespace: string; readonly documents: number | null; readonly caveat: string | null }[];
  readonly underWay: readonly string[];
  readonly refused: readonly { readonly namespace: string; readonly reason: string }[];
  /** A running owner reads them now; else it is done. */
  readonly goesOn: boolean;
}

/** After `pause` and `resume`: the collections whose status was changed. */
export interface PauseSummary {
  readonly collections: readonly string[];
}

export interface VerifyCheck {
  readonly name: string;
  readonly outcome: 'ok' | 'failed' | 'skipped';
  /** What was compared, with numbers; or why it was skipped. */
  readonly detail: string;
  /** Each thing that is off, one line each, beginning with the name of what it violates. The first thousand. */
  readonly findings: readonly string[];
  /** How many there are of each name. */
  readonly counts?: Readonly<Partial<Record<string, number>>>;
  /** How many rows, events or documents were compared. */
  readonly checked?: number;
}

export interface VerifyReport {
  readonly ok: boolean;
  readonly checks: readonly VerifyCheck[];
}

export interface CollectionReport {
  readonly namespace: string;
  /** Of the warehouse; `null` without one. */
  readonly status: CollectionStatus | null;
  readonly reason: string | null;
  readonly partsOpen: number;
  readonly filesSealed: number;
  readonly rowsSealed: number;
  readonly bytesSealed: number;
  readonly rowsLoaded: number | null;
  /** ISO 8601, as all times here. */
  readonly lastEventAt: string | null;
  readonly completeThrough: string | null;
}

export interface GapReport {
  readonly from: string;
  readonly to: string;
  readonly cause: string;
  /** When the snapshots that mend it were complete; `null`: they are not, or there are none. */
  readonly repaired: string | null;
}

/** A collection that is being read whole. */
export interface SnapshotReport {
  readonly namespace: string;
  readonly cause: 'start' | 'asked' | 'repair' | 'renamed' | 'included';
  /** The point of the stream that it belongs to. */
  readonly at: string;
  readonly begunAt: string;
  /** By the server's own books when it began; `null`: they may not be seen. */
  readonly documents: number | null;
  /** Durable. */
  readonly rows: number;
  readonly ranges: { readonly done: number; readonly total: number } | null;
  /** At the rate so far; `null` before there is one. */
  readonly secondsLeft: number | null;
  /** Why it does not go on. */
  readonly failed: string | null;
}

export interface PipelineStatus {
  readonly pipeline: string;
  /** `unknown`: no owner has answered, and the last one has not stopped in good order. */
  readonly state: PipelineState | 'unknown';
  /** Process that owns it, when it is known. */
  readonly pid: number | null;
  /** A process that only loads, which has answered because no owner did. */
  readonly loader: { readonly pid: number } | null;
  readonly epoch: number;
  readonly position: string | null;
  /** Everything before this is durable. */
  readonly watermark: string | null;
  readonly lagSeconds: number | null;
  readonly checkpointSavedAt: string | null;
  readonly collections: readonly CollectionReport[];
  readonly gaps: readonly GapReport[];
  /** Collections that are not read to their end. */
  readonly snapshots: readonly SnapshotReport[];
  /** Messages of the bus that could not be read; `null` without a bus. */
  readonly deadLetters: number | null;
  /** Hours of history that the oplog holds; `null` when it may not be read. */
  readonly oplogHours: number | null;
  /** How long it still has what the pipeline needs, if that stands still from now on; 0: it has it no more. */
  readonly oplogHeadroomSeconds: number | null;
  /** Requests to a lake on Azure since the owner began; `null` when none runs, or on a local lake. */
  readonly storage: StorageReport | null;
  /** The last one that a run has made, by its schedule or because somebody asked it; `null`: none. */
  readonly verification: VerificationOverview | null;
  /** As of the last time that it ran. */
  readonly retention: Pick<RetainSummary, 'hoursBefore' | 'held'>;
}

export interface DeadLetterReport {
  readonly name: string;
  /** When it was sent. */
  readonly at: string;
  /** Code of the error. */
  readonly reason: string;
  readonly detail: string;
  /** Of its value. */
  readonly bytes: number;
}

export interface DeadLettersReport {
  /** Oldest first; the dashboard is given the newest of them. */
  readonly letters: readonly DeadLetterReport[];
  readonly total: number;
}

export interface ReplaySummary {
  /** Names, in the order in which they were sent. */
  readonly replayed: readonly string[];
}

export type CheckOutcome = 'ok' | 'failed' | 'skipped';

/** One line of `sluice doctor`. */
export interface Check {
  readonly area: 'source' | 'bus' | 'lake' | 'warehouse';
  readonly name: string;
  readonly outcome: CheckOutcome;
  readonly detail: string;
  /** What to type or change; `null` when there is nothing to do. */
  readonly fix: string | null;
}
