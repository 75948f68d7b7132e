/**
 * What `sluice doctor` tries on the source, in the order in which one thing needs another.
 *
 * Each check does what the pipeline will do (opens the change stream, reads a document) instead of reading a list of
 * roles: rights come from many places. A check that cannot be made because one before it failed is left out.
 */
import type { MongoClient, Document } from 'mongodb';
import type { Clock } from '../../core/clock.ts';
import { reasonOf, SluiceError } from '../../core/error.ts';
import { SOURCE_DENIED } from '../../core/errors.ts';
import { formatNamespace } from '../../core/namespace.ts';
import { imagesOf } from './images.ts';
import { hostsOf, makeClient, matchingCollections, type CollectionInfo, oplogWindow } from './inspect.ts';
import { connectError, judge, serverSays } from './server-errors.ts';
import { planStream, type StreamOptions } from './stream-plan.ts';
import { canSplitEvents, isSupported, parseVersion } from './version.ts';

export interface SourceCheck {
  readonly name: string;
  readonly outcome: 'ok' | 'failed' | 'skipped';
  readonly detail: string;
  /** What to type or change; `null` when there is nothing to do. */
  readonly fix: string | null;
}

export interface SourceCheckOptions extends StreamOptions {
  readonly uri: string;
}

/** Every time that sluice shows (lag, headroom) is wrong by as much. */
const CLOCK_DIFFERENCE_MS_MAX = 60_000;
/** A full oplog that holds less than this does not survive a night's outage. */
const OPLOG_HOURS_MIN = 24;
const NAMES_SHOWN_MAX = 5;

const ok = (name: string, detail: string, fix: string | null = null): SourceCheck => ({ name, outcome: 'ok', detail, fix });
const skipped = (name: string, detail: string, fix: string | null = null): SourceCheck => ({ name, outcome: 'skipped', detail, fix });
const failed = (name: string, detail: string, fix: string): SourceCheck => ({ name, outcome: 'failed', detail, fix });

/** The checks, in order. Problems are in them: nothing is thrown but the signal's reason. */
export async function checkSource(options: SourceCheckOptions, clock: Clock, signal: AbortSignal): Promise<SourceCheck[]> {
  signal.throwIfAborted();
  let client: MongoClient;
  try {
    client = makeClient(options.uri);
  } catch (error) {
    return [failed('connection', reasonOf(error), 'Mend `source.uri`.')];
  }
  const onAbort = (): void => void client.close().catch(() => {});
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    const checks = await runChecks(client, options, clock);
    // What failed because we hung up says nothing about the source.
    signal.throwIfAborted();
    return checks;
  } catch (error) {
    signal.throwIfAborted();
    const { message, next } = connectError(error, hostsOf(client));
    return [failed('connection', message, next)];
  } finally {
    signal.removeEventListener('abort', onAbort);
    await client.close();
  }
}

async function runChecks(client: MongoClient, options: SourceCheckOptions, clock: Clock): Promise<SourceCheck[]> {
  const admin = client.db('admin');
  try {
    await client.connect();
  } catch (error) {
    const known = connectError(error, hostsOf(client));
    return [failed(known.code === 'SLC-1218' ? 'login' : 'connection', known.message, known.next)];
  }
  const checks = [ok('connection', hostsOf(client))];
  const askedMs = clock.now();
  const hello = await admin.command({ hello: 1 });
  const answeredMs = clock.now();
  checks.push(await loginCheck(admin.command({ connectionStatus: 1 })));
  const sharded = hello['msg'] === 'isdbgrid';
  if (hello['setName'] === undefined && !sharded) {
    return [
      ...checks,
      failed(
        'replica set',
        'a standalone mongod has no change streams',
        'Start it with `--replSet rs0` and run `rs.initiate()` once; a replica set of one is enough.',
      ),
    ];
  }
  checks.push(ok('replica set', sharded ? 'sharded cluster' : String(hello['setName'])));
  const version = parseVersion(String((await admin.command({ buildInfo: 1 }))['version']));
  if (!isSupported(version)) return [...checks, failed('version', version.text, 'Upgrade to MongoDB 6.0 or newer.')];
  const splits = canSplitEvents(version) ? 'splits events over 16 MB' : 'cannot split events over 16 MB: 6.0.9 and newer can';
  checks.push(ok('version', `${version.text}, ${splits}`));
  checks.push(await streamCheck(client, options, canSplitEvents(version)));
  const { check, collections } = await collectionsCheck(client, options);
  checks.push(check);
  if (collections !== null) checks.push(...imagesCheck(options, collections));
  checks.push(sharded ? skipped('oplog window', 'every shard has its own; ask each') : await oplogCheck(client));
  checks.push(clockCheck(hello, askedMs, answeredMs));
  return checks;
}

async function loginCheck(asked: Promise<Document>): Promise<SourceCheck> {
  const status = (await asked)['authInfo'] as { authenticatedUsers?: readonly { user: string; db: string }[] } | undefined;
  const [user] = status?.authenticatedUsers ?? [];
  return ok('login', user === undefined ? 'no user: the server has no access control, or lets anybody in' : `${user.user} (of ${user.db})`);
}

