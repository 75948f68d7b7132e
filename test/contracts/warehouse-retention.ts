/**
 * Part of the suite in warehouse.ts: what retention takes of bronze changes nothing that anybody may ask for. Silver, silver made anew, the
 * history from the horizon on and the proof are what they were, and what is planted in what is left is found.
 */
import { describe, expect, it } from 'vitest';
import { AS_OF_UNKNOWN } from '../../src/core/errors.ts';
import { hourOf, SECONDS_PER_HOUR } from '../../src/core/time.ts';
import type { BronzeRetention, SealedFile } from '../../src/core/warehouse.ts';
import { isoOf, START_SECONDS, timeOf, type TestEvent } from './sealed-files.ts';
import { kindOf, never, ORDERS, type Bench } from './warehouse-bench.ts';
import { insert, remove, update } from './warehouse-faults.ts';
import { mergeAll, prove, writeLedger } from './warehouse-proof.ts';

const HOUR = SECONDS_PER_HOUR;
const FIRST = hourOf(START_SECONDS);
const lost = (n: number, key: string): TestEvent => ({ n, op: 'update', key, doc: null });

/** By hour. */
const EVENTS: readonly (readonly TestEvent[])[] = [
  [insert(1, '"gone"'), update(2, '"gone"'), { n: 3, op: 'drop' }, insert(10, '"a"'), insert(11, '"b"'), insert(12, '"c"'), update(13, '"a"')],
  [
    update(HOUR + 1, '"a"'),
    lost(HOUR + 2, '"a"'),
    lost(HOUR + 3, '"a"'),
    remove(HOUR + 4, '"b"'),
    insert(HOUR + 5, '"d"'),
    { n: HOUR + 6, op: 'snapshot', key: '"a"', doc: '{"n":1}' },
    { n: HOUR + 6, op: 'snapshot', key: '"d"', doc: '{"n":2}' },
  ],
  [{ n: 2 * HOUR + 1, op: 'createIndexes' }, lost(2 * HOUR + 2, '"d"'), update(2 * HOUR + 3, '"a"'), insert(2 * HOUR + 4, '"b"')],
  [update(3 * HOUR + 1, '"d"'), remove(3 * HOUR + 2, '"b"'), insert(3 * HOUR + 3, '"e"'), update(3 * HOUR + 4, '"e"')],
];

