/**
 * What is too large for one reply, one oplog entry, one line of thought: events over 16 MB, transactions of 30 MB,
 * collections by the thousand (`SLUICE_COLLECTIONS`).
 */
import { EJSON } from 'bson';
import type { Document, MongoClient } from 'mongodb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findMongod } from '../../src/app/demo/mongod.ts';
import type { ReplicaSet } from '../../src/app/demo/replica-set.ts';
import { compareTimestamps } from '../../src/core/time.ts';
import { silentLog } from '../../src/ops/log.ts';
import { RunProcess } from '../crash/run-process.ts';
import { TcpProxy } from '../fakes/tcp-proxy.ts';
import { startMongo } from '../mongo.ts';
import { clusterTime, differences, readStream } from './change-stream.ts';
import { placeFaults } from './lake-faults.ts';
import { byPosition, eventsOf, isData, linesOf, readLake } from './lake-files.ts';
import { captureDuring, inTransaction, mark, PipelineRun, timeOf, withoutMarks } from './pipeline-run.ts';
import { until } from './until.ts';
import { Workspace, type Settings } from './workspace.ts';

const never = new AbortController().signal;
const COLLECTIONS = Number(process.env['SLUICE_COLLECTIONS'] ?? 60);
/** Each is an upgrade, and a way back before the next one (`SLUICE_UPGRADES`). */
const UPGRADES = Number(process.env['SLUICE_UPGRADES'] ?? 1);
const MS_PER_COLLECTION = 200;
const MB = 1_000_000;

interface Texted extends Document {
  readonly _id: number | string;
}

let set: ReplicaSet;
let client: MongoClient;
beforeAll(async () => {
  set = await startMongo();
  client = await set.connect();
});
afterAll(async () => await set.stop());

/** What is left of an event: its fields, and for a document how long its text is. */
function shape({ event }: { readonly event: Document }): Document {
  const { _meta: meta, documentKey: _, collectionUUID: _uuid, ...rest } = event;
  const size = (value: unknown): unknown => (value === null ? null : String((value as Document)['text'] ?? '').length / MB);
  const fields = Object.entries(rest).map(([name, value]) => [name, name === 'updateDescription' ? 'there' : size(value)]);
  return { op: meta.operationType, ...(meta.oversize === true ? { oversize: true } : {}), ...Object.fromEntries(fields) };
}

