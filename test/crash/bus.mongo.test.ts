/**
 * A pipeline over a broker whose processes are killed whenever, wherever, while a shop is open: producers, consumers that
 * share four partitions, and the broker itself. Consumers of two groups read the same partitions at once, so that only the
 * lake keeps them apart. Afterwards the lake passes the same checkers as that of the direct way.
 *
 * `SLUICE_BUS_KILLS` sets how many, `SLUICE_SEED` repeats what a run did.
 */
import { mkdir } from 'node:fs/promises';
import type { Document, MongoClient } from 'mongodb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startShop, type ShopWrite } from '../../src/app/demo/shop.ts';
import { Random } from '../../src/app/demo/shop-documents.ts';
import type { ReplicaSet } from '../../src/app/demo/replica-set.ts';
import { systemClock } from '../../src/core/clock.ts';
import { clusterTime, differences, readStream } from '../e2e/change-stream.ts';
import { ledgerFaults, placeFaults, SealedGuard } from '../e2e/lake-faults.ts';
import { byPosition, linesOf, readLake } from '../e2e/lake-files.ts';
import { mark } from '../e2e/pipeline-run.ts';
import { until } from '../e2e/until.ts';
import { Workspace, type Settings } from '../e2e/workspace.ts';
import { KafkaBroker, whyNoKafka } from '../kafka.ts';
import { jumpTo, startMongo } from '../mongo.ts';
import { SEED } from '../seed.ts';
import { failpointNames } from './failpoint-names.ts';
import { RunProcess } from './run-process.ts';
import { provenShop } from './shop-proof.ts';

const KILLS = Number(process.env['SLUICE_BUS_KILLS'] ?? 12);
const MS_PER_KILL_MAX = 15_000;
const WORKS_MS_MAX = 60_000;
const PARTITIONS = 4;
const KILLED = { code: null, signal: 'SIGKILL' };
const DONE = { code: 0, signal: null };

const absent = await whyNoKafka();
const NAMES = await failpointNames();
const STEPS = NAMES.filter((name) => /^(?:produce|claim)\./.test(name));
const OF_PRODUCER = NAMES.filter((name) => name.startsWith('produce.') || name.startsWith('checkpoint.'));
const OF_CONSUMER = NAMES.filter((name) => /^(?:checkpoint|part|ledger|hour|recovery|lake)\./.test(name));

