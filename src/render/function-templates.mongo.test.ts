/**
 * The templates of `render function`, each rung with what its trigger hands over, and what is on the lake then. The lake is a folder and the
 * bus Kafka: neither the Functions host nor Event Hubs is here.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { MongoClient } from 'mongodb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openLocalLake } from '../lake/local/local.ts';
import { captureLogs, capturedTopic, linesOf } from '../../test/fakes/captured-topic.ts';
import { makeApp, ring } from '../../test/fakes/function-app.ts';
import { KafkaBroker, whyNoKafka } from '../../test/kafka.ts';
import { startMongo } from '../../test/mongo.ts';
import type { ReplicaSet } from '../app/demo/replica-set.ts';
import { TEMPLATES, functionFiles, type FunctionTemplate } from '../app/render-function.ts';
import { parseConfig } from '../config/load.ts';
import type { TextFile } from './text-file.ts';

const LAUNCHER = join(import.meta.dirname, '../../bin/sluice.js');
const CAPTURE = 'https://acme.blob.core.windows.net/capture';

let folder: string;
let set: ReplicaSet;
let client: MongoClient;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-templates-'));
  set = await startMongo();
  client = await set.connect();
});
afterAll(async () => {
  await set.stop();
  await rm(folder, { recursive: true, force: true });
});

/** As they are rendered for Azure. */
async function files(templates: readonly FunctionTemplate[], changed: (text: string) => string = (text) => text): Promise<readonly TextFile[]> {
  const config = parseConfig(
    JSON.stringify({
      pipeline: 'shop',
      source: { uri: 'mongodb://127.0.0.1:1/', include: ['shop.*'] },
      lake: { url: 'https://acme.dfs.core.windows.net/lake' },
      bus: { url: 'eventhubs://acme.servicebus.windows.net/shop', auth: { kind: 'default' } },
    }),
    { folder },
  );
  const capture = templates.includes('capture') ? CAPTURE : null;
  const rendered = await functionFiles(config, { templates, capture, timers: [], eventHub: null, blobs: [], timeLimitSeconds: 120 });
  return rendered.map(({ name, text }) => ({ name, text: name === 'functions.json' ? changed(text) : text }));
}

const lakeFiles = async (app: string): Promise<string[]> =>
  (await readdir(join(app, 'lake'), { recursive: true })).filter((path) => !path.startsWith('_'));

describe('the templates of a Function app', () => {
  it('are registered with the triggers that they are for', async () => {
    const { registered } = await ring(await makeApp(folder, await files(TEMPLATES), {}), 'none');
    expect(registered.map(({ kind, name, schedule, path }) => [kind, name, schedule ?? path ?? null])).toEqual([
      ['timer', 'timer1_dump', '0 5 0-1,3-23 * * *'],
      ['timer', 'timer2_dump', '0 30 2 * * *'],
      ['eventHub', 'hub1_run', null],
      ['blob', 'blob1_reshape', 'capture/{name}'],
    ]);
  });

  it('dump a collection on a timer, and export it as one JSON array', async () => {
    await client
      .db('shop')
      .collection('orders')
      .insertMany([{ _id: 1 as never }, { _id: 2 as never }]);
    const config = { pipeline: 'shop', source: { uri: set.uri, include: ['shop.*'] }, lake: { url: 'file:./lake' }, dump: { cron: '0 * * * *' } };
    const rung = async (template: FunctionTemplate, name: RegExp): Promise<string> => {
      const app = await makeApp(folder, await files([template]), config);
      expect((await ring(app, 'timer1_dump')).failed).toBeNull();
      const [path, ...others] = (await lakeFiles(app)).filter((each) => name.test(each));
      expect(others).toEqual([]);
      return await readFile(join(app, 'lake', path!), 'utf8');
    };
    expect(
      (await rung('dump', /\/orders\.ndjson$/))
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as unknown),
    ).toEqual([{ _id: 1 }, { _id: 2 }]);
    expect(JSON.parse(await rung('export', /\/[0-9a-f-]{36}\.json$/))).toEqual([{ _id: 1 }, { _id: 2 }]);
  });

  it('reshape Capture files when one has come', async () => {
    const root = await mkdtemp(join(folder, 'captured-'));
    const topic = await capturedTopic(root);
    await captureLogs(topic, join(root, 'captured'));
    const config = { pipeline: 'p', source: { uri: 'mongodb://127.0.0.1:1', include: ['db.*'] }, lake: { url: 'file:./lake' } };
    const local = (text: string): string => text.replaceAll(`"${CAPTURE}"`, `"file:${join(root, 'captured')}", "--claims", "file:${topic.claims}"`);
    const app = await makeApp(folder, await files(['capture'], local), config);
    expect((await ring(app, 'blob1_reshape')).failed).toBeNull();
    await using lake = await openLocalLake(join(app, 'lake'));
    expect(await linesOf(lake)).toEqual(topic.expected);
    // It rings for every file, and finds what it has read already.
    expect((await ring(app, 'blob1_reshape')).said.join('\n')).toContain('0 events');
  });
});

const absent = await whyNoKafka();
describe.skipIf(absent !== null)('the template for the lake', () => {
  it('consumes the hub when it has messages', { timeout: 300_000 }, async () => {
    await using broker = await KafkaBroker.start();
    await broker.createTopic('shop', 1);
    await client.db('rung').createCollection('orders');
    const bus = { url: `kafka://${broker.plain}/shop`, auth: { kind: 'none' } };
    const config = { pipeline: 'shop', source: { uri: set.uri, include: ['rung.*'], startAt: 'now' }, lake: { url: 'file:./lake' }, bus };
    const app = await makeApp(folder, await files(['lake'], (text) => text.replace('"20"', '"1"')), config);
    const produce = ['run', '--role', 'produce', '--until-idle', '1'];
    const once = async (): Promise<unknown> => await promisify(execFile)(process.execPath, [LAUNCHER, ...produce], { cwd: app });
    await once();
    await client
      .db('rung')
      .collection('orders')
      .insertMany([{ n: 1 }, { n: 2 }, { n: 3 }]);
    await once();
    for (let rings = 0; rings < 2; rings += 1) expect((await ring(app, 'hub1_run')).failed).toBeNull();
    const [path, ...others] = (await lakeFiles(app)).filter((each) => each.endsWith('.jsonl'));
    expect(others).toEqual([]);
    expect((await readFile(join(app, 'lake', path!), 'utf8')).split('\n')).toHaveLength(4);
  });
});
