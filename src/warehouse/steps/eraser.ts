/**
 * Takes the documents of a subject out of a warehouse, for `sluice erase`.
 *
 * First the rows of its keys go, out of bronze and silver in one transaction: silver is then what the bronze that is left says. After
 * that each file that the lake has written anew takes over the rows of the one before it. Both may be done again: who is killed in between
 * has rows that no proof holds against their file yet, and never a row that should be gone.
 */
import { SluiceError } from '../../core/error.ts';
import { ERASE_DIFFERS } from '../../core/errors.ts';
import type { SealedLine } from '../../core/ledger.ts';
import type { Namespace } from '../../core/namespace.ts';
import type { Timestamp } from '../../core/time.ts';
import type { Origin, TakenOver } from '../../core/warehouse.ts';
import { insertLedger } from '../sql/bronze.ts';
import * as statements from '../sql/erase.ts';
import { clearFailures } from '../sql/registry.ts';
import { updateLeft } from '../sql/retention.ts';
import type { Range } from '../sql/silver.ts';
import { findEntry, tablesOf, type Context } from './collections.ts';
import { foldInto, purgeIfComplete } from './merger.ts';
import type { Session } from './session.ts';

/** Keys or paths that one statement names. */
const NAMES_MAX = 500;

function* chunks<T>(all: readonly T[]): Generator<T[]> {
  for (let at = 0; at < all.length; at += NAMES_MAX) yield all.slice(at, at + NAMES_MAX);
}

export async function countKeys(session: Session, context: Context, ns: Namespace, keys: readonly string[], before: Timestamp): Promise<number> {
  const entry = await findEntry(session, context, ns);
  if (entry === null || entry.last_batch === 0) return 0;
  let rows = 0;
  for (const some of chunks(keys))
    rows += (await session.all<{ rows: number }>(statements.countRowsOf(tablesOf(context, entry), some, before)))[0]?.rows ?? 0;
  return rows;
}

/** Inside of a write. @returns rows of bronze that are gone */
export async function eraseKeys(session: Session, context: Context, ns: Namespace, keys: readonly string[], before: Timestamp): Promise<number> {
  const entry = await findEntry(session, context, ns);
  if (entry === null || entry.coll === null || entry.last_batch === 0) return 0;
  const tables = tablesOf(context, entry);
  let rows = 0;
  for (const some of chunks(keys)) {
    const left = await session.all<{ path: string }>(statements.selectLeftFiles(context.catalog, tables, some, before));
    await session.run(statements.noteErased(context.catalog, tables, some, before));
    const gone = await session.run(statements.deleteRowsOf(tables, some, before));
    if (gone === 0) continue;
    for (const paths of chunks(left.map(({ path }) => path))) await session.run(updateLeft({ ...context, tables }, paths));
    rows += gone;
    await session.run(statements.deleteDocuments(tables, some));
    // Of what is younger than `before`: silver has nothing of these keys any more, so all that is left is folded as if it were the first.
    const range: Range = { after: 0, upTo: entry.merged_batch, baseline: entry.baseline_applied, keys: some };
    await foldInto(session, context, { ns, tables, range, parts: 1 });
  }
  if (rows > 0) await session.run(statements.addToRegistry(context.catalog, ns, -rows, 0));
  if (rows > 0) await purgeIfComplete(session, context, ns);
  return rows;
}

interface LedgerRow {
  readonly path: string;
  readonly state: string;
  readonly bytes: number | null;
  readonly batch: number | null;
  /** What retention has left of it; `null`: all. */
  readonly left_rows: number | null;
}

/** Inside of a write, after {@link eraseKeys}. @throws ERASE_DIFFERS: nothing of it is done then */
export async function takeOver(session: Session, context: Context, line: SealedLine, origin: Origin): Promise<TakenOver> {
  const { catalog } = context;
  const replaced = line.supersedes ?? [];
  const known = new Map<string, LedgerRow>();
  for (const some of chunks([line.path, ...replaced]))
    for (const row of await session.all<LedgerRow>(statements.selectLedger(catalog, some))) known.set(row.path, row);
  if (known.get(line.path)?.state === 'LOADED') return 'done';
  const isLoaded = (path: string): boolean => known.get(path)?.state === 'LOADED';
  const loaded = replaced.filter(isLoaded);
  const from = coverOf(origin, isLoaded);
  if (loaded.length > 0 && (from === null || from.length !== loaded.length)) return 'partly';
  const batch = Math.max(0, ...loaded.map((path) => known.get(path)!.batch ?? 0));
  const entry = await findEntry(session, context, line);
  // Rows of several batches become those of one: none of them may be merged again, or not at all.
  if (batch > 0 && entry !== null && entry.coll !== null && batch > Math.min(entry.merged_batch, entry.learnt_batch)) return 'partly';
  const stale = [...known.keys()];
  for (const some of chunks(stale)) await session.run(statements.deleteLedger(catalog, some));
  for (const some of chunks(replaced)) await session.run(statements.insertErased(catalog, line, some, line.path));
  const { cleared, recover } = clearFailures(catalog, line, replaced);
  if ((await session.run(cleared)) > 0) await session.run(recover);
  // Whoever loads brings the rows, from the file that has none of the subject's.
  if (from === null || loaded.length === 0) return 'nothing';
  if (entry === null) throw new SluiceError(ERASE_DIFFERS, `${line.path}: its collection is not in the registry`);
  const tables = tablesOf(context, entry);
  // Which lines of the new file those are that retention has left is not known: from here on what is left is proved by itself.
  const isLeft = from.some((path) => known.get(path)!.left_rows !== null);
  if (entry.last_batch > 0) {
    await session.run(statements.moveRows(tables, from, line.path, batch));
    await session.run(statements.moveBaselines(catalog, from, line.path));
    const rows = (await session.all<{ rows: number }>(statements.countRowsIn(tables, line.path)))[0]?.rows ?? 0;
    if (isLeft ? rows > line.rows : rows !== line.rows)
      throw new SluiceError(ERASE_DIFFERS, `${line.path} has ${line.rows} rows, bronze has ${rows} of them`);
  }
  await session.run(insertLedger(catalog, [line], batch, 0));
  if (isLeft) await session.run(updateLeft({ ...context, tables }, [line.path]));
  const before = loaded.reduce((sum, path) => sum + (known.get(path)!.bytes ?? 0), 0);
  await session.run(statements.addToRegistry(catalog, line, 0, line.bytes - before));
  return 'done';
}

/** The loaded files that the rows are in now, in order; `null`: some are in none. */
function coverOf({ path, of }: Origin, isLoaded: (path: string) => boolean): string[] | null {
  if (isLoaded(path)) return [path];
  if (of.length === 0) return null;
  const parts = of.map((each) => coverOf(each, isLoaded));
  return parts.some((part) => part === null) ? null : parts.flatMap((part) => part ?? []);
}
