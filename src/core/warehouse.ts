/**
 * The contract of a warehouse. `test/contracts/warehouse.ts` runs on each implementation.
 */
import type { DocumentSchema, FieldPath, FieldRecord } from './document-schema.ts';
import type { SealedLine } from './ledger.ts';
import type { Namespace } from './namespace.ts';
import type { Hour, Timestamp } from './time.ts';
import type { LoadedFile, LoadedLine, WarehouseFault } from './warehouse-proof.ts';

/** A sealed file as a loader is given it: its ledger line and a way to its bytes. */
export interface SealedFile {
  readonly line: SealedLine;
  /** Path on this machine's disk, or `null`: then `read`. */
  readonly localPath: string | null;
  /**
   * Of a file that is gone, whose lines `read` takes out of the one that has replaced it: how many bytes they are, not compressed. Else
   * what is read is what was sealed.
   */
  readonly plainBytes?: number;
  read(signal: AbortSignal): AsyncIterable<Uint8Array>;
}

export interface LoadResult {
  /** Files that this call committed; those that were in the ledger before are skipped. */
  readonly files: number;
  readonly rows: number;
  /** Collections that got rows. */
  readonly namespaces: readonly Namespace[];
  /** Files that could not be loaded, with the reason. The others are loaded; these collections are in status ERROR. */
  readonly rejected: readonly { readonly path: string; readonly reason: string }[];
}

export interface MergeResult {
  /** Bronze rows folded into silver by this call. */
  readonly rows: number;
}

export type CollectionStatus = 'DISCOVERED' | 'ACTIVE' | 'PAUSED' | 'ERROR';

/** A row of `sluice.collection_registry`. */
export interface CollectionRow {
  readonly namespace: Namespace;
  readonly status: CollectionStatus;
  readonly reason: string | null;
  readonly rows: number;
  readonly bytes: number;
  /** Documents that MongoDB said it had, and when it was asked; `null`: never. */
  readonly sourceCount: number | null;
  readonly sourceCountedAt: string | null;
  /** ISO 8601, or `null` when there has been none. */
  readonly firstSeenAt: string;
  readonly lastEventAt: string | null;
  readonly lastLoadAt: string | null;
  /** Everything before this is loaded and merged. */
  readonly completeThrough: string | null;
}

/** A column of a view in gold. */
export interface SchemaColumn {
  /** `null`: nothing is loaded yet, so there is no view. */
  readonly view: string | null;
  readonly name: string;
  readonly path: FieldPath;
  readonly type: string;
  /** Documents that were seen with a value of another type: NULL in the view, whole in silver. */
  readonly conflicts: number;
}

/** A row of `sluice.schema_history`: a new one begins when a path or a type is seen for the first time. */
export interface SchemaVersion {
  /** From 1. */
  readonly version: number;
  /** Of the paths and their types. */
  readonly hash: string;
  /** Events with a document that this is learnt from. */
  readonly documents: number;
  readonly fields: readonly FieldRecord[];
  readonly columns: readonly SchemaColumn[];
  /** ISO 8601. */
  readonly validFrom: string;
  readonly updatedAt: string;
}

/** History that the source no longer had. */
export interface WarehouseGap {
  readonly from: Timestamp;
  /** `null`: capture has not gone on yet. */
  readonly to: Timestamp | null;
  /** ISO 8601. */
  readonly detectedAt: string;
  readonly collections: readonly string[];
  readonly cause: string;
}

/** What {@link Warehouse.retainBronze} has done, or would do. */
export interface BronzeRetention {
  /** Where the horizon is now. */
  readonly from: Hour | null;
  readonly rows: number;
  /** What keeps it from going as far as was asked for, or `null`. */
  readonly heldBy: string | null;
}

export interface QueryResult {
  readonly columns: readonly string[];
  /** JSON values; numbers that a double cannot hold come as text. */
  readonly rows: readonly (readonly unknown[])[];
  /** More rows exist than `limit`. */
  readonly truncated: boolean;
}

