/**
 * Sealed files → bronze.
 *
 * Invariant: the rows of a file and its ledger line commit in one transaction, and the rows are as many as the ledger
 * line of the lake says. So a file is loaded wholly, once, whoever asks for it and however often.
 * Files share a transaction, those of several collections too, because a commit costs more than a small file; one that cannot be loaded
 * is set aside with its reason, and the others of its group go on by themselves.
 */
import { SluiceError } from '../../core/error.ts';
import { formatNamespace, type Namespace } from '../../core/namespace.ts';
import { laterTimestamp, type Timestamp } from '../../core/time.ts';
import type { LoadResult, SealedFile } from '../../core/warehouse.ts';
import { failpoint } from '../../ops/failpoint.ts';
import type { Logger } from '../../ops/log.ts';
import { insertBaselines, insertLedger, insertRows } from '../sql/bronze.ts';
import type { Tables } from '../sql/names.ts';
import { addLoaded, clearFailures, recordFailure } from '../sql/registry.ts';
import { takeBatch } from '../sql/schema.ts';
import { prepareTables, register, type Context } from '../steps/collections.ts';
import { loadGroups, knownPaths, namespaceOf, settle, settleSnapshots, withReplaced, type Coverage, type Tally } from '../steps/loading.ts';
import type { Session } from '../steps/session.ts';
import { FileRejected, Staging } from '../steps/staging.ts';
import type { Database } from './database.ts';
import { blamesFile, headline, isLineTooLong } from './errors.ts';
import { selectLines, usualLineBytes, withLongerLines, type ReadableFile } from './lines.ts';

/** A line is longer than the buffers were made for: the transaction is lost, a new one with larger buffers goes on. */
class LineTooLong extends Error {
  override readonly name = 'LineTooLong';
  readonly staged: ReadableFile;

  constructor(staged: ReadableFile, cause: unknown) {
    super('a line is longer than the buffer', { cause });
    this.staged = staged;
  }
}

/** What became of the files of a collection. */
interface Done {
  readonly namespace: Namespace;
  readonly files: number;
  readonly rows: number;
}

function byCollection(files: readonly ReadableFile[]): readonly (readonly ReadableFile[])[] {
  return [...Map.groupBy(files, ({ file }) => formatNamespace(namespaceOf(file))).values()];
}

export class Loader {
  readonly #database: Database;
  readonly #context: Context;
  readonly #staging: Staging;
  readonly #log: Logger;

  constructor(database: Database, context: Context, log: Logger) {
    this.#database = database;
    this.#context = context;
    this.#staging = new Staging(database.folder);
    this.#log = log;
  }

  /** Which of these paths need not be loaded: they are, or a file that replaces them is, or they replace ones that are. */
  async known(paths: readonly string[]): Promise<ReadonlySet<string>> {
    return this.#database.read((session) => knownPaths(session, this.#context, paths));
  }

  async load(files: readonly SealedFile[], signal: AbortSignal): Promise<LoadResult> {
    const known = await this.known(files.map((file) => file.line.path));
    return loadGroups(files, known, this.#context, (group, covered, tally) => this.#loadGroup(group, covered, tally, signal), { mixed: true });
  }

  async #loadGroup(files: readonly SealedFile[], covered: Coverage, tally: Tally, signal: AbortSignal): Promise<void> {
    const staged: ReadableFile[] = [];
    try {
      for (const file of files) {
        try {
          // Nothing to read in a file without rows; it need not even be there any more.
          staged.push(
            file.line.rows === 0
              ? { file, path: '', lineBytesMax: 0 }
              : { ...(await this.#staging.stage(file, signal)), lineBytesMax: usualLineBytes(this.#context.memoryLimitBytes) },
          );
        } catch (error) {
          if (!(error instanceof FileRejected)) throw error;
          await this.#reject(error, tally);
        }
      }
      if (staged.length > 0) await this.#commit(staged, covered, tally, signal);
    } finally {
      for (const { path } of staged) if (path !== '') await this.#staging.drop(path);
    }
  }

  /** One transaction for all. A file that spoils it is set aside, and those before and after it go on; if none can be named, halves do. */
  async #commit(staged: readonly ReadableFile[], covered: Coverage, tally: Tally, signal: AbortSignal): Promise<void> {
    try {
      const done = await this.#transaction(staged, covered, signal);
      for (const { namespace, files, rows } of done) {
        tally.files += files;
        tally.rows += rows;
        if (rows > 0) tally.namespaces.set(formatNamespace(namespace), namespace);
      }
    } catch (error) {
      if (error instanceof LineTooLong) {
        const longer = withLongerLines(error.staged);
        if (longer !== null)
          return this.#commit(
            staged.map((one) => (one === error.staged ? longer : one)),
            covered,
            tally,
            signal,
          );
      }
      for (const rest of await this.#setAside(staged, error, tally)) await this.#commit(rest, covered, tally, signal);
    }
  }

  /** @returns what is left to be loaded, in groups of their own */
  async #setAside(staged: readonly ReadableFile[], error: unknown, tally: Tally): Promise<readonly (readonly ReadableFile[])[]> {
    const blamed = error instanceof LineTooLong ? new FileRejected(error.staged.file, headline(error.cause), error) : error;
    if (blamed instanceof FileRejected) {
      await this.#reject(blamed, tally);
      const at = staged.findIndex((one) => one.file === blamed.file);
      return [staged.slice(0, at), staged.slice(at + 1)].filter((rest) => rest.length > 0);
    }
    const cause = error instanceof SluiceError ? error.cause : error;
    const [first] = staged;
    if (first === undefined || !blamesFile(cause)) throw error;
    if (staged.length > 1) return [staged.slice(0, staged.length / 2), staged.slice(staged.length / 2)];
    await this.#reject(new FileRejected(first.file, headline(cause), error), tally);
    return [];
  }

