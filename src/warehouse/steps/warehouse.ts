/**
 * What a warehouse of tables does the same way whichever database holds them: the registry, the schema, the proof. How files are
 * loaded, silver is made anew and tables are brought up is the database's own.
 */
import type { DocumentSchema } from '../../core/document-schema.ts';
import { formatNamespace, type Namespace } from '../../core/namespace.ts';
import { hourOf, type Hour, type Timestamp } from '../../core/time.ts';
import type { SealedLine } from '../../core/ledger.ts';
import type {
  BronzeHistory,
  BronzeRetention,
  CollectionRow,
  CollectionStatus,
  KeyedDocument,
  LoadResult,
  MadeTable,
  MergeResult,
  NewTable,
  Origin,
  QueryResult,
  SchemaVersion,
  SealedFile,
  TakenOver,
  Warehouse,
  WarehouseGap,
} from '../../core/warehouse.ts';
import type { LoadedFile, LoadedLine, WarehouseFault } from '../../core/warehouse-proof.ts';
import { failpoint } from '../../ops/failpoint.ts';
import type { Logger } from '../../ops/log.ts';
import { asOfStatement, checkSpans, namedIn, selectGapAt, selectSpans, type HistorySpan } from '../sql/as-of.ts';
import { deleteGaps, insertGaps, rowOfGap, selectGaps, type GapRow } from '../sql/gaps.ts';
import { extendSchema, readSchema } from '../sql/learner.ts';
import { isUnmerged, markCompleteThrough, MARKS_MAX, mustRebuild, updateSourceCount, updateStatus } from '../sql/registry.ts';
import { selectCurrent } from '../sql/silver.ts';
import { allEntries, findEntry, listCollections, register, tablesOf, type Context } from './collections.ts';
import { eventLines, readHistory, snapshotLines } from './history.ts';
import { countFailed, learnCollection } from './learner.ts';
import { mergeCollection, purgeIfComplete } from './merger.ts';
import { selectKeys } from '../sql/erase.ts';
import { countKeys, eraseKeys, takeOver } from './eraser.ts';
import { assertNew, Chunks, makeTable, type Intake } from './new-table.ts';
import { loadedFiles, loadedLines, proveCollection } from './prover.ts';
import { retainBronze, type RetainBronze } from './retention.ts';
import { assertCurrent } from './schema-version.ts';
import type { Reads, Session, Write } from './session.ts';

/** Brings the rows of sealed files into bronze. */
export interface BronzeLoader {
  /** Those of `paths` that are loaded. */
  known(paths: readonly string[]): Promise<ReadonlySet<string>>;
  load(files: readonly SealedFile[], signal: AbortSignal): Promise<LoadResult>;
}

export abstract class SqlWarehouse implements Warehouse {
  abstract readonly description: string;
  abstract readonly idleMarkMs: number;
  /** Writers take turns at one row. */
  readonly atOnce = 1;
  protected readonly database: Reads & AsyncDisposable;
  protected readonly context: Context;
  readonly #loader: BronzeLoader;
  readonly #log: Logger;

  constructor(database: Reads & AsyncDisposable, context: Context, loader: BronzeLoader, log: Logger) {
    this.database = database;
    this.context = context;
    this.#loader = loader;
    this.#log = log;
  }

  /** One transaction that no other writer can pass; `work` may run again from its start. */
  protected abstract write<T>(work: (session: Session) => Promise<T>, signal?: AbortSignal): Promise<T>;
  abstract migrate(how?: { readonly columns: boolean }): Promise<void>;
  abstract query(sql: string, limit: number, signal: AbortSignal): Promise<QueryResult>;
  /** Makes silver of a collection again from bronze. @returns rows of bronze that were folded */
  protected abstract rebuild(ns: Namespace, write: Write, signal: AbortSignal): Promise<number>;

  /** Runs `work`, which makes a table: nothing of it stays when it fails. */
  protected abstract intake<T>(work: (session: Session, intake: Intake) => Promise<T>, table: NewTable, signal: AbortSignal): Promise<T>;

  async assertMigrated(): Promise<void> {
    await this.database.read((session) => assertCurrent(session, this.context.catalog, this.description));
  }

  async loaded(paths: readonly string[]): Promise<ReadonlySet<string>> {
    return this.#loader.known(paths);
  }

  async load(files: readonly SealedFile[], signal: AbortSignal): Promise<LoadResult> {
    // All new ones at once: each by itself would be held against the names of all others.
    await this.discover([...new Map(files.map(({ line: { db, coll } }) => [formatNamespace({ db, coll }), { db, coll }])).values()]);
    return this.#loader.load(files, signal);
  }

