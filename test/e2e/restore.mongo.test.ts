/**
 * A collection given back as it was, against what a real server held at that moment.
 */
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Decimal128, Double, EJSON, Long, ObjectId } from 'bson';
import fc from '../fast-check.ts';
import type { Document, MongoClient, Timestamp as BsonTimestamp } from 'mongodb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ReplicaSet } from '../../src/app/demo/replica-set.ts';
import { loadSealed } from '../../src/app/load.ts';
import { queryWarehouse } from '../../src/app/query.ts';
import { restoreCollection } from '../../src/app/restore.ts';
import type { Config } from '../../src/config/config.ts';
import { RESTORE_MOMENT, RESTORE_NOTHING, RESTORE_TARGET } from '../../src/core/errors.ts';
import { isObject, jsonText, parseJson } from '../../src/core/extended-json.ts';
import type { Timestamp } from '../../src/core/time.ts';
import { silentLog } from '../../src/ops/log.ts';
import { RunProcess } from '../crash/run-process.ts';
import { startMongo } from '../mongo.ts';
import { mark, PipelineRun, timeOf } from './pipeline-run.ts';
import { sluice } from './sluice.ts';
import { until } from './until.ts';
import { Workspace, type Settings } from './workspace.ts';

const OPERATIONS = Number(process.env['SLUICE_RESTORES'] ?? 150);
const never = new AbortController().signal;

let set: ReplicaSet;
let client: MongoClient;

beforeAll(async () => {
  set = await startMongo();
  client = await set.connect();
});
afterAll(async () => await set.stop());

/** All documents as the server sends them, in no order. */
async function heldBy(db: string, coll: string): Promise<string[]> {
  const raw = (await client.db(db).collection(coll).find({}, { raw: true }).toArray()) as unknown as Uint8Array[];
  return raw.map((bytes) => Buffer.from(bytes).toString('hex')).toSorted();
}

const value = fc.oneof(
  fc.integer({ min: -5, max: 5 }),
  fc.constantFrom<unknown>(
    'ß"\u0001\\',
    null,
    true,
    new Date(-1),
    new Double(3),
    new Double(-0),
    Long.MAX_VALUE,
    Decimal128.fromString('1.50'),
    [],
    {},
    { '2': 1, '1': 2 },
  ),
  fc.constantFrom<unknown>([1, { x: [2] }, 3], { d: { e: 1 }, f: [{ g: 1 }] }),
);
const path = fc.constantFrom('a', 'b', 'c', 'a.d.e', 'b.f', 'n.x', 'n.y.z', 'list.0', 'list.2.x', '7');
const update = fc.oneof<fc.Arbitrary<Document | Document[]>[]>(
  fc.tuple(path, value).map(([at, to]) => ({ $set: { [at]: to } })),
  path.map((at) => ({ $unset: { [at]: '' } })),
  value.map((item) => ({ $push: { list: item } })),
  fc.constantFrom<Document>({ $pop: { list: 1 } }, { $pop: { list: -1 } }, { $inc: { count: 1 } }, { $rename: { a: 'moved' } }),
  fc.constantFrom<Document[]>(
    [{ $set: { list: { $slice: ['$list', 1] } } }],
    [{ $unset: ['b', 'c'] }],
    [{ $replaceWith: { _id: '$_id', kept: '$a' } }],
  ),
);
const step = fc.oneof(
  { weight: 3, arbitrary: fc.tuple(fc.constant('insert' as const), fc.integer({ min: 0, max: 7 }), value) },
  { weight: 8, arbitrary: fc.tuple(fc.constant('update' as const), fc.integer({ min: 0, max: 7 }), update) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('delete' as const), fc.integer({ min: 0, max: 7 }), fc.constant(null)) },
);

/** In the order of their text. */
async function columnOf(config: Config, column: string, table: string): Promise<string[]> {
  const { rows } = await queryWarehouse(
    config,
    { sql: `select cast(${column} as varchar) from ${table}`, limit: 1000, asOf: null },
    { log: silentLog },
    never,
  );
  return rows.map(([text]) => text as string).toSorted();
}

/** Text of the `_id` of a document, which comes first in it. */
function idOf(document: string): string {
  const json = parseJson(document);
  return isObject(json) ? jsonText(json.members.find(([name]) => name === '_id')![1]) : '';
}

interface Moment {
  readonly at: Timestamp;
  readonly documents: readonly string[];
}

/** One change after another, and what the collection held after each. */
async function live(db: string): Promise<Moment[]> {
  const coll = client.db(db).collection('orders');
  const moments: Moment[] = [];
  const ids: readonly unknown[] = [
    1,
    Long.fromNumber(2),
    'drei',
    new ObjectId('6b0147bd1f3c5a0012345678'),
    { a: 1, b: [2] },
    new Date(5),
    true,
    Decimal128.fromString('8'),
  ];
  for (const [what, which, of] of fc.sample(step, { numRuns: OPERATIONS })) {
    const filter = { _id: ids[which] } as Document;
    // What the server refuses (a path through a number) changes nothing.
    const done =
      what === 'insert'
        ? coll.insertOne({ ...filter, list: [1, 2, 3], n: { x: 1 }, a: of })
        : what === 'delete'
          ? coll.deleteOne(filter)
          : coll.updateOne(filter, of);
    await done.catch(() => undefined);
    const { operationTime } = (await client.db(db).command({ ping: 1 })) as { operationTime: BsonTimestamp };
    moments.push({ at: timeOf(operationTime), documents: await heldBy(db, 'orders') });
  }
  return moments;
}

