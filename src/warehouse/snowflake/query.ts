/**
 * Queries of users: one statement that reads, and nothing else.
 *
 * Snowflake has no read-only transaction, so three walls: the statement's first word, no function that acts, and a
 * transaction that is rolled back. Who wants a fourth gives `sluice query` a role that may only read
 * (`sluice render snowflake` writes one).
 */
import { SluiceError } from '../../core/error.ts';
import { WAREHOUSE_QUERY } from '../../core/errors.ts';
import type { QueryResult } from '../../core/warehouse.ts';
import type { Database } from './database.ts';
import { queryFailure } from './errors.ts';

const READS_ONLY = 'it is not a single SELECT, WITH, SHOW, DESCRIBE or EXPLAIN of a SELECT';
const READS = /^(?:select|with|show|describe|desc|\(\s*select|explain(?:\s+using\s+\w+)?\s+(?:select|with))\b/i;
/** `SYSTEM$…` may act; a sequence moves; a procedure can be called in FROM. */
const ACTS = /\bsystem\$|\.\s*nextval\b|\bcall\b|\bidentifier\s*\(/i;
const PIECES = /--[^\n]*|\/\/[^\n]*|\/\*[\s\S]*?\*\/|'(?:[^'\\]|''|\\[\s\S])*'|"(?:[^"]|"")*"|\$\$[\s\S]*?\$\$|[\s\S]/g;

/** @throws WAREHOUSE_QUERY with Snowflake's own text */
export async function runQuery(database: Database, statement: string, limit: number, signal: AbortSignal): Promise<QueryResult> {
  assertReads(statement);
  try {
    return await database.raw(async (connection, how) => {
      await connection.run({ text: 'BEGIN TRANSACTION', values: [] }, how);
      try {
        const { names, rows } = await connection.first({ text: statement, values: [] }, limit + 1, how);
        return { columns: names, rows: rows.slice(0, limit), truncated: rows.length > limit };
      } finally {
        await connection
          .run({ text: 'ROLLBACK', values: [] }, { ...how, signal: new AbortController().signal })
          .catch(() => (connection.broken = true));
      }
    }, signal);
  } catch (error) {
    throw queryFailure(error, database.target.description);
  }
}

/** @throws WAREHOUSE_QUERY */
export function assertReads(statement: string): void {
  const pieces = statement.match(PIECES) ?? [];
  // Comments and texts say nothing of what a statement does.
  const bare = pieces.map((piece) => (/^(?:--|\/\/|\/\*)/.test(piece) ? ' ' : /^['$"]./s.test(piece) ? "''" : piece)).join('');
  const single = bare.trim().replace(/;\s*$/, '');
  if (single.includes(';') || !READS.test(single) || ACTS.test(single)) throw new SluiceError(WAREHOUSE_QUERY, READS_ONLY);
}
