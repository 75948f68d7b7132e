/** How Snowflake takes lines into a table: through a file in our stage and the temporary table that a load goes through, too. */
import { randomUUID } from 'node:crypto';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Scratch } from '../../core/scratch.ts';
import { sql, text, type Statement } from '../sql/statement.ts';
import type { Chunk, Intake } from '../steps/new-table.ts';
import type { Session } from '../steps/session.ts';
import { copyLines, createIncoming, createStage, emptyIncoming, putFiles, removeFiles } from './bronze.ts';

export class SnowflakeIntake implements Intake, AsyncDisposable {
  readonly ddlCommits = true;
  readonly #schema: string;
  readonly #scratch: Scratch;
  readonly #stage: string;

  private constructor(schema: string, scratch: Scratch) {
    this.#schema = schema;
    this.#scratch = scratch;
    this.#stage = `@${schema}.incoming/${randomUUID()}`;
  }

  static async make(schema: string): Promise<SnowflakeIntake> {
    return new SnowflakeIntake(schema, await Scratch.make('sluice-put'));
  }

  /** A lake that is a stage itself has none for files that are put. */
  async begin(session: Session): Promise<void> {
    await session.run(createStage(this.#schema));
    await session.run(createIncoming(this.#schema));
  }

  async take(session: Session, { bytes }: Chunk, insert: (lines: Statement) => Statement): Promise<void> {
    const name = `${randomUUID()}.jsonl`;
    const path = join(this.#scratch.folder, name);
    await writeFile(path, bytes);
    const [put] = await session.all<{ status: string; message: string }>(putFiles(path, this.#stage));
    if (put !== undefined && put.status !== 'UPLOADED' && put.status !== 'SKIPPED') throw new Error(`PUT failed: ${put.status} ${put.message}`);
    await rm(path, { force: true });
    await session.run(emptyIncoming(this.#schema));
    await session.all(copyLines(this.#schema, this.#stage, [name], 'uncompressed'));
    await session.run(insert(sql`SELECT line FROM ${text(this.#schema)}.incoming`));
    await session.run(emptyIncoming(this.#schema));
    await session.run(removeFiles(`${this.#stage}/${name}`));
  }

  /** Of an attempt that has failed. */
  async end(session: Session): Promise<void> {
    await session.run(removeFiles(this.#stage));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#scratch[Symbol.asyncDispose]();
  }
}
