/**
 * `sluice restore`: a collection as it was, out of the lake, into a file, into MongoDB, or into a table of the warehouse.
 */
import { randomUUID } from 'node:crypto';
import { open, rename, rm, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { SluiceError } from '../core/error.ts';
import { RESTORE_TARGET, USAGE } from '../core/errors.ts';
import { bsonOf, isObject, parseJson } from '../core/extended-json.ts';
import { parseNamespace, type Namespace } from '../core/namespace.ts';
import type { KeyedDocument, Warehouse } from '../core/warehouse.ts';
import type { Config } from '../config/config.ts';
import { restore, type RestoreTotals } from '../pipeline/restore.ts';
import { shownMoment } from '../pipeline/restore-plan.ts';
import { openLake } from './compose.ts';
import { needWarehouse } from './load.ts';
import type { CommandOptions, RestoreArgs, RestoreSummary } from './types.ts';

const WRITE_CHARS = 1024 * 1024;

/** @param cwd what a relative path starts from @throws USAGE, RESTORE_TARGET, RESTORE_NOTHING, RESTORE_MOMENT */
export async function restoreCollection(
  config: Config,
  args: RestoreArgs,
  cwd: string,
  { log }: CommandOptions,
  signal: AbortSignal,
): Promise<RestoreSummary> {
  const ns = collectionOf(args.collection);
  const write = writerFor(config, args, cwd, { log }, signal);
  await using lake = await openLake(config, { log });
  const { fullDocument, mask } = config.source;
  // Masked, an update does not tell all that it did: the document beside it does, if need be a little later.
  const hasPostImages = fullDocument === 'required' || fullDocument === 'whenAvailable' || Object.keys(mask).length > 0;
  const options = { pipeline: config.pipeline, ns, asOf: args.asOf, hasPostImages };
  const totals: { end: RestoreTotals } = { end: { events: 0, documents: 0, erased: 0, unknown: [] } };
  const table = await write(restore(lake, options, (end) => (totals.end = end), signal));
  return { collection: args.into ?? args.collection, asOf: args.asOf, table, ...totals.end };
}

/** Takes all documents to where they belong. @returns the table that it has made */
type Write = (documents: AsyncIterable<KeyedDocument>) => Promise<RestoreSummary['table']>;

/** @throws USAGE, before anything is read */
function writerFor(config: Config, args: RestoreArgs, cwd: string, { log }: CommandOptions, signal: AbortSignal): Write {
  const { to, into } = args;
  const plain =
    (work: (documents: AsyncIterable<KeyedDocument>) => Promise<void>): Write =>
    async (documents) => {
      await work(documents);
      return null;
    };
  if (to.startsWith('file:')) return plain((documents) => intoFile(resolve(cwd, to.slice('file:'.length)), documents));
  if (to.startsWith('table:')) {
    const table = tableOf(to.slice('table:'.length));
    if (into !== null) throw new SluiceError(USAGE, '`--into` is for MongoDB', { next: 'Name the table in `--to table:restored.orders`.' });
    return async (documents) => {
      await using warehouse = await needWarehouse(config, log);
      return await intoTable(warehouse, table, args, documents, signal);
    };
  }
  if (/^mongodb(\+srv)?:\/\//.test(to))
    return plain(async (documents) => {
      const { insertInto } = await import('../source/mongo/insert.ts');
      await insertInto(to, collectionOf(into ?? args.collection), asBson(documents), signal);
    });
  throw new SluiceError(USAGE, '`--to` is neither a file nor a MongoDB nor a table', {
    next: 'Give file:./orders.ndjson, mongodb://host/ or table:restored.orders.',
  });
}

/** Into a schema of its own: those of sluice hold what sluice keeps in step. */
function tableOf(name: string): { readonly schema: string; readonly name: string } {
  // eslint-disable-next-line no-control-regex -- a line break inside a name would make the SQL unreadable
  const parts = /^([^.\u0000-\u001f"]{1,200})\.([^.\u0000-\u001f"]{1,200})$/.exec(name);
  if (parts === null)
    throw new SluiceError(USAGE, `${JSON.stringify(name)} is no table with its schema`, { next: 'Name it as in `--to table:restored.orders`.' });
  return { schema: parts[1]!, name: parts[2]! };
}

async function intoTable(
  warehouse: Warehouse,
  { schema, name }: { readonly schema: string; readonly name: string },
  { collection, asOf }: RestoreArgs,
  documents: AsyncIterable<KeyedDocument>,
  signal: AbortSignal,
): Promise<RestoreSummary['table']> {
  const comment = (): string => `${collection} as of ${shownMoment(asOf)}, restored by sluice from the lake at ${new Date().toISOString()}`;
  const made = await warehouse.makeTable({ schema, name, like: collectionOf(collection), comment }, documents, signal);
  return { name: `${schema}.${name}`, columns: made.columns };
}

function collectionOf(name: string): Namespace {
  const ns = parseNamespace(name);
  if (ns.coll === null) throw new SluiceError(USAGE, `${name} is a database`, { next: 'Name one collection, such as shop.orders.' });
  return ns;
}

/** The file is there once it is whole. */
async function intoFile(path: string, documents: AsyncIterable<KeyedDocument>): Promise<void> {
  const isThere = await stat(path).then(
    () => true,
    () => false,
  );
  if (isThere) throw new SluiceError(RESTORE_TARGET, `${path} is there already`);
  const part = `${path}.${randomUUID()}.tmp`;
  try {
    await using file = await open(part, 'wx');
    let text = '';
    for await (const { doc } of documents) {
      text += `${doc}\n`;
      if (text.length < WRITE_CHARS) continue;
      await file.appendFile(text);
      text = '';
    }
    await file.appendFile(text);
    await file.sync();
  } catch (error) {
    await rm(part, { force: true });
    throw error;
  }
  await rename(part, path);
}

async function* asBson(documents: AsyncIterable<KeyedDocument>): AsyncGenerator<Buffer> {
  for await (const { doc } of documents) {
    const json = parseJson(doc);
    if (isObject(json)) yield bsonOf(json);
  }
}
