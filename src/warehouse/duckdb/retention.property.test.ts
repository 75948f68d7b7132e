/**
 * Retention of bronze beside a twin that loses nothing: whatever happens to a collection, and whenever retention comes, silver, silver made
 * anew and every moment from the horizon on are the same in both, and the proof agrees with the lake.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from '../../../test/fast-check.ts';
import { afterAll, describe, expect, it } from 'vitest';
import { isoOf, SealedFiles, START_SECONDS, timeOf, type TestEvent } from '../../../test/contracts/sealed-files.ts';
import { never } from '../../../test/contracts/warehouse-bench.ts';
import { mergeAll, prove, writeLedger } from '../../../test/contracts/warehouse-proof.ts';
import { hourOf, SECONDS_PER_HOUR } from '../../core/time.ts';
import type { SealedFile, Warehouse } from '../../core/warehouse.ts';
import { silentLog } from '../../ops/log.ts';
import { openDuckDb } from './duckdb.ts';

const RUNS = Number(process.env['SLUICE_RETENTIONS'] ?? 2);
const HOURS = 6;
const SECONDS_BETWEEN = 10;
const FIRST = hourOf(START_SECONDS);

const folder = await mkdtemp(join(tmpdir(), 'sluice-retention-'));
afterAll(() => rm(folder, { recursive: true, force: true }));

const step = fc.record({
  kind: fc.oneof(
    { weight: 8, arbitrary: fc.constant('write' as const) },
    { weight: 3, arbitrary: fc.constantFrom('lost' as const, 'remove' as const) },
    { weight: 1, arbitrary: fc.constantFrom('drop' as const, 'dropDatabase' as const, 'snapshot' as const) },
  ),
  key: fc.nat(3),
});
const hour = fc.record({ steps: fc.array(step, { maxLength: 9 }), retain: fc.option(fc.nat(HOURS)) });
const scenario = fc.record({
  hours: fc.array(hour, { minLength: HOURS, maxLength: HOURS }),
  deletes: fc.constantFrom('soft' as const, 'hard' as const),
});
type Scenario = typeof scenario extends fc.Arbitrary<infer T> ? T : never;

/** What a MongoDB would send in each hour: of the collection, of its database, and snapshots. */
class Source {
  readonly #there = new Set<number>();
  #n = 0;

