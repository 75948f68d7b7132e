/**
 * `sluice restore`: a collection as it was, out of the lake, into a file or into MongoDB.
 */
import { randomUUID } from 'node:crypto';
import { open, rename, rm, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { SluiceError } from '../core/error.ts';
import { RESTORE_TARGET, USAGE } from '../core/errors.ts';
import { bsonOf, isObject, parseJson } from '../core/extended-json.ts';
import { parseNamespace, type Namespace } from '../core/namespace.ts';
import type { Config } from '../config/config.ts';
import { restore, type RestoreTotals } from '../pipeline/restore.ts';
import { openLake } from './compose.ts';
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
  await using lake = await openLake(config, { log });
  const { fullDocument, mask } = config.source;
  // Masked, an update does not tell all that it did: the document beside it does, if need be a little later.
  const hasPostImages = fullDocument === 'required' || fullDocument === 'whenAvailable' || Object.keys(mask).length > 0;
  const options = { pipeline: config.pipeline, ns: collectionOf(args.collection), asOf: args.asOf, hasPostImages };
  let totals: RestoreTotals = { events: 0, documents: 0, erased: 0, unknown: [] };
  const documents = restore(lake, options, (end) => (totals = end), signal);
  if (args.to.startsWith('file:')) await intoFile(resolve(cwd, args.to.slice('file:'.length)), documents);
  else if (/^mongodb(\+srv)?:\/\//.test(args.to)) {
    const { insertInto } = await import('../source/mongo/insert.ts');
    await insertInto(args.to, collectionOf(args.into ?? args.collection), asBson(documents), signal);
  } else throw new SluiceError(USAGE, '`--to` is neither a file nor a MongoDB', { next: 'Give file:./orders.ndjson or mongodb://host/.' });
  return { collection: args.into ?? args.collection, asOf: args.asOf, ...totals };
}

function collectionOf(name: string): Namespace {
  const ns = parseNamespace(name);
  if (ns.coll === null) throw new SluiceError(USAGE, `${name} is a database`, { next: 'Name one collection, such as shop.orders.' });
  return ns;
}

/** The file is there once it is whole. */
async function intoFile(path: string, documents: AsyncIterable<string>): Promise<void> {
  const isThere = await stat(path).then(
    () => true,
    () => false,
  );
  if (isThere) throw new SluiceError(RESTORE_TARGET, `${path} is there already`);
  const part = `${path}.${randomUUID()}.tmp`;
  try {
    await using file = await open(part, 'wx');
    let text = '';
    for await (const document of documents) {
      text += `${document}\n`;
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

async function* asBson(documents: AsyncIterable<string>): AsyncGenerator<Buffer> {
  for await (const document of documents) {
    const json = parseJson(document);
    if (isObject(json)) yield bsonOf(json);
  }
}