  async #transaction(staged: readonly ReadableFile[], covered: Coverage, signal: AbortSignal): Promise<readonly Done[]> {
    const { catalog } = this.#context;
    const done = await this.#database.write(
      takeBatch(catalog),
      async (session, { batch }) => {
        const plan = await settle(session, this.#context, staged, covered);
        for (const own of byCollection(staged)) {
          const paths = own.flatMap(({ file: { line } }) => withReplaced(line.path, covered));
          const { cleared, recover } = clearFailures(catalog, namespaceOf(own[0]?.file), paths);
          if ((await session.run(cleared)) > 0) await session.run(recover);
        }
        const each: Done[] = [];
        for (const own of byCollection(plan)) each.push(await this.#loadCollection(session, own, covered, batch));
        failpoint('warehouse.before-load-commit');
        return each;
      },
      signal,
    );
    failpoint('warehouse.after-load-commit');
    return done;
  }

  async #loadCollection(session: Session, plan: readonly ReadableFile[], covered: Coverage, batch: number): Promise<Done> {
    const { catalog, dialect } = this.#context;
    const namespace = namespaceOf(plan[0]?.file);
    const { tables } = await prepareTables(session, this.#context, namespace);
    const sum = { rows: 0, bytes: 0, lastAt: null as Timestamp | null };
    for (const one of plan) {
      const { line } = one.file;
      await this.#insert(session, tables, one, batch);
      sum.rows += line.rows;
      sum.bytes += line.bytes;
      if (line.lastAt !== null) sum.lastAt = sum.lastAt === null ? line.lastAt : laterTimestamp(sum.lastAt, line.lastAt);
    }
    if (sum.rows > 0) await session.run(insertBaselines(dialect, catalog, tables, namespace, batch));
    await settleSnapshots(session, this.#context, { ns: namespace, tables, batch }, plan, covered);
    await session.run(addLoaded(catalog, namespace, sum, sum.rows > 0 ? batch : null));
    return { namespace, files: plan.length, rows: sum.rows };
  }

  async #insert(session: Session, tables: Tables, staged: ReadableFile, batch: number): Promise<void> {
    const { catalog } = this.#context;
    const { line } = staged.file;
    const began = performance.now();
    if (line.rows > 0) {
      let rows: number;
      try {
        rows = await session.run(insertRows(catalog, tables, line.path, batch, selectLines(staged)));
      } catch (error) {
        if (isLineTooLong(error)) throw new LineTooLong(staged, error);
        throw blamesFile(error) ? new FileRejected(staged.file, headline(error).replaceAll(staged.path, line.path), error) : error;
      }
      if (rows !== line.rows) throw new FileRejected(staged.file, `it has ${rows} rows, its ledger line says ${line.rows}`);
    }
    await session.run(insertLedger(catalog, [line], batch, Math.round(performance.now() - began)));
  }

  async #reject({ file, message }: FileRejected, tally: Tally): Promise<void> {
    const { catalog } = this.#context;
    const ns = namespaceOf(file);
    tally.rejected.push({ path: file.line.path, reason: message });
    this.#log.error({ path: file.line.path, collection: formatNamespace(ns), reason: message }, 'a sealed file could not be loaded');
    await this.#database.write(takeBatch(catalog), async (session) => {
      await register(session, this.#context, [ns]);
      await session.runAll(recordFailure(catalog, ns, file.line.path, message));
    });
  }
}
