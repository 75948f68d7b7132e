/**
 * Every value that a server stores, all the way: put into a real MongoDB byte by byte, captured in both forms, loaded and
 * merged. What lies in the lake and in silver gives back the bytes that a raw `find` gives.
 */
import { rm } from 'node:fs/promises';
import { deserialize } from 'bson';
import type { MongoClient } from 'mongodb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ReplicaSet } from '../../src/app/demo/replica-set.ts';
import { arrayOf, documentOf, element, int32, string } from '../../src/source/mongo/encode/raw-bson.ts';
import { inJson, looksWrapped, readBson, type Member } from '../../src/source/mongo/encode/read-bson.ts';
import { membersOf, parseJson, readMembers, readOrNull, type Json } from '../../src/source/mongo/encode/read-line.ts';
import { DOCUMENTS } from '../../src/source/mongo/encode/vectors-documents.ts';
import { SCALARS } from '../../src/source/mongo/encode/vectors.ts';
import { startMongo } from '../mongo.ts';
import { eventsOf, type LakeLine } from './lake-files.ts';
import { mark, PipelineRun } from './pipeline-run.ts';
import { RawConnection } from './raw-wire.ts';
import { Workspace } from './workspace.ts';

const DB = 'values';
const DUPLICATE_KEY = 11000;
const ROWS_MAX = 10_000;
const LARGE_BYTES = 15_000_000;
const FORMS = ['canonical', 'relaxed'] as const;
type Form = (typeof FORMS)[number];
/** A text of many megabytes is the same in both forms: one is enough. */
const COLLECTIONS: Readonly<Record<Form, readonly string[]>> = { canonical: ['each', 'tops', 'ids', 'large'], relaxed: ['each', 'tops', 'ids'] };

const VECTORS = [...SCALARS, ...DOCUMENTS].filter(({ unstorable }) => !unstorable);
/** What a server takes as `_id`: no array, regular expression or undefined, and no keys that begin with a dollar. */
const IDS = VECTORS.filter(({ type, name, lossy }) => ![0x04, 0x06, 0x0b].includes(type) && !/dollar|looks like|DBRef/.test(name) && !lossy);

interface SilverRow {
  readonly key: string;
  readonly doc: string;
}

let set: ReplicaSet;
let client: MongoClient;
let wire: RawConnection;
/** Documents of each collection as they are at the end, each as its bytes. */
const stored = new Map<string, readonly Buffer[]>();
const lines = new Map<Form, readonly LakeLine[]>();
const silver = new Map<string, readonly SilverRow[]>();

beforeAll(async () => {
  set = await startMongo();
  client = await set.connect();
  wire = await RawConnection.open(set.ports[0]!);
  await client.db(DB).createCollection('each', { changeStreamPreAndPostImages: { enabled: true } });
  await using canonical = await capture('canonical');
  await using relaxed = await capture('relaxed');
  const id = (i: number): Buffer => element(0x10, '_id', int32(i));
  const inserted = VECTORS.map(({ type, bytes }, i) => documentOf(id(i), element(type, 'x', bytes)));
  const updates = VECTORS.map(({ type, bytes }, i) => updateOf(id(i), element(type, 'y', bytes)));
  const tops = VECTORS.flatMap(({ type, bytes }, i) => (type === 0x03 ? [documentOf(id(i), bytes.subarray(4, -1))] : []));
  expect(await write('insert', 'each', inserted)).toEqual([]);
  expect(await write('update', 'each', updates)).toEqual([]);
  expect(await write('insert', 'tops', tops)).toEqual([]);
  // Numbers that are equal are one key to the server, whatever their type.
  const ids = IDS.map(({ type, bytes }) => documentOf(element(type, '_id', bytes)));
  expect(new Set(await write('insert', 'ids', ids))).toEqual(new Set([DUPLICATE_KEY]));
  expect(await write('insert', 'large', [documentOf(id(1), element(0x02, 'x', string(Buffer.alloc(LARGE_BYTES, 'plain text '))))])).toEqual([]);
  for (const coll of COLLECTIONS.canonical) stored.set(coll, await findAll(coll));
  await Promise.all([canonical.finish(), relaxed.finish()]);
});

