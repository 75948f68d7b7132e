/**
 * `sluice restore`: a collection as it was, out of the lake or out of the warehouse, into a file, into MongoDB, or into a table of the
 * warehouse.
 */
import { randomUUID } from 'node:crypto';
import { open, rename, rm, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { SluiceError, systemCode } from '../core/error.ts';
import { RESTORE_MOMENT, RESTORE_NOTHING, RESTORE_TARGET, USAGE } from '../core/errors.ts';
import { bsonOf, isObject, parseJson } from '../core/extended-json.ts';
import { linkInPlace } from '../core/link-in-place.ts';
import { parseNamespace, type Namespace } from '../core/namespace.ts';
import type { Lake } from '../core/lake.ts';
import type { KeyedDocument, Warehouse } from '../core/warehouse.ts';
import type { Config } from '../config/config.ts';
import { silentLog } from '../ops/log.ts';
import { restore, type RestoreTotals } from '../pipeline/restore.ts';
import { BronzeSource } from '../pipeline/restore-bronze.ts';
import { LakeSource } from '../pipeline/restore-lake.ts';
import { shownMoment, type RestorePlan } from '../pipeline/restore-plan.ts';
import { openLake, openWarehouse } from './compose.ts';
import { needWarehouse } from './load.ts';
import { documentLines, documentsIn } from './restore-lines.ts';
import type { CommandOptions, RestoreArgs, RestoreDocumentsArgs, RestoreSummary } from './types.ts';

const WRITE_CHARS = 1024 * 1024;

/** @param cwd what a relative path starts from @throws USAGE, RESTORE_TARGET, RESTORE_NOTHING, RESTORE_MOMENT */
export async function restoreCollection(
  config: Config,
  args: RestoreArgs,
  cwd: string,
  { log }: CommandOptions,
  signal: AbortSignal,
): Promise<RestoreSummary> {
  const target = targetOf(args, cwd);
  await using lake = args.from === 'lake' ? await openLake(config, { log }) : null;
  await using warehouse =
    args.from === 'warehouse' || target.kind === 'table' ? await needWarehouse(config, log, target.kind === 'table' ? 'note' : 'look') : null;
  return await restoreInto(config, args, target, { lake, warehouse }, signal);
}

/** Of a run, which has both open: into a table alone. What is written elsewhere is for whoever asks to write. @throws as {@link restoreCollection} */
export async function restoreWith(
  config: Config,
  args: RestoreArgs,
  { lake, warehouse }: { readonly lake: Lake; readonly warehouse: Warehouse },
  signal: AbortSignal,
): Promise<RestoreSummary> {
  if (!args.to.startsWith('table:'))
    throw new SluiceError(USAGE, 'a run restores into tables alone', { next: 'Name one as in table:restored.orders.' });
  return await restoreInto(config, args, targetOf(args, '/'), { lake: args.from === 'lake' ? lake : null, warehouse }, signal);
}

/** Of a run: the documents that the warehouse gives, as lines. What can be told before the first is thrown. */
export async function restoredLines(
  config: Config,
  args: RestoreDocumentsArgs,
  warehouse: Warehouse,
  signal: AbortSignal,
): Promise<AsyncIterable<Uint8Array>> {
  const plan = await new BronzeSource(warehouse).plan(collectionOf(args.collection), args.asOf, signal);
  const { documents, totals } = followed(config, plan, args.asOf, signal);
  return documentLines(documents, totals);
}

/** The other end of {@link restoredLines}: into a file or MongoDB. */
export async function writeRestored(args: RestoreArgs, cwd: string, lines: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<RestoreSummary> {
  let totals = NONE;
  const documents = documentsIn(lines, (end) => (totals = end));
  await writeTo(targetOf(args, cwd), args, 'the warehouse', documents, null, signal);
  return { collection: args.into ?? args.collection, asOf: args.asOf, from: args.from, table: null, ...totals };
}

/** @param using the lake when that is what is read, else the warehouse; the warehouse as well for a table */
async function restoreInto(
  config: Config,
  args: RestoreArgs,
  target: Target,
  { lake, warehouse }: { readonly lake: Lake | null; readonly warehouse: Warehouse | null },
  signal: AbortSignal,
): Promise<RestoreSummary> {
  const source = lake === null ? new BronzeSource(warehouse!) : new LakeSource(lake, config.pipeline);
  const ns = collectionOf(args.collection);
  const plan = await source.plan(ns, args.asOf, signal).catch(async (error: unknown) => {
    throw lake === null ? error : await withOther(error, config, ns, args.asOf, warehouse, signal);
  });
  const { documents, totals } = followed(config, plan, args.asOf, signal);
  const table = await writeTo(target, args, plan.from, documents, warehouse, signal);
  return { collection: args.into ?? args.collection, asOf: args.asOf, from: args.from, table, ...totals() };
}

const NONE: RestoreTotals = { events: 0, documents: 0, erased: 0, unknown: [] };

/** The documents of a plan; the totals are right after the last one. */
function followed(
  { source }: Config,
  plan: RestorePlan,
  asOf: RestoreArgs['asOf'],
  signal: AbortSignal,
): { readonly documents: AsyncIterable<KeyedDocument>; readonly totals: () => RestoreTotals } {
  const { fullDocument, mask } = source;
  // Masked, an update does not tell all that it did: the document beside it does, if need be a little later.
  const hasPostImages = fullDocument === 'required' || fullDocument === 'whenAvailable' || Object.keys(mask).length > 0;
  let totals = NONE;
  return { documents: restore(plan, { asOf, hasPostImages }, (end) => (totals = end), signal), totals: () => totals };
}

/** What the lake does not reach back to the warehouse may have: then the error says so. */
async function withOther(
  error: unknown,
  config: Config,
  ns: Namespace,
  asOf: RestoreArgs['asOf'],
  open: Warehouse | null,
  signal: AbortSignal,
): Promise<unknown> {
  if (!SluiceError.is(error, RESTORE_NOTHING, RESTORE_MOMENT) || config.warehouse === null) return error;
  try {
    // Somebody else may have it open, and then this is not known.
    await using own = open === null ? await openWarehouse(config, silentLog, 'look') : null;
    await new BronzeSource((open ?? own)!).plan(ns, asOf, signal);
  } catch {
    signal.throwIfAborted();
    return error;
  }
  return new SluiceError(error.kind, error.message.slice(error.kind.title.length + 2), {
    cause: error,
    next: `The warehouse has that moment: add \`--from warehouse\`. ${error.next}`,
  });
}

type Target =
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'mongodb'; readonly uri: string; readonly ns: Namespace }
  | { readonly kind: 'table'; readonly schema: string; readonly name: string };

/** @throws USAGE, before anything is read */
function targetOf({ to, into, collection }: RestoreArgs, cwd: string): Target {
  if (to.startsWith('file:')) return { kind: 'file', path: resolve(cwd, to.slice('file:'.length)) };
  if (/^mongodb(\+srv)?:\/\//.test(to)) return { kind: 'mongodb', uri: to, ns: collectionOf(into ?? collection) };
  if (to.startsWith('table:')) {
    if (into !== null) throw new SluiceError(USAGE, '`--into` is for MongoDB', { next: 'Name the table in `--to table:restored.orders`.' });
    return { kind: 'table', ...tableOf(to.slice('table:'.length)) };
  }
  throw new SluiceError(USAGE, '`--to` is neither a file nor a MongoDB nor a table', {
    next: 'Give file:./orders.ndjson, mongodb://host/ or table:restored.orders.',
  });
}

/** Takes all documents to where they belong. @returns the table that it has made */
async function writeTo(
  target: Target,
  args: RestoreArgs,
  from: string,
  documents: AsyncIterable<KeyedDocument>,
  warehouse: Warehouse | null,
  signal: AbortSignal,
): Promise<RestoreSummary['table']> {
  if (target.kind === 'table') {
    const { schema, name } = target;
    const comment = (): string =>
      `${args.collection} as of ${shownMoment(args.asOf)}, restored by sluice from ${from} at ${new Date().toISOString()}`;
    const made = await warehouse!.makeTable({ schema, name, like: collectionOf(args.collection), comment }, documents, signal);
    return { name: `${schema}.${name}`, columns: made.columns };
  }
  if (target.kind === 'file') await intoFile(target.path, documents);
  else {
    const { insertInto } = await import('../source/mongo/insert.ts');
    await insertInto(target.uri, target.ns, asBson(documents), signal);
  }
  return null;
}

/** Into a schema of its own: those of sluice hold what sluice keeps in step. */
function tableOf(name: string): { readonly schema: string; readonly name: string } {
  // eslint-disable-next-line no-control-regex -- a line break inside a name would make the SQL unreadable
  const parts = /^([^.\u0000-\u001f"]{1,200})\.([^.\u0000-\u001f"]{1,200})$/.exec(name);
  if (parts === null)
    throw new SluiceError(USAGE, `${JSON.stringify(name)} is no table with its schema`, { next: 'Name it as in `--to table:restored.orders`.' });
  return { schema: parts[1]!, name: parts[2]! };
}

function collectionOf(name: string): Namespace {
  const ns = parseNamespace(name);
  if (ns.coll === null) throw new SluiceError(USAGE, `${name} is a database`, { next: 'Name one collection, such as shop.orders.' });
  return ns;
}

/** The file is there once it is whole, unless there is one by then. */
async function intoFile(path: string, documents: AsyncIterable<KeyedDocument>): Promise<void> {
  const isThere = await stat(path).then(
    () => true,
    () => false,
  );
  if (isThere) throw new SluiceError(RESTORE_TARGET, `${path} is there already`);
  const part = `${path}.${randomUUID()}.tmp`;
  try {
    await writeLines(part, documents);
    if (!(await place(part, path))) throw new SluiceError(RESTORE_TARGET, `${path} is there by now, and somebody else has made it`);
  } finally {
    await rm(part, { force: true });
  }
}

async function writeLines(path: string, documents: AsyncIterable<KeyedDocument>): Promise<void> {
  await using file = await open(path, 'wx');
  let text = '';
  for await (const { doc } of documents) {
    text += `${doc}\n`;
    if (text.length < WRITE_CHARS) continue;
    await file.appendFile(text);
    text = '';
  }
  await file.appendFile(text);
  await file.sync();
}

/** @returns `false`: somebody has the name */
async function place(part: string, path: string): Promise<boolean> {
  const placed = await linkInPlace(part, path);
  if (placed !== 'no-links') return placed === 'placed';
  try {
    // Empty for a moment: nobody else can make it then, and it is ours to replace.
    await (await open(path, 'wx')).close();
  } catch (error) {
    if (systemCode(error) !== 'EEXIST') throw error;
    return false;
  }
  await rename(part, path);
  return true;
}

async function* asBson(documents: AsyncIterable<KeyedDocument>): AsyncGenerator<Buffer> {
  for await (const { doc } of documents) {
    const json = parseJson(doc);
    if (isObject(json)) yield bsonOf(json);
  }
}
