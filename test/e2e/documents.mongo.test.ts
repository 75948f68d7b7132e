/**
 * What an event carries of its document: looked up, from an image, not at all.
 */
import type { Document, MongoClient } from 'mongodb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ReplicaSet } from '../../src/app/demo/replica-set.ts';
import { SluiceError } from '../../src/core/error.ts';
import { SOURCE_IMAGES_MISSING } from '../../src/core/errors.ts';
import { startMongo } from '../mongo.ts';
import { inShort, type LakeLine } from './lake-files.ts';
import { captureDuring, PipelineRun, withoutMarks } from './pipeline-run.ts';
import { Workspace, type Settings } from './workspace.ts';

let set: ReplicaSet;
let client: MongoClient;

beforeAll(async () => {
  set = await startMongo();
  client = await set.connect();
});
afterAll(async () => await set.stop());

const source = (include: readonly string[], more: Record<string, unknown> = {}): Settings['source'] => ({ uri: set.uri, include, ...more });

interface Numbered extends Document {
  readonly _id: number;
}

async function capture(work: Workspace, settings: Settings, markIn: string, act?: () => Promise<void>): Promise<LakeLine[]> {
  return await captureDuring({ work, settings, client, markIn }, act);
}

describe('documents and images', () => {
  const images = { changeStreamPreAndPostImages: { enabled: true } };

  /** What an insert, an update, an update whose document is gone by then, a replace and a delete carry. */
  async function documentsOf(db: string, more: Record<string, unknown>, withImages: boolean): Promise<Document[]> {
    await using work = await Workspace.make();
    const a = client.db(db).collection<Numbered>('a');
    await client.db(db).createCollection('a', withImages ? images : {});
    const settings = { source: source([`${db}.a`], { startAt: 'now', ...more }) };
    // The first run only fixes the start: the second one reads when all is over, so that a look-up finds no document 2.
    await capture(work, settings, `${db}.a`);
    await a.insertOne({ _id: 1, v: 1 });
    await a.updateOne({ _id: 1 }, { $set: { v: 2 } });
    await a.insertOne({ _id: 2, v: 1 });
    await a.updateOne({ _id: 2 }, { $set: { v: 2 } });
    await a.replaceOne({ _id: 1 }, { v: 3 });
    await a.deleteOne({ _id: 2 });
    const lines = await capture(work, settings, `${db}.a`);
    return withoutMarks(lines).map(({ event }) => ({
      op: event._meta.operationType,
      ...('fullDocument' in event ? { after: event['fullDocument'] as Document } : {}),
      ...('fullDocumentBeforeChange' in event ? { before: event['fullDocumentBeforeChange'] as Document } : {}),
    }));
  }

  it('are as the server sends them with `off`', async () => {
    expect(await documentsOf('off', { fullDocument: 'off' }, false)).toEqual([
      { op: 'insert', after: { _id: 1, v: 1 } },
      { op: 'update' },
      { op: 'insert', after: { _id: 2, v: 1 } },
      { op: 'update' },
      { op: 'replace', after: { _id: 1, v: 3 } },
      { op: 'delete' },
    ]);
  });

  it('are those of the moment of reading with `updateLookup`, null when there is none any more', async () => {
    expect(await documentsOf('lookup', { fullDocument: 'updateLookup' }, false)).toEqual([
      { op: 'insert', after: { _id: 1, v: 1 } },
      { op: 'update', after: { _id: 1, v: 3 } },
      { op: 'insert', after: { _id: 2, v: 1 } },
      { op: 'update', after: null },
      { op: 'replace', after: { _id: 1, v: 3 } },
      { op: 'delete' },
    ]);
  });

  it('are those of the moment of the change with `required` and images', async () => {
    expect(await documentsOf('required', { fullDocument: 'required', fullDocumentBeforeChange: 'required' }, true)).toEqual([
      { op: 'insert', after: { _id: 1, v: 1 } },
      { op: 'update', after: { _id: 1, v: 2 }, before: { _id: 1, v: 1 } },
      { op: 'insert', after: { _id: 2, v: 1 } },
      { op: 'update', after: { _id: 2, v: 2 }, before: { _id: 2, v: 1 } },
      { op: 'replace', after: { _id: 1, v: 3 }, before: { _id: 1, v: 2 } },
      { op: 'delete', before: { _id: 2, v: 2 } },
    ]);
  });

  it('are null with `whenAvailable` where no images are kept', async () => {
    expect(await documentsOf('without', { fullDocument: 'whenAvailable', fullDocumentBeforeChange: 'whenAvailable' }, false)).toEqual([
      { op: 'insert', after: { _id: 1, v: 1 } },
      { op: 'update', after: null, before: null },
      { op: 'insert', after: { _id: 2, v: 1 } },
      { op: 'update', after: null, before: null },
      { op: 'replace', after: { _id: 1, v: 3 }, before: null },
      { op: 'delete', before: null },
    ]);
    expect((await documentsOf('with', { fullDocument: 'whenAvailable', fullDocumentBeforeChange: 'whenAvailable' }, true))[1]).toEqual({
      op: 'update',
      after: { _id: 1, v: 2 },
      before: { _id: 1, v: 1 },
    });
  });

  it.each([
    ['fullDocument', 'fullDocument'],
    ['fullDocumentBeforeChange', 'before'],
  ])('that are required (%s) and not kept stop the pipeline there, time after time, until less is asked for', async (key, name) => {
    await using work = await Workspace.make();
    const ns = `missing_${name}.a`;
    const settings = { source: source([ns], { [key]: 'required' }) };
    const a = client.db(`missing_${name}`).collection<Numbered>('a');
    const run = await new PipelineRun(work.config(settings)).running();
    await a.insertOne({ _id: 1 });
    await a.updateOne({ _id: 1 }, { $set: { v: 1 } });
    await a.insertOne({ _id: 2 });
    const error = await run.done.catch((reason: unknown) => reason);
    if (!SluiceError.is(error, SOURCE_IMAGES_MISSING)) throw error;
    expect(error.message).toContain(`db: "missing_${name}", coll: "a"`);
    await expect(new PipelineRun(work.config(settings)).done).rejects.toMatchObject({ code: 'SLC-1247' });
    const lines = await capture(work, { source: source([ns], { [key]: 'whenAvailable' }) }, ns);
    expect(withoutMarks(lines).map(inShort)).toEqual([`create ${ns}`, `insert ${ns}`, `update ${ns}`, `insert ${ns}`]);
  });
});
