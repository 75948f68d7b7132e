/**
 * Random schedules over an object storage with a bad network: object-schedules.ts says what may happen. Whatever does,
 * every event must be in the lake once, in order, sealed as the ledger says, published, and nothing sealed may have changed.
 *
 * `SLUICE_SCHEDULES` sets how many, `SLUICE_SEED` the first seed: one schedule alone is repeated, step by step, with
 * `SLUICE_SCHEDULES=1 SLUICE_SEED=<its seed>`.
 */
import { describe, expect, it } from 'vitest';
import { RULES, type Rules } from './object-lake.ts';
import { Schedule } from './object-schedules.ts';
import type { StoreKind } from './object-store.ts';
import { faultsOf } from './schedule-faults.ts';
import { HISTORIES } from './schedule-histories.ts';
import { SEED } from '../seed.ts';

const SCHEDULES = Number(process.env['SLUICE_SCHEDULES'] ?? 500);
const MS_PER_SCHEDULE_MAX = 200;
const KINDS: readonly StoreKind[] = ['append blobs', 'files'];
/** Where the search for a schedule that needs a rule begins: few show that a part must be fenced before it is read. */
const FROM_SEED: Partial<Record<keyof Rules, number>> = { fenceFirst: 6_100 };
const FINGERPRINTS = [['A'], ['A'], ['A', 'B'], ['A', 'A', 'B', 'C']] as const;

/** All that is wrong after the schedule of this seed. */
async function outcome(
  seed: number,
  rules: Rules = RULES,
  trace?: (what: string) => void,
): Promise<{ faults: string[]; counts: Record<string, number> }> {
  const of = HISTORIES[seed % HISTORIES.length]!;
  const fingerprints = FINGERPRINTS[(seed >> 2) % FINGERPRINTS.length]!;
  const schedule = new Schedule({ seed, kind: KINDS[seed % KINDS.length]!, history: of, fingerprints, rules, ...(trace && { trace }) });
  try {
    await schedule.run();
  } catch (error) {
    return { faults: [`an owner ended: ${error instanceof Error ? error.stack : String(error)}`], counts: schedule.counts };
  }
  return { faults: await faultsOf(schedule, of, fingerprints.length > 1 ? 'mixed' : 'alike'), counts: schedule.counts };
}

describe('a lake of objects behind a bad network', () => {
  it(`is right after ${SCHEDULES} random schedules (SLUICE_SEED=${SEED})`, { timeout: 60_000 + SCHEDULES * MS_PER_SCHEDULE_MAX }, async () => {
    const counts: Record<string, number> = {};
    for (let seed = SEED; seed < SEED + SCHEDULES; seed += 1) {
      const steps: string[] = [];
      const result = await outcome(seed, RULES, SCHEDULES === 1 ? (what) => void steps.push(what) : undefined);
      expect(result.faults, `SLUICE_SCHEDULES=1 SLUICE_SEED=${seed}\n${steps.join('\n')}`).toEqual([]);
      for (const [what, times] of Object.entries(result.counts)) counts[what] = (counts[what] ?? 0) + times;
    }
    // Each thing that may go wrong did.
    if (SCHEDULES < 500) return;
    for (const what of ['lostBefore', 'lostAfter', 'late', 'twice', 'deliver', 'crash', 'crashLate', 'takeover', 'wake', 'stop']) {
      expect(counts[what], what).toBeGreaterThan(SCHEDULES / 50);
    }
  });

  it.each(Object.keys(RULES) as (keyof Rules)[])('is wrong after some schedule without the rule %s', { timeout: 300_000 }, async (rule) => {
    const rules = { ...RULES, [rule]: false };
    const from = FROM_SEED[rule] ?? 1;
    for (let seed = from; ; seed += 1) {
      const { faults } = await outcome(seed, rules);
      if (faults.length > 0) return;
      expect(seed - from, `nothing found without ${rule}`).toBeLessThan(10_000);
    }
  });
});