describe('an event over 16 MB', () => {
  /** All of it waits in the oplog, in one batch, when the second run reads it. */
  async function read(on: ReplicaSet, db: string, more: Document, act: (a: ReturnType<typeof collection>) => Promise<void>): Promise<Document[]> {
    const there = await on.connect();
    await using work = await Workspace.make();
    await there.db(db).createCollection('a', { changeStreamPreAndPostImages: { enabled: true } });
    const settings: Settings = { source: { uri: on.uri, include: [`${db}.a`], ...more }, lake: { json: 'canonical' } };
    const during = { work, settings, client: there, markIn: `${db}.a` };
    await captureDuring(during);
    await act(collection(there, db));
    return withoutMarks(await captureDuring(during)).map(shape);
  }

  const collection = (on: MongoClient, db: string) => on.db(db).collection<Texted>('a');
  const images = { fullDocument: 'required', fullDocumentBeforeChange: 'required' };
  const small = { op: 'insert', fullDocument: 0 };

  const acts = async (a: ReturnType<typeof collection>): Promise<void> => {
    await a.insertOne({ _id: 1, text: 'a'.repeat(9 * MB) });
    await a.insertOne({ _id: 2 });
    await a.updateOne({ _id: 1 }, { $set: { text: 'b'.repeat(9 * MB) } });
    await a.insertOne({ _id: 3 });
    await a.replaceOne({ _id: 1 }, { text: 'c'.repeat(9 * MB) });
    await a.deleteOne({ _id: 1 });
    await a.insertOne({ _id: 4 });
  };
  const first = { op: 'insert', fullDocument: 9 };

  it('is crossed on a server that cannot split it, with all that fits, and no other event is lost', async () => {
    expect(await read(set, 'whole', images, acts)).toEqual([
      first,
      small,
      // Neither its description nor the image before fit beside the document.
      { op: 'update', fullDocument: 9 },
      small,
      { op: 'replace', fullDocument: 9 },
      { op: 'delete', fullDocumentBeforeChange: 9 },
      small,
    ]);
  });

  it('is crossed also when the conditions are about what is left out of it', async () => {
    const match = { $or: [{ 'fullDocumentBeforeChange._id': 1 }, { operationType: 'insert', 'documentKey._id': { $type: 'objectId' } }] };
    expect(await read(set, 'matched', { ...images, match }, acts)).toEqual([
      { op: 'update', fullDocument: 9 },
      { op: 'replace', fullDocument: 9 },
      { op: 'delete', fullDocumentBeforeChange: 9 },
    ]);
  });

  it('is a stub with its key when only that can be sent', async () => {
    const key = 'k'.repeat(3 * MB);
    const lines = await read(set, 'stub', {}, async (a) => {
      await a.insertOne({ _id: 'before' });
      // The key is in the document, beside it, and twice as long in the token.
      await a.insertOne({ _id: key, text: 'x'.repeat(6 * MB) });
      await a.insertOne({ _id: 'after' });
    });
    expect(lines).toEqual([small, { op: 'insert', oversize: true }, small]);
  });

  it('is whole on a server that can split it', async () => {
    await using splitting = await startMongo({ wanted: '6.0.27' });
    expect(await read(splitting, 'split', images, acts)).toEqual([
      first,
      small,
      { op: 'update', updateDescription: 'there', fullDocument: 9, fullDocumentBeforeChange: 9 },
      small,
      { op: 'replace', fullDocument: 9, fullDocumentBeforeChange: 9 },
      { op: 'delete', fullDocumentBeforeChange: 9 },
      small,
    ]);
  });
});

describe('a transaction of 30 MB, in several oplog entries', () => {
  it.each(['SIGTERM', 'SIGKILL'] as const)('of which half was read when the process ended by %s is gone on with inside it', async (signal) => {
    await using work = await Workspace.make();
    const db = `half_${signal.toLowerCase()}`;
    await using proxy = await TcpProxy.to({ port: set.ports[0]! });
    const settings = (uri: string): Settings => ({
      source: { uri, include: [`${db}.*`], fullDocument: 'off' },
      lake: { json: 'canonical' },
      checkpoint: { interval: '10ms' },
    });
    const a = client.db(db).collection<Texted>('a');
    await client.db(db).createCollection('a');
    const configFile = await work.writeConfig(settings(proxy.uri));
    await using process = await RunProcess.start(configFile).owner();
    await until('it runs', async () => (await work.checkpoint().catch(() => null))?.resume);
    // So that the last thing that happened before is not an event of this database.
    await client.db('elsewhere').collection('a').insertOne({});
    const from = await clusterTime(client);
    // The first reply with half of it comes through, the next one does not.
    let passed = 0;
    proxy.cutWhen((_, bytes) => {
      if (bytes.length > 1_000) passed += bytes.length;
      if (passed > 17 * MB) proxy.swallow();
      return null;
    });
    await inTransaction(client, async (session) => {
      for (let n = 0; n < 30; n += 1) await a.insertOne({ _id: n, text: 'x'.repeat(MB) }, { session });
    });
    await until('the checkpoint is inside the transaction', async () => {
      const { resume } = await work.checkpoint();
      return resume !== null && compareTimestamps(resume.clusterTime, timeOf(from)) > 0 && resume.position.length > 40;
    });
    await process.kill(signal);
    // The last line may be torn: it was being written.
    const files = [...(await readLake(work.lake))].filter(([path]) => isData(path));
    const before = files.reduce((sum, [, bytes]) => sum + bytes.toString('latin1').split('\n').length - 1, 0);
    await using run = await new PipelineRun(work.config(settings(set.uri))).running();
    const to = await mark(client, db, 'mark');
    await run.reaches(to);
    await run.stop();
    const lines = linesOf(await readLake(work.lake));
    expect(before).toBeGreaterThan(0);
    expect(before).toBeLessThan(lines.length - 3);
    expect(differences(lines.toSorted(byPosition), await readStream(client, { db, from, to }))).toEqual([]);
    expect([...placeFaults(lines), ...(await work.verify())]).toEqual([]);
  });
});

