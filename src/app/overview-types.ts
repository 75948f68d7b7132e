/**
 * What the dashboard is given: plain JSON, read by web/ as types alone.
 */
import type { CollectionStatus } from '../core/warehouse.ts';
import type { Hour } from '../core/time.ts';
import type { LoadRecord, PipelineState } from '../ops/stats.ts';
import type { SnapshotReport } from './types.ts';

/**
 * State of one hour of a collection, one letter each:
 * `-` not covered by this pipeline, `.` nothing happened, `o` open, `s` sealed, `l` loaded and merged, `g` gap in the history.
 */
export type HourState = '-' | '.' | 'o' | 's' | 'l' | 'g';

export type Health = 'fine' | 'behind' | 'paused' | 'error';

export interface CollectionOverview {
  readonly namespace: string;
  readonly health: Health;
  /** Of the warehouse; `null` without one, or before it has been told of the collection. */
  readonly status: CollectionStatus | null;
  readonly reason: string | null;
  readonly partsOpen: number;
  /** These three: of the hours that are shown. */
  readonly filesSealed: number;
  readonly rowsSealed: number;
  readonly bytesSealed: number;
  /** Of all time. */
  readonly rowsLoaded: number | null;
  /** ISO 8601, as all times here. */
  readonly lastEventAt: string | null;
  readonly completeThrough: string | null;
  /** One letter per hour from `hours.from`, run by run: `.700s3l16o1`. */
  readonly cells: string;
}

export interface GapOverview {
  readonly from: string;
  /** `null`: capture has not gone on yet. */
  readonly to: string | null;
  readonly cause: string;
  readonly collections: readonly string[];
  /** When the snapshots that mend it were complete; `null`: they are not, or there are none. */
  readonly repaired: string | null;
}

export interface VerificationOverview {
  readonly begunAt: string;
  /** `null`: it is still running. */
  readonly endedAt: string | null;
  /** `null`: it is still running, or could not be done: `failure`. */
  readonly ok: boolean | null;
  readonly failure: string | null;
  /** Hours before this one were complete when it began. */
  readonly before: Hour;
  readonly checks: readonly {
    readonly name: string;
    readonly outcome: 'ok' | 'failed' | 'skipped';
    readonly detail: string;
    /** The first of them. */
    readonly findings: readonly string[];
    readonly counts?: Readonly<Partial<Record<string, number>>>;
    /** How many rows, events or documents were compared. */
    readonly checked?: number;
  }[];
}

/** What the process can be asked to do. */
export interface Abilities {
  readonly captures: boolean;
  readonly loads: boolean;
  /** It reads collections whole when it is asked. */
  readonly snapshots: boolean;
  /** There is a topic that messages can be sent to again. */
  readonly sends: boolean;
}

export interface Overview {
  /** As in {@link Live}, when this was begun: another one there says that there is something newer to read. */
  readonly revision: string;
  readonly at: string;
  readonly version: string;
  readonly pipeline: string;
  readonly pid: number;
  readonly state: PipelineState;
  readonly epoch: number;
  readonly include: readonly string[];
  readonly lake: string;
  /** `null`: there is none in the configuration. */
  readonly warehouse: string | null;
  readonly abilities: Abilities;
  readonly position: string | null;
  /** First time that this pipeline covers; `null`: it has not begun. */
  readonly startedAt: string | null;
  readonly watermark: string | null;
  readonly checkpointSavedAt: string | null;
  /** Hours of history that the oplog holds; `null` when it may not be read. */
  readonly oplogHours: number | null;
  /** The hours of `cells`. Those before `published` are complete: nothing more can come. */
  readonly hours: {
    readonly from: Hour;
    readonly count: number;
    readonly published: Hour;
    /** Hours before this one are still being read from the ledger: soon this is `from`. */
    readonly knownFrom: Hour;
  };
  readonly collections: readonly CollectionOverview[];
  readonly gaps: readonly GapOverview[];
  /** Collections that are being read whole, or could not be. */
  readonly snapshots: readonly SnapshotReport[];
  /** Messages of the bus that could not be read; `null` without a bus. */
  readonly deadLetters: number | null;
  /** Since this process began, newest first. */
  readonly loads: readonly LoadRecord[];
  /** The last one that a run has made; `null`: none. */
  readonly verification: VerificationOverview | null;
}

export interface FilesArgs {
  readonly collection: string;
  /** `null`: the newest. */
  readonly hour: Hour | null;
}

/** Lines of the ledger. */
export interface FilesReport {
  readonly files: readonly {
    readonly path: string;
    /** `YYYYMMDD-HH`. */
    readonly hour: string;
    readonly rows: number;
    readonly bytes: number;
    readonly sha256: string;
    readonly firstAt: string | null;
    readonly lastAt: string | null;
    readonly ops: Readonly<Partial<Record<string, number>>>;
    readonly epoch: number;
    /** `null`: there is no warehouse here to ask. */
    readonly loaded: boolean | null;
  }[];
  /** There are more. */
  readonly truncated: boolean;
}

/** Sent about once a second while somebody looks. Rates are worked out by whoever shows them. */
export interface Live {
  readonly atMs: number;
  readonly state: PipelineState;
  readonly epoch: number;
  readonly events: number;
  readonly eventBytes: number;
  readonly eventsReplayed: number;
  readonly appends: number;
  readonly partsOpen: number;
  readonly partsSealed: number;
  readonly filesLoaded: number;
  readonly rowsLoaded: number;
  readonly rowsMerged: number;
  readonly loadErrors: number;
  readonly reconnects: number;
  readonly linesLossy: number;
  readonly linesOversize: number;
  readonly gapsOpen: number;
  readonly flushSeconds: number;
  readonly flushes: number;
  /** Age of the watermark; `null` before the first read. */
  readonly lagSeconds: number | null;
  readonly lastEventAtMs: number | null;
  readonly lakeAwaySeconds: number;
  /** How long the oplog still has what is needed if the position stays where it is; `null`: not known. */
  readonly oplogHeadroomSeconds: number | null;
  readonly memoryBytes: number;
  /** Changes when the overview has changed. */
  readonly revision: string;
}

/** Requests to a lake on Azure. */
export interface StorageReport {
  readonly writes: number;
  readonly reads: number;
  readonly lists: number;
  /** `null` before the first event. */
  readonly writesPerMillionEvents: number | null;
}
