/**
 * From a configuration to objects: the only place that builds adapters. Heavy SDKs are loaded when they are needed.
 */
import type { Bus } from '../core/bus.ts';
import type { Clock } from '../core/clock.ts';
import { SluiceError } from '../core/error.ts';
import { CONFIG_CONFLICT } from '../core/errors.ts';
import type { Lake } from '../core/lake.ts';
import type { SnapshotSource } from '../core/snapshot.ts';
import type { Source } from '../core/source.ts';
import type { Warehouse } from '../core/warehouse.ts';
import type { AuthConfig, BusConfig, Config, DuckdbConfig, SnowflakeConfig } from '../config/config.ts';
import type { Logger } from '../ops/log.ts';
import type { PipelineStats } from '../ops/stats.ts';
import type { MaskOptions } from '../source/mongo/mask/masker.ts';
import type { CaptureOptions } from '../pipeline/capture.ts';
import type { ConsumeOptions } from '../pipeline/consume.ts';
import type { ProduceOptions } from '../pipeline/produce.ts';
import type { SnowflakeAuth } from '../warehouse/snowflake/connection.ts';
import type { RunOptions } from './types.ts';

export async function makeSource(config: Config, clock: Clock, stats: PipelineStats, log: Logger): Promise<Source> {
  const { EJSON } = await import('bson');
  const { MongoSource } = await import('../source/mongo/mongo-source.ts');
  const { uri, include, exclude, match, fullDocument, fullDocumentBeforeChange, exhaust, unavailableAfterMs } = config.source;
  const mask = maskOf(config);
  const { json, maxLineBytes } = config.lake;
  const parsed = EJSON.deserialize({ ...match }) as Record<string, unknown>;
  return new MongoSource(
    {
      uri,
      include,
      exclude,
      match: parsed,
      fullDocument,
      fullDocumentBeforeChange,
      json,
      maxLineBytes,
      exhaust,
      unavailableAfterMs,
      ...(mask && { mask }),
    },
    clock,
    stats,
    log,
  );
}

/** @throws CONFIG_CONFLICT without a bus */
export async function openBus(config: Config, clock: Clock, log: Logger): Promise<Bus> {
  const { KafkaBus } = await import('../bus/kafka/kafka.ts');
  const { url, auth } = busOf(config);
  const { azureTokens } = await import('../lake/azure/login.ts');
  return new KafkaBus({ url, login: auth, token: azureTokens(auth) }, clock, log);
}

function busOf({ bus }: Config): BusConfig {
  if (bus !== null) return bus;
  throw new SluiceError(CONFIG_CONFLICT, 'the configuration has no `bus`', { next: 'Add a `bus`, or use `--role all` or `--role capture`.' });
}

/** Connects when it is first used. */
export async function makeSnapshots(config: Config, clock: Clock, stats: PipelineStats, log: Logger): Promise<SnapshotSource> {
  const { MongoSnapshots } = await import('../source/mongo/snapshot.ts');
  const { uri, include, exclude, exhaust, snapshot } = config.source;
  const { json, maxLineBytes } = config.lake;
  const options = { uri, include, exclude, exhaust, json, maxLineBytes, mask: maskOf(config), bytesPerSecondMax: snapshot.bytesPerSecondMax };
  return new MongoSnapshots(options, clock, stats, log);
}

/** What is masked. A key without rules counts: the positions of its lake are without keys. */
export function maskOf({ source: { mask, maskKey } }: Config): MaskOptions | null {
  return maskKey === null ? null : { rules: mask, key: maskKey };
}

/** How long a lake on Azure may be silent: a command says soon that it is, a run holds the source back and waits. */
const LAKE_PATIENCE_COMMAND_MS = 30_000;
const LAKE_PATIENCE_RUN_MS = 10 * 60_000;

export interface LakeUse {
  readonly log: Logger;
  /** Of a run, whose lake may be away for a while; a command gives up sooner. */
  readonly stats?: PipelineStats;
  /** The end of the run. */
  readonly stop?: AbortSignal;
}

export async function openLake(config: Config, { log, stats, stop }: LakeUse): Promise<Lake> {
  const { lake } = config;
  if (lake.kind === 'azure') {
    const { openAzureLake } = await import('../lake/azure/open.ts');
    const patienceMs = stats === undefined ? LAKE_PATIENCE_COMMAND_MS : LAKE_PATIENCE_RUN_MS;
    return openAzureLake({
      url: lake.url,
      writer: lake.writer,
      auth: lake.auth,
      patienceMs,
      log,
      ...(stats && { traffic: stats.lake }),
      ...(stop && { stop }),
    });
  }
  const { openLocalLake } = await import('../lake/local/local.ts');
  return openLocalLake(config.lake.root);
}

/**
 * What somebody opens the warehouse for. `fold`: to write silver, which gets the columns that are configured here. `note`: to write other
 * things; tables are made and brought up. `look`: to read, which changes nothing, not even where there is nothing yet.
 */
