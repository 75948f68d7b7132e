/**
 * Bronze → silver. Batches are folded in pieces, each in one transaction with its mark, so that a backlog of any size
 * fits into memory and an interrupted merge goes on where it stopped; sql/silver.ts has the rules.
 */
import type { Namespace } from '../../core/namespace.ts';
import type { MergeResult } from '../../core/warehouse.ts';
import { failpoint } from '../../ops/failpoint.ts';
import { selectBatches } from '../sql/bronze.ts';
import type { Tables } from '../sql/names.ts';
import { isUnmerged, markMerged, type Entry } from '../sql/registry.ts';
import { applyBaseline, endVanished, purgeDeleted, selectRange, type Range, type RangeSum } from '../sql/silver.ts';
import { columnsOf, findEntry, tablesOf, type Context } from './collections.ts';
import { untilItFits } from './fold.ts';
import type { Session, Write } from './session.ts';

/** A piece takes batches up to these limits, at least one; one that is larger is folded in parts. */
const PIECE_ROWS_MAX = 500_000;
const PIECE_BYTES_MAX = 512 * 1024 ** 2;
const PIECE_SHARE_OF_MEMORY = 1 / 4;

export async function mergeCollection(write: Write, context: Context, ns: Namespace): Promise<MergeResult> {
  if (ns.coll === null) return { rows: 0 };
  let rows = 0;
  for (;;) {
    const piece = await untilItFits(context.fold, (factor) => write((session) => mergePiece(session, context, ns, factor)));
    failpoint('warehouse.after-merge-commit');
    rows += piece.rows;
    if (!piece.more) return { rows };
  }
}

/** The next batches that silver lacks. @param factor there must be so many times more parts than their size asks for */
export async function mergePiece(
  session: Session,
  context: Context,
  ns: Namespace,
  factor: number,
): Promise<{ readonly rows: number; readonly more: boolean }> {
  const entry = await findEntry(session, context, ns);
  if (entry === null || !isUnmerged(entry)) return { rows: 0, more: false };
  const tables = tablesOf(context, entry);
  if (entry.baseline > entry.baseline_applied) {
    const held: Range = { after: 0, upTo: entry.merged_batch, baseline: entry.baseline };
    await session.runAll(applyBaseline(context.dialect, tables, held, columnsOf(context, ns)));
  }
  const piece = await nextPiece(session, context, entry, entry.merged_batch, entry.last_batch);
  const range: Range = { after: entry.merged_batch, upTo: piece.upTo, baseline: entry.baseline };
  const rows = await foldInto(session, context, { ns, tables, range, parts: piece.parts * factor });
  await session.run(markMerged(context.catalog, ns, range.upTo, range.baseline));
  const more = range.upTo < entry.last_batch;
  if (!more) await purge(session, context, entry, tables);
  failpoint('warehouse.before-merge-commit');
  return { rows, more };
}

/** Folds a range into a silver, and ends what snapshots have ended. @returns rows of bronze that it was made of */
export async function foldInto(
  session: Session,
  context: Context,
  { ns, tables, range, parts }: { readonly ns: Namespace; readonly tables: Tables; readonly range: Range; readonly parts: number },
): Promise<number> {
  const { catalog, fold } = context;
  const sum = (await session.all<RangeSum>(selectRange(catalog, tables, ns, range)))[0]!;
  if (sum.rows > 0) await session.runAll(fold.statements(tables, range, columnsOf(context, ns), parts));
  if (sum.snapshots > 0) await session.run(endVanished(catalog, tables, ns, range, 'all'));
  else if (sum.lowest !== null && sum.lowest < sum.newest) await session.run(endVanished(catalog, tables, ns, range, 'range'));
  return sum.rows;
}

/** Where a piece ends that begins after batch `after` and goes to `last` at most, and in how many parts it should fit into memory. */
export async function nextPiece(
  session: Session,
  context: Context,
  entry: Entry,
  after: number,
  last: number,
): Promise<{ readonly upTo: number; readonly parts: number }> {
  const bytesMax = Math.min(PIECE_BYTES_MAX, context.memoryLimitBytes * PIECE_SHARE_OF_MEMORY);
  let [upTo, rows, bytes] = [after, 0, 0];
  const batches = await session.all<{ batch: number; rows: number; bytes: number }>(selectBatches(context.catalog, entry, after));
  for (const batch of batches) {
    if (batch.batch > last) break;
    const isFull = rows + batch.rows > PIECE_ROWS_MAX || bytes + batch.bytes > bytesMax;
    if (upTo > after && isFull) return { upTo, parts: Math.ceil(bytes / bytesMax) };
    rows += batch.rows;
    bytes += batch.bytes;
    upTo = batch.batch;
  }
  return { upTo: last, parts: Math.max(1, Math.ceil(bytes / bytesMax)) };
}

/**
 * With hard deletes, takes out what is deleted and older than `complete_through`: nothing that is still to come can be
 * older, so no tombstone is needed there. Not while rows wait to be merged: they could be.
 */
export async function purgeIfComplete(session: Session, context: Context, ns: Namespace): Promise<void> {
  const entry = await findEntry(session, context, ns);
  if (entry !== null && entry.coll !== null && entry.last_batch > 0 && !isUnmerged(entry)) {
    await purge(session, context, entry, tablesOf(context, entry));
  }
}

async function purge(session: Session, context: Context, entry: Entry, tables: Tables): Promise<void> {
  if (context.deletes === 'hard' && entry.complete_through !== null) await session.run(purgeDeleted(tables, entry.complete_through));
}
