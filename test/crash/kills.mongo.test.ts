/**
 * A process that is killed whenever, wherever, again and again, while a shop is open. Afterwards the lake has every
 * acknowledged write once and in order, and is the change stream of an independent reader, event by event; silver has
 * every document as it is in the source.
 *
 * `SLUICE_KILLS` sets how often, `SLUICE_SEED` repeats what a run did.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startShop, type ShopWrite } from '../../src/app/demo/shop.ts';
import { Random } from '../../src/app/demo/shop-documents.ts';
import type { ReplicaSet } from '../../src/app/demo/replica-set.ts';
import { systemClock } from '../../src/core/clock.ts';
import { jumpTo, startMongo } from '../mongo.ts';
import { clusterTime } from '../e2e/change-stream.ts';
import { mark } from '../e2e/pipeline-run.ts';
import { Workspace } from '../e2e/workspace.ts';
import { SealedGuard } from '../e2e/lake-faults.ts';
import { RunProcess } from './run-process.ts';
import { provenShop } from './shop-proof.ts';
import { SEED } from '../seed.ts';

const KILLS = Number(process.env['SLUICE_KILLS'] ?? 25);
const MS_PER_KILL_MAX = 6_000;
const ROLLS = ['64KiB', '256KiB', '1MiB'] as const;
const COMPRESSIONS = ['none', 'none', 'gzip', 'zstd'] as const;
const ROLES = ['all', 'all', 'capture'] as const;
/** The second one reads the whole deployment: another stream, whose positions are another's. */
const INCLUDES = ['shop.*', 'shop.*', 'shop.*', 'shop.*,elsewhere.*'] as const;

let set: ReplicaSet;

beforeAll(async () => {
  set = await startMongo();
});
afterAll(async () => await set.stop());

describe('a pipeline that is killed while a shop is open', () => {
  it(`has every event once, in order, after ${KILLS} kills (SLUICE_SEED=${SEED})`, { timeout: 60_000 + KILLS * MS_PER_KILL_MAX }, async () => {
    const random = new Random(SEED);
    await using work = await Workspace.make();
    const configFile = await work.writeConfig({
      source: { uri: set.uri, include: ['shop.*'] },
      lake: { json: 'canonical', roll: { maxBytes: '256KiB', maxAge: '2s' } },
      warehouse: { url: 'duckdb:./warehouse.duckdb' },
    });
    const client = await set.connect();
    const from = await clusterTime(client);
    // The start is durable before the shop opens.
    await using first = RunProcess.start(configFile, { args: ['--role', 'capture', '--until-idle', '0'] });
    expect(await first.ended).toEqual({ code: 0, signal: null });

    const writes: ShopWrite[] = [];
    await using shop = await startShop(client, {
      db: 'shop',
      opsPerSecond: 150,
      seed: SEED,
      ledger: (write) => void writes.push(write),
      signal: new AbortController().signal,
    });
    const guard = new SealedGuard(work.lake);
    const seconds = from.t;
    let hours = 0;
    for (let kill = 1; kill <= KILLS; kill += 1) {
      const include = random.pick(INCLUDES);
      const env = {
        SLUICE_LAKE__ROLL__MAX_BYTES: random.pick(ROLLS),
        SLUICE_LAKE__COMPRESSION: random.pick(COMPRESSIONS),
        ...(include === 'shop.*' ? {} : { SLUICE_SOURCE__INCLUDE: JSON.stringify(include.split(',')) }),
      };
      await using process = RunProcess.start(configFile, { args: ['--role', random.pick(ROLES)], env });
      await doom(process, random);
      await guard.look();
      if (kill % 6 === 0) await jumpTo(client, (Math.floor(seconds / 3600) + (hours += 1)) * 3600);
    }
    const { stepsUnsettled } = await shop.stop();
    expect(stepsUnsettled).toBe(0);
    const to = await mark(client, 'elsewhere', 'mark');
    await jumpTo(client, (Math.floor(to.t / 3600) + 1) * 3600);
    await using last = RunProcess.start(configFile, { args: ['--until-idle', '1'] });
    expect(await last.ended, last.stderr).toEqual({ code: 0, signal: null });

    expect(guard.size).toBeGreaterThan(0);
    await provenShop({ client, work, guard, writes, from, to, log: last.stderr });
  });
});

/** Lets a process live for a random while and kills it: often while it starts or recovers, sometimes after it was frozen. */
async function doom(process: RunProcess, random: Random): Promise<void> {
  const fate = random.int(10);
  if (fate < 3) await systemClock.sleep(random.int(600));
  else {
    await process.owner();
    await systemClock.sleep(fate < 8 ? random.int(500) : 1_000 + random.int(1_000));
  }
  if (fate === 7 || fate === 9) {
    await process.kill('SIGSTOP');
    await systemClock.sleep(random.int(300));
  }
  const ended = await process.kill('SIGKILL');
  // Whoever ends by itself has met something that it should not have.
  expect(ended, process.stderr).toEqual({ code: null, signal: 'SIGKILL' });
}
