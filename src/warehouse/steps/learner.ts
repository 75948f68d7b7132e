/**
 * Learning: after each merge, in pieces, each in a transaction of its own (sql/learner.ts says why).
 */
import { SluiceError } from '../../core/error.ts';
import { WAREHOUSE_FAILED } from '../../core/errors.ts';
import { formatNamespace, type Namespace } from '../../core/namespace.ts';
import type { Logger } from '../../ops/log.ts';
import { countFailedCasts } from '../sql/gold.ts';
import { learnBatches, planOf } from '../sql/learner.ts';
import { selectNewestSchema, type HistoryRow } from '../sql/schema-history.ts';
import { findEntry, tablesOf, type Context } from './collections.ts';
import { nextPiece } from './merger.ts';
import type { Reads, Write } from './session.ts';

/** Learns what is merged and not learnt yet. What goes wrong is logged and tried again after the next merge. */
export async function learnCollection(
  database: Reads,
  write: Write,
  context: Context,
  ns: Namespace,
  how: { readonly log: Logger; readonly signal: AbortSignal },
): Promise<void> {
  const { log, signal } = how;
  try {
    for (let more = true; more;) {
      const known = await database.read((session) => findEntry(session, context, ns), signal);
      if (known === null || known.coll === null || known.learnt_batch >= known.merged_batch) return;
      more = await write(async (session) => {
        const entry = await findEntry(session, context, ns);
        if (entry === null || entry.learnt_batch >= entry.merged_batch) return false;
        const { upTo } = await nextPiece(session, context, entry, entry.learnt_batch, entry.merged_batch);
        await learnBatches(session, context, entry, { after: entry.learnt_batch, upTo });
        return upTo < entry.merged_batch;
      });
    }
  } catch (error) {
    if (signal.aborted || !SluiceError.is(error, WAREHOUSE_FAILED)) throw error;
    log.error({ err: error, collection: formatNamespace(ns) }, 'its schema could not be learnt; its views stay as they are');
  }
}

/** Current documents, per column of the collection's view, whose value the view shows as NULL. */
export async function countFailed(
  database: Reads,
  context: Context,
  ns: Namespace,
  signal: AbortSignal,
): Promise<readonly { readonly column: string; readonly documents: number }[]> {
  return database.readOneMoment(async (session) => {
    const entry = await findEntry(session, context, ns);
    const [newest] = await session.all<HistoryRow>(selectNewestSchema(context.catalog, ns));
    if (entry === null || entry.last_batch === 0 || newest === undefined) return [];
    const { columns } = planOf(newest);
    if (columns.length === 0) return [];
    const [counts] = await session.all<Record<string, number>>(countFailedCasts(context.dialect, context.catalog, tablesOf(context, entry), columns));
    return columns.map((column, i) => ({ column: column.name, documents: counts?.[`c${i}`] ?? 0 }));
  }, signal);
}
