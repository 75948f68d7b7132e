/**
 * How many documents a second a snapshot brings into a lake on the local disk, against `find` and `JSON.stringify` into a file,
 * which is what exports do.
 *
 * `npm run bench -- snapshot [documents]`
 *
 * The same collections for both, each way in a process of its own, in turns; both end when everything is synced. sluice's figure
 * is that of the whole pipeline, from its start to the sealed file that says that the snapshot is whole.
 */
import { fork } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { MongoClient, type Document } from 'mongodb';
import { systemClock } from '../src/core/clock.ts';
import { openLocalLake } from '../src/lake/local/local.ts';
import { silentLog } from '../src/ops/log.ts';
import { newStats } from '../src/ops/stats.ts';
import { Capture } from '../src/pipeline/capture.ts';
import { MongoSnapshots } from '../src/source/mongo/snapshot.ts';
import { documentOf, startServer } from './backlog.ts';
import { captureOptionsOf, sourceOf, STREAM } from './pipeline.ts';
import { report } from './report.ts';

const ROUNDS = 3;
const BATCH = 5_000;
const SHAPES = ['plain', 'orders'] as const;
type Shape = (typeof SHAPES)[number];
const WAYS = ['sluice', 'find + JSON.stringify'] as const;
type Way = (typeof WAYS)[number];

interface Task {
  readonly way: Way;
  readonly uri: string;
  readonly folder: string;
  readonly shape: Shape;
}

/** About a kilobyte of many small fields, where `plain` has one long text. */
function order(n: number): Document {
  const item = (i: number): Document => ({
    sku: `SKU-${n * 7 + i}`,
    title: 'Espresso cups, set of 6',
    quantity: 1 + (n % 5),
    price: n / 7,
    taxRate: 0.19,
  });
  const shipping = { street: `${n % 200} Long Street`, city: 'Zürich', postcode: '8001', country: 'CH', location: [8.54 + n * 1e-6, 47.37] };
  const customer = { name: `Jürgen Müller ${n}`, email: `customer${n}@example.com`, vip: n % 10 === 0, phone: null };
  return {
    number: n,
    customer,
    createdAt: new Date(),
    shipping,
    items: [item(0), item(1), item(2)],
    tags: ['online', `batch-${n % 32}`],
    score: Math.sin(n),
    note: 'x'.repeat(180),
  };
}

async function sluice({ uri, folder, shape }: Task): Promise<number> {
  const stats = newStats();
  const stream = { ...STREAM, include: [`bench.${shape}`] };
  await using source = sourceOf(uri, stats, stream);
  const from = {
    uri,
    include: stream.include,
    exclude: [],
    json: 'relaxed',
    maxLineBytes: 100 << 20,
    exhaust: true,
    mask: null,
    bytesPerSecondMax: null,
  } as const;
  await using snapshots = new MongoSnapshots(from, systemClock, stats, silentLog);
  await using lake = await openLocalLake(join(folder, 'lake'));
  const parts = { source, snapshots, lake, clock: systemClock, stats, log: silentLog };
  const began = performance.now();
  const stop = new AbortController();
  const run = new Capture(captureOptionsOf({ startAt: { kind: 'snapshot' } }), parts).run(stop.signal);
  while (stats.snapshotRows === 0 || stats.snapshotsOpen > 0) await systemClock.sleep(2);
  const ms = performance.now() - began;
  stop.abort();
  await run;
  return ms;
}

async function plain({ uri, folder, shape }: Task): Promise<number> {
  await using client = await new MongoClient(uri).connect();
  const path = join(folder, 'plain.jsonl');
  const began = performance.now();
  const out = createWriteStream(path);
  for await (const document of client.db('bench').collection(shape).find()) {
    if (!out.write(`${JSON.stringify(document)}\n`)) await once(out, 'drain');
  }
  out.end();
  await once(out, 'finish');
  const file = await open(path, 'r+');
  await file.datasync();
  await file.close();
  return performance.now() - began;
}

async function measured(task: Omit<Task, 'folder'>): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-bench-'));
  try {
    const child = fork(fileURLToPath(import.meta.url), [JSON.stringify({ ...task, folder })]);
    const result = Promise.withResolvers<number>();
    child.on('message', (ms) => result.resolve(ms as number));
    child.on('exit', (code) => result.reject(new Error(`${task.way} ended with ${code}`)));
    const ms = await result.promise;
    if (child.exitCode === null) await once(child, 'exit');
    return ms;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function main(documents: number): Promise<void> {
  const set = await startServer();
  try {
    const client = await set.connect();
    for (const shape of SHAPES) {
      for (let n = 0; n < documents; n += BATCH) {
        const batch = Array.from({ length: Math.min(BATCH, documents - n) }, (_, i) => (shape === 'plain' ? documentOf(n + i, 1024) : order(n + i)));
        await client.db('bench').collection(shape).insertMany(batch);
      }
    }
    const rows = [];
    for (const shape of SHAPES) {
      const best = new Map<Way, number>();
      for (let round = 0; round < ROUNDS; round += 1) {
        for (const way of WAYS) best.set(way, Math.min(best.get(way) ?? Number.POSITIVE_INFINITY, await measured({ way, uri: set.uri, shape })));
      }
      const { size } = (await client.db('bench').command({ collStats: shape })) as unknown as { size: number };
      const base = best.get('find + JSON.stringify')!;
      for (const way of WAYS) {
        const ms = best.get(way)!;
        rows.push({
          documents: shape,
          way,
          'documents/s': (documents * 1000) / ms,
          'MB/s of BSON': size / ms / 1000,
          'bytes of BSON': size / documents,
          'times plain': base / ms,
        });
      }
    }
    report('snapshot', rows);
  } finally {
    await set.stop();
  }
}

if (process.send === undefined) await main(Number(process.argv[2] ?? 400_000));
else {
  const task = JSON.parse(process.argv[2]!) as Task;
  process.send?.(await (task.way === 'sluice' ? sluice(task) : plain(task)));
  process.disconnect?.();
}
