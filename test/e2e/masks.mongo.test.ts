/**
 * A mask on a real server: all bytes of the lake are searched for what it hides.
 */
import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { MongoClient } from 'mongodb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ReplicaSet } from '../../src/app/demo/replica-set.ts';
import { MASK_KEY } from '../../src/core/errors.ts';
import { startMongo } from '../mongo.ts';
import { captureDuring, mark, PipelineRun, withoutMarks } from './pipeline-run.ts';
import { Workspace, type Settings } from './workspace.ts';

let set: ReplicaSet;
let client: MongoClient;

beforeAll(async () => {
  set = await startMongo();
  client = await set.connect();
});
afterAll(async () => await set.stop());

const KEY = 'a key of the mask, for tests';

interface Customer {
  _id: string;
  [field: string]: unknown;
}

/** Which of `secrets` some file of the lake holds, as text, as hexadecimal digits or in base64. */
async function foundIn(root: string, secrets: readonly string[]): Promise<string[]> {
  const found = new Set<string>();
  for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || entry.name === 'lock') continue;
    const bytes = await readFile(join(entry.parentPath, entry.name));
    // What is in base64 there (the resume token) is looked into.
    const decoded = [...bytes.toString('latin1').matchAll(/"([A-Za-z0-9+/]{24,}={0,2})"/g)].map(([, text]) => Buffer.from(text!, 'base64'));
    for (const secret of secrets) {
      const hex = Buffer.from(secret).toString('hex');
      const isIn = (text: string): boolean =>
        text.includes(secret) || text.toLowerCase().includes(hex) || text.includes(Buffer.from(secret).toString('base64'));
      if ([bytes, ...decoded].some((each) => isIn(each.toString('latin1'))) || isIn(entry.name)) found.add(secret);
    }
  }
  return [...found];
}

const settings = (db: string, more: Record<string, unknown> = {}, lake: Record<string, unknown> = {}): Settings => ({
  source: { uri: set.uri, include: [`${db}.*`], fullDocument: 'required', fullDocumentBeforeChange: 'required', ...more },
  lake,
});

const MASK = {
  'customers._id': 'hash',
  'customers.**.ssn': 'drop',
  'customers.email': 'hash',
  'customers.cards.number': { truncate: 2 },
  'customers.note': 'drop',
};
const SECRETS = [
  'alice-0001',
  '078-05-1120',
  '219-09-9999',
  'alice@example.com',
  'bob@example.com',
  '4111111111111111',
  '5500005555555559',
  'a secret note',
];

async function changes(db: string): Promise<void> {
  const customers = client.db(db).collection<Customer>('customers');
  await customers.insertOne({
    _id: 'alice-0001',
    email: 'alice@example.com',
    ssn: '078-05-1120',
    cards: [{ number: '4111111111111111', kind: 'debit' }],
    city: 'Ulm',
  });
  await customers.updateOne(
    {},
    {
      $set: { 'cards.0.number': '5500005555555559', email: 'bob@example.com', 'a.b.ssn': '219-09-9999', note: 'a secret note' },
      $unset: { ssn: '' },
    },
  );
  await customers.updateOne({}, { $set: { note: { text: 'a secret note' }, city: 'Bonn' } });
  await customers.updateOne({}, { $set: { 'note.text': 'a secret note again' } });
  await customers.updateOne({}, [{ $set: { cards: { $slice: ['$cards', 0] } } }]).catch(() => undefined);
  await customers.replaceOne({}, { email: 'alice@example.com', city: 'Köln' });
  await customers.deleteOne({});
}

