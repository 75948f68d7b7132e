/**
 * `sluice erase`: the documents of a subject, out of all that the pipeline has written.
 */
import { systemClock } from '../core/clock.ts';
import type { Clock } from '../core/clock.ts';
import { SluiceError } from '../core/error.ts';
import { CONFIG_CONFLICT, RETENTION_BUSY } from '../core/errors.ts';
import type { Lake } from '../core/lake.ts';
import type { Warehouse } from '../core/warehouse.ts';
import type { Config } from '../config/config.ts';
import type { Logger } from '../ops/log.ts';
import { erase, type EraseSummary } from '../pipeline/erase.ts';
import { readErasures, type ErasureRecord } from '../pipeline/erasure-record.ts';
import { openLake, openWarehouse } from './compose.ts';
import type { CommandOptions, EraseArgs, ErasuresReport } from './types.ts';

/** An hour that something waits for is over in an hour at the latest. */
const EVERY_MS = 15 * 60_000;

interface EraseWith {
  readonly lake: Lake;
  readonly warehouse: Warehouse | null;
  readonly clock: Clock;
  readonly log: Logger;
}

export async function erasePipeline(config: Config, args: EraseArgs, { log }: CommandOptions, signal: AbortSignal): Promise<EraseSummary> {
  await using lake = await openLake(config, { log });
  await using warehouse = await openWarehouse(config, log, args.dryRun ? 'look' : 'fold');
  return await eraseWith(config, args, { lake, warehouse, clock: systemClock, log }, signal);
}

/** @throws CONFIG_CONFLICT, ERASE_NONE, ERASE_TOO_MANY, ERASE_RECORD, RETENTION_BUSY */
export async function eraseWith(config: Config, { request, dryRun }: EraseArgs, using: EraseWith, signal: AbortSignal): Promise<EraseSummary> {
  // What it holds would come back to nobody's notice.
  if (config.warehouse !== null && using.warehouse === null)
    throw new SluiceError(CONFIG_CONFLICT, 'this process does not hold the warehouse, from which the documents have to go, too');
  const openWriter = async (folder: string) => {
    const { openParquetWriter } = await import('../warehouse/duckdb/parquet.ts');
    return await openParquetWriter(folder);
  };
  return await erase({ pipeline: config.pipeline, request, dryRun }, { ...using, openWriter }, signal);
}

/** What each erasure was, and what is left of it. Whose documents they were is not kept. */
export async function erasuresOf(config: Config, { log }: CommandOptions, signal: AbortSignal): Promise<ErasuresReport> {
  await using lake = await openLake(config, { log });
  return { erasures: (await readErasures(lake, config.pipeline, signal)).map(({ record }) => shown(record)) };
}

export function shown(record: ErasureRecord): ErasuresReport['erasures'][number] {
  const { documents, salt: _salt, v: _v, until: _until, ...rest } = record;
  return { ...rest, collections: documents.map(({ db, coll }) => `${db}.${coll}`) };
}

/** Of a run: what waited for its hour to be over, or was cut short, is done by itself. */
export async function eraseLoop(config: Config, using: EraseWith, signal: AbortSignal): Promise<void> {
  const { clock, lake, log } = using;
  if (config.warehouse !== null && using.warehouse === null) return;
  while (!signal.aborted) {
    await clock.sleep(EVERY_MS, signal).catch(() => {});
    if (signal.aborted) return;
    try {
      const open = (await readErasures(lake, config.pipeline, signal)).some(({ record }) => record.endedAt === null);
      if (open) await eraseWith(config, { request: null, dryRun: false }, using, signal);
    } catch (error) {
      if (signal.aborted) return;
      if (SluiceError.is(error, RETENTION_BUSY)) log.info('files are being rewritten: erasures go on the next time');
      else log.error({ err: error }, 'an erasure could not be finished; the next time comes');
    }
  }
}