afterAll(async () => {
  wire[Symbol.dispose]();
  await set.stop();
});

/** A pipeline that is loaded and read when it is finished. */
async function capture(form: Form): Promise<AsyncDisposable & { finish(): Promise<void> }> {
  const work = await Workspace.make();
  const images = { fullDocument: 'whenAvailable', fullDocumentBeforeChange: 'whenAvailable' };
  const settings = {
    source: { uri: set.uri, include: [`${DB}.*`], exclude: form === 'relaxed' ? [`${DB}.large`] : [], ...images },
    lake: { json: form },
    warehouse: { url: 'duckdb:./warehouse.duckdb' },
  };
  const run = await new PipelineRun(work.config(settings), { role: 'all' }).running();
  const never = new AbortController().signal;
  return {
    async finish() {
      await run.reaches(await mark(client, DB, 'mark'));
      const { control } = run;
      await control.seal(never);
      expect((await control.load({ hours: null }, never)).rejected).toEqual([]);
      await control.merge({ collections: [], rebuild: false }, never);
      for (const coll of COLLECTIONS[form]) {
        const { rows } = await control.query(
          { sql: `select key, cast(doc as varchar) from silver.${DB}__${coll}`, limit: ROWS_MAX, asOf: null },
          never,
        );
        silver.set(
          `${form} ${coll}`,
          rows.map(([key, doc]) => ({ key: String(key), doc: String(doc) })),
        );
      }
      await run.stop();
      expect(await work.verify()).toEqual([]);
      lines.set(
        form,
        (await eventsOf(work.lake)).filter(({ event }) => event._meta.ns.coll !== 'mark'),
      );
    },
    async [Symbol.asyncDispose]() {
      await run[Symbol.asyncDispose]();
      await rm(work.folder, { recursive: true, force: true });
    },
  };
}

const updateOf = (id: Uint8Array, field: Uint8Array): Buffer =>
  documentOf(element(0x03, 'q', documentOf(id)), element(0x03, 'u', documentOf(element(0x03, '$set', documentOf(field)))));

/** @returns codes of the errors, for each document that was refused */
async function write(kind: 'insert' | 'update', coll: string, items: readonly Buffer[]): Promise<number[]> {
  const list = arrayOf(...items.map((item) => [0x03, item] as const));
  const reply = await wire.command(
    DB,
    element(0x02, kind, string(coll)),
    element(0x04, kind === 'insert' ? 'documents' : 'updates', list),
    element(0x08, 'ordered', Buffer.from([0])),
  );
  const { ok, errmsg, writeErrors = [] } = deserialize(reply) as { ok: number; errmsg?: string; writeErrors?: readonly { code: number }[] };
  if (ok !== 1) throw new Error(errmsg);
  return writeErrors.map(({ code }) => code);
}

async function findAll(coll: string): Promise<Buffer[]> {
  const reply = await wire.command(
    DB,
    element(0x02, 'find', string(coll)),
    element(0x10, 'batchSize', int32(ROWS_MAX)),
    element(0x08, 'singleBatch', Buffer.from([1])),
  );
  const cursor = readBson(reply).find(({ key }) => key.toString() === 'cursor')!;
  return cursor.inner!.find(({ key }) => key.toString() === 'firstBatch')!.inner!.map(({ value }) => value);
}

/** The member as JSON, of an object that is JSON. */
function within(json: Json, ...path: readonly string[]): Json {
  return path.reduce((inner, name) => membersOf(inner).find(([key]) => key === name)![1], json);
}

const documentIn = (json: Json): Buffer | null => readOrNull(membersOf(json));