describe('a mask', () => {
  it.each([
    ['relaxed', {}],
    ['canonical', { json: 'canonical', layout: 'per-event' }],
  ] as const)('leaves nothing of what it hides in any file of the lake (%s)', async (name, lake) => {
    await using work = await Workspace.make();
    const db = `mask_${name}`;
    await client.db(db).createCollection('customers', { changeStreamPreAndPostImages: { enabled: true } });
    const its = settings(db, { mask: MASK, maskKey: KEY }, lake);
    const markIn = `${db}.marks`;
    await client.db(db).createCollection('marks', { changeStreamPreAndPostImages: { enabled: true } });
    const lines = withoutMarks(await captureDuring({ work, settings: its, client, markIn }, () => changes(db)));
    expect(await foundIn(work.lake, SECRETS)).toEqual([]);
    // The search finds what is not masked.
    expect(await foundIn(work.lake, ['Bonn', 'debit'])).toEqual(expect.arrayContaining(['Bonn', 'debit']));
    const keys = lines
      .filter(({ event }) => 'documentKey' in event && event._meta.ns.coll === 'customers')
      .map(({ event }) => (event['documentKey'] as Customer)._id);
    expect(keys.length).toBeGreaterThan(5);
    expect(new Set(keys).size).toBe(1);
    expect(keys[0]).toMatch(/^[0-9a-f]{32}$/);
  });

  it('on `_id` leaves one row in silver for each document, which its updates and its delete still find', async () => {
    await using work = await Workspace.make();
    const people = client.db('silver').collection<Customer>('people');
    const warehouse = { url: 'duckdb:./w.duckdb' };
    const its: Settings = {
      source: { uri: set.uri, include: ['silver.*'], mask: { 'people._id': 'hash', 'people.email': 'hash' }, maskKey: KEY },
      warehouse,
    };
    await using run = await new PipelineRun(work.config(its), { role: 'all' }).running();
    await people.insertMany([
      { _id: 'alice@example.com', email: 'alice@example.com' },
      { _id: 'bob@example.com', email: 'x' },
    ]);
    await people.updateOne({ _id: 'alice@example.com' }, { $set: { n: 2 } });
    await people.deleteOne({ _id: 'bob@example.com' });
    await run.reaches(await mark(client, 'silver', 'mark'));
    await run.control.seal(new AbortController().signal);
    await run.control.load({ hours: null }, new AbortController().signal);
    const sql = `SELECT key, version_number, is_current, json_extract_string(doc, '$.email') = json_extract_string(doc, '$._id') FROM silver.silver__people ORDER BY is_current`;
    const { rows } = await run.control.query({ sql, limit: 10, asOf: null }, new AbortController().signal);
    const hash = expect.stringMatching(/^"[0-9a-f]{32}"$/) as string;
    // Equal values have equal hashes, in a key as elsewhere.
    expect(rows).toEqual([
      [hash, 2, false, false],
      [hash, 2, true, true],
    ]);
    expect(await run.control.verify({ lake: true, warehouse: true, source: false }, new AbortController().signal)).toMatchObject({ ok: true });
  });

  it('may be added to a lake, goes on at the next event after each stop, and refuses another key', async () => {
    await using work = await Workspace.make();
    const orders = client.db('later').collection<Customer>('orders');
    const plain: Settings = { source: { uri: set.uri, include: ['later.*'] } };
    const masking = (maskKey?: string): Settings => ({
      source: { ...plain.source, ...(maskKey === undefined ? {} : { mask: { 'orders._id': 'hash' }, maskKey }) },
    });
    const during = { work, client, markIn: 'later.mark' };
    await captureDuring({ ...during, settings: plain }, async () => void (await orders.insertOne({ _id: 'first' })));
    await captureDuring({ ...during, settings: masking(KEY) }, async () => void (await orders.insertOne({ _id: 'second' })));
    await orders.insertOne({ _id: 'third' });
    const lines = withoutMarks(await captureDuring({ ...during, settings: masking(KEY) }));
    const inserts = lines.filter(({ event }) => event._meta.operationType === 'insert').map(({ event }) => (event['documentKey'] as Customer)._id);
    expect(inserts).toEqual(['first', expect.stringMatching(/^[0-9a-f]{32}$/), expect.stringMatching(/^[0-9a-f]{32}$/)]);
    for (const other of [masking('another key of the mask'), masking()]) {
      await using run = new PipelineRun(work.config(other));
      await expect(run.done).rejects.toMatchObject({ kind: MASK_KEY });
    }
  });
});
