/**
 * Sealed files → bronze in Snowflake.
 *
 * Invariant, as everywhere: the rows of a file and its ledger line commit in one transaction, and the rows are as many as
 * the ledger line of the lake says. Files of a collection go together, because a statement there costs a
 * good part of a second however small it is: one PUT, one COPY, one INSERT. A file that cannot be taken is named by the
 * check of its lines, or found by halving when COPY itself fails; it is set aside, and the others go on.
 */
import { randomUUID } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { formatNamespace, type Namespace } from '../../core/namespace.ts';
import { laterTimestamp, type Timestamp } from '../../core/time.ts';
import type { LoadResult, SealedFile } from '../../core/warehouse.ts';
import { Scratch } from '../../core/scratch.ts';
import { failpoint } from '../../ops/failpoint.ts';
import type { Logger } from '../../ops/log.ts';
import { insertBaselines, insertLedger } from '../sql/bronze.ts';
import type { Tables } from '../sql/names.ts';
import { addLoaded, clearFailures, recordFailure } from '../sql/registry.ts';
import { defineTables, findEntry, register, tablesOf, type Context } from '../steps/collections.ts';
import { loadGroups, knownPaths, namespaceOf, settle, settleSnapshots, withReplaced, type Coverage, type Tally } from '../steps/loading.ts';
import type { Session } from '../steps/session.ts';
import { FileRejected, Staging, storedAs } from '../steps/staging.ts';
import { checkLines, copyLines, createIncoming, emptyIncoming, insertLines, putFiles, removeFiles } from './bronze.ts';
import type { Database } from './database.ts';
import { blamesFile, headline } from './errors.ts';

/** A file and its name below the stage that the group is copied from. */
interface Staged {
  readonly file: SealedFile;
  readonly name: string;
}

interface Group {
  readonly files: readonly Staged[];
  readonly stage: string;
}

/** COPY failed, and does not say at which file. */
class CopyFailed extends Error {
  override readonly name = 'CopyFailed';

  constructor(cause: unknown) {
    super(headline(cause), { cause });
  }
}

/** These files cannot be taken; the transaction is lost. */
class Rejections extends Error {
  override readonly name = 'Rejections';
  readonly rejected: readonly FileRejected[];

  constructor(rejected: readonly FileRejected[]) {
    super(rejected.map((one) => one.message).join('; '));
    this.rejected = rejected;
  }
}

export class Loader {
  readonly #database: Database;
  readonly #context: Context;
  readonly #log: Logger;

  constructor(database: Database, context: Context, log: Logger) {
    this.#database = database;
    this.#context = context;
    this.#log = log;
  }

  async known(paths: readonly string[]): Promise<ReadonlySet<string>> {
    return this.#database.read((session) => knownPaths(session, this.#context, paths));
  }

  async load(files: readonly SealedFile[], signal: AbortSignal): Promise<LoadResult> {
    const known = await this.known(files.map((file) => file.line.path));
    return loadGroups(files, known, this.#context, (group, covered, tally) => this.#loadGroup(group, covered, tally, signal), { mixed: false });
  }

  async #loadGroup(files: readonly SealedFile[], covered: Coverage, tally: Tally, signal: AbortSignal): Promise<void> {
    const { stage } = this.#database.target;
    if (stage !== null) {
      // What was replaced before it was loaded is not on the stage any more: it is put like a file of a local lake.
      const gone = files.filter(({ plainBytes }) => plainBytes !== undefined);
      const there = files.filter(({ plainBytes }) => plainBytes === undefined).map((file) => ({ file, name: file.line.path }));
      await this.#commit({ files: there, stage: `@${stage}` }, covered, tally, signal);
      if (gone.length > 0) await this.#putAndCommit(gone, covered, tally, signal);
      return;
    }
    await this.#putAndCommit(files, covered, tally, signal);
  }