export type WarehouseUse = 'fold' | 'note' | 'look';

/** `null` when the configuration has none. @throws WAREHOUSE_EMPTY, WAREHOUSE_OLDER to look at, and whatever opening it throws */
export async function openWarehouse(config: Config, log: Logger, use: WarehouseUse): Promise<Warehouse | null> {
  const { warehouse } = config;
  if (warehouse === null) return null;
  const opened = warehouse.kind === 'duckdb' ? await duckDb(warehouse, log, use === 'look') : await snowflake(warehouse, config, log);
  try {
    if (use === 'look') await opened.assertMigrated();
    else await opened.migrate({ columns: use === 'fold' });
  } catch (error) {
    await opened[Symbol.asyncDispose]();
    throw error;
  }
  return opened;
}

async function duckDb({ path, deletes, columns, memoryLimitBytes }: DuckdbConfig, log: Logger, existing: boolean): Promise<Warehouse> {
  const { openDuckDb } = await import('../warehouse/duckdb/duckdb.ts');
  return openDuckDb({ path, existing, deletes, columns, memoryLimitBytes, log });
}

async function snowflake({ url, auth, deletes, columns }: SnowflakeConfig, config: Config, log: Logger): Promise<Warehouse> {
  const { openSnowflake } = await import('../warehouse/snowflake/snowflake.ts');
  return openSnowflake({ url, auth: snowflakeAuth(auth), pipeline: config.pipeline, deletes, columns, log });
}

export function snowflakeAuth(auth: AuthConfig | null): SnowflakeAuth | null {
  if (auth === null) return null;
  const text = (name: string): string => auth[name] ?? '';
  const perhaps = (name: string): string | undefined => (typeof auth[name] === 'string' ? auth[name] : undefined);
  if (auth.kind === 'keyPair')
    return { kind: 'keyPair', user: text('user'), privateKeyFile: text('privateKeyFile'), passphrase: perhaps('passphrase') };
  return auth.kind === 'oauth'
    ? { kind: 'oauth', user: perhaps('user'), token: text('token') }
    : { kind: 'pat', user: text('user'), token: text('token') };
}

type HowToRun = Pick<RunOptions, 'untilIdleMs' | 'mayEnd' | 'wait' | 'takeOver' | 'acceptGap'>;

export async function captureOptions(config: Config, options: HowToRun): Promise<CaptureOptions> {
  const { lake, source } = config;
  return {
    pipeline: config.pipeline,
    startAt: await startAt(config),
    collections: source.include,
    excluded: source.exclude,
    layout: lake.layout,
    compression: lake.compression,
    rollBytesMax: lake.roll.maxBytes,
    rollAgeMs: lake.roll.maxAgeMs,
    partsOpenMax: lake.maxOpenParts,
    flushBytesMax: lake.flush.maxBytes,
    flushAgeMs: lake.flush.maxAgeMs,
    readAheadBytesMax: lake.flush.maxBytes,
    checkpointIntervalMs: config.checkpoint.intervalMs,
    untilIdleMs: options.untilIdleMs,
    mayEnd: options.mayEnd,
    wait: options.wait,
    takeOver: options.takeOver,
    acceptGap: options.acceptGap,
    onHistoryLost: source.onHistoryLost,
    rangesAtOnce: source.snapshot.parallel,
    unavailableAfterMs: source.unavailableAfterMs,
  };
}

export async function produceOptions(config: Config, options: HowToRun): Promise<ProduceOptions> {
  const { partitionBy, maxMessageBytes } = busOf(config);
  return {
    ...(await captureOptions(config, options)),
    partitionBy,
    messageBytesMax: maxMessageBytes,
  };
}

/** Partitions are waited for: to stand by for one is part of the work. */
export async function consumeOptions(config: Config, options: HowToRun): Promise<ConsumeOptions> {
  const { group, onBadMessage, format } = busOf(config);
  // What others put into a partition is theirs to say: a collection may be in several.
  const partitionBy = format === 'sluice' ? busOf(config).partitionBy : 'document';
  const capture = await captureOptions(config, options);
  return { ...capture, wait: true, group, partitionBy, onBadMessage, foreign: await foreignOf(config) };
}

async function foreignOf(config: Config): Promise<ConsumeOptions['foreign']> {
  const { format } = busOf(config);
  if (format === 'sluice') return null;
  const start = await startAt(config);
  // The configuration is not taken then.
  if (start.kind === 'snapshot') throw new SluiceError(CONFIG_CONFLICT, '`source.startAt: snapshot` of messages that another program sends');
  const { readForeign } = await import('../bus/foreign/foreign.ts');
  return { read: (record) => readForeign(format, record), startAt: start };
}

async function startAt(config: Config): Promise<CaptureOptions['startAt']> {
  const start = config.source.startAt;
  if (start.kind !== 'token') return start;
  const { EJSON, serialize } = await import('bson');
  return { kind: 'token', token: serialize(EJSON.deserialize({ ...start.token }) as Record<string, unknown>) };
}
