/**
 * Looks at a deployment without reading its changes: for `init`, `doctor` and `enable-images`.
 */
import { MongoClient, type Document, type MongoClientOptions } from 'mongodb';
import { SluiceError } from '../../core/error.ts';
import { CONFIG_INVALID, SOURCE_STANDALONE, SOURCE_VERSION } from '../../core/errors.ts';
import type { OplogState } from '../../core/oplog.ts';
import { isLiteral, NamespaceFilter, parseGlob, type Namespace } from '../../core/namespace.ts';
import { connectError, serverSays } from './server-errors.ts';
import { isSupported, parseVersion, type ServerVersion } from './version.ts';

/** Somebody waits at a terminal: a wrong address should be told soon. */
const SERVER_SELECTION_MS = 5_000;
/** Until a socket is given up on which the server says nothing. */
const SOCKET_SILENCE_MS = 60_000;
const SYSTEM_DATABASES: ReadonlySet<string> = new Set(['admin', 'config', 'local']);

/** @throws CONFIG_INVALID when the URI cannot be read */
export function makeClient(uri: string, options: MongoClientOptions = {}): MongoClient {
  try {
    // What the user has put into the URI wins over our impatience.
    const patience = /[?&]serverSelectionTimeoutMS=/i.test(uri)
      ? {}
      : { serverSelectionTimeoutMS: SERVER_SELECTION_MS, connectTimeoutMS: SERVER_SELECTION_MS };
    // Half-open sockets end here.
    const silence = /[?&]socketTimeoutMS=/i.test(uri) ? {} : { socketTimeoutMS: SOCKET_SILENCE_MS };
    return new MongoClient(uri, { appName: 'sluice', ...patience, ...silence, ...options });
  } catch (cause) {
    throw new SluiceError(CONFIG_INVALID, `source.uri: ${serverSays(cause)}`, { cause });
  }
}

/** Host names of a client, for messages. */
export function hostsOf(client: MongoClient): string {
  return client.options.srvHost ?? client.options.hosts.map(String).join(',');
}

/** Runs `work` with a client that is closed afterwards; an abort closes it at once. */
export async function withClient<T>(
  uri: string,
  signal: AbortSignal,
  work: (client: MongoClient) => Promise<T>,
  options: MongoClientOptions = {},
): Promise<T> {
  signal.throwIfAborted();
  const client = makeClient(uri, options);
  const onAbort = (): void => void client.close().catch(() => {});
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    await client.connect();
    return await work(client);
  } catch (error) {
    signal.throwIfAborted();
    throw error instanceof SluiceError ? error : connectError(error, hostsOf(client));
  } finally {
    signal.removeEventListener('abort', onAbort);
    await client.close();
  }
}

export interface CollectionInfo {
  readonly namespace: Namespace;
  readonly images: boolean;
  /** `collection`, `view` or `timeseries`. */
  readonly type: string;
  readonly capped: boolean;
}

/** Collections that the globs choose, system collections left out, in order. */
export async function matchingCollections(client: MongoClient, include: readonly string[], exclude: readonly string[]): Promise<CollectionInfo[]> {
  const filter = new NamespaceFilter(include, exclude);
  const found: CollectionInfo[] = [];
  for (const db of await databases(client, include)) {
    const list = await client.db(db).listCollections({}, { authorizedCollections: true }).toArray();
    for (const { name, type, options } of list as readonly { name: string; type?: string; options?: Document }[]) {
      const namespace = { db, coll: name };
      if (name.startsWith('system.') || !filter.matches(namespace)) continue;
      const images = (options?.['changeStreamPreAndPostImages'] as { enabled?: boolean } | undefined)?.enabled === true;
      found.push({ namespace, images, type: type ?? 'collection', capped: options?.['capped'] === true });
    }
  }
  return found.toSorted((a, b) => compare(`${a.namespace.db}.${a.namespace.coll}`, `${b.namespace.db}.${b.namespace.coll}`));
}

function compare(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}

/** Names that are spelled out need no right to list databases. */
async function databases(client: MongoClient, include: readonly string[]): Promise<readonly string[]> {
  const names = include.map((glob) => parseGlob(glob).db);
  if (names.every(isLiteral)) return [...new Set(names)];
  const { databases: list } = await client.db('admin').admin().listDatabases({ nameOnly: true, authorizedDatabases: true });
  return list.map(({ name }) => name).filter((name) => !SYSTEM_DATABASES.has(name));
}

export interface Deployment {
  readonly version: ServerVersion;
  /** `null` behind a mongos. */
  readonly replicaSet: string | null;
  readonly databases: readonly { readonly name: string; readonly collections: number }[];
}

/** @throws SOURCE_UNAVAILABLE, SOURCE_LOGIN, SOURCE_STANDALONE, SOURCE_VERSION, SOURCE_DENIED */
export function inspectDeployment(uri: string, signal: AbortSignal): Promise<Deployment> {
  return withClient(uri, signal, async (client) => {
    const admin = client.db('admin');
    const hello = await admin.command({ hello: 1 });
    const version = parseVersion(String((await admin.command({ buildInfo: 1 }))['version']));
    if (hello['setName'] === undefined && hello['msg'] !== 'isdbgrid') throw new SluiceError(SOURCE_STANDALONE, hostsOf(client));
    if (!isSupported(version)) throw new SluiceError(SOURCE_VERSION, `${hostsOf(client)} runs ${version.text}`);
    const counts = new Map<string, number>();
    for (const { namespace } of await matchingCollections(client, ['*.*'], [])) counts.set(namespace.db, (counts.get(namespace.db) ?? 0) + 1);
    return {
      version,
      replicaSet: hello['setName'] === undefined ? null : String(hello['setName']),
      databases: [...counts].map(([name, collections]) => ({ name, collections })),
    };
  });
}

/** An oplog is as good as full from here on: the server cuts before it is. */
const OPLOG_FULL = 0.95;

export interface OplogWindow {
  /** From its first entry to its last. */
  readonly hours: number;
  /** It has reached its size, so that the window will not grow. */
  readonly full: boolean;
  readonly state: OplogState;
}

/** @throws what the server says when this user may not read `local` */
export async function oplogWindow(client: MongoClient): Promise<OplogWindow> {
  const local = client.db('local');
  const end = (direction: 1 | -1): Promise<Document | null> =>
    local
      .collection('oplog.rs')
      .find({}, { sort: { $natural: direction }, limit: 1, projection: { ts: 1 } })
      .next();
  const [first = 0, last = 0] = [await end(1), await end(-1)].map((entry) => (entry?.['ts'] as { t: number } | undefined)?.t);
  const { size, maxSize } = (await local.command({ collStats: 'oplog.rs' })) as unknown as { size: number; maxSize?: number };
  const full = maxSize !== undefined && size >= maxSize * OPLOG_FULL;
  // The server cuts before it is full to the last byte: what is left there is not free.
  const bytesMax = maxSize === undefined ? null : full ? size : maxSize;
  return { hours: (last - first) / 3600, full, state: { firstSeconds: first, lastSeconds: last, bytes: size, bytesMax } };
}