describe('a server that was replaced by a newer one, whose tokens are of another format', () => {
  it('is gone on with at exactly the next event', async () => {
    const newer = await findMongod({ wanted: '6.0.27', onProgress: () => undefined, signal: never, log: silentLog });
    const older = await findMongod({ onProgress: () => undefined, signal: never, log: silentLog });
    await using one = await startMongo();
    await using work = await Workspace.make();
    const there = await one.connect();
    const settings: Settings = { source: { uri: one.uri, include: ['up.*'] }, lake: { json: 'canonical' } };
    const a = there.db('up').collection<Texted>('a');
    const seen: string[] = [];
    await there.db('up').createCollection('a');
    let n = 0;
    const write = async (): Promise<void> => {
      const ids = [n, n + 1, n + 2, n + 3];
      // Just after a restart the driver may have to begin the transaction again.
      await inTransaction(there, async (session) => {
        for (const _id of ids) await a.insertOne({ _id }, { session });
      });
      seen.push(...ids.map((id) => `insert ${id}`));
      n += ids.length;
    };
    for (const mongod of Array.from({ length: UPGRADES }, () => [older, newer]).flat()) {
      await one.restart(0, never, mongod);
      await one.waitForPrimary(never);
      // Just after a restart it may have committed nothing yet, and then has no stream to give.
      await using run = await PipelineRun.patient(work.config(settings));
      await write();
      await run.reaches(await mark(there, 'up', 'mark'));
      await run.stop();
      await write();
    }
    await using run = await new PipelineRun(work.config(settings)).running();
    await run.reaches(await mark(there, 'up', 'mark'));
    await run.stop();
    const told = withoutMarks(await eventsOf(work.lake)).map(({ event }) => {
      const key = EJSON.deserialize(event['documentKey'] as Document)['_id'] as number;
      return `${event._meta.operationType} ${key}`;
    });
    expect(told).toEqual(seen);
    expect(new Set((await eventsOf(work.lake)).map(({ event }) => event._meta.position.slice(18, 22))).size).toBe(2);
    expect(await work.verify()).toEqual([]);
  });
});

describe('many collections', () => {
  it(
    `(${COLLECTIONS}) with a handful of open files are each in their own folder, whole`,
    { timeout: 180_000 + COLLECTIONS * MS_PER_COLLECTION },
    async () => {
      await using work = await Workspace.make();
      const settings: Settings = {
        source: { uri: set.uri, include: ['many.*'], fullDocument: 'off' },
        lake: { json: 'canonical', maxOpenParts: 16 },
      };
      await using run = await new PipelineRun(work.config(settings)).running();
      const from = await clusterTime(client);
      for (let round = 0; round < 2; round += 1) {
        for (let n = 0; n < COLLECTIONS; n += 1) await client.db('many').collection(`c${n}`).insertOne({ round });
      }
      const to = await mark(client, 'many', 'mark');
      await until(
        'all is in the lake',
        () => run.stats.watermark !== null && run.stats.watermark.t * 1e6 + run.stats.watermark.i >= to.t * 1e6 + to.i,
        60_000 + COLLECTIONS * MS_PER_COLLECTION,
      );
      await run.stop();
      const lines = linesOf(await readLake(work.lake));
      expect(differences(lines.toSorted(byPosition), await readStream(client, { db: 'many', from, to }))).toEqual([]);
      expect([...placeFaults(lines), ...(await work.verify())]).toEqual([]);
      expect(new Set(lines.map(({ path }) => path.split('/')[1])).size).toBe(COLLECTIONS + 1);
    },
  );
});