  async #putAndCommit(files: readonly SealedFile[], covered: Coverage, tally: Tally, signal: AbortSignal): Promise<void> {
    await using scratch = await Scratch.make('sluice-put');
    // All that is in it is put: a folder of its own, without the lock.
    const folder = join(scratch.folder, 'files');
    const below = `@${this.#context.catalog.schemas.sluice}.incoming/${randomUUID()}`;
    try {
      const staged = await this.#put(files, folder, below, tally, signal);
      if (staged.length > 0) await this.#commit({ files: staged, stage: below }, covered, tally, signal);
    } finally {
      // What a killed process leaves there is removed by the next migration.
      await this.#database
        .define((session) => session.run(removeFiles(below)))
        .catch((error: unknown) => this.#log.warn({ error }, 'staged files were left'));
    }
  }

  /** Puts the files of a group into our stage in one go. Those that are not as long as they should be are refused. */
  async #put(files: readonly SealedFile[], folder: string, stage: string, tally: Tally, signal: AbortSignal): Promise<Staged[]> {
    const staged: Staged[] = [];
    await mkdir(folder, { recursive: true });
    const staging = new Staging(folder);
    for (const file of files) {
      try {
        // Nothing to read in a file without rows; it need not even be there any more.
        const path = file.line.rows === 0 ? '' : (await staging.stage(file, signal)).path;
        staged.push({ file, name: basename(path) });
      } catch (error) {
        if (!(error instanceof FileRejected)) throw error;
        await this.#reject(error, tally);
      }
    }
    if (staged.some(({ name }) => name !== '')) {
      const rows = await this.#database.define((session) => session.all<{ status: string; message: string }>(putFiles(`${folder}/*`, stage)), signal);
      const failed = rows.find(({ status }) => status !== 'UPLOADED' && status !== 'SKIPPED');
      if (failed !== undefined) throw new Error(`PUT to ${stage} failed: ${failed.status} ${failed.message}`);
    }
    return staged;
  }

  /** One transaction for all; those that spoil it are left out of the next. */
  async #commit(group: Group, covered: Coverage, tally: Tally, signal: AbortSignal): Promise<void> {
    if (group.files.length === 0) return;
    const only = (files: readonly Staged[]): Promise<void> => this.#commit({ ...group, files }, covered, tally, signal);
    try {
      const done = await this.#transaction(group, covered, signal);
      tally.files += done.files;
      tally.rows += done.rows;
      const ns = namespaceOf(group.files[0]?.file);
      if (done.rows > 0) tally.namespaces.set(formatNamespace(ns), ns);
    } catch (error) {
      if (error instanceof Rejections) {
        for (const rejected of error.rejected) await this.#reject(rejected, tally);
        return only(group.files.filter(({ file }) => !error.rejected.some((rejected) => rejected.file === file)));
      }
      if (!(error instanceof CopyFailed)) throw error;
      const [first] = group.files;
      if (group.files.length === 1 && first !== undefined)
        return this.#reject(new FileRejected(first.file, error.message.replaceAll(first.name, first.file.line.path), error), tally);
      const middle = Math.ceil(group.files.length / 2);
      await only(group.files.slice(0, middle));
      await only(group.files.slice(middle));
    }
  }

  async #transaction(group: Group, covered: Coverage, signal: AbortSignal): Promise<{ files: number; rows: number }> {
    const { catalog, dialect } = this.#context;
    const ns = namespaceOf(group.files[0]?.file);
    const tables = await this.#prepare(ns, signal);
    const done = await this.#database.write(
      async (session, { batch }) => {
        const began = performance.now();
        const plan = await settle(session, this.#context, group.files, covered);
        const { cleared, recover } = clearFailures(
          catalog,
          ns,
          group.files.flatMap(({ file: { line } }) => withReplaced(line.path, covered)),
        );
        if ((await session.run(cleared)) > 0) await session.run(recover);
        if (plan.length === 0) return { files: 0, rows: 0 };
        await this.#insert(session, tables, group.stage, plan, batch);
        const sum = { rows: 0, bytes: 0, lastAt: null as Timestamp | null };
        const loadMs = Math.round((performance.now() - began) / plan.length);
        for (const { file } of plan) {
          const { line } = file;
          sum.rows += line.rows;
          sum.bytes += line.bytes;
          if (line.lastAt !== null) sum.lastAt = sum.lastAt === null ? line.lastAt : laterTimestamp(sum.lastAt, line.lastAt);
        }
        await session.run(
          insertLedger(
            catalog,
            plan.map(({ file }) => file.line),
            batch,
            loadMs,
          ),
        );
        if (sum.rows > 0) await session.run(insertBaselines(dialect, catalog, tables, ns, batch));
        await settleSnapshots(session, this.#context, { ns, tables, batch }, plan, covered);
        await session.run(addLoaded(catalog, ns, sum, sum.rows > 0 ? batch : null));
        failpoint('warehouse.before-load-commit');
        return { files: plan.length, rows: sum.rows };
      },
      signal,
      createIncoming(catalog.schemas.sluice),
    );
    failpoint('warehouse.after-load-commit');
    return done;
  }

  /** COPY, the check of what came, and the INSERT into bronze. */
  async #insert(session: Session, tables: Tables, stage: string, plan: readonly Staged[], batch: number): Promise<void> {
    const { catalog, dialect } = this.#context;
    const { sluice } = catalog.schemas;
    const full = plan.filter(({ file }) => file.line.rows > 0);
    if (full.length === 0) return;
    await session.run(emptyIncoming(sluice));
    for (const [stored, list] of Map.groupBy(full, ({ file }) => storedAs(file))) {
      try {
        await session.all(
          copyLines(
            sluice,
            stage,
            list.map(({ name }) => name),
            stored,
          ),
        );
      } catch (error) {
        throw blamesFile(error) ? new CopyFailed(error) : error;
      }
    }
    const came = await session.all<{ file: string; rows: number; bad: string | null }>(checkLines(sluice));
    const paths: (readonly [file: string, path: string])[] = [];
    const rejected: FileRejected[] = [];
    for (const { file, name } of full) {
      // What COPY names begins with the place of the stage, which may be anything.
      const row = came.filter((one) => one.file === name || one.file.endsWith(`/${name}`)).toSorted((a, b) => a.file.length - b.file.length)[0];
      const rows = row?.rows ?? 0;
      if (row !== undefined && row.bad !== null) rejected.push(new FileRejected(file, row.bad));
      else if (rows !== file.line.rows) rejected.push(new FileRejected(file, `it has ${rows} rows, its ledger line says ${file.line.rows}`));
      else if (row !== undefined) paths.push([row.file, file.line.path]);
    }
    if (rejected.length > 0) throw new Rejections(rejected);
    const inserted = await session.run(insertLines(dialect, catalog, tables, batch, paths));
    const expected = full.reduce((sum, { file }) => sum + file.line.rows, 0);
    if (inserted !== expected) throw new Error(`${inserted} rows went into bronze, ${expected} were copied`);
    await session.run(emptyIncoming(sluice));
  }

  /** Registers a collection and makes its tables: before the transaction, because DDL of Snowflake ends one. */
  async #prepare(ns: Namespace, signal: AbortSignal): Promise<Tables> {
    let entry = await this.#database.read((session) => findEntry(session, this.#context, ns), signal);
    if (entry === null) {
      await this.#database.write((session) => register(session, this.#context, [ns]), signal);
      entry = await this.#database.read((session) => findEntry(session, this.#context, ns), signal);
    }
    if (entry === null) throw new Error(`${formatNamespace(ns)} was registered and is not there`);
    const tables = tablesOf(this.#context, entry);
    const found = entry;
    if (entry.last_batch === 0) await this.#database.define((session) => defineTables(session, this.#context, found), signal);
    return tables;
  }

  async #reject({ file, message }: FileRejected, tally: Tally): Promise<void> {
    const { catalog } = this.#context;
    const ns = namespaceOf(file);
    tally.rejected.push({ path: file.line.path, reason: message });
    this.#log.error({ path: file.line.path, collection: formatNamespace(ns), reason: message }, 'a sealed file could not be loaded');
    await this.#database.write(async (session) => {
      await register(session, this.#context, [ns]);
      await session.runAll(recordFailure(catalog, ns, file.line.path, message));
    });
  }
}
