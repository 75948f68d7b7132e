/**
 * Every layout from a real server into a real warehouse, with names that paths and tables do not like, and with more
 * collections than parts may be open.
 */
import type { Document, MongoClient } from 'mongodb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ReplicaSet } from '../../src/app/demo/replica-set.ts';
import { queryWarehouse } from '../../src/app/query.ts';
import { readStatus } from '../../src/app/status.ts';
import { verifyPipeline } from '../../src/app/verify.ts';
import type { Config } from '../../src/config/config.ts';
import { silentLog } from '../../src/ops/log.ts';
import { jumpAhead, jumpTo, startMongo } from '../mongo.ts';
import { clusterTime } from './change-stream.ts';
import { eventsOf, listLake, readLake } from './lake-files.ts';
import { mark, PipelineRun } from './pipeline-run.ts';
import { openWarehouse, silverFaults } from './silver-faults.ts';
import { Workspace, type Settings } from './workspace.ts';

const never = new AbortController().signal;
const ALL = { source: false, lake: true, warehouse: true };
/** A table for each of some fifty collections, on a machine that has other work as well. */
const NAMES_MS_MAX = 180_000;
const DAY_FILES = '{db}/{coll}/{yyyy}/{MM}/{dd}/events-{yyyyMMdd}{part}.jsonl';

let set: ReplicaSet;
let client: MongoClient;

beforeAll(async () => {
  set = await startMongo();
  client = await set.connect();
  await jumpAhead(client);
});
afterAll(async () => await set.stop());

function settings(include: readonly string[], lake: Record<string, unknown>, startAt: Date): Settings {
  return {
    source: { uri: set.uri, include, startAt: startAt.toISOString() },
    lake: { json: 'canonical', ...lake },
    warehouse: { url: 'duckdb:./w.duckdb' },
    checkpoint: { interval: '0s' },
  };
}

/** Captures and loads until nothing has come for a while. All is sealed then. */
async function runAll(config: Config): Promise<void> {
  await using run = new PipelineRun(config, { role: 'all', untilIdleMs: 300 });
  await run.done;
}

async function query(config: Config, sql: string): Promise<readonly (readonly unknown[])[]> {
  return (await queryWarehouse(config, { sql, limit: 10_000, asOf: null }, { log: silentLog }, never)).rows;
}

async function findings(config: Config): Promise<readonly string[]> {
  const report = await verifyPipeline(config, ALL, { log: silentLog }, never);
  return report.checks.flatMap((check) => check.findings);
}

/** Not all of them are names that a server takes; those that it must take are `SURELY`. */
const NAMES = [
  '..', '../../../etc/passwd', 'x/../../../etc/passwd', 'a..b', '.begins', 'ends.', 'ends ', ' begins', 'a/b', 'a\\b', '/', '%', '100%', '%2F', 'a%2Fb', '%00empty',
  '_manifest.json', '_SUCCESS', '_sluice', '_database', '%5Fdatabase', '.tmp-1', 'tab\there', 'new\nline', 'del\u007f',
  'quote"\'`', 'a:b*c?d<e>f|g', '[a-z]*', '{db}', 'events-20261121-07.part-0001', 'Case', 'case', 'CASE', 'emoji😀',
  '👩‍👩‍👧', 'e\u0301', '\u00e9', '\u202egnp', 'x; drop table y', 'ü'.repeat(100), '\u0001'.repeat(120), '😀'.repeat(50), `${'x'.repeat(200)}a`,
  `${'x'.repeat(200)}b`, 'a"b.c $é 🐟', 'a"b.c é 🐟', 'LongName'.repeat(15), 'longname'.repeat(15),
]; // prettier-ignore
const SURELY = [
  'a/b',
  '%2F',
  'a%2Fb',
  '_database',
  '%5Fdatabase',
  'new\nline',
  'Case',
  'case',
  'emoji😀',
  '\u0001'.repeat(120),
  'ends ',
  'x/../../../etc/passwd',
  'a"b.c é 🐟',
  'LongName'.repeat(15),
  'longname'.repeat(15),
];

const FEW = ['a/b', '%2F', 'a%2Fb', 'Case', 'case', '\u0001'.repeat(120)];

