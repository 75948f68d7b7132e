/**
 * Dumps through the real CLI, of a real MongoDB: now, asked by a signal, asked of a running owner, at a time.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Double, Long, ObjectId, serialize, EJSON } from 'bson';
import type { MongoClient } from 'mongodb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ReplicaSet } from '../../src/app/demo/replica-set.ts';
import type { DumpSummary, PipelineStatus } from '../../src/app/types.ts';
import { startMongo } from '../mongo.ts';
import { until } from './until.ts';
import { Workspace } from './workspace.ts';

const LAUNCHER = fileURLToPath(new URL('../../bin/sluice.js', import.meta.url));

let set: ReplicaSet;
let client: MongoClient;
const children = new Set<ChildProcess>();

beforeAll(async () => {
  set = await startMongo();
  client = await set.connect();
});
afterAll(async () => {
  for (const child of children) child.kill('SIGKILL');
  await set.stop();
});

interface Ended {
  readonly code: number | null;
  readonly out: string;
}

function start(work: Workspace, ...args: string[]): { child: ChildProcess; ended: Promise<Ended>; said: () => string } {
  const env = { PATH: process.env['PATH'], HOME: work.folder, XDG_STATE_HOME: join(work.folder, 'state') };
  const child = spawn(process.execPath, [LAUNCHER, ...args], { cwd: work.folder, env, stdio: ['ignore', 'pipe', 'pipe'] });
  children.add(child);
  let [out, err] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text));
  const ended = once(child, 'close').then(([code]): Ended => {
    children.delete(child);
    return { code: code as number | null, out };
  });
  return { child, ended, said: () => err };
}

async function json<T>(work: Workspace, ...args: string[]): Promise<T> {
  return JSON.parse((await start(work, ...args, '--json').ended).out) as T;
}

const filesOf = async (work: Workspace, suffix: string): Promise<string[]> => {
  const found = await readdir(work.lake, { recursive: true }).catch(() => []);
  return found.filter((path) => path.endsWith(suffix) && !path.startsWith('_sluice')).toSorted();
};

describe('sluice dump', () => {
  it('has every document of a collection, byte for byte in canonical form, as of one moment, and masked', async () => {
    await using work = await Workspace.make();
    const db = client.db('dumped');
    const documents = Array.from({ length: 3000 }, (_, i) => ({
      _id: new ObjectId(),
      i: Long.fromNumber(i),
      d: new Double(i),
      s: `ß"${i}`,
      n: { a: [i, null] },
    }));
    await db.collection('all').insertMany(documents);
    await db.collection('empty').insertOne({ ssn: '078-05-1120' });
    await db.createCollection('view', { viewOn: 'all', pipeline: [] });
    await work.writeConfig({
      source: { uri: set.uri, include: ['dumped.*'], mask: { '*.ssn': 'drop' }, maskKey: 'a key of the mask, for tests' },
      lake: { json: 'canonical' },
    });
    const { ok, dumps } = await json<DumpSummary>(work, 'dump');
    expect([ok, dumps.map(({ namespace, rows, outcome, note }) => [namespace, rows, outcome, note])]).toEqual([
      true,
      [
        ['dumped.all', 3000, 'dumped', null],
        ['dumped.empty', 1, 'dumped', null],
      ],
    ]);
    const [all, empty] = await filesOf(work, '.ndjson');
    expect(all).toMatch(/^all\/\d{4}-\d\d-\d\d-\d\d\/all\.ndjson$/);
    const lines = (await readFile(join(work.lake, all!), 'utf8')).trimEnd().split('\n');
    const back = lines.map((line) => Buffer.from(serialize(EJSON.parse(line, { relaxed: false }) as object)).toString('hex'));
    expect(back.toSorted()).toEqual(documents.map((document) => Buffer.from(serialize(document)).toString('hex')).toSorted());
    expect(await readFile(join(work.lake, empty!), 'utf8')).not.toContain('ssn');
    // Again in this hour (or in the next, should one begin just now): as it is.
    const again = await json<DumpSummary>(work, 'dump', 'dumped.empty');
    expect(again.dumps.every(({ outcome }) => outcome === 'there' || outcome === 'dumped')).toBe(true);
  });

  it('is taken by a running owner when a command, a signal or the clock asks', async () => {
    await using work = await Workspace.make();
    const orders = client.db('running').collection<{ _id: number }>('orders');
    const file = await work.writeConfig({ source: { uri: set.uri, include: ['running.*'] }, dump: { cron: '* * * * *', layout: 'document' } });
    const run = start(work, 'run', '--config', file);
    await until('the start is settled', async () => (await json<PipelineStatus>(work, 'status')).position !== null);
    await orders.insertMany([{ _id: 1 }, { _id: 2 }]);
    const dumped = async (): Promise<{ _meta: unknown; documentKey: { _id: { $numberInt: string } } }[]> => {
      const files = await filesOf(work, '.json');
      const parts = await Promise.all(
        files.filter((path) => path.startsWith('orders/2')).map(async (path) => await readFile(join(work.lake, path), 'utf8')),
      );
      // A file that is being written is no document yet.
      return parts.flatMap((text) => (text.endsWith(']}\n') ? (JSON.parse(text) as { changes: [] }).changes : []));
    };
    await until('a command has dumped both', async () => {
      // At a full minute the clock's own dump is under way, and this one refused.
      await start(work, 'dump', '--json').ended;
      return (await dumped()).filter((line) => 'documentKey' in line).length === 2;
    });
    await orders.insertOne({ _id: 3 });
    await until('a signal has dumped the third', async () => {
      run.child.kill('SIGUSR1');
      return (await dumped()).some((line) => line.documentKey?._id.$numberInt === '3');
    });
    const ids = (await dumped()).filter((line) => 'documentKey' in line).map((line) => line.documentKey._id.$numberInt);
    expect(ids.toSorted()).toEqual(['1', '2', '3']);
    run.child.kill('SIGTERM');
    expect((await run.ended).code).toBe(0);
    expect(await work.verify()).toEqual([]);
  });
});