/** What is wrong with a document that was read from a line or from silver. */
function faultOf(read: Buffer | null, source: Buffer, form: Form): string | null {
  const members = readBson(source);
  // A document that only looks like a wrapper is read as one: its line says that it is lossy.
  if (looksWrapped(members)) return null;
  const wanted = inJson(members, form === 'relaxed');
  return read?.equals(wanted) === true ? null : `${read?.toString('hex').slice(0, 400)} is not ${wanted.toString('hex').slice(0, 400)}`;
}

const idOf = (document: Buffer): string => {
  const { type, value } = readBson(document).find(({ key }) => key.toString() === '_id')!;
  return `${type} ${value.toString('hex')}`;
};

describe.each(FORMS)('every value that a server stores (%s)', (form) => {
  it('is in the lake with the bytes of a raw find, in each document that an event carries', () => {
    const faults: string[] = [];
    const all = COLLECTIONS[form].flatMap((coll) => stored.get(coll)!.map((document) => [`${coll} ${idOf(document)}`, document] as const));
    const byId = new Map<string, Buffer>(all);
    const seen = new Map<string, number>();
    for (const { text, event } of lines.get(form)!) {
      const { operationType, ns } = event._meta;
      if (operationType !== 'insert' && operationType !== 'update') continue;
      const line = parseJson(text);
      const key = `${ns.coll} ${idOf(documentIn(within(line, 'documentKey'))!)}`;
      const now = byId.get(key);
      if (now === undefined) {
        faults.push(`${operationType} ${key} is of no document`);
        continue;
      }
      seen.set(key, (seen.get(key) ?? 0) + 1);
      const check = (source: Buffer, ...path: readonly string[]): void => {
        const fault = faultOf(documentIn(within(line, ...path)), source, form);
        if (fault !== null) faults.push(`${operationType} ${key} ${path.at(-1)}: ${fault}`);
      };
      // What was set is what came after `_id` and `x`.
      const [before, set] = [readBson(now).slice(0, 2), readBson(now).slice(2)].map(asDocument) as [Buffer, Buffer];
      check(operationType === 'insert' && ns.coll === 'each' ? before : now, 'fullDocument');
      if (operationType === 'update') {
        check(before, 'fullDocumentBeforeChange');
        check(set, 'updateDescription', 'updatedFields');
      }
      const isLossy = looksWrapped(readBson(now)) || !inJson(readBson(now)).equals(now);
      const lossy = event._meta['lossy'] === true;
      if (lossy !== isLossy) faults.push(`${operationType} ${key} is ${lossy ? '' : 'not '}marked lossy`);
    }
    expect(faults).toEqual([]);
    for (const key of byId.keys()) expect([key, seen.get(key)]).toEqual([key, key.startsWith('each ') ? 2 : 1]);
  });

  it('is in silver under its key, each document once', () => {
    const faults: string[] = [];
    for (const coll of COLLECTIONS[form]) {
      const documents = stored.get(coll)!;
      const rows = silver.get(`${form} ${coll}`)!;
      const byKey = new Map(rows.map(({ key, doc }) => [readKey(key), doc] as const));
      expect([coll, byKey.size, rows.length]).toEqual([coll, documents.length, documents.length]);
      for (const document of documents) {
        const doc = byKey.get(idOf(document));
        const fault = doc === undefined ? 'it is missing' : faultOf(documentIn(parseJson(doc)), document, form);
        if (fault !== null) faults.push(`${coll} ${idOf(document)}: ${fault}`);
      }
    }
    expect(faults).toEqual([]);
  });
});

it('most values were stored, and enough of them as keys', () => {
  expect(stored.get('each')!.length).toBe(VECTORS.length);
  expect(stored.get('ids')!.length).toBeGreaterThan(100);
});

const asDocument = (members: readonly Member[]): Buffer => documentOf(...members.map(({ type, key, value }) => element(type, key, value)));

function readKey(key: string): string {
  return idOf(readMembers([['_id', parseJson(key)]]));
}