/** Collections by database, as far as the server takes their names; one document in each. */
async function fill(databases: Readonly<Record<string, readonly string[]>>): Promise<Map<string, readonly [db: string, coll: string]>> {
  const taken = new Map<string, readonly [string, string]>();
  for (const [db, names] of Object.entries(databases)) {
    for (const coll of names) {
      const id = `${db} ${coll}`;
      // Not through the driver's own methods: it refuses names that the server takes.
      const done = await client.db(db).command({ insert: coll, documents: [{ _id: id }] }).catch(() => null); // prettier-ignore
      if (done?.['ok'] === 1 && done['n'] === 1) taken.set(id, [db, coll]);
    }
  }
  const refused = Object.entries(databases).flatMap(([db, names]) => names.filter((coll) => !taken.has(`${db} ${coll}`)));
  expect(refused.filter((name) => SURELY.includes(name))).toEqual([]);
  return taken;
}

describe('names that paths and tables do not like', () => {
  it.each([
    ['hive', { '_we%ird': NAMES, 'Plus+é😀': FEW }],
    ['hourly', { '_ho%urly': FEW }],
    ['per-event', { '_on%ely': FEW }],
    [DAY_FILES, { '_da%ys': FEW }],
  ])(
    'go through lake, ledger, loader and query with the layout %s',
    async (layout, databases) => {
      await using work = await Workspace.make();
      const from = await clusterTime(client);
      const taken = await fill(databases);
      const config = work.config(settings(Object.keys(databases).map((db) => `${db}.*`), { layout }, new Date(from.t * 1000))); // prettier-ignore
      await runAll(config);

      const inserts = (await eventsOf(work.lake)).filter(({ event }) => event._meta.operationType === 'insert');
      const seen = inserts.map(
        ({ event }) => [(event['documentKey'] as Document)['_id'] as string, [event._meta.ns.db, event._meta.ns.coll]] as const,
      );
      expect(new Map(seen)).toEqual(taken);
      expect(seen).toHaveLength(taken.size);
      // A folder holds one collection, on a disk that does not know case as well but for the case itself.
      const folders = new Map<string, string>();
      const folderOf = (path: string): string => path.split('/').slice(0, layout === 'hourly' ? 1 : 2).join('/'); // prettier-ignore
      for (const { path, event } of inserts) {
        const ns = JSON.stringify(event._meta.ns);
        expect(folders.get(folderOf(path)) ?? ns).toBe(ns);
        folders.set(folderOf(path), ns);
        for (const name of path.split('/')) expect(name).toMatch(/^(?![.])[^\\/:*?"<>|\u0000-\u001f\u007f]*[^. ]$/);
      }
      expect(folders.size).toBe(taken.size);

      expect(await findings(config)).toEqual([]);
      const tables = await query(config, 'select db, coll, table_name, rows from sluice.collection_registry where coll is not null');
      expect(tables.length).toBe(taken.size);
      expect(new Set(tables.map(([, , table]) => String(table).toLowerCase())).size).toBe(tables.length);
      const keysIn = async (column: string, schema: string, suffix = ''): Promise<string[]> => {
        const union = tables
          .map(([, , table]) => `select ${column} from ${schema}."${String(table).replaceAll('"', '""')}${suffix}"`)
          .join(' union all ');
        return (await query(config, union)).map(([key]) => String(key)).toSorted();
      };
      const ids = [...taken.keys()].toSorted();
      expect(await keysIn('_id', 'gold')).toEqual(ids);
      expect((await keysIn('key', 'silver')).map((key) => JSON.parse(key) as string).toSorted()).toEqual(ids);
      expect((await keysIn('key', 'silver', '_history')).map((key) => JSON.parse(key) as string).toSorted()).toEqual(ids);
      const status = await readStatus(config, { log: silentLog }, never);
      const rowsOf = new Map(status.collections.map((row) => [row.namespace, row]));
      for (const [db, coll] of taken.values()) expect(rowsOf.get(`${db}.${coll}`), coll).toMatchObject({ partsOpen: 0, status: 'ACTIVE' });
    },
    NAMES_MS_MAX,
  );
});

describe('one file per event', () => {
  it('is captured, published, loaded and merged over hours and restarts, and proved', async () => {
    await using work = await Workspace.make();
    await jumpTo(client, (Math.floor((await clusterTime(client)).t / 3600) + 1) * 3600);
    const from = await clusterTime(client);
    const db = client.db('single');
    const config = work.config(settings(['single.*'], { layout: 'per-event' }, new Date(from.t * 1000)));
    const some = async (n: number): Promise<void> => {
      const a = db.collection<{ _id: string; n: number; text: string }>('a');
      await a.insertMany(Array.from({ length: 30 }, (_, i) => ({ _id: `${n}-${i}`, n, text: 'Grüße\n' })));
      await a.updateMany({ n }, { $set: { seen: true } });
      await a.deleteMany({ n, _id: /5$/ });
      await db.collection<Document>('b').insertOne({ n });
    };
    await some(1);
    await runAll(config);
    await some(2);
    await jumpTo(client, (Math.floor(from.t / 3600) + 1) * 3600);
    await some(3);
    await mark(client, 'single', 'b');
    await runAll(config);

    expect(await findings(config)).toEqual([]);
    const paths = await listLake(work.lake);
    const events = await eventsOf(work.lake);
    expect(new Set(events.map(({ path }) => path)).size).toBe(events.length);
    expect(events.every(({ path }) => /^single\/[ab]\/year=\d{4}\/month=\d\d\/day=\d\d\/(insert|update|delete|create)-[^/]*\.json$/.test(path))).toBe(
      true,
    );
    expect(events.filter(({ event }) => event._meta.ns.coll === 'a' && event._meta.operationType !== 'create')).toHaveLength(3 * (30 + 30 + 3));
    expect(paths.some((path) => /^_sluice\/shop\/manifests\/single\/a\/\d{8}-\d\d\.json$/.test(path))).toBe(true);
    {
      await using warehouse = await openWarehouse(`${work.folder}/w.duckdb`);
      expect(await silverFaults(warehouse, client, 'single', 'a')).toEqual([]);
    }
    expect(await query(config, 'select count(*), count(distinct position) from bronze.single__a')).toEqual([[190, 190]]);
    const status = await readStatus(config, { log: silentLog }, never);
    const bytes = [...(await readLake(work.lake))]
      .filter(([path]) => /^single\/a\/.*\.json$/.test(path))
      .reduce((sum, [, each]) => sum + each.length, 0);
    expect(status.collections.find((row) => row.namespace === 'single.a')).toMatchObject({ rowsSealed: 190, rowsLoaded: 190, bytesSealed: bytes });
  });
});

describe('compressed parts', () => {
  it.each(['gzip', 'zstd'] as const)('of several %s members are loaded whole', async (compression) => {
    await using work = await Workspace.make();
    const from = await clusterTime(client);
    const db = `packed_${compression}`;
    const config = work.config(settings([`${db}.*`], { compression }, new Date(from.t * 1000)));
    {
      await using run = await new PipelineRun(config, { role: 'capture' }).running();
      for (let n = 0; n < 5; n += 1) {
        await client.db(db).collection('a').insertMany(Array.from({ length: 20 }, () => ({ n, text: 'Grüße '.repeat(20) }))); // prettier-ignore
        await run.reaches(await mark(client, db, 'a'));
      }
    }
    await runAll(config);
    const paths = (await listLake(work.lake)).filter((path) => path.startsWith(db) && path.includes('/events-'));
    expect(paths).toEqual([expect.stringMatching(compression === 'gzip' ? /\.gz$/ : /\.zst$/)]);
    const magic = Buffer.from(compression === 'gzip' ? [0x1f, 0x8b, 0x08] : [0x28, 0xb5, 0x2f, 0xfd]);
    const stored = (await readLake(work.lake)).get(paths[0]!)!;
    expect(stored.indexOf(magic, 1)).toBeGreaterThan(0);
    expect(await findings(config)).toEqual([]);
    await using warehouse = await openWarehouse(`${work.folder}/w.duckdb`);
    expect(await silverFaults(warehouse, client, db, 'a')).toEqual([]);
  });
});

describe('more collections than parts may be open', () => {
  it.each(['hive', 'per-event'])('lose nothing with the layout %s', async (layout) => {
    await using work = await Workspace.make();
    const from = await clusterTime(client);
    const db = client.db(`many_${layout.replace('-', '_')}`);
    const names = Array.from({ length: 120 }, (_, n) => `c${n}`);
    for (let round = 0; round < 3; round += 1) {
      await client.bulkWrite(names.map((name) => ({ name: 'insertOne', namespace: `${db.databaseName}.${name}`, document: { round } }))).catch(async () => {
        // The server knows no bulk write over collections before 8.0.
        for (const name of names) await db.collection(name).insertOne({ round });
      }); // prettier-ignore
    }
    const config = work.config(settings([`${db.databaseName}.*`], { layout, maxOpenParts: 8 }, new Date(from.t * 1000)));
    await using run = new PipelineRun(config, { untilIdleMs: 300 });
    await run.done;
    expect(await work.verify()).toEqual([]);
    const inserts = (await eventsOf(work.lake)).filter(({ event }) => event._meta.operationType === 'insert');
    expect(inserts).toHaveLength(3 * names.length);
  });
});
