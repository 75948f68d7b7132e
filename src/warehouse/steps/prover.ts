/**
 * What a warehouse knows of itself, for `verify`: sql/proof.ts has the questions.
 *
 * Every question about silver is asked in one transaction: a merge that commits between two of them would look like a
 * fault. A statement that finds nothing is run once; faults are counted by a second one.
 */
import type { Namespace } from '../../core/namespace.ts';
import type { LoadedFile, LoadedLine, LoadRecord, WarehouseCheck, WarehouseFault } from '../../core/warehouse-proof.ts';
import { countFaults, firstFaults, proofStatements, selectLoadedFiles, selectLoadedLines } from '../sql/proof.ts';
import type { Statement } from '../sql/statement.ts';
import { columnsMade, findEntry, tablesOf, type Context } from './collections.ts';
import type { Reads, Session } from './session.ts';

interface FileRow {
  readonly path: string;
  readonly state: LoadRecord['state'] | null;
  readonly hour: string | null;
  readonly bytes: number | null;
  readonly ledger_rows: number | null;
  readonly sha256: string | null;
  readonly first_position: string | null;
  readonly last_position: string | null;
  readonly left_rows: number | null;
  readonly left_lines: string | null;
  readonly whole_lines: string | null;
  readonly rows: number;
  readonly lines: string;
}

export async function* loadedFiles(database: Reads, context: Context, ns: Namespace, signal: AbortSignal): AsyncGenerator<LoadedFile> {
  // Not streamed: between a look at the registry and one at the tables the first file of the collection may be loaded.
  const rows = await database.readOneMoment(async (session) => {
    const entry = await findEntry(session, context, ns);
    const tables = entry === null || entry.last_batch === 0 ? null : tablesOf(context, entry);
    return session.all<FileRow>(selectLoadedFiles(context.dialect, context.catalog, tables, ns));
  }, signal);
  for (const row of rows) {
    const { state, hour, bytes, sha256 } = row;
    const record = state === null ? null : { state, hour, bytes, rows: row.ledger_rows, sha256, first: row.first_position, last: row.last_position };
    const left = row.left_rows === null ? null : { rows: row.left_rows, sum: row.left_lines ?? '', whole: row.whole_lines };
    yield { path: row.path, record, left, rows: row.rows, sum: row.lines };
  }
}

export async function* loadedLines(database: Reads, context: Context, ns: Namespace, path: string, signal: AbortSignal): AsyncGenerator<LoadedLine> {
  const entry = await database.read((session) => findEntry(session, context, ns), signal);
  if (entry === null || entry.last_batch === 0) return;
  yield* database.stream<LoadedLine>(selectLoadedLines(context.dialect, tablesOf(context, entry), path), signal);
}

export async function proveCollection(
  database: Reads,
  context: Context,
  ns: Namespace,
  examplesMax: number,
  signal: AbortSignal,
): Promise<readonly WarehouseFault[]> {
  return database.readOneMoment(async (session) => {
    const entry = await findEntry(session, context, ns);
    if (entry === null || entry.last_batch === 0) return [];
    const faults: WarehouseFault[] = [];
    const of = { ...context, entry, tables: tablesOf(context, entry), columns: await columnsMade(session, context, entry) };
    for (const { check, faults: statement } of proofStatements(of)) {
      const fault = await ask(session, check, statement, examplesMax);
      if (fault !== null) faults.push(fault);
    }
    return faults;
  }, signal);
}

async function ask(session: Session, check: WarehouseCheck, statement: Statement, examplesMax: number): Promise<WarehouseFault | null> {
  const rows = await session.all<{ place: string; detail: string }>(firstFaults(statement, examplesMax));
  if (rows.length === 0) return null;
  const total = rows.length < examplesMax ? rows.length : ((await session.all<{ total: number }>(countFaults(statement)))[0]?.total ?? rows.length);
  return { check, total, examples: rows.map(({ place, detail }) => ({ where: place, detail })) };
}
