/**
 * Part of the suite in warehouse.ts: a lake that is erased from before, after and in the middle of its loading. Bronze and silver hold
 * nothing of the subject and all of the others, nothing is loaded twice, and the proof agrees.
 */
import { describe, expect, it } from 'vitest';
import { systemClock } from '../../src/core/clock.ts';
import type { Lake } from '../../src/core/lake.ts';
import type { Warehouse } from '../../src/core/warehouse.ts';
import { silentLog } from '../../src/ops/log.ts';
import { newStats } from '../../src/ops/stats.ts';
import { compact } from '../../src/pipeline/compaction.ts';
import { erase, type EraseSummary } from '../../src/pipeline/erase.ts';
import { Loader } from '../../src/pipeline/loader.ts';
import { verifyWarehouse } from '../../src/pipeline/verify-warehouse.ts';
import { openParquetWriter } from '../../src/warehouse/duckdb/parquet.ts';
import { CaptureBench, HOUR, T0, events } from '../fakes/capture-bench.ts';
import { never, type Bench } from './warehouse-bench.ts';

const ANN = '"ann"';
/** Of 12 events of the first hour 4 are Ann's, of 2 of the second one; she has another in an hour that is not over. */
const SCRIPT = {
  events: events(
    ...Array.from({ length: 12 }, (_, n) => [1 + n, 'a', { bytes: 300, key: n % 3 === 0 ? ANN : n % 5 }] as const),
    [HOUR + 1, 'a', { key: ANN }],
    [HOUR + 2, 'a', { key: 1 }],
    [2 * HOUR + 1, 'a', { key: ANN, id: 99 }],
  ),
  end: { t: T0 + 2 * HOUR + 5, i: 1 },
  batchEvents: 2,
};
const LEFT = 9;

