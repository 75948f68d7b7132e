/**
 * `sluice compact`: beside a running pipeline or without one. DuckDB is loaded when there is something to compact.
 */
import { systemClock } from '../core/clock.ts';
import { SluiceError } from '../core/error.ts';
import { WAREHOUSE_EMPTY } from '../core/errors.ts';
import type { LakePath } from '../core/lake.ts';
import type { Config } from '../config/config.ts';
import { compact, type CompactionProgress } from '../pipeline/compaction.ts';
import { openLake } from './compose.ts';
import type { CommandOptions, CompactArgs, CompactSummary, QueryArgs } from './types.ts';
import type { QueryResult } from '../core/warehouse.ts';

const PATHS_PER_QUESTION = 500;

export interface CompactOptions extends CommandOptions {
  /** Asks the warehouse, in this process or in the one that has it open. */
  readonly query: (args: QueryArgs) => Promise<QueryResult>;
  readonly onProgress?: (progress: CompactionProgress) => void;
}

/** @throws COMPACT_BUSY, COMPACT_LAYOUT */
export async function compactPipeline(config: Config, args: CompactArgs, options: CompactOptions, signal: AbortSignal): Promise<CompactSummary> {
  const { log, onProgress } = options;
  await using lake = await openLake(config, { log });
  const range = { from: args.hours?.from ?? null, to: args.hours?.to ?? null, collections: args.collections };
  return await compact(
    { pipeline: config.pipeline, takeOver: args.takeOver, ...range },
    {
      lake,
      clock: systemClock,
      log,
      openWriter: async (folder) => {
        const { openParquetWriter } = await import('../warehouse/duckdb/parquet.ts');
        return await openParquetWriter(folder);
      },
      loaded: config.warehouse === null ? null : (paths) => loadedOf(paths, options.query),
      ...(onProgress && { onProgress }),
    },
    signal,
  );
}

async function loadedOf(paths: readonly LakePath[], query: CompactOptions['query']): Promise<ReadonlySet<string>> {
  const known = new Set<string>();
  for (let at = 0; at < paths.length; at += PATHS_PER_QUESTION) {
    const some = paths.slice(at, at + PATHS_PER_QUESTION);
    const list = some.map((path) => `'${path.replaceAll("'", "''")}'`).join(', ');
    // A path of the lake holds no backslash, which Snowflake would take for an escape (layout.ts).
    const sql = `SELECT DISTINCT path FROM sluice.load_ledger WHERE path IN (${list})`;
    try {
      const { rows } = await query({ sql, limit: some.length, asOf: null });
      for (const [path] of rows) known.add(String(path));
    } catch (error) {
      // Nothing is loaded: all of it waits.
      if (SluiceError.is(error, WAREHOUSE_EMPTY)) return known;
      throw error;
    }
  }
  return known;
}
