/**
 * Random troubles over storage servers, the product's capture and lake over each: azure-world.ts says what may happen. Whatever
 * does, every event must be in the lake once, in order, sealed as the ledger says, published, and nothing sealed may have changed.
 *
 * `SLUICE_AZURE_SCHEDULES` sets how many for each storage, `SLUICE_SEED` the first seed: the troubles of one schedule are repeated with
 * `SLUICE_AZURE_SCHEDULES=1 SLUICE_SEED=<its seed>`.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { SluiceError } from '../../src/core/error.ts';
import { decodeCheckpoint } from '../../src/pipeline/checkpoint.ts';
import { AZURITE_ACCOUNT, AZURITE_KEY, startAzurite, type Azurite } from '../azurite.ts';
import { startDfsServer, type DfsServer } from '../fakes/dfs/server.ts';
import { SEED } from '../seed.ts';
import { AzureWorld, type Storage } from './azure-world.ts';
import { faultsOf } from './schedule-faults.ts';
import { HISTORIES } from './schedule-histories.ts';
import { random } from './schedule-world.ts';

const SCHEDULES = Number(process.env['SLUICE_AZURE_SCHEDULES'] ?? 10);
const MS_PER_SCHEDULE_MAX = 5_000;
/** Requests at which a former owner is frozen: every one in the nightly run. */
const FROZEN_STEP = SCHEDULES > 100 ? 1 : 9;
const SMALL = HISTORIES[1]!;
const FINGERPRINTS = [['A'], ['A'], ['A', 'B']] as const;

let fake: DfsServer;
let azurite: Azurite;
beforeAll(async () => {
  [fake, azurite] = await Promise.all([startDfsServer(), startAzurite()]);
});
afterAll(async () => {
  await fake[Symbol.asyncDispose]();
  await azurite[Symbol.asyncDispose]();
});

const onFake = (writer: Storage['writer']) => (): Storage => ({ url: fake.url, account: fake.account.name, key: fake.account.key, writer });
const onAzurite = (): Storage => ({ url: azurite.url, account: AZURITE_ACCOUNT, key: AZURITE_KEY, writer: 'append-blob' });

const STORAGES: readonly (readonly [string, () => Storage])[] = [
  ['files of ADLS Gen2', onFake('dfs')],
  ['append blobs on a hierarchical account', onFake('append-blob')],
  ['append blobs on Azurite', onAzurite],
];

describe.each(STORAGES)('a lake of %s behind a bad network', (name, storage) => {
  it(`is right after ${SCHEDULES} random schedules (SLUICE_SEED=${SEED})`, { timeout: 180_000 + SCHEDULES * MS_PER_SCHEDULE_MAX }, async () => {
    const counts: Record<string, number> = {};
    for (let seed = SEED; seed < SEED + SCHEDULES; seed += 1) {
      const history = HISTORIES[seed % HISTORIES.length]!;
      const fingerprints = FINGERPRINTS[(seed >> 2) % FINGERPRINTS.length]!;
      const container = `s${seed}-${containerOf(name)}`;
      await using world = new AzureWorld(storage(), container, history, random(seed * 2_654_435_761), fingerprints);
      await world.run();
      const faults = await faultsOf(world, history, fingerprints.length > 1 ? 'mixed' : 'alike');
      expect(faults, `SLUICE_AZURE_SCHEDULES=1 SLUICE_SEED=${seed}`).toEqual([]);
      for (const [what, times] of Object.entries(world.counts)) counts[what] = (counts[what] ?? 0) + times;
    }
    // Enough went wrong for this to say something.
    for (const what of SCHEDULES < 10 ? [] : ['cut', 'lost-reply', 'late', 'twice', 'busy', 'error', 'die', 'freeze']) {
      expect(counts[what], what).toBeGreaterThan(0);
    }
  });

  it('takes no byte of a former owner that wakes after the takeover, which ends with 75', { timeout: 900_000 }, async () => {
    let woken = 0;
    for (let frozenAt = FROZEN_STEP; ; frozenAt += FROZEN_STEP) {
      await using world = new AzureWorld(storage(), `z${frozenAt}-${containerOf(name)}`, SMALL, random(frozenAt));
      const former = await world.begin({ chance: 0, at: frozenAt, what: 'freeze' });
      await Promise.race([former.frozen, former.ended]);
      if (former.state !== 'frozen') break;
      await world.look();
      const checkpoint = world.files().get('_sluice/p/checkpoint.json');
      if (checkpoint === undefined || decodeCheckpoint(checkpoint, '').cleanStop) {
        // Not yet an owner, so that who starts beside it is no successor; or one no more.
        former.thaw();
        await former.ended;
        continue;
      }
      const successor = await world.begin();
      expect(await successor.ended, `frozen at ${frozenAt}`).toBe(true);
      await world.look();
      const before = world.files();
      former.thaw();
      expect(await former.ended, `frozen at ${frozenAt}`).toBe(false);
      expect((former.error as SluiceError).kind.exit, `frozen at ${frozenAt}`).toBe(75);
      await world.look();
      expect(world.files(), `frozen at ${frozenAt}`).toEqual(before);
      expect(await faultsOf(world, SMALL), `frozen at ${frozenAt}`).toEqual([]);
      woken += 1;
    }
    expect(woken).toBeGreaterThan(3);
  });
});

function containerOf(name: string): string {
  return name
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .slice(0, 40);
}