describe.skipIf(absent !== null)('a pipeline over a broker', () => {
  let set: ReplicaSet;
  let client: MongoClient;
  let broker: KafkaBroker;

  beforeAll(async () => {
    [set, broker] = await Promise.all([startMongo(), KafkaBroker.start()]);
    client = await set.connect();
  });
  afterAll(async () => {
    await set.stop();
    await broker[Symbol.asyncDispose]();
  });

  it('whose producer dies at each of its steps has every event once', { timeout: 60_000 + STEPS.length * MS_PER_KILL_MAX }, async () => {
    await broker.createTopic('steps', PARTITIONS);
    await using work = await Workspace.make();
    const from = await clusterTime(client);
    const configFile = await work.writeConfig({
      source: { uri: set.uri, include: ['steps.*'], startAt: new Date(from.t * 1000).toISOString() },
      lake: { json: 'canonical' },
      bus: { url: `kafka://${broker.plain}/steps`, auth: { kind: 'none' }, maxMessageBytes: '16KiB' },
    });
    const run = async (role: string, env: Readonly<Record<string, string>>, ends: object): Promise<void> => {
      await using process = RunProcess.start(configFile, { args: ['--role', role, '--until-idle', '0.2'], env });
      expect(await process.ended, `${JSON.stringify(env)}:\n${process.stderr}`).toEqual(ends);
    };
    for (const failpoint of STEPS) {
      await client.db('steps').collection<Document>('a').insertMany(Array.from({ length: 20 }, (_, i) => ({ failpoint, i }))); // prettier-ignore
      await client
        .db('steps')
        .collection('b')
        .insertOne({ failpoint, large: 'x'.repeat(100_000) });
      await run('produce', { SLUICE_FAILPOINT: failpoint }, KILLED);
    }
    const to = await mark(client, 'steps', 'a');
    await run('produce', {}, DONE);
    await run('consume', {}, DONE);
    const files = await readLake(work.lake);
    const lines = linesOf(files);
    expect(placeFaults(lines)).toEqual([]);
    expect(ledgerFaults(files)).toEqual([]);
    expect(differences(lines.toSorted(byPosition), await readStream(client, { db: 'steps', from, to }))).toEqual([]);
    expect(await work.verify()).toEqual([]);
  });

  it.each(['collection', 'document'])(
    `shared out by %s has every event once, in order, after ${KILLS / 2} kills (SLUICE_SEED=${SEED})`,
    { timeout: 60_000 + KILLS * MS_PER_KILL_MAX },
    async (partitionBy) => {
      const random = new Random(SEED + partitionBy.length);
      const topic = `kills-${partitionBy}`;
      await broker.createTopic(topic, PARTITIONS);
      await using work = await Workspace.make();
      await client.db('shop').dropDatabase();
      // A stream begins at a second, inclusively: not in that of the drop.
      await jumpTo(client, (await clusterTime(client)).t + 1);
      const from = await clusterTime(client);
      const settings: Settings = {
        source: { uri: set.uri, include: ['shop.*'], startAt: new Date(from.t * 1000).toISOString() },
        lake: { json: 'canonical', roll: { maxBytes: '128KiB', maxAge: '2s' } },
        bus: { url: `kafka://${broker.plain}/${topic}`, auth: { kind: 'none' }, partitionBy, maxMessageBytes: '16KiB' },
        warehouse: { url: 'duckdb:./warehouse.duckdb' },
      };
      const configFile = await work.writeConfig(settings);
      const writes: ShopWrite[] = [];
      await using shop = await startShop(client, {
        db: 'shop',
        opsPerSecond: 100,
        seed: SEED,
        ledger: (write) => void writes.push(write),
        signal: new AbortController().signal,
      });
      // The first may be killed before it has made it.
      await mkdir(work.lake);
      const guard = new SealedGuard(work.lake);
      await killAll(configFile, random, guard, async () => {
        await jumpTo(client, (Math.floor((await clusterTime(client)).t / 3600) + 1) * 3600);
      });
      expect((await shop.stop()).stepsUnsettled).toBe(0);
      const to = await mark(client, 'elsewhere', 'mark');
      await jumpTo(client, (Math.floor(to.t / 3600) + 1) * 3600);
      await using last = RunProcess.start(configFile, { args: ['--role', 'all', '--until-idle', '1'], env: { SLUICE_BUS__GROUP: 'last' } });
      expect(await last.ended, last.stderr).toEqual(DONE);
      // How many depends on how fast the machine is.
      expect(guard.size).toBeGreaterThan(0);
      await provenShop({ client, work, guard, writes, from, to, log: last.stderr });
    },
  );

  async function killAll(configFile: string, random: Random, guard: SealedGuard, nextHour: () => Promise<void>): Promise<void> {
    const live: { role: 'produce' | 'consume'; process: RunProcess }[] = [];
    const start = (role: 'produce' | 'consume'): void => {
      const env: Record<string, string> = { SLUICE_BUS__GROUP: random.int(4) === 0 ? 'shared' : `own-${random.int(1e9)}` };
      // Now and then another stream, whose positions are another's.
      if (role === 'produce' && random.int(3) === 0) env['SLUICE_SOURCE__INCLUDE'] = '["shop.*","elsewhere.*"]';
      const names = role === 'produce' ? OF_PRODUCER : OF_CONSUMER;
      if (random.int(2) === 0) env['SLUICE_FAILPOINT'] = `${names[random.int(names.length)]!}:${1 + random.int(4)}`;
      live.push({ role, process: RunProcess.start(configFile, { args: ['--role', role], env }) });
    };
    try {
      for (let kills = 0; kills < KILLS / 2; kills += 1) {
        if (!live.some(({ role }) => role === 'produce')) start('produce');
        while (live.filter(({ role }) => role === 'consume').length < 2) start('consume');
        // One that a failpoint has ended is as good as one that is killed here.
        const dead = live.findIndex(({ process }) => !process.running);
        const [{ role, process }] = live.splice(dead < 0 ? random.int(live.length) : dead, 1) as [(typeof live)[number]];
        await doom(role, process, random);
        await guard.look();
        if (kills % 3 === 2) await nextHour();
        if (kills % 5 === 4) await broker.restart();
      }
    } finally {
      for (const { process } of live) await process.kill('SIGKILL');
    }
  }
});

/** Lets a process live for a random while and kills it: sometimes while it starts, mostly while it works, at times frozen. */
async function doom(role: 'produce' | 'consume', process: RunProcess, random: Random): Promise<void> {
  const fate = random.int(10);
  if (fate >= 3) {
    const words = role === 'produce' ? 'reading changes' : 'these partitions are ours';
    await until('it works, or a failpoint has ended it', () => !process.running || process.stderr.includes(words), WORKS_MS_MAX);
  }
  if (process.running) await systemClock.sleep(fate < 8 ? random.int(600) : 1_000 + random.int(1_000));
  if (fate === 7 || fate === 9) {
    await process.kill('SIGSTOP');
    await systemClock.sleep(random.int(300));
  }
  // Whoever ends by itself has met something that it should not have.
  expect(await process.kill('SIGKILL'), process.stderr).toEqual(KILLED);
}
