/**
 * Silver made again from all of bronze, beside the one that is read, and put in its place in one transaction.
 *
 * Not inside one transaction from the beginning to the end: what a transaction changes and has not committed must be held in memory, and
 * silver may be larger. A crash leaves the former silver, and a spare table that the next start drops.
 */
import { createHash } from 'node:crypto';
import { formatNamespace, type Namespace } from '../../core/namespace.ts';
import { addColumns, createTables } from '../sql/collection.ts';
import type { Tables } from '../sql/names.ts';
import { markMerged, type Entry } from '../sql/registry.ts';
import { takeBatch } from '../sql/schema.ts';
import { applyBaseline, type Range } from '../sql/silver.ts';
import { sql, text, type Statement } from '../sql/statement.ts';
import { columnsOf, findEntry, tablesOf, type Context } from '../steps/collections.ts';
import type { Session } from '../steps/session.ts';
import type { Database } from './database.ts';
import { untilItFits } from '../steps/fold.ts';
import { foldInto, nextPiece, purgeIfComplete } from '../steps/merger.ts';

/** What the spare table holds. */
interface Progress {
  readonly upTo: number;
  readonly baseline: string;
  readonly rows: number;
}

/** @returns rows of bronze that silver is made of */
export async function rebuildCollection(database: Database, context: Context, ns: Namespace, signal: AbortSignal): Promise<number> {
  const within = <T>(work: (session: Session, entry: Entry) => Promise<T>, otherwise: T): Promise<T> =>
    database.write(
      takeBatch(context.catalog),
      async (session) => {
        const entry = await findEntry(session, context, ns);
        return entry === null || entry.last_batch === 0 ? otherwise : work(session, entry);
      },
      signal,
    );
  let progress: Progress | null = await within((session, entry) => begin(session, context, entry), null);
  while (progress !== null) {
    const known: Progress = progress;
    // A load may come between: then there is one more piece before the tables change places.
    if (await within((session, entry) => swap(session, context, entry, known), true)) return known.rows;
    progress = await untilItFits(context.fold, (factor) => within((session, entry) => foldPiece(session, context, entry, known, factor), null));
  }
  return 0;
}

async function begin(session: Session, context: Context, entry: Entry): Promise<Progress> {
  const { dialect, catalog } = context;
  const spare = spareOf(context, entry);
  await session.run(dropSpare(context, entry));
  const [, silver] = createTables(dialect, spare, entry);
  if (silver !== undefined) await session.run(silver);
  const columns = columnsOf(context, entry);
  if (columns.length > 0) await session.runAll(addColumns(dialect, catalog, spare, columns));
  return { upTo: 0, baseline: entry.baseline, rows: 0 };
}

async function foldPiece(session: Session, context: Context, entry: Entry, progress: Progress, factor: number): Promise<Progress> {
  const spare = spareOf(context, entry);
  const columns = columnsOf(context, entry);
  const { baseline } = entry;
  if (baseline > progress.baseline) await session.runAll(applyBaseline(context.dialect, spare, { after: 0, upTo: progress.upTo, baseline }, columns));
  const piece = await nextPiece(session, context, entry, progress.upTo, entry.last_batch);
  const range: Range = { after: progress.upTo, upTo: piece.upTo, baseline };
  const rows = await foldInto(session, context, { ns: entry, tables: spare, range, parts: piece.parts * factor });
  return { upTo: range.upTo, baseline, rows: progress.rows + rows };
}

/** @returns false while the spare table lacks something */
async function swap(session: Session, context: Context, entry: Entry, progress: Progress): Promise<boolean> {
  if (progress.upTo < entry.last_batch || progress.baseline < entry.baseline) return false;
  const tables = tablesOf(context, entry);
  await session.run(sql`DROP TABLE ${tables.silver}`);
  await session.run(sql`ALTER TABLE ${spareOf(context, entry).silver} RENAME TO ${text(context.dialect.identifier(tables.stem))}`);
  await session.run(markMerged(context.catalog, entry, progress.upTo, progress.baseline));
  await purgeIfComplete(session, context, entry);
  return true;
}

/** A table cannot change its schema, so the spare one is among those of silver: under a name that nobody else thinks of. */
function spareOf(context: Context, entry: Entry): Tables {
  const digest = createHash('sha256').update(formatNamespace(entry)).digest('hex');
  const { silver } = context.catalog.tables(`rebuilding_${digest.slice(0, 32)}`);
  return { ...tablesOf(context, entry), silver };
}

export function dropSpare(context: Context, entry: Entry): Statement {
  return sql`DROP TABLE IF EXISTS ${spareOf(context, entry).silver}`;
}
