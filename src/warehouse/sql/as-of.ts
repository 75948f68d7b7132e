/**
 * A statement of a user over collections as they were at a moment: where it names the table of a collection alone
 * (`shop__orders`), that name stands for the versions that were valid then.
 *
 * The moment must lie where the history is known: after its first event, before `complete_through`, and in no gap. Otherwise the answer
 * would look like one and be wrong, or be another one tomorrow.
 */
import { SluiceError } from '../../core/error.ts';
import { AS_OF_TABLES, AS_OF_UNKNOWN } from '../../core/errors.ts';
import type { Dialect } from './dialect.ts';
import type { Catalog } from './names.ts';
import { sql, text, type Statement } from './statement.ts';

/** What is known of the history of a collection; times are ISO 8601. */
export interface HistorySpan {
  readonly collection: string;
  readonly table_name: string;
  readonly first_at: string | null;
  readonly complete_through: string | null;
  /** Up to where retention has removed what was superseded. */
  readonly bronze_from: string | null;
}

export function selectSpans(catalog: Catalog): Statement {
  return sql`
    SELECT r.collection, r.table_name, l.first_at, r.complete_through, r.bronze_from
    FROM ${catalog.registry} r LEFT JOIN (
      SELECT collection, min(first_at) AS first_at FROM ${catalog.ledger} WHERE state = 'LOADED' GROUP BY collection
    ) l ON l.collection = r.collection
    WHERE r.coll IS NOT NULL AND r.last_batch > 0`;
}

/** The gap that `at` lies in, of whatever pipeline. */
export function selectGapAt(catalog: Catalog, at: string): Statement {
  const moment = sql`CAST(${at} AS TIMESTAMPTZ)`;
  return sql`SELECT from_at, to_at FROM ${catalog.gaps} WHERE from_at <= ${moment} AND (to_at > ${moment} OR to_at IS NULL)`;
}

/** Comments and space, which may stand before a statement. */
const BEFORE = String.raw`^(?:\s|--[^\n]*(?:\n|$)|/\*[\s\S]*?\*/)*`;

/** Collections whose table is named. @throws AS_OF_TABLES none is, or one is named with its schema */
export function namedIn<T extends Pick<HistorySpan, 'table_name'>>(statement: string, spans: readonly T[]): readonly T[] {
  const found = spans.filter(({ table_name }) => {
    const plain = String.raw`(?<![\p{L}\p{N}_$"])${RegExp.escape(table_name)}(?![\p{L}\p{N}_$"])`;
    const mention = new RegExp(String.raw`(\.\s*)?(?:${plain}|"${RegExp.escape(table_name.replaceAll('"', '""'))}")`, 'giu');
    const mentions = [...statement.matchAll(mention)];
    // A column may be called by its table, but never without that being named by itself.
    if (mentions.length > 0 && mentions.every(([, schema]) => schema !== undefined))
      throw new SluiceError(AS_OF_TABLES, `${table_name} is named with its schema, where it is the present one`);
    return mentions.length > 0;
  });
  if (found.length === 0) {
    const some = spans.slice(0, 3).map(({ table_name }) => table_name);
    throw new SluiceError(
      AS_OF_TABLES,
      some.length === 0 ? 'nothing is loaded yet' : `it names none; there are ${some.join(', ')}${spans.length > 3 ? ', …' : ''}`,
    );
  }
  return found;
}

/** @throws AS_OF_UNKNOWN */
export function checkSpans(
  at: string,
  spans: readonly HistorySpan[],
  gap: { readonly from_at: string; readonly to_at: string | null } | undefined,
): void {
  const moment = Date.parse(at);
  for (const { collection, first_at, complete_through, bronze_from } of spans) {
    if (first_at === null || moment < Date.parse(first_at))
      throw new SluiceError(
        AS_OF_UNKNOWN,
        `the history of ${collection} begins at ${first_at === null ? 'no event yet' : iso(first_at)}, which is the earliest time`,
      );
    if (bronze_from !== null && moment < Date.parse(bronze_from))
      throw new SluiceError(
        AS_OF_UNKNOWN,
        `retention has removed the history of ${collection} before ${iso(bronze_from)}, which is the earliest time`,
      );
    if (complete_through === null || moment >= Date.parse(complete_through))
      throw new SluiceError(
        AS_OF_UNKNOWN,
        `${collection} is complete ${complete_through === null ? 'up to no time yet' : `up to ${iso(complete_through)}, and not at that time itself`}`,
      );
  }
  if (gap !== undefined)
    throw new SluiceError(AS_OF_UNKNOWN, `history is lost from ${iso(gap.from_at)}${gap.to_at === null ? ' on' : ` to ${iso(gap.to_at)}`}`);
}

function iso(time: string): string {
  return new Date(time).toISOString();
}

/** The statement with a WITH for each of `spans`, before those that it has itself. */
export function asOfStatement(dialect: Dialect, catalog: Catalog, statement: string, at: string, spans: readonly HistorySpan[]): string {
  const moment = text(`CAST(${dialect.string(at)} AS TIMESTAMPTZ)`);
  const tables = spans.map(
    ({ table_name }) => sql`
      ${text(dialect.identifier(table_name))} AS (
        SELECT key, doc, operation, position, "at", version_number, valid_from, valid_to FROM ${catalog.tables(table_name).history}
        WHERE valid_from <= ${moment} AND (valid_to > ${moment} OR valid_to IS NULL)
      )`,
  );
  const list = tables.map((table) => table.text).join(',\n');
  const own = new RegExp(`${BEFORE}with\\s+(recursive\\s+)?`, 'i').exec(statement);
  return own === null ? `WITH ${list}\n${statement}` : `WITH ${own[1] ?? ''}${list},\n${statement.slice(own[0].length)}`;
}