  async merge(ns: Namespace, how: { readonly rebuild: boolean }, signal: AbortSignal): Promise<MergeResult> {
    if (ns.coll === null) return { rows: 0 };
    const write: Write = (work) => this.write(work, signal);
    const entry = await this.database.read((session) => findEntry(session, this.context, ns), signal);
    const rebuild = how.rebuild || (entry !== null && mustRebuild(entry));
    const result = rebuild ? { rows: await this.rebuild(ns, write, signal) } : await mergeCollection(write, this.context, ns);
    await learnCollection(this.database, write, this.context, ns, { log: this.#log, signal });
    return result;
  }

  async unmerged(): Promise<readonly Namespace[]> {
    const entries = await this.database.read((session) => allEntries(session, this.context));
    return entries.filter(isUnmerged).map(({ db, coll }) => ({ db, coll }));
  }

  async unlearnt(): Promise<readonly Namespace[]> {
    const entries = await this.database.read((session) => allEntries(session, this.context));
    return entries.filter((entry) => entry.coll !== null && entry.learnt_batch < entry.merged_batch).map(({ db, coll }) => ({ db, coll }));
  }

  async markComplete(marks: readonly { readonly namespace: Namespace; readonly through: Timestamp }[]): Promise<void> {
    await this.write(async (session) => {
      await register(
        session,
        this.context,
        marks.map((mark) => mark.namespace),
      );
      for (let from = 0; from < marks.length; from += MARKS_MAX) {
        await session.run(markCompleteThrough(this.context.catalog, marks.slice(from, from + MARKS_MAX)));
      }
      if (this.context.deletes === 'hard') for (const { namespace } of marks) await purgeIfComplete(session, this.context, namespace);
      failpoint('warehouse.before-complete-commit');
    });
    failpoint('warehouse.after-complete-commit');
  }

  async discover(namespaces: readonly Namespace[]): Promise<void> {
    // Asked for often, with nothing new in it: that must not cost a transaction.
    const known = new Set((await this.database.read((session) => allEntries(session, this.context))).map((entry) => entry.collection));
    if (namespaces.every((ns) => known.has(formatNamespace(ns)))) return;
    await this.write((session) => register(session, this.context, namespaces));
  }

  async setStatus(ns: Namespace, status: CollectionStatus, reason: string | null, from?: readonly CollectionStatus[]): Promise<void> {
    await this.write(async (session) => {
      await register(session, this.context, [ns]);
      await session.run(updateStatus(this.context.catalog, ns, status, reason, from));
    });
  }

  async collections(): Promise<readonly CollectionRow[]> {
    return this.database.read((session) => listCollections(session, this.context));
  }

  async noteSourceCounts(counts: readonly { readonly namespace: Namespace; readonly count: number }[]): Promise<void> {
    await this.write(async (session) => {
      for (const { namespace, count } of counts) await session.run(updateSourceCount(this.context.catalog, namespace, count));
    });
  }

  async noteGaps(pipeline: string, gaps: readonly WarehouseGap[]): Promise<void> {
    const { catalog } = this.context;
    const rows = gaps.map(rowOfGap).toSorted((a, b) => (orderOf(a) < orderOf(b) ? -1 : 1));
    const noted = await this.database.read((session) => session.all<GapRow>(selectGaps(catalog, pipeline)));
    // Told at every start, and seldom anything new: that must not cost a transaction.
    if (noted.map(orderOf).join('\n') === rows.map(orderOf).join('\n')) return;
    await this.write(async (session) => {
      await session.run(deleteGaps(catalog, pipeline));
      if (rows.length > 0) await session.run(insertGaps(catalog, pipeline, rows));
    });
  }

  async learn(ns: Namespace, seen: DocumentSchema): Promise<void> {
    await this.write(async (session) => {
      const entry = await findEntry(session, this.context, ns);
      if (entry !== null) await extendSchema(session, this.context, entry, seen);
    });
  }

  async schema(ns: Namespace): Promise<readonly SchemaVersion[]> {
    return this.database.read((session) => readSchema(session, this.context, ns));
  }

  async failedCasts(ns: Namespace, signal: AbortSignal): Promise<readonly { readonly column: string; readonly documents: number }[]> {
    return countFailed(this.database, this.context, ns, signal);
  }

  async asOf(statement: string, at: string): Promise<string> {
    const { dialect, catalog } = this.context;
    return await this.database.read(async (session) => {
      const spans = namedIn(statement, await session.all<HistorySpan>(selectSpans(catalog)));
      const [gap] = await session.all<{ from_at: string; to_at: string | null }>(selectGapAt(catalog, at));
      checkSpans(at, spans, gap);
      return asOfStatement(dialect, catalog, statement, at, spans);
    });
  }

  history(ns: Namespace, signal: AbortSignal): Promise<BronzeHistory> {
    return readHistory(this.database, this.context, ns, signal);
  }

  snapshotLines(ns: Namespace, folder: string, signal: AbortSignal): AsyncIterable<string> {
    return snapshotLines(this.database, this.context, ns, folder, signal);
  }

  eventLines(ns: Namespace, span: { readonly after: string; readonly upTo: Timestamp }, signal: AbortSignal): AsyncIterable<string> {
    return eventLines(this.database, this.context, ns, span, signal);
  }

  async makeTable(table: NewTable, documents: AsyncIterable<KeyedDocument>, signal: AbortSignal): Promise<MadeTable> {
    await this.database.read((session) => assertNew(session, this.context, table), signal);
    const chunks = new Chunks(documents);
    try {
      // What comes before the first document may take hours.
      await chunks.begin();
      return await this.intake((session, intake) => makeTable(session, this.context, intake, table, chunks), table, signal);
    } finally {
      await chunks.end();
    }
  }

  async bronzeHorizon(ns: Namespace): Promise<Hour | null> {
    const entry = await this.database.read((session) => findEntry(session, this.context, ns));
    return entry?.bronze_from == null ? null : hourOf(Date.parse(entry.bronze_from) / 1000);
  }

  retainBronze(ns: Namespace, how: RetainBronze, signal: AbortSignal): Promise<BronzeRetention> {
    return retainBronze(this.database, (work) => this.write(work, signal), this.context, ns, how, signal);
  }

  async *silver(ns: Namespace, signal: AbortSignal): AsyncGenerator<{ readonly key: string; readonly doc: string | null }> {
    if (ns.coll === null) return;
    const entry = await this.database.read((session) => findEntry(session, this.context, ns), signal);
    if (entry === null || entry.last_batch === 0) return;
    yield* this.database.stream<{ key: string; doc: string | null }>(selectCurrent(tablesOf(this.context, entry)), signal);
  }

  async *keys(ns: Namespace, before: Timestamp, signal: AbortSignal): AsyncGenerator<string> {
    const entry = await this.database.read((session) => findEntry(session, this.context, ns), signal);
    if (entry === null || entry.last_batch === 0) return;
    for await (const { key } of this.database.stream<{ key: string }>(selectKeys(tablesOf(this.context, entry), before), signal)) yield key;
  }

  async countKeys(ns: Namespace, keys: readonly string[], before: Timestamp): Promise<number> {
    return this.database.read((session) => countKeys(session, this.context, ns, keys, before));
  }

  async eraseKeys(ns: Namespace, keys: readonly string[], before: Timestamp): Promise<number> {
    const rows = await this.write(async (session) => {
      const gone = await eraseKeys(session, this.context, ns, keys, before);
      failpoint('warehouse.before-erase-commit');
      return gone;
    });
    failpoint('warehouse.after-erase-commit');
    return rows;
  }

  async takeOver(line: SealedLine, origin: Origin): Promise<TakenOver> {
    const outcome = await this.write(async (session) => {
      const taken = await takeOver(session, this.context, line, origin);
      failpoint('warehouse.before-take-over-commit');
      return taken;
    });
    failpoint('warehouse.after-take-over-commit');
    return outcome;
  }

  loadedFiles(ns: Namespace, signal: AbortSignal): AsyncIterable<LoadedFile> {
    return loadedFiles(this.database, this.context, ns, signal);
  }

  loadedLines(ns: Namespace, path: string, signal: AbortSignal): AsyncIterable<LoadedLine> {
    return loadedLines(this.database, this.context, ns, path, signal);
  }

  async prove(ns: Namespace, examplesMax: number, signal: AbortSignal): Promise<readonly WarehouseFault[]> {
    return proveCollection(this.database, this.context, ns, examplesMax, signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.database[Symbol.asyncDispose]();
  }
}

/** A warehouse may write a moment otherwise than it was given. */
function orderOf({ from_at, to_at, collections, cause, detected_at }: GapRow): string {
  return JSON.stringify([Date.parse(from_at), Date.parse(detected_at), to_at === null ? null : Date.parse(to_at), collections, cause]);
}
