/**
 * Queries of users: one statement that reads, and nothing else.
 *
 * Three walls: the statement's kind, as DuckDB itself tells it; a transaction that DuckDB was told is read-only; and a
 * database that may open no file but its own (database.ts).
 */
import { StatementType, type DuckDBConnection, type DuckDBPreparedStatement } from '@duckdb/node-api';
import { reasonOf, SluiceError } from '../../core/error.ts';
import { WAREHOUSE_QUERY } from '../../core/errors.ts';
import type { QueryResult } from '../../core/warehouse.ts';
import type { Database } from './database.ts';
import { isDuckDbError, isInterrupt, wholeText } from './errors.ts';
import { plainValue } from './values.ts';

const READS_ONLY = 'it is not a single SELECT, WITH, FROM, VALUES, SHOW, DESCRIBE, SUMMARIZE or EXPLAIN of one of these';
const EXPLAIN = /^\s*explain\b(?:\s+analyze\b)?(?:\s*\([^()]*\))?/i;

/** @throws WAREHOUSE_QUERY with DuckDB's own text, which points at the place in the statement */
export async function runQuery(database: Database, statement: string, limit: number, signal: AbortSignal): Promise<QueryResult> {
  return database.read(async (_session, connection) => {
    try {
      await connection.run('BEGIN TRANSACTION READ ONLY');
      const prepared = await prepareRead(connection, statement);
      const reader = await prepared.streamAndReadUntil(limit + 1);
      const rows = reader.convertRows(plainValue);
      return { columns: reader.columnNames(), rows: rows.slice(0, limit), truncated: rows.length > limit };
    } catch (error) {
      if (isInterrupt(error) && signal.aborted) throw error;
      throw isDuckDbError(error) ? new SluiceError(WAREHOUSE_QUERY, wholeText(error), { cause: error }) : error;
    }
  }, signal);
}

async function prepareRead(connection: DuckDBConnection, statement: string): Promise<DuckDBPreparedStatement> {
  const prepared = await prepareOne(connection, statement);
  if (prepared.statementType === StatementType.SELECT) return prepared;
  // EXPLAIN ANALYZE runs what it explains: that must be a read as well.
  if (prepared.statementType === StatementType.EXPLAIN && EXPLAIN.test(statement)) {
    const explained = await prepareOne(connection, statement.replace(EXPLAIN, ''));
    if (explained.statementType === StatementType.SELECT) return prepared;
  }
  throw new SluiceError(WAREHOUSE_QUERY, READS_ONLY);
}

async function prepareOne(connection: DuckDBConnection, statement: string): Promise<DuckDBPreparedStatement> {
  // DuckDB has no message of its own for a text without a statement in it.
  const statements = await connection.extractStatements(statement).catch((error: unknown) => {
    throw /native callback/.test(reasonOf(error)) ? new SluiceError(WAREHOUSE_QUERY, READS_ONLY) : error;
  });
  if (statements.count !== 1) throw new SluiceError(WAREHOUSE_QUERY, READS_ONLY);
  return statements.prepare(0);
}