/** What bronze says of a collection's history. Times of gaps and ends have seconds alone. */
export interface BronzeHistory {
  /** Lines of creations, drops and renames of it, and of drops of its database. */
  readonly marks: readonly string[];
  /** Those of which all files are loaded: the line that ends each, where its files lay, and how many rows bronze has of them. */
  readonly snapshots: readonly { readonly end: string; readonly folder: string; readonly rows: number }[];
  /** When others were renamed to it, or it was ended by an event whose line bronze does not have in its tables. */
  readonly ends: readonly Timestamp[];
  readonly gaps: readonly { readonly from: Timestamp; readonly to: Timestamp | null }[];
  /** Rows before it are gone on purpose; `null`: none are. */
  readonly from: Timestamp | null;
  /**
   * Everything before that time is loaded, of every collection: a rename brings documents from another one. `by` is the one that is loaded
   * least far. `null`: nothing is known of it.
   */
  readonly until: { readonly at: Timestamp; readonly by: string } | null;
  /** Rows of it were erased. */
  readonly erased: boolean;
}

/** A document, and the text of its `documentKey`. */
export interface KeyedDocument {
  readonly key: string;
  readonly doc: string;
}

/** A table that is to be made of documents. */
export interface NewTable {
  readonly schema: string;
  readonly name: string;
  /** The collection whose columns it has, as far as they are known. */
  readonly like: Namespace;
  /** What the table is, said of it in the warehouse itself. Asked for when all documents are there. */
  comment(): string;
}

export interface MadeTable {
  readonly rows: number;
  /** Beside key and document. */
  readonly columns: readonly string[];
}

/** A file whose lines are those of other files, in order; none: it is one that was sealed, or rewritten by an erasure, as it is. */
export interface Origin {
  readonly path: string;
  readonly of: readonly Origin[];
}

/** `nothing`: none of its rows were here. `partly`: some are, which are to be loaded first. */
export type TakenOver = 'done' | 'nothing' | 'partly';