/** @param how `thorough: false` where each step takes its time: one form of files, one moment to be killed at */
export function describeErased(bench: Bench, how: { readonly thorough: boolean }): void {
  const begin = async (compression: 'none' | 'gzip' = 'none'): Promise<Lake> => {
    const capture = new CaptureBench();
    await capture.run(SCRIPT, { rollBytesMax: 800, flushBytesMax: 600, compression });
    return await capture.lake();
  };
  const load = async (lake: Lake, hour?: { from: number; to: number }): Promise<{ rows: number; rejected: number }> => {
    const options = { pipeline: 'p', filesPerLoadMax: 2, clock: systemClock, log: silentLog, stats: newStats(), ...(hour && { hour }) };
    const { rows, rejected } = await new Loader(lake, bench.warehouse, options).catchUp(never);
    return { rows, rejected: rejected.length };
  };
  const run = async (lake: Lake, request: 'ann' | 'one' | null = 'ann', warehouse: Warehouse | null = bench.warehouse): Promise<EraseSummary> => {
    const clock = { now: () => (T0 + 2 * HOUR - 1) * 1000, sleep: systemClock.sleep.bind(systemClock) };
    const keys = request === 'ann' ? ['ann'] : ['1'];
    const asked = request === null ? null : { collections: ['db.a'], keys, where: [], by: 'test', reason: null };
    return await erase(
      { pipeline: 'p', request: asked, dryRun: false },
      { lake, clock, log: silentLog, warehouse, openWriter: openParquetWriter },
      never,
    );
  };
  const compactAll = async (lake: Lake): Promise<void> => {
    const options = { pipeline: 'p', takeOver: false, collections: [], from: null, to: null };
    await compact(options, { lake, clock: systemClock, log: silentLog, openWriter: openParquetWriter, loaded: null }, never);
  };
  const faults = async (lake: Lake): Promise<string[]> =>
    (await verifyWarehouse(lake, 'p', bench.warehouse, never)).findings.map(({ check, path, detail }) => `${check} ${path}: ${detail}`);
  const count = async (sql: string): Promise<number> => Number((await bench.rows(sql))[0]![0]);
  const bronze = (where = 'true'): Promise<number> => count(`select count(*) from bronze.db__a where ${where}`);

  describe('documents that are erased', () => {
    /** What lies in an hour that is not over waits, on both sides. */
    const left = ['20261121-10/db.a: it is not over yet'];
    const settled = async (lake: Lake): Promise<void> => {
      expect(await faults(lake)).toEqual([]);
      expect(await bronze(`key = '${ANN}'`)).toBe(1);
      expect(await bronze()).toBe(LEFT + 1);
      const [row] = await bench.rows(`select version_number, is_current from silver.db__a where key = '${ANN}'`);
      expect(row!.map(String)).toEqual(['1', 'true']);
      expect(await load(lake)).toEqual({ rows: 0, rejected: 0 });
      expect(await faults(lake)).toEqual([]);
    };

    it.each(how.thorough ? (['none', 'gzip'] as const) : (['none'] as const))(
      'from a lake that is loaded go from bronze and silver, and are not loaded again (%s)',
      async (compression) => {
        const lake = await begin(compression);
        expect(await load(lake)).toEqual({ rows: 15, rejected: 0 });
        expect((await run(lake)).erasures).toMatchObject([{ rows: 5, warehouseRows: 5, left }]);
        await settled(lake);
        expect(await count("select count(*) from sluice.load_ledger where state = 'ERASED'")).toBeGreaterThan(1);
      },
    );

    it('from a lake that is not loaded yet never come', async () => {
      const lake = await begin();
      expect((await run(lake)).erasures).toMatchObject([{ rows: 5, warehouseRows: 0, left }]);
      expect(await load(lake)).toEqual({ rows: LEFT + 1, rejected: 0 });
      await settled(lake);
    });

    it('from a lake that is being loaded, just before its third file is read', async () => {
      const lake = await begin();
      const read = lake.read.bind(lake);
      let reads = 0;
      lake.read = async function* (path, from, signal) {
        reads += Number(path.startsWith('db/'));
        if (reads === 3) {
          reads = Infinity;
          expect((await run(lake)).erasures).toMatchObject([{ rows: 5 }]);
        }
        yield* read(path, from, signal);
      };
      expect((await load(lake)).rejected).toBe(0);
      expect(await load(lake)).toEqual({ rows: 0, rejected: 0 });
      expect((await bench.warehouse.collections()).map(({ status }) => status)).toEqual(['ACTIVE']);
      await settled(lake);
    });

    it('from a lake of which one hour is loaded', async () => {
      const lake = await begin();
      const hour = Math.floor(T0 / HOUR);
      expect(await load(lake, { from: hour, to: hour })).toEqual({ rows: 12, rejected: 0 });
      expect((await run(lake)).erasures).toMatchObject([{ rows: 5, warehouseRows: 4, left }]);
      expect(await load(lake)).toEqual({ rows: 2, rejected: 0 });
      await settled(lake);
    });

    it('from a lake that was compacted after it was loaded, one after the other', async () => {
      const lake = await begin();
      await load(lake);
      await compactAll(lake);
      expect((await run(lake)).erasures).toMatchObject([{ files: 2, rows: 5, warehouseRows: 5, left }]);
      await settled(lake);
      expect((await run(lake, 'one')).erasures).toMatchObject([{ left }, { rows: 3, warehouseRows: 3, left: [] }]);
      expect(await faults(lake)).toEqual([]);
      expect(await count("select count(*) from silver.db__a where key = '1'")).toBe(0);
      await compactAll(lake);
      expect(await load(lake)).toEqual({ rows: 0, rejected: 0 });
      expect(await faults(lake)).toEqual([]);
    });

    it.each(how.thorough ? (['keys', 'takeOver'] as const) : (['takeOver'] as const))(
      'are gone although it is killed before it asks for %s, and somebody loads before it is ended',
      async (at) => {
        const lake = await begin();
        await load(lake);
        await compactAll(lake);
        const dying = new Proxy(bench.warehouse, {
          get: (target, name) => {
            if (name === at)
              return () => {
                throw new Error('killed');
              };
            const value: unknown = Reflect.get(target, name, target);
            return typeof value === 'function' ? value.bind(target) : value;
          },
        });
        await expect(run(lake, 'ann', dying)).rejects.toThrow('killed');
        expect((await faults(lake)).map((fault) => fault.split(' ')[0])).toContain('erased-loaded');
        expect((await load(lake)).rejected).toBe(0);
        expect((await run(lake, null)).erasures).toMatchObject([{ rows: 5, warehouseRows: 5, left }]);
        await settled(lake);
      },
    );

    it('go also where a load that began before is committed after their rows were looked for', async () => {
      const lake = await begin();
      // The same files, as the loader had begun to read them.
      const asItWas = await begin();
      let isLoaded = false;
      const beside = new Proxy(bench.warehouse, {
        get: (target, name) => {
          const value: unknown = Reflect.get(target, name, target);
          if (typeof value !== 'function') return value;
          return async (...args: unknown[]) => {
            if (name === 'merge' && !isLoaded) {
              isLoaded = true;
              expect(await load(asItWas)).toEqual({ rows: 15, rejected: 0 });
            }
            return (await value.apply(target, args)) as unknown;
          };
        },
      });
      // What may be iterated over is none that may be awaited.
      const warehouse: Warehouse = Object.assign(Object.create(beside) as Warehouse, { keys: bench.warehouse.keys.bind(bench.warehouse) });
      expect((await run(lake, 'ann', warehouse)).erasures).toMatchObject([{ rows: 5, warehouseRows: 5, left }]);
      expect(isLoaded).toBe(true);
      await settled(lake);
    });

    it('while the warehouse was not there go from it, too, once it is asked', async () => {
      const lake = await begin();
      await load(lake);
      await run(lake, 'ann', null);
      expect((await faults(lake)).map((fault) => fault.split(' ')[0])).toContain('erased-loaded');
      expect((await run(lake, null)).erasures).toMatchObject([{ rows: 5, warehouseRows: 5 }]);
      await settled(lake);
    });

    it('of which retention has left only some go whole, and what is left of their files is still proven', async () => {
      const lake = await begin();
      await load(lake);
      const before = Math.floor(T0 / HOUR) + 2;
      const { from, rows } = await bench.warehouse.retainBronze({ db: 'db', coll: 'a' }, { before, dryRun: false }, never);
      expect([from, rows > 5]).toEqual([before, true]);
      expect(await faults(lake)).toEqual([]);
      expect((await run(lake)).erasures).toMatchObject([{ rows: 5, warehouseRows: 1, left }]);
      expect(await faults(lake)).toEqual([]);
      expect(await bronze(`key = '${ANN}'`)).toBe(1);
      expect(await count(`select version_number from silver.db__a where key = '1'`)).toBe(3);
      expect(await load(lake)).toEqual({ rows: 0, rejected: 0 });
      await bench.merge({ db: 'db', coll: 'a' }, true);
      expect(await faults(lake)).toEqual([]);
      await bench.damage(`delete from bronze.db__a where key = '1'`);
      expect((await faults(lake)).map((fault) => fault.split(' ')[0])).toContain('load-without-rows');
    });

    it('leave the other keys of silver as they were', async () => {
      const lake = await begin();
      await load(lake);
      const others = `select key, version_number, position, doc from silver.db__a where key <> '${ANN}' order by key`;
      const before = await bench.rows(others);
      await run(lake);
      expect(await bench.rows(others)).toEqual(before);
      expect(before.length).toBeGreaterThan(3);
    });
  });
}
