/**
 * Silver made again from all of bronze, in one transaction.
 *
 * Snowflake keeps what a transaction has changed on its storage, so it may be of any size; and a table cannot be put in the place of
 * another inside of one, because DDL commits. Readers see the former silver until the end, and a crash leaves it.
 */
import type { Namespace } from '../../core/namespace.ts';
import { markMerged } from '../sql/registry.ts';
import { emptySilver } from '../sql/silver.ts';
import { findEntry, tablesOf, type Context } from '../steps/collections.ts';
import { mergePiece } from '../steps/merger.ts';
import type { Write } from '../steps/session.ts';

/** @returns rows of bronze that silver is made of */
export async function rebuildCollection(write: Write, context: Context, ns: Namespace): Promise<number> {
  return write(async (session) => {
    const entry = await findEntry(session, context, ns);
    if (entry === null || entry.last_batch === 0) return 0;
    await session.run(emptySilver(tablesOf(context, entry)));
    await session.run(markMerged(context.catalog, ns, 0, entry.baseline));
    let rows = 0;
    for (;;) {
      const piece = await mergePiece(session, context, ns, 1);
      rows += piece.rows;
      if (!piece.more) return rows;
    }
  });
}