  hour(index: number, steps: Scenario['hours'][number]['steps']): { events: TestEvent[]; database: TestEvent[]; snapshots: TestEvent[][] } {
    const [events, database, snapshots]: [TestEvent[], TestEvent[], TestEvent[][]] = [[], [], []];
    this.#n = index * SECONDS_PER_HOUR;
    for (const { kind, key } of steps) {
      this.#n += SECONDS_BETWEEN;
      const n = this.#n;
      const id = { n, key: `"k${key}"` };
      const doc = `{"_id":"k${key}","n":${n}.0}`;
      if (kind === 'drop' || kind === 'dropDatabase') {
        (kind === 'drop' ? events : database).push({ n, op: kind });
        this.#there.clear();
      } else if (kind === 'snapshot') {
        // Nobody was told of this delete.
        this.#there.delete(key);
        const rows = [...this.#there].map((each): TestEvent => ({ n, op: 'snapshot', key: `"k${each}"`, doc: `{"_id":"k${each}","n":${n}.0}` }));
        snapshots.push([...rows, { n, op: 'snapshotEnd', rest: `"snapshot":{"files":${rows.length}}` }]);
      } else if (!this.#there.has(key)) {
        events.push({ ...id, op: 'insert', doc });
        this.#there.add(key);
      } else if (kind === 'remove') {
        events.push({ ...id, op: 'delete' });
        this.#there.delete(key);
      } else events.push({ ...id, op: 'update', doc: kind === 'lost' ? null : doc });
    }
    return { events, database, snapshots };
  }
}

async function sealHour(files: SealedFiles, db: string, { events, database, snapshots }: ReturnType<Source['hour']>): Promise<SealedFile[]> {
  const ns = { db, coll: 'c' };
  const sealed: SealedFile[] = [];
  if (events.length > 0) sealed.push(await files.seal(ns, events));
  if (database.length > 0) sealed.push(await files.seal({ db, coll: null }, database));
  for (const snapshot of snapshots) {
    for (const [index, event] of snapshot.entries()) {
      const name = event.op === 'snapshotEnd' ? 'end' : `part-0000${index}`;
      sealed.push(await files.seal(ns, [event], { path: `_snapshots/${db}/c/${event.n}-1-a/${name}.jsonl` }));
    }
  }
  return sealed;
}

async function rowsOf(warehouse: Warehouse, sql: string): Promise<readonly (readonly unknown[])[]> {
  return (await warehouse.query(sql, 1000, never)).rows;
}

async function isAsItsTwin(warehouse: Warehouse, horizon: number | null, deletes: 'soft' | 'hard'): Promise<void> {
  if ((await rowsOf(warehouse, `select 1 from information_schema.tables where table_schema = 'silver' and table_name = 'kept__c'`)).length === 0)
    return;
  const same = async (of: (db: string) => Promise<unknown>): Promise<void> => expect(await of('kept')).toEqual(await of('twin'));
  // With hard deletes a document that comes again is counted from its beginning, or from its return: it was forgotten in between.
  const counts = deletes === 'hard' ? ['version_number'] : [];
  const seen = deletes === 'hard' ? ['first_seen_at'] : [];
  await same((db) => rowsOf(warehouse, `select * exclude (${['loaded_at', ...counts, ...seen].join(', ')}) from silver.${db}__c order by key`));
  for (let moment = ((horizon ?? FIRST) - FIRST) * SECONDS_PER_HOUR; moment < HOURS * SECONDS_PER_HOUR; moment += SECONDS_PER_HOUR / 2 + 15) {
    const at = `cast('${isoOf(moment)}' as timestamptz)`;
    await same((db) => rowsOf(warehouse, `select * exclude (${["operation", ...counts].join(', ')}) from silver.${db}__c_history where valid_from <= ${at} and (valid_to > ${at} or valid_to is null) order by key`)); // prettier-ignore
  }
}

describe('retention of bronze', () => {
  it('leaves silver, silver made anew, the moments after it and the proof as they are where nothing is removed', { timeout: 600_000 }, async () => {
    let run = 0;
    await fc.assert(
      fc.asyncProperty(scenario, async ({ hours, deletes }) => {
        const root = join(folder, `${(run += 1)}`);
        const files = new SealedFiles(root);
        await using warehouse = await openDuckDb({ path: `${root}.duckdb`, deletes, columns: {}, log: silentLog });
        await warehouse.migrate();
        const source = new Source();
        const all: SealedFile[] = [];
        const ns = { db: 'kept', coll: 'c' };
        for (const [index, { steps, retain }] of hours.entries()) {
          const made = source.hour(index, steps);
          const sealed = [...(await sealHour(files, 'kept', made)), ...(await sealHour(files, 'twin', made))];
          all.push(...sealed);
          await warehouse.load(sealed, never);
          await mergeAll(warehouse);
          const marks = ['kept', 'twin'].map((db) => ({ namespace: { db, coll: 'c' }, through: timeOf((index + 1) * SECONDS_PER_HOUR) }));
          await warehouse.markComplete(marks);
          if (retain === null) continue;
          await warehouse.retainBronze(ns, { before: FIRST + Math.min(retain, index + 1), dryRun: false }, never);
          await isAsItsTwin(warehouse, await warehouse.bronzeHorizon(ns), deletes);
        }
        await writeLedger(root, all);
        expect((await prove(root, warehouse)).findings).toEqual([]);
        for (const db of ['kept', 'twin']) await warehouse.merge({ db, coll: 'c' }, { rebuild: true }, never);
        await isAsItsTwin(warehouse, await warehouse.bronzeHorizon(ns), deletes);
        expect((await prove(root, warehouse)).findings).toEqual([]);
      }),
      // To make a failure smaller takes minutes.
      { numRuns: RUNS, endOnFailure: true },
    );
  });
});