export interface Warehouse extends AsyncDisposable {
  /** Where it is, for messages. Never a secret. */
  readonly description: string;
  /** How many collections it can load or merge at one time. */
  readonly atOnce: number;
  /** How often `complete_through` may be moved on while nothing is loaded: one that costs money while it is awake is left asleep. */
  readonly idleMarkMs: number;
  /**
   * Makes or upgrades schemas and tables, and the columns that the user has named. Called once before anything is written.
   * @param how without `columns`, for who writes nothing into silver, those stay as they are; then what is up to date is not touched at all
   */
  migrate(how?: { readonly columns: boolean }): Promise<void>;
  /**
   * In the place of {@link migrate}, for who only reads: changes nothing.
   * @throws WAREHOUSE_EMPTY there are no tables yet, WAREHOUSE_OLDER, WAREHOUSE_FAILED they are newer
   */
  assertMigrated(): Promise<void>;
  /** Which of these ledger paths are loaded already. */
  loaded(paths: readonly string[]): Promise<ReadonlySet<string>>;
  /** Rows and ledger commit together; a file that is already in the ledger is skipped. */
  load(files: readonly SealedFile[], signal: AbortSignal): Promise<LoadResult>;
  /**
   * Bronze → silver for what has been loaded since the last merge; `rebuild` folds all of bronze anew, and no reader sees
   * half of it. What is merged is learnt from: {@link schema} and the views in gold follow.
   */
  merge(ns: Namespace, how: { readonly rebuild: boolean }, signal: AbortSignal): Promise<MergeResult>;
  /** Collections with bronze rows that no merge has folded yet. */
  unmerged(): Promise<readonly Namespace[]>;
  /** Collections that are merged and not learnt from yet, after a crash between the two or an upgrade: the next merge does it. */
  unlearnt(): Promise<readonly Namespace[]>;
  /** Everything of `ns` before `through` is loaded and merged. Never moves back. With hard deletes, purges tombstones below it. */
  markComplete(marks: readonly { readonly namespace: Namespace; readonly through: Timestamp }[]): Promise<void>;
  /** Registers collections that are not known yet (status DISCOVERED, ACTIVE with the first load). */
  discover(namespaces: readonly Namespace[]): Promise<void>;
  /** @param from changes nothing unless it is in one of these now; left out: whatever it is in */
  setStatus(ns: Namespace, status: CollectionStatus, reason: string | null, from?: readonly CollectionStatus[]): Promise<void>;
  collections(): Promise<readonly CollectionRow[]>;
  /** Notes how many documents MongoDB has, of collections that are registered. */
  noteSourceCounts(counts: readonly { readonly namespace: Namespace; readonly count: number }[]): Promise<void>;
  /** Notes the gaps of a pipeline's history in `sluice.gaps`, in the place of those that were noted of it before. */
  noteGaps(pipeline: string, gaps: readonly WarehouseGap[]): Promise<void>;
  /** Adds what a look at some documents has shown to the schema of a registered collection. */
  learn(ns: Namespace, seen: DocumentSchema): Promise<void>;
  /** All versions of its schema, oldest first; none for what nobody has loaded or looked at. */
  schema(ns: Namespace): Promise<readonly SchemaVersion[]>;
  /** Per column of its view in gold: current documents with a value there that the view shows as NULL. */
  failedCasts(ns: Namespace, signal: AbortSignal): Promise<readonly { readonly column: string; readonly documents: number }[]>;
  /** Reads only: a statement that would change anything is refused. @throws WAREHOUSE_QUERY */
  query(sql: string, limit: number, signal: AbortSignal): Promise<QueryResult>;
  /**
   * `sql` over collections as they were at a moment: where it names the table of one without a schema, that is what it stands for.
   * @param at ISO 8601 @throws AS_OF_UNKNOWN, AS_OF_TABLES
   */
  asOf(sql: string, at: string): Promise<string>;
  /** For `sluice restore`. */
  history(ns: Namespace, signal: AbortSignal): Promise<BronzeHistory>;
  /** Lines of a snapshot, in no order. @param folder where its files lay */
  snapshotLines(ns: Namespace, folder: string, signal: AbortSignal): AsyncIterable<string>;
  /** Lines of inserts, updates, replaces and deletes, by position. @param span `upTo` inclusive */
  eventLines(ns: Namespace, span: { readonly after: string; readonly upTo: Timestamp }, signal: AbortSignal): AsyncIterable<string>;
  /**
   * A new table with these documents, all of them: nobody sees it before, and what fails leaves none. Read once; the first is asked for
   * before anybody else has to wait. @throws RESTORE_TARGET it is there already, RESTORE_ROWS
   */
  makeTable(table: NewTable, documents: AsyncIterable<KeyedDocument>, signal: AbortSignal): Promise<MadeTable>;
  /** Streams the silver documents of a collection that are current, ordered by key, as `{ key, doc }` texts: for `verify`. */
  silver(ns: Namespace, signal: AbortSignal): AsyncIterable<{ readonly key: string; readonly doc: string | null }>;
  /**
   * The hour from which on bronze has every event of a collection. What it has of before is what the state at that hour stands on: of each
   * document the newest event, and the newest that brought one. `null`: retention has removed nothing.
   */
  bronzeHorizon(ns: Namespace): Promise<Hour | null>;
  /**
   * Moves that horizon forward, as far as is asked for and everything before it is loaded and merged, and removes what is superseded by then: silver,
   * its rebuild and what is known of every moment from there on stay as they are. May be cut short and done again.
   */
  retainBronze(ns: Namespace, how: { readonly before: Hour; readonly dryRun: boolean }, signal: AbortSignal): Promise<BronzeRetention>;
  /**
   * For `sluice erase`. Keys of documents that bronze speaks of before a moment, each once, in no order: the text of `documentKey._id`.
   */
  keys(ns: Namespace, before: Timestamp, signal: AbortSignal): AsyncIterable<string>;
  /** Rows of bronze of these keys, before that moment. */
  countKeys(ns: Namespace, keys: readonly string[], before: Timestamp): Promise<number>;
  /** Takes them out of bronze; silver of these keys is made again from what is left. One transaction. @returns rows of bronze */
  eraseKeys(ns: Namespace, keys: readonly string[], before: Timestamp): Promise<number>;
  /**
   * The file of `line`, which has `erased` and supersedes that of `origin`, stands for it from now on: its rows are those that bronze has
   * of it, and nothing that it supersedes is ever loaded any more. After {@link eraseKeys}. @throws ERASE_DIFFERS they are not as many
   */
  takeOver(line: SealedLine, origin: Origin): Promise<TakenOver>;
  /**
   * For `verify`, all three read only, each sees one moment, also while files are loaded. Files of a collection that have a
   * row in the load ledger or rows in bronze, in no order.
   */
  loadedFiles(ns: Namespace, signal: AbortSignal): AsyncIterable<LoadedFile>;
  /** Every row of bronze of one file, by number: a number that is there twice comes twice. */
  loadedLines(ns: Namespace, path: string, signal: AbortSignal): AsyncIterable<LoadedLine>;
  /**
   * Proves what the warehouse can prove of a collection by itself: columns of bronze against its lines, and silver against
   * bronze, computed anew and not as the merge does it. What is not merged yet is no fault of silver.
   */
  prove(ns: Namespace, examplesMax: number, signal: AbortSignal): Promise<readonly WarehouseFault[]>;
}
