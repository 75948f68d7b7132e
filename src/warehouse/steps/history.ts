/**
 * A collection's history out of bronze: sql/history.ts has the questions.
 *
 * Up to when it is loaded is asked first: what is loaded while the others are asked can only add to what they say.
 */
import { folderOf } from '../../core/lake.ts';
import { formatNamespace, type Namespace } from '../../core/namespace.ts';
import { compareTimestamps, type Timestamp } from '../../core/time.ts';
import type { BronzeHistory } from '../../core/warehouse.ts';
import * as statements from '../sql/history.ts';
import { findEntry, tablesOf, type Context } from './collections.ts';
import type { Reads, Session } from './session.ts';

const NOTHING: BronzeHistory = { marks: [], snapshots: [], ends: [], gaps: [], from: null, until: null, erased: false };

export async function readHistory(database: Reads, context: Context, ns: Namespace, signal: AbortSignal): Promise<BronzeHistory> {
  return database.read(async (session) => {
    const until = await readUntil(session, context, ns);
    const own = await findEntry(session, context, ns);
    if (own === null || own.last_batch === 0) return NOTHING;
    const { catalog } = context;
    const database = await findEntry(session, context, { db: ns.db, coll: null });
    const tables = tablesOf(context, own);
    const both = database === null || database.last_batch === 0 ? [tables] : [tables, tablesOf(context, database)];
    const marks: string[] = [];
    for (const each of both) for (const { line } of await session.all<{ line: string }>(statements.selectMarks(each))) marks.push(line);
    const ends = await session.all<{ file: string; line: string }>(statements.selectSnapshotEnds(catalog, tables, ns));
    const rows = new Map<string, number>();
    for (const file of ends.length === 0 ? [] : await session.all<{ file: string; rows: number }>(statements.countSnapshotRows(tables)))
      rows.set(folderOf(file.file), (rows.get(folderOf(file.file)) ?? 0) + file.rows);
    const others = await session.all<{ at: string }>(statements.selectOtherEnds(catalog, both, ns));
    const gaps = await session.all<{ from_at: string; to_at: string | null }>(statements.selectAllGaps(catalog));
    const [erased] = await session.all<{ files: number }>(statements.countErased(catalog, ns));
    return {
      marks,
      snapshots: ends.map(({ file, line }) => ({ end: line, folder: folderOf(file), rows: rows.get(folderOf(file)) ?? 0 })),
      ends: others.map(({ at }) => secondOf(at)),
      gaps: gaps.map(({ from_at, to_at }) => ({ from: secondOf(from_at), to: to_at === null ? null : secondOf(to_at) })),
      from: own.bronze_from === null ? null : secondOf(own.bronze_from),
      until,
      erased: (erased?.files ?? 0) > 0,
    };
  }, signal);
}

/** The least of all; of its own when they are equal. */
async function readUntil(session: Session, { catalog }: Context, ns: Namespace): Promise<BronzeHistory['until']> {
  const rows = await session.all<{ collection: string; complete_through: string | null; complete_through_i: number | null }>(
    statements.selectComplete(catalog),
  );
  const marks = rows.map(({ collection, complete_through, complete_through_i }) => ({
    by: collection,
    at: complete_through === null ? { t: 0, i: 0 } : { ...secondOf(complete_through), i: complete_through_i ?? 0 },
  }));
  const own = marks.find(({ by }) => by === formatNamespace(ns));
  if (own === undefined || own.at.t === 0) return null;
  return marks.reduce((least, one) => (compareTimestamps(one.at, least.at) < 0 ? one : least), own);
}

function secondOf(iso: string): Timestamp {
  return { t: Math.floor(Date.parse(iso) / 1000), i: 0 };
}

export async function* snapshotLines(database: Reads, context: Context, ns: Namespace, folder: string, signal: AbortSignal): AsyncGenerator<string> {
  const entry = await database.read((session) => findEntry(session, context, ns), signal);
  if (entry === null || entry.last_batch === 0) return;
  const rows = database.stream<{ line: string }>(statements.selectSnapshotLines(tablesOf(context, entry), folder), signal);
  for await (const { line } of rows) yield line;
}

export async function* eventLines(
  database: Reads,
  context: Context,
  ns: Namespace,
  { after, upTo }: { readonly after: string; readonly upTo: Timestamp },
  signal: AbortSignal,
): AsyncGenerator<string> {
  const entry = await database.read((session) => findEntry(session, context, ns), signal);
  if (entry === null || entry.last_batch === 0) return;
  const rows = database.stream<{ line: string }>(statements.selectEventLines(tablesOf(context, entry), after, upTo), signal);
  for await (const { line } of rows) yield line;
}
