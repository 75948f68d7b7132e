/**
 * Rights, passwords and images that are taken away while a pipeline runs: it stops and says why, and goes on at exactly
 * the next event once they are given back.
 */
import type { MongoClient } from 'mongodb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ReplicaSet } from '../../src/app/demo/replica-set.ts';
import { startMongo } from '../mongo.ts';
import { clusterTime, differences, readStream } from './change-stream.ts';
import { eventsOf } from './lake-files.ts';
import { mark, PipelineRun } from './pipeline-run.ts';
import { Workspace, type Settings } from './workspace.ts';

let set: ReplicaSet;
let client: MongoClient;
beforeAll(async () => {
  set = await startMongo({ auth: { user: 'root', password: 'pw-of-root' } });
  client = await set.connect();
});
afterAll(async () => await set.stop());

const settings = (db: string, uri: string, more: Record<string, unknown> = {}): Settings => ({
  source: { uri, include: [`${db}.*`], ...more },
  lake: { json: 'canonical' },
});

interface Taken {
  readonly db: string;
  readonly take: (user: string) => Promise<void>;
  readonly code: string;
  readonly giveBack: (user: string, password: string) => Promise<void>;
}

const admin = async (command: Record<string, unknown>): Promise<void> => void (await client.db('admin').command(command));
/** Ends the sockets of a user, who then has to log in again. */
const hangUp = async (): Promise<void> => {
  const data = { failCommands: ['getMore'], closeConnection: true, appName: 'sluice' };
  await admin({ configureFailPoint: 'failCommand', mode: { times: 1 }, data });
};
const role = (db: string) => [{ role: 'read', db }];

describe('what is taken away from a running pipeline', () => {
  it.each<[string, Taken]>([
    [
      'its role',
      {
        db: 'role',
        take: async (user) => await admin({ revokeRolesFromUser: user, roles: role('role') }),
        code: 'SLC-1213',
        giveBack: async (user) => await admin({ grantRolesToUser: user, roles: role('role') }),
      },
    ],
    [
      'its user',
      {
        db: 'user',
        take: async (user) => await admin({ dropUser: user }),
        code: 'SLC-1213',
        giveBack: async (user, pwd) => await admin({ createUser: user, pwd, roles: role('user') }),
      },
    ],
    [
      'its password, once it has to log in again',
      {
        db: 'password',
        take: async (user) => {
          await admin({ updateUser: user, pwd: 'another one' });
          await hangUp();
        },
        code: 'SLC-1218',
        giveBack: async (user, pwd) => await admin({ updateUser: user, pwd }),
      },
    ],
  ])('stops it with its code, and nothing is missing when it is back: %s', async (_, { db, take, code, giveBack }) => {
    await using work = await Workspace.make();
    const user = `reader-of-${db}`;
    const uri = await set.addUser(user, 'pw-of-reader', role(db));
    const a = client.db(db).collection('a');
    await using run = await new PipelineRun(work.config(settings(db, uri))).running();
    const from = await clusterTime(client);
    await a.insertOne({ n: 1 });
    await run.reaches(await mark(client, db, 'mark'));
    await take(user);
    await a.insertOne({ n: 2 });
    const error: unknown = await run.done.catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code });
    expect(String(error)).not.toContain('pw-of-reader');
    await giveBack(user, 'pw-of-reader');
    await a.insertOne({ n: 3 });
    await using again = await new PipelineRun(work.config(settings(db, uri))).running();
    const to = await mark(client, db, 'mark');
    await again.reaches(to);
    await again.stop();
    expect(differences(await eventsOf(work.lake), await readStream(client, { db, from, to }))).toEqual([]);
    expect(await work.verify()).toEqual([]);
  });

  it('stops it with its code at the first event that has no image, and those before are in the lake: its images', async () => {
    await using work = await Workspace.make();
    const db = client.db('images');
    await db.createCollection('a', { changeStreamPreAndPostImages: { enabled: true } });
    // So that the last thing that happened before the start is not an event of this database.
    await client.db('elsewhere').collection('a').insertOne({});
    const required = settings('images', set.uri, { fullDocument: 'required', fullDocumentBeforeChange: 'required' });
    await using run = await new PipelineRun(work.config(required)).running();
    const from = await clusterTime(client);
    const a = db.collection<{ _id: number; v?: number }>('a');
    await a.insertOne({ _id: 1 });
    await a.updateOne({ _id: 1 }, { $set: { v: 1 } });
    await run.reaches(await mark(client, 'images', 'mark'));
    await db.command({ collMod: 'a', changeStreamPreAndPostImages: { enabled: false } });
    await a.updateOne({ _id: 1 }, { $set: { v: 2 } });
    await a.insertOne({ _id: 2 });
    await expect(run.done).rejects.toMatchObject({ code: 'SLC-1247', message: expect.stringContaining('coll: "a"') });
    const available = settings('images', set.uri, { fullDocument: 'whenAvailable', fullDocumentBeforeChange: 'whenAvailable' });
    await using again = await new PipelineRun(work.config(available)).running();
    const to = await mark(client, 'images', 'mark');
    await again.reaches(to);
    await again.stop();
    const lines = await eventsOf(work.lake);
    const told = await readStream(client, { db: 'images', from, to });
    expect(lines.map(({ event }) => event._meta.position)).toEqual(told.map((event) => String(event['_id']['_data'])));
    const versions = lines.filter(({ event }) => event._meta.operationType === 'update').map(({ event }) => event['fullDocument']?.['v'] ?? null);
    expect(versions).toEqual([{ $numberInt: '1' }, null]);
    expect(await work.verify()).toEqual([]);
  });
});
