/**
 * A MongoDB with a backlog of changes of one kind, to be read again and again from the same token.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { serialize } from 'bson';
import type { Document, MongoClient } from 'mongodb';
import { findMongod } from '../src/app/demo/mongod.ts';
import { startReplicaSet, type ReplicaSet } from '../src/app/demo/replica-set.ts';
import { silentLog } from '../src/ops/log.ts';
import type { Measured, Subject } from './subject.ts';

/** Kernel ticks in /proc, per second. */
const TICKS_PER_SECOND = 100;

export async function startServer(): Promise<ReplicaSet> {
  const { signal } = new AbortController();
  const mongod = await findMongod({ onProgress: (text) => console.log(text), signal, log: silentLog });
  return await startReplicaSet({ mongod, signal, oplogSizeMiB: 4096 });
}

/** A document of about this many bytes. */
export function documentOf(n: number, bytes: number): Document {
  const small = { n, name: `customer ${n}`, at: new Date(), amount: Math.random() * 1000, tags: ['new', 'web', 'promo'] };
  if (bytes < 400) return { ...small, note: 'x'.repeat(Math.max(0, bytes - 150)) };
  const address = { street: 'Example Street 12', city: 'Berlin', zip: '10115', country: 'DE' };
  return { ...small, address, note: 'x'.repeat(bytes - 300) };
}

/** Token of now, as {@link Subject.token}. */
export async function tokenOf(client: MongoClient): Promise<string> {
  const stream = client.db('bench').watch();
  await stream.tryNext();
  const token = stream.resumeToken as Document;
  await stream.close();
  return Buffer.from(serialize(token)).toString('base64');
}

/** Inserts in batches that the server takes at once. */
export async function insertDocuments(client: MongoClient, count: number, bytes: number, collections = 1): Promise<void> {
  const perBatch = Math.max(1, Math.min(10_000, Math.floor((12 << 20) / bytes)));
  for (let n = 0; n < count; n += perBatch) {
    const documents = Array.from({ length: Math.min(perBatch, count - n) }, (_, i) => documentOf(n + i, bytes));
    if (collections === 1) {
      await client.db('bench').collection('events').insertMany(documents);
      continue;
    }
    const models = documents.map((document, i) => ({
      name: 'insertOne' as const,
      namespace: `bench.events_${(n + i) % collections}`,
      document,
    }));
    // Spread over the collections, in the order of the numbers.
    const byCollection = Map.groupBy(models, ({ namespace }) => namespace);
    for (const [namespace, of] of byCollection) {
      await client
        .db('bench')
        .collection(namespace.slice('bench.'.length))
        .insertMany(of.map(({ document }) => document));
    }
  }
}

export interface Run extends Measured {
  /** Of the server, meanwhile. */
  readonly serverCpuMs: number;
}

/** Runs a subject over the backlog in a process and a folder of its own. */
export async function run(set: ReplicaSet, subject: Omit<Subject, 'uri' | 'folder'>): Promise<Run> {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-bench-'));
  try {
    const before = cpuMs(set.pids);
    const child = fork(fileURLToPath(new URL('subject.ts', import.meta.url)), [JSON.stringify({ ...subject, uri: set.uri, folder })]);
    const result = Promise.withResolvers<Measured>();
    child.on('message', (message) => result.resolve(message as Measured));
    child.on('exit', (code) => result.reject(new Error(`${subject.kind} ended with ${code}`)));
    const measured = await result.promise;
    const serverCpu = cpuMs(set.pids) - before;
    if (child.exitCode === null) await once(child, 'exit');
    return { ...measured, serverCpuMs: serverCpu };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Processor time of processes that run, so far; 0 where there is no /proc. */
export function cpuMs(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => {
    try {
      const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
      return sum + ((Number(fields[11]) + Number(fields[12])) * 1000) / TICKS_PER_SECOND;
    } catch {
      return sum;
    }
  }, 0);
}

/** The best of several runs, which alternate: what else the machine does must not decide. */
export async function bestOf<K extends string>(kinds: readonly K[], times: number, one: (kind: K) => Promise<Run>): Promise<Record<K, Run>> {
  const best = {} as Record<K, Run>;
  for (let time = 0; time < times; time += 1) {
    for (const kind of kinds) {
      const next = await one(kind);
      if (best[kind] === undefined || next.ms < best[kind].ms) best[kind] = next;
    }
  }
  return best;
}