/** @param how `thorough: false` where each step takes its time */
export function describeRetention(bench: Bench, how: { readonly thorough: boolean }): void {
  const load = async (): Promise<SealedFile[]> => {
    const files: SealedFile[] = [];
    for (const events of EVENTS) files.push(await bench.files.seal(ORDERS, events));
    await bench.load(...files);
    await mergeAll(bench.warehouse);
    await writeLedger(bench.files.root, files);
    return files;
  };
  const complete = (hours: number): Promise<void> => bench.warehouse.markComplete([{ namespace: ORDERS, through: timeOf(hours * HOUR) }]);
  const retain = (hours: number, dryRun = false): Promise<BronzeRetention> =>
    bench.warehouse.retainBronze(ORDERS, { before: FIRST + hours, dryRun }, never);
  const silver = (): Promise<readonly (readonly unknown[])[]> =>
    bench.rows(`
      select key, cast(doc as varchar), doc_position, operation, position, "at", version_number, is_current, deleted_at, first_seen_at
      from silver.shop__orders order by key`);
  const at = async (n: number): Promise<readonly (readonly unknown[])[]> =>
    bench.rows(
      await bench.warehouse.asOf(`select key, cast(doc as varchar), version_number, valid_from, valid_to from shop__orders order by key`, isoOf(n)),
    );
  const faults = async (): Promise<string[]> => {
    const { findings } = await prove(bench.files.root, bench.warehouse);
    return findings.map(({ check, detail }) => `${check}: ${detail}`);
  };
  const bronze = async (): Promise<number> => Number((await bench.rows('select count(*) from bronze.shop__orders'))[0]![0]);

  describe('retention of bronze', () => {
    it('takes what is superseded, and changes nothing of silver, of silver made anew, of the history from there on, and of the proof', async () => {
      const files = await load();
      await complete(4);
      const before = {
        silver: await silver(),
        at2: await at(2 * HOUR),
        at3: await at(3 * HOUR + 2),
        now: await at(4 * HOUR - 1),
        rows: await bronze(),
      };
      expect(await bench.warehouse.bronzeHorizon(ORDERS)).toBe(null);
      const planned = await retain(2, true);
      expect([await bronze(), planned]).toEqual([before.rows, { from: FIRST + 2, rows: 8, heldBy: null }]);
      expect(await retain(2)).toEqual(planned);
      expect(await bench.warehouse.bronzeHorizon(ORDERS)).toBe(FIRST + 2);
      // There stay of a and of d what the snapshot brought, of b its delete and its document, c, and the drop.
      expect(await bronze()).toBe(before.rows - 8);
      const same = async (): Promise<void> => {
        expect(await silver()).toEqual(before.silver);
        expect(await at(3 * HOUR + 2)).toEqual(before.at3);
        expect(await at(4 * HOUR - 1)).toEqual(before.now);
        expect(await faults()).toEqual([]);
      };
      await same();
      expect(await at(2 * HOUR)).toEqual(before.at2);
      await bench.merge(ORDERS, true);
      await same();
      expect(await retain(2)).toEqual({ from: FIRST + 2, rows: 0, heldBy: null });
      expect(await kindOf(bench.warehouse.asOf('select * from shop__orders', isoOf(2 * HOUR - 1)))).toBe(AS_OF_UNKNOWN);
      // The history begins there: of what had ended before it only some is known.
      expect(Number((await bench.rows(`select count(*) from silver.shop__orders_history where valid_to <= '${isoOf(2 * HOUR)}'`))[0]![0])).toBe(0);
      // Asked for again, nothing comes twice.
      expect(await bench.load(...files)).toMatchObject({ files: 0, rows: 0 });

      expect(await retain(3)).toMatchObject({ from: FIRST + 3, heldBy: null });
      expect(await silver()).toEqual(before.silver);
      await bench.merge(ORDERS, true);
      expect([await silver(), await at(3 * HOUR + 2), await faults()]).toEqual([before.silver, before.at3, []]);
      // And what comes after it goes on from there.
      await bench.take(ORDERS, [update(4 * HOUR, '"a"')]);
      const [a] = await bench.rows(`select version_number, first_seen_at from silver.shop__orders where key = '"a"'`);
      expect([Number(a![0]), a![1]]).toEqual([Number(before.silver[0]![6]) + 1, before.silver[0]![9]]);
    });

    if (how.thorough)
      it('takes nothing that is not complete, nothing that waits for the merge, and says so', async () => {
        await load();
        expect(await retain(2)).toEqual({ from: null, rows: 0, heldBy: 'it is complete up to no time yet only' });
        await complete(1);
        expect(await retain(2)).toMatchObject({ from: FIRST + 1, rows: 3, heldBy: expect.stringContaining('it is complete up to') as string });
        await complete(4);
        await bench.load(await bench.files.seal(ORDERS, [update(4 * HOUR, '"c"')]));
        expect(await retain(2)).toMatchObject({ from: FIRST + 1, rows: 0, heldBy: 'rows of it wait for the merge' });
        await bench.merge(ORDERS);
        expect(await retain(2)).toMatchObject({ from: FIRST + 2, rows: 5, heldBy: null });
        expect(await bench.warehouse.retainBronze({ db: 'shop', coll: 'nobody' }, { before: FIRST, dryRun: false }, never)).toEqual({
          from: null,
          rows: 0,
          heldBy: null,
        });
      });

    if (how.thorough)
      it('leaves a file alone of which bronze has lost a row', async () => {
        const [first] = await load();
        await complete(4);
        await bench.damage(`delete from bronze.shop__orders where key = '"c"'`);
        const { heldBy, rows } = await retain(2);
        expect([rows, heldBy]).toEqual([0, `bronze has 6 rows of ${first!.line.path}, and should have 7: \`sluice verify --warehouse\``]);
      });

    it('with hard deletes, takes a deleted document whole once silver has', async () => {
      await bench.reopen({ deletes: 'hard' });
      await load();
      await complete(4);
      const before = await silver();
      await retain(2);
      const of = async (key: string): Promise<number> =>
        Number((await bench.rows(`select count(*) from bronze.shop__orders where key = '${key}'`))[0]![0]);
      // b was inserted again after the horizon, and deleted again.
      expect([await of('"b"'), await faults()]).toEqual([2, []]);
      await retain(4);
      expect([await of('"b"'), await faults(), await silver()]).toEqual([0, [], before]);
      await bench.merge(ORDERS, true);
      expect([await silver(), await faults()]).toEqual([before, []]);
    });

    it.each(
      [
        ['a row that is missing', `delete from bronze.shop__orders where key = '"c"'`, 'bronze-missing'],
        ['a row that is changed', `update bronze.shop__orders set doc = replace(doc, '"c"', '"C"') where key = '"c"'`, 'bronze-changed'],
        ['a row that is there twice', `insert into bronze.shop__orders select * from bronze.shop__orders where key = '"c"'`, 'bronze-duplicate'],
        [
          'one that counts too many events',
          `update bronze.shop__orders set removed_before = removed_before + 1 where removed_before > 0`,
          'silver-version',
        ],
        ['a document of silver that is another one', `update silver.shop__orders set doc = '{"n":9}' where key = '"c"'`, 'silver-document'],
        ['a document that silver has lost', `delete from silver.shop__orders where key = '"c"'`, 'silver-missing'],
      ].slice(0, how.thorough ? undefined : 1) as [string, string, string][],
    )('leaves a proof that finds %s', async (_, damage, check) => {
      await load();
      await complete(4);
      await retain(3);
      expect(await faults()).toEqual([]);
      await bench.damage(damage);
      expect((await faults()).map((fault) => fault.split(':')[0])).toContain(check);
    });
  });
}