/** Opens the very stream that the pipeline would, and closes it unread. */
async function streamCheck(client: MongoClient, options: SourceCheckOptions, split: boolean): Promise<SourceCheck> {
  const name = 'change stream';
  const plan = planStream(options);
  const db = client.db(plan.database);
  const pipeline = [{ $changeStream: plan.changeStream }, ...plan.stages, ...(split ? [{ $changeStreamSplitLargeEvent: {} }] : [])];
  try {
    const reply = await db.command({ aggregate: plan.collection ?? 1, pipeline, cursor: { batchSize: 0 }, readConcern: { level: 'majority' } });
    const { id } = reply['cursor'] as { id: unknown };
    await db.command({ killCursors: plan.collection ?? '$cmd.aggregate', cursors: [id] });
    return ok(
      name,
      plan.level === 'cluster' ? 'over the whole deployment' : `over ${plan.database}${plan.collection === null ? '' : `.${plan.collection}`}`,
    );
  } catch (error) {
    const verdict = judge(error);
    if (verdict.do === 'stop' && SluiceError.is(verdict.error, SOURCE_DENIED))
      return failed(name, serverSays(error), grant(plan.level === 'cluster' ? null : plan.database));
    return failed(name, serverSays(error), 'Check `source.match`, `source.include`, `source.fullDocument` and `source.fullDocumentBeforeChange`.');
  }
}

function grant(database: string | null): string {
  const role = database === null ? '"readAnyDatabase"' : `{ role: "read", db: "${database}" }`;
  return `In mongosh: \`use admin\`, then \`db.grantRolesToUser("<user>", [${role}])\`.`;
}

async function collectionsCheck(
  client: MongoClient,
  options: SourceCheckOptions,
): Promise<{ check: SourceCheck; collections: readonly CollectionInfo[] | null }> {
  const name = 'collections';
  try {
    const collections = await matchingCollections(client, options.include, options.exclude);
    const [first] = collections.filter((info) => info.type === 'collection');
    if (first === undefined) return { check: ok(name, 'none matches `source.include` yet; they are captured as soon as they appear'), collections };
    await client
      .db(first.namespace.db)
      .collection(first.namespace.coll ?? '')
      .findOne({}, { projection: { _id: 1 } });
    return { check: ok(name, `${collections.length} can be read: ${some(collections.map((info) => formatNamespace(info.namespace)))}`), collections };
  } catch (error) {
    const denied = judge(error);
    const fix = denied.do === 'stop' && SluiceError.is(denied.error, SOURCE_DENIED) ? grant(null) : 'Check the server’s log for the reason.';
    return { check: failed(name, serverSays(error), fix), collections: null };
  }
}

function some(names: readonly string[]): string {
  const rest = names.length - NAMES_SHOWN_MAX;
  return `${names.slice(0, NAMES_SHOWN_MAX).join(', ')}${rest > 0 ? ` and ${rest} more` : ''}`;
}

function imagesCheck(options: SourceCheckOptions, collections: readonly CollectionInfo[]): SourceCheck[] {
  const wanted = [options.fullDocument === 'updateLookup' ? 'off' : options.fullDocument, options.fullDocumentBeforeChange];
  if (wanted.every((mode) => mode === 'off')) return [];
  const name = 'pre- and post-images';
  const { on, off } = imagesOf(collections);
  const missing = some(off.map(formatNamespace));
  const fix = 'Run `sluice enable-images`.';
  if (off.length === 0) return [ok(name, `${on.length} collections keep them`)];
  if (wanted.includes('required')) return [failed(name, `required, and not kept by ${missing}`, fix)];
  return [ok(name, `not kept by ${missing}: their events come without`, fix)];
}

async function oplogCheck(client: MongoClient): Promise<SourceCheck> {
  const name = 'oplog window';
  try {
    const { hours, full } = await oplogWindow(client);
    const detail = `${hours.toFixed(1)} hours${full ? '' : ', and not full yet'}`;
    if (!full || hours >= OPLOG_HOURS_MIN) return ok(name, detail);
    const fix =
      'A longer outage than that loses history. Enlarge it: `db.adminCommand({ replSetResizeOplog: 1, size: <MB>, minRetentionHours: 48 })` on each member.';
    return hours < 1 ? failed(name, detail, fix) : ok(name, detail, fix);
  } catch (error) {
    return skipped(
      name,
      `may not be read by this user (${serverSays(error)})`,
      'To have it shown, grant `read` on the database `local`; sluice itself does not need it.',
    );
  }
}

function clockCheck(hello: Document, askedMs: number, answeredMs: number): SourceCheck {
  const name = 'clock';
  const server = (hello['localTime'] as Date).getTime();
  // The server looked at its clock somewhere in between.
  const differenceMs = server < askedMs ? askedMs - server : Math.max(0, server - answeredMs);
  const detail = `differs from the server’s by ${(differenceMs / 1000).toFixed(1)} s${differenceMs === 0 ? ' at most' : ''}`;
  return differenceMs > CLOCK_DIFFERENCE_MS_MAX
    ? failed(name, detail, 'Let both machines follow NTP; nothing is lost by it, but lag and ages are shown wrong.')
    : ok(name, detail);
}
