/**
 * A table of documents as they were, made of what `sluice restore` gives: all of them, or no table.
 *
 * Where DDL is part of a transaction the whole of it is one, and nobody sees a row before the end. Where each statement commits by itself
 * the table is filled among sluice's own, under a name that says so, and takes its place by being renamed: that is one statement. What a
 * killed process leaves there goes with the next attempt.
 * Invariant: a table has as many rows as documents were given, or it never gets its name.
 */
import { createHash } from 'node:crypto';
import { SluiceError } from '../../core/error.ts';
import { RESTORE_ROWS, RESTORE_TARGET } from '../../core/errors.ts';
import type { KeyedDocument, MadeTable, NewTable } from '../../core/warehouse.ts';
import { planOf } from '../sql/learner.ts';
import { selectNewestSchema, type HistoryRow } from '../sql/schema-history.ts';
import * as statements from '../sql/new-table.ts';
import type { TypedColumn } from '../sql/new-table.ts';
import { text, type Statement } from '../sql/statement.ts';
import { columnsOf, type Context } from './collections.ts';
import type { Session } from './session.ts';

/** Lines that are on their way into a table together, up to these limits, at least one. */
const CHUNK_BYTES_MAX = 32 * 1024 ** 2;
const CHUNK_LINES_MAX = 50_000;

/** Lines with a document each, for one statement. */
export interface Chunk {
  readonly bytes: Buffer;
  /** Of the longest line. */
  readonly lineBytesMax: number;
}

/** How a database takes in lines. */
export interface Intake {
  /** Each of its DDL statements commits by itself. */
  readonly ddlCommits: boolean;
  /** Runs what `insert` makes of a relation with a column `line`. */
  take(session: Session, chunk: Chunk, insert: (lines: Statement) => Statement): Promise<void>;
}

/** Of nobody but sluice. */
function assertFree(context: Context, { schema, name }: NewTable, tables: number): void {
  const { schemas } = context.catalog;
  const own = [schemas.sluice, schemas.bronze, schemas.silver, schemas.gold, 'information_schema'];
  const next = 'Name a table that does not exist yet, in a schema of its own: `--to table:restored.orders`.';
  if (own.includes(schema.toLowerCase())) throw new SluiceError(RESTORE_TARGET, `the schema ${schema} is sluice's own`, { next });
  if (tables > 0) throw new SluiceError(RESTORE_TARGET, `${schema}.${name} is there already`, { next });
}

/** @throws RESTORE_TARGET */
export async function assertNew(session: Session, context: Context, table: NewTable): Promise<void> {
  const [row] = await session.all<{ tables: number }>(statements.countTables(table.schema, table.name));
  assertFree(context, table, row?.tables ?? 0);
}

/** Documents in chunks, and how many were taken: also of an attempt that was in vain. */
export class Chunks {
  taken = 0;
  readonly #documents: AsyncIterator<KeyedDocument>;
  #next: IteratorResult<KeyedDocument> | null = null;

  constructor(documents: AsyncIterable<KeyedDocument>) {
    this.#documents = documents[Symbol.asyncIterator]();
  }

  /** All that is to be done before the first document is known: nobody needs to wait for that in a transaction. */
  async begin(): Promise<void> {
    this.#next ??= await this.#documents.next();
  }

  /** `null`: there is no document left. */
  async next(): Promise<Chunk | null> {
    const lines: Buffer[] = [];
    let [bytes, lineBytesMax] = [0, 0];
    for (await this.begin(); this.#next?.done === false && lines.length < CHUNK_LINES_MAX; this.#next = await this.#documents.next()) {
      const line = lineOf(this.#next.value);
      if (lines.length > 0 && bytes + line.length > CHUNK_BYTES_MAX) break;
      lines.push(line);
      bytes += line.length;
      lineBytesMax = Math.max(lineBytesMax, line.length);
    }
    this.taken += lines.length;
    return lines.length === 0 ? null : { bytes: Buffer.concat(lines, bytes), lineBytesMax };
  }

  /** Whoever gives the documents need not go on. */
  async end(): Promise<void> {
    await this.#documents.return?.();
  }
}

/** What cuts key and document out of a line looks for members that follow another one. */
function lineOf({ key, doc }: KeyedDocument): Buffer {
  return Buffer.from(`{"_meta":0,"documentKey":${key},"fullDocument":${doc}}\n`);
}

/** Inside a transaction, or statement by statement. @throws RESTORE_TARGET, RESTORE_ROWS */
export async function makeTable(session: Session, context: Context, intake: Intake, table: NewTable, chunks: Chunks): Promise<MadeTable> {
  const { dialect, catalog } = context;
  await assertNew(session, context, table);
  const target = targetOf(context, table);
  const place = intake.ddlCommits ? besideOf(context, table) : target;
  const columns = await columnsFor(session, context, table);
  if (intake.ddlCommits) await session.run(statements.dropTable(place));
  const [schema] = await session.all<{ schemas: number }>(statements.countSchemas(table.schema));
  // Who may use a schema may not have to make one.
  if ((schema?.schemas ?? 0) === 0) await session.run(statements.createSchemaOf(dialect, table.schema));
  await session.run(statements.createTable(dialect, place, columns));
  for (let chunk = await chunks.next(); chunk !== null; chunk = await chunks.next())
    await intake.take(session, chunk, (lines) => statements.insertDocuments(dialect, catalog, place, columns, lines));
  const [row] = await session.all<{ rows: number }>(statements.countRows(place));
  const rows = row?.rows ?? 0;
  if (rows !== chunks.taken) throw new SluiceError(RESTORE_ROWS, `${rows} rows of ${chunks.taken} documents`);
  await session.run(statements.commentOn(dialect, place, table.comment()));
  if (intake.ddlCommits) await session.run(statements.renameTable(place, target));
  return { rows, columns: columns.map(({ name }) => name) };
}

/** Of an attempt that has failed, where no transaction takes it back. */
export async function dropBeside(session: Session, context: Context, table: NewTable): Promise<void> {
  await session.run(statements.dropTable(besideOf(context, table)));
}

async function columnsFor(session: Session, context: Context, { like }: NewTable): Promise<readonly TypedColumn[]> {
  const [newest] = await session.all<HistoryRow>(selectNewestSchema(context.catalog, like));
  const learnt = newest === undefined ? [] : planOf(newest).columns;
  return statements.typedColumns(context.dialect, context.catalog, columnsOf(context, like), learnt);
}

function qualified({ dialect }: Context, schema: string, name: string): Statement {
  return text(`${dialect.identifier(schema)}.${dialect.identifier(name)}`);
}

function targetOf(context: Context, { schema, name }: NewTable): Statement {
  return qualified(context, schema, name);
}

/** One name for one target: an attempt meets what the one before has left. */
function besideOf(context: Context, { schema, name }: NewTable): Statement {
  const digest = createHash('sha256')
    .update(JSON.stringify([schema.toLowerCase(), name.toLowerCase()]))
    .digest('hex');
  return qualified(context, context.catalog.schemas.sluice, `restoring_${digest.slice(0, 32)}`);
}
