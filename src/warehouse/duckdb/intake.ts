/** How DuckDB takes lines into a table: through a file in the one folder that it may read. */
import { randomUUID } from 'node:crypto';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { sql, type Statement } from '../sql/statement.ts';
import type { Chunk, Intake } from '../steps/new-table.ts';
import type { Session } from '../steps/session.ts';

export class DuckDbIntake implements Intake {
  readonly ddlCommits = false;
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async take(session: Session, { bytes, lineBytesMax }: Chunk, insert: (lines: Statement) => Statement): Promise<void> {
    const path = join(this.#folder, `${randomUUID()}.jsonl`);
    try {
      await writeFile(path, bytes);
      await session.run(
        insert(sql`SELECT json AS line FROM read_ndjson_objects(${path}, compression = 'uncompressed', maximum_object_size = ${lineBytesMax + 1})`),
      );
    } finally {
      await rm(path, { force: true });
    }
  }
}