async function captured(work: Workspace, settings: Settings, db: string, act: () => Promise<void>): Promise<void> {
  // The first run settles the start; the second reads when all is over, so that documents are looked up late.
  await using first = await new PipelineRun(work.config(settings)).running();
  await first.reaches(await mark(client, db, 'mark'));
  await first.stop();
  await act();
  const end = await mark(client, db, 'mark');
  await using second = new PipelineRun(work.config(settings), { untilIdleMs: 300 });
  await second.reaches(end);
  await second.done;
}

describe('restore', () => {
  it('gives back what the server held at random moments, byte for byte, although documents were looked up later', async () => {
    await using work = await Workspace.make();
    const settings = { source: { uri: set.uri, include: ['past.*'] }, lake: { json: 'canonical' }, warehouse: { url: 'duckdb:./warehouse.duckdb' } };
    let moments: Moment[] = [];
    await captured(work, settings, 'past', async () => void (moments = await live('past')));
    const config = work.config(settings);
    // Before the first document there is no collection, and nothing to give back.
    const known = moments.slice(moments.findIndex(({ documents }) => documents.length > 0));
    const picked = [...fc.sample(fc.constantFrom(...known), { numRuns: 5 }), moments.at(-1)!];
    const texts: string[] = [];
    for (const from of ['lake', 'warehouse'] as const) {
      for (const [n, { at, documents }] of picked.entries()) {
        const name = `${from}_${n}`;
        const args = { collection: 'past.orders', asOf: at, to: `file:${work.folder}/${name}.ndjson`, into: null, from };
        const summary = await restoreCollection(config, args, work.folder, { log: silentLog }, never);
        expect([summary.documents, summary.unknown, summary.erased]).toEqual([documents.length, [], 0]);
        await restoreCollection(config, { ...args, to: set.uri, into: `given.${name}` }, work.folder, { log: silentLog }, never);
        expect(await heldBy('given', name)).toEqual(documents);
        const text = await readFile(join(work.folder, `${name}.ndjson`), 'utf8');
        texts[n] ??= text;
        expect(text).toBe(texts[n]);
        const lines = text.split('\n').filter((line) => line !== '');
        expect(lines.length).toBe(documents.length);
        await restoreCollection(config, { ...args, to: `table:given.${name}` }, work.folder, { log: silentLog }, never);
        expect(await columnOf(config, '_doc', `given.${name}`)).toEqual(lines.toSorted());
        expect(await columnOf(config, '_key', `given.${name}`)).toEqual(lines.map((line) => idOf(line)).toSorted());
        // A reader that keeps no order of keys gets the same values.
        expect(lines.map((line) => EJSON.parse(line, { relaxed: false }) as Document).every((document) => '_id' in document)).toBe(true);
      }
      if (from === 'warehouse') continue;
      // From here on the warehouse is all that there is.
      expect((await loadSealed(config, { hours: null }, { log: silentLog }, never)).rejected).toEqual([]);
      await rm(work.lake, { recursive: true });
    }
    const taken = { collection: 'past.orders', asOf: picked[0]!.at, to: set.uri, into: 'given.warehouse_0', from: 'warehouse' as const };
    await expect(restoreCollection(config, taken, work.folder, { log: silentLog }, never)).rejects.toMatchObject({ kind: RESTORE_TARGET });
  });

  it('is refused where the lake does not know, with the moments that it does know, and by the command line', async () => {
    await using work = await Workspace.make();
    const db = client.db('half');
    await db.collection('old').insertOne({ there: 'before the start' });
    const settings = { source: { uri: set.uri, include: ['half.*'] } };
    let [dropped, anew]: [Timestamp, Timestamp] = [
      { t: 0, i: 0 },
      { t: 0, i: 0 },
    ];
    await captured(work, settings, 'half', async () => {
      await db.collection('old').insertOne({ there: 'later' });
      await db.collection('new').insertOne({ n: 1 });
      dropped = timeOf(((await db.command({ drop: 'new' })) as { operationTime: BsonTimestamp }).operationTime);
      const { operationTime } = await db.command({ insert: 'new', documents: [{ _id: 2 }] });
      anew = timeOf(operationTime as BsonTimestamp);
    });
    const config = work.config(settings);
    const at = (collection: string, asOf: Timestamp): ReturnType<typeof restoreCollection> =>
      restoreCollection(
        config,
        { collection, asOf, to: `file:${work.folder}/${collection}.${asOf.t}.${asOf.i}`, into: null, from: 'lake' as const },
        work.folder,
        { log: silentLog },
        never,
      );
    await expect(at('half.old', dropped)).rejects.toMatchObject({ kind: RESTORE_NOTHING });
    await expect(at('half.new', { t: 1, i: 0 })).rejects.toMatchObject({
      kind: RESTORE_MOMENT,
      message: expect.stringContaining('nearest moments are from') as string,
    });
    await expect(at('half.new', { t: dropped.t + 1_000_000, i: 0 })).rejects.toMatchObject({
      kind: RESTORE_MOMENT,
      next: expect.stringContaining('sluice seal') as string,
    });
    expect(await at('half.new', dropped)).toMatchObject({ documents: 0 });
    const file = await work.writeConfig({ ...settings, warehouse: { url: 'duckdb:./warehouse.duckdb' } });
    const ask = (at: Timestamp, ...rest: readonly string[]): ReturnType<typeof sluice> =>
      sluice(file, 'restore', 'half.new', '--as-of', `${at.t}.${at.i}`, ...rest);
    const into = join(work.folder, 'new.ndjson');
    const empty = await ask(dropped, '--to', `file:${into}`, '--json');
    expect([empty.code, JSON.parse(empty.out)]).toEqual([
      0,
      expect.objectContaining({ collection: 'half.new', documents: 0, unknown: [], table: null }),
    ]);
    expect(await readFile(into, 'utf8')).toBe('');
    const made = await ask(anew, '--to', 'table:given.new_then');
    expect([made.code, made.out]).toEqual([0, expect.stringContaining('The table given.new_then has _key and _doc, and no typed columns')]);
    const select = "select _key, _doc, comment from given.new_then, duckdb_tables() where table_name = 'new_then'";
    const [row] = (await sluice(file, 'query', select)).out.split('\n').filter((line) => line !== '');
    expect(JSON.parse(row ?? '')).toEqual({
      _key: '{"$numberInt":"2"}',
      _doc: '{"_id":2}',
      comment: expect.stringContaining(`half.new as of ${anew.t}.${anew.i} (`) as string,
    });
    {
      // It has the warehouse open: it is asked to make the table.
      await using run = await RunProcess.start(file, { args: ['--role', 'all'] }).said('reading changes');
      await until('it is loaded', async () => (await sluice(file, 'query', 'select * from silver.half__new')).out.includes('_id'));
      for (const from of ['lake', 'warehouse']) {
        const asked = await ask(anew, '--to', `table:given.asked_${from}`, '--from', from);
        expect([asked.code, asked.out], asked.err).toEqual([
          0,
          expect.stringContaining(`The table given.asked_${from} has _key, _doc and 2 typed columns.`),
        ]);
      }
      // What is written elsewhere is written here, out of what it gives.
      const given = await ask(anew, '--to', `file:${into}.1`, '--from', 'warehouse', '--json');
      expect([given.code, JSON.parse(given.out)]).toEqual([0, expect.objectContaining({ from: 'warehouse', documents: 1, table: null })]);
      expect(await readFile(`${into}.1`, 'utf8')).toBe('{"_id":2}\n');
      const taken = await ask(anew, '--to', `file:${into}.1`, '--from', 'warehouse');
      expect([taken.code, taken.err]).toEqual([1, expect.stringContaining('SLC-1450') as string]);
      const refused = await ask({ t: 1, i: 0 }, '--to', `file:${into}.2`, '--from', 'warehouse');
      expect([refused.code, refused.err]).toEqual([1, expect.stringContaining('the nearest moments are from') as string]);
      expect((await run.kill('SIGTERM'))?.code, run.stderr).toBe(0);
    }
    // Once it is loaded, the warehouse has what the lake has lost.
    expect((await sluice(file, 'load')).code).toBe(0);
    await rm(work.lake, { recursive: true });
    const lost = await ask(anew, '--to', `file:${into}.2`);
    expect([lost.code, lost.err]).toEqual([1, expect.stringContaining('add `--from warehouse`') as string]);
    const kept = await ask(anew, '--to', 'table:given.new_kept', '--from', 'warehouse', '--json');
    expect([kept.code, JSON.parse(kept.out)]).toEqual([
      0,
      expect.objectContaining({ from: 'warehouse', documents: 1, table: { name: 'given.new_kept', columns: ['_id', 'n'] } }),
    ]);
    const unknown = await ask({ t: 1, i: 0 }, '--to', `file:${into}.2`, '--from', 'warehouse');
    expect([unknown.code, unknown.err]).toEqual([1, expect.stringContaining('the nearest moments are from') as string]);
    const later = await ask({ t: dropped.t + 1_000_000, i: 0 }, '--to', `file:${into}.2`, '--from', 'warehouse');
    expect([later.code, later.err]).toEqual([1, expect.stringContaining('`sluice seal`, then `sluice load`') as string]);
    const again = await ask(anew, '--to', 'table:given.new_then', '--from', 'warehouse');
    expect([again.code, again.err]).toEqual([1, expect.stringContaining('SLC-1450') as string]);
    for (const [to, said] of [
      ['table:new_then', 'is no table with its schema'],
      ['table:silver.new_then', 'SLC-1450'],
      ['ftp:x', 'neither a file nor a MongoDB nor a table'],
    ] as const)
      expect((await ask(anew, '--to', to, '--from', 'warehouse')).err, to).toContain(said);
  });
});
