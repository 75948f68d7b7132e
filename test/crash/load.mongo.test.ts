/**
 * A shop that is open for a long time, and a pipeline that lives as it does in the field: it runs for a while, is killed or
 * stopped or updated to other settings, and comes back; hours pass. In the end everything is proven, and no process has
 * grown without a limit.
 *
 * `SLUICE_LOAD_MINUTES` sets how long, `SLUICE_SEED` repeats what was chosen.
 */
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/core/clock.ts';
import { INTERRUPTED } from '../../src/core/errors.ts';
import type { ReplicaSet } from '../../src/app/demo/replica-set.ts';
import { Random } from '../../src/app/demo/shop-documents.ts';
import { startShop, type ShopWrite } from '../../src/app/demo/shop.ts';
import { clusterTime } from '../e2e/change-stream.ts';
import { SealedGuard } from '../e2e/lake-faults.ts';
import { mark } from '../e2e/pipeline-run.ts';
import { Workspace } from '../e2e/workspace.ts';
import { jumpTo, startMongo } from '../mongo.ts';
import { RunProcess } from './run-process.ts';
import { provenShop } from './shop-proof.ts';
import { SEED } from '../seed.ts';

const MINUTES = Number(process.env['SLUICE_LOAD_MINUTES'] ?? 0.05);
const LOAD_MS = MINUTES * 60_000;
/** Lives of the pipeline, each with its own settings and its own end; an hour passes in each of the first ones. */
const LIVES = Math.max(4, Math.round(MINUTES * 2));
const HOURS = Math.min(LIVES - 1, 8);
const SAMPLE_MS = 500;
/** Twice what such a process takes with the memory that its warehouse may have. */
const RSS_BYTES_MAX = 1_500 * 1024 ** 2;
const ROLLS = ['64KiB', '1MiB', '16MiB'] as const;
const COMPRESSIONS = ['none', 'gzip', 'zstd'] as const;

let set: ReplicaSet;

beforeAll(async () => {
  set = await startMongo();
});
afterAll(async () => await set.stop());

/** Resident memory of a process now; 0 once it is gone, or where nobody tells (other systems than Linux). */
async function rssBytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? 0) * 1024;
}

describe('a pipeline under load', () => {
  it(`has every event once, in bounded memory, after ${MINUTES} minutes (SLUICE_SEED=${SEED})`, { timeout: 300_000 + LOAD_MS * 3 }, async () => {
    const random = new Random(SEED);
    await using work = await Workspace.make();
    const configFile = await work.writeConfig({
      source: { uri: set.uri, include: ['shop.*'] },
      lake: { json: 'canonical', roll: { maxBytes: '1MiB', maxAge: '20s' } },
      warehouse: { url: 'duckdb:./warehouse.duckdb', memoryLimit: '512MiB' },
    });
    const client = await set.connect();
    const from = await clusterTime(client);
    await using first = RunProcess.start(configFile, { args: ['--role', 'capture', '--until-idle', '0'] });
    expect(await first.ended).toEqual({ code: 0, signal: null });

    const writes: ShopWrite[] = [];
    const ledger = (write: ShopWrite): void => void writes.push(write);
    await using shop = await startShop(client, { db: 'shop', opsPerSecond: 60, seed: SEED, ledger, signal: new AbortController().signal });
    const guard = new SealedGuard(work.lake);
    let peakBytes = 0;
    for (let life = 1; life <= LIVES; life += 1) {
      const env = { SLUICE_LAKE__ROLL__MAX_BYTES: random.pick(ROLLS), SLUICE_LAKE__COMPRESSION: random.pick(COMPRESSIONS) };
      await using process = RunProcess.start(configFile, { args: ['--role', random.pick(['all', 'all', 'capture'])], env });
      await process.owner();
      const untilMs = performance.now() + (LOAD_MS / LIVES) * (0.5 + random.next());
      while (performance.now() < untilMs && process.running) {
        peakBytes = Math.max(peakBytes, await rssBytes(process.pid));
        await systemClock.sleep(SAMPLE_MS);
      }
      if (life <= HOURS) await jumpTo(client, (Math.floor(from.t / 3600) + life) * 3600);
      const signal = random.pick(['SIGKILL', 'SIGKILL', 'SIGTERM']);
      const end = await process.kill(signal);
      // On a machine that has much to do it may end itself before all that is under way has ended: a kill like the others.
      const tooLong = process.stderr.includes('Not stopped within') ? { code: INTERRUPTED.exit, signal: null } : null;
      expect(end, process.stderr).toEqual(signal === 'SIGKILL' ? { code: null, signal } : (tooLong ?? { code: 0, signal: null }));
      await guard.look();
    }
    expect((await shop.stop()).stepsUnsettled).toBe(0);
    const to = await mark(client, 'elsewhere', 'mark');
    await jumpTo(client, (Math.floor(to.t / 3600) + 1) * 3600);
    await using last = RunProcess.start(configFile, { args: ['--until-idle', '1'] });
    expect(await last.ended, last.stderr).toEqual({ code: 0, signal: null });
    const events = await provenShop({ client, work, guard, writes, from, to, log: last.stderr });
    process.stdout.write(`${events} events in ${LIVES} lives and ${HOURS + 1} hours, at most ${Math.round(peakBytes / 1024 ** 2)} MiB of memory\n`);
    expect(peakBytes).toBeLessThan(RSS_BYTES_MAX);
  });
});
