/**
 * Part of the suite in warehouse.ts: a lake that is compacted before, after and in the middle of its loading. Bronze and silver must be
 * those of the lake as it was, each event once, and the proof must say so.
 */
import { describe, expect, it } from 'vitest';
import { systemClock } from '../../src/core/clock.ts';
import type { Lake } from '../../src/core/lake.ts';
import { isSealedLine, type SealedLine } from '../../src/core/ledger.ts';
import { silentLog } from '../../src/ops/log.ts';
import { newStats } from '../../src/ops/stats.ts';
import { compact } from '../../src/pipeline/compaction.ts';
import { readLedger } from '../../src/pipeline/ledger.ts';
import { Loader } from '../../src/pipeline/loader.ts';
import { verifyWarehouse } from '../../src/pipeline/verify-warehouse.ts';
import { openParquetWriter } from '../../src/warehouse/duckdb/parquet.ts';
import { CaptureBench, HOUR, T0, events } from '../fakes/capture-bench.ts';
import { never, type Bench } from './warehouse-bench.ts';

const EVENTS = 12;
const SCRIPT = {
  events: events(...Array.from({ length: EVENTS }, (_, n) => [1 + n, 'a', { bytes: 300, key: n % 7 }] as const), [HOUR + 1, 'a', { key: 99 }]),
  end: { t: T0 + 2 * HOUR, i: 1 },
  batchEvents: 2,
};

export function describeCompacted(bench: Bench): void {
  const compactAll = async (lake: Lake): Promise<number> =>
    (
      await compact(
        { pipeline: 'p', takeOver: false, collections: [], from: null, to: null },
        { lake, clock: systemClock, log: silentLog, openWriter: openParquetWriter, loaded: null },
        never,
      )
    ).hours;
  const load = async (lake: Lake): Promise<{ rows: number; rejected: number }> => {
    const options = { pipeline: 'p', filesPerLoadMax: 2, clock: systemClock, log: silentLog, stats: newStats() };
    const { rows, rejected } = await new Loader(lake, bench.warehouse, options).catchUp(never);
    return { rows, rejected: rejected.length };
  };
  const sealedOf = async (lake: Lake): Promise<SealedLine[]> => {
    const lines: SealedLine[] = [];
    for await (const line of readLedger(lake, 'p', '', never)) if (isSealedLine(line)) lines.push(line);
    return lines;
  };
  const faults = async (lake: Lake): Promise<string[]> =>
    (await verifyWarehouse(lake, 'p', bench.warehouse, never)).findings.map(({ check, path, detail }) => `${check} ${path}: ${detail}`);
  const bronze = async (): Promise<unknown> => (await bench.rows('select count(*), count(distinct position) from bronze.db__a'))[0];

  describe.each(['none', 'gzip'] as const)('a lake that is compacted (%s)', (compression) => {
    const captured = async (): Promise<CaptureBench> => {
      const capture = new CaptureBench();
      await capture.runAndStop(SCRIPT, { rollBytesMax: 800, flushBytesMax: 600, compression });
      return capture;
    };
    const begin = async (): Promise<Lake> => await (await captured()).lake();

    it('after it was loaded is not loaded again', async () => {
      const lake = await begin();
      expect(await load(lake)).toEqual({ rows: EVENTS, rejected: 0 });
      expect(await compactAll(lake)).toBe(1);
      expect(await faults(lake)).toEqual([]);
      expect(await load(lake)).toEqual({ rows: 0, rejected: 0 });
      expect(await bronze()).toEqual([EVENTS, EVENTS]);
      expect(await faults(lake)).toEqual([]);
    });

    it('before it is loaded is loaded from Parquet', async () => {
      const lake = await begin();
      expect(await compactAll(lake)).toBe(1);
      expect(await load(lake)).toEqual({ rows: EVENTS, rejected: 0 });
      expect(await bronze()).toEqual([EVENTS, EVENTS]);
      expect(await bench.rows('select distinct file from bronze.db__a')).toEqual([
        ['db/a/year=2026/month=11/day=21/hour=08/events-20261121-08.parquet'],
      ]);
      expect(await faults(lake)).toEqual([]);
    });

    it('when some of its files were loaded has the others loaded as they were', async () => {
      const lake = await begin();
      const [first, second, third] = await sealedOf(lake);
      expect(third).toBeDefined();
      const asLoaded = (line: SealedLine) => ({ line, localPath: null, read: (signal: AbortSignal) => lake.read(line.path, 0, signal) });
      await bench.load(asLoaded(first!), asLoaded(third!));
      expect(await compactAll(lake)).toBe(1);
      expect(await lake.stat(second!.path)).toBeNull();
      expect(await load(lake)).toEqual({ rows: EVENTS - first!.rows - third!.rows, rejected: 0 });
      expect(await bronze()).toEqual([EVENTS, EVENTS]);
      expect(await faults(lake)).toEqual([]);
    });

    const at = compression === 'none' ? 1 : 3;
    it(`just before file ${at} is read has its lines loaded as they were`, async () => {
      const capture = await captured();
      const lake = await capture.lake();
      const read = lake.read.bind(lake);
      let reads = 0;
      lake.read = async function* (path, from, signal) {
        reads += Number(path.startsWith('db/'));
        if (reads === at && path.startsWith('db/')) expect(await compactAll(await capture.lake())).toBe(1);
        yield* read(path, from, signal);
      };
      expect(await load(lake)).toEqual({ rows: EVENTS, rejected: 0 });
      expect(await load(lake)).toEqual({ rows: 0, rejected: 0 });
      expect(await bronze()).toEqual([EVENTS, EVENTS]);
      expect((await bench.warehouse.collections()).map(({ status }) => status)).toEqual(['ACTIVE']);
      expect(await faults(await capture.lake())).toEqual([]);
    });
  });
}
