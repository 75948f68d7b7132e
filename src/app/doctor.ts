/**
 * `sluice doctor`: tries everything that the configuration names, as the pipeline would use it.
 */
import { randomUUID } from 'node:crypto';
import { dirname } from 'node:path';
import { systemClock } from '../core/clock.ts';
import { reasonOf, SluiceError } from '../core/error.ts';
import { LAKE_CONFLICT, WAREHOUSE_BUSY, WAREHOUSE_EMPTY, WAREHOUSE_OLDER, WAREHOUSE_UNAVAILABLE } from '../core/errors.ts';
import type { Lake } from '../core/lake.ts';
import type { Config } from '../config/config.ts';
import type { Logger } from '../ops/log.ts';
import { doctorFolder } from '../pipeline/checkpoint.ts';
import { openBus, openLake, openWarehouse } from './compose.ts';
import { probeFolder } from './probe.ts';
import type { Check } from './types.ts';

type Area = Check['area'];

/** The checks, in order. Problems are in them: nothing is thrown but the signal's reason. */
export async function runDoctor(config: Config, options: { readonly log: Logger }, signal: AbortSignal): Promise<Check[]> {
  const { checkSource } = await import('../source/mongo/checks.ts');
  const { EJSON } = await import('bson');
  const match = EJSON.deserialize({ ...config.source.match }) as Record<string, unknown>;
  const source = await checkSource({ ...config.source, match }, systemClock, signal);
  return [
    ...source.map((check): Check => ({ area: 'source', ...check })),
    ...(await checkBus(config, options.log, signal)),
    ...(await checkLake(config, options.log, signal)),
    ...(await checkWarehouse(config, options.log)),
  ];
}

async function checkBus(config: Config, log: Logger, signal: AbortSignal): Promise<Check[]> {
  if (config.bus === null) return [];
  try {
    await using bus = await openBus(config, systemClock, log);
    const partitions = await bus.partitions(signal);
    return [fine('bus', 'topic', `${bus.description}, ${partitions} ${partitions === 1 ? 'partition' : 'partitions'}`)];
  } catch (error) {
    signal.throwIfAborted();
    return [problem('bus', 'topic', error)];
  }
}

async function checkLake(config: Config, log: Logger, signal: AbortSignal): Promise<Check[]> {
  const place = config.lake.kind === 'azure' ? 'container' : 'folder';
  const checks: Check[] = [];
  let lake: Lake;
  try {
    if (config.lake.kind === 'azure') checks.push(...(await checkAccount(config, log)));
    if (checks.some((check) => check.outcome === 'failed')) return checks;
    lake = await openLake(config, { log });
  } catch (error) {
    return [...checks, problem('lake', place, error)];
  }
  await using opened = lake;
  return [...checks, fine('lake', place, opened.description), ...(await tryLake(opened, config.pipeline, signal))];
}

/** Writes, reads and removes a file as the pipeline would. */
export async function tryLake(lake: Lake, pipeline: string, signal: AbortSignal): Promise<Check[]> {
  const checks: Check[] = [];
  // Away from the pipeline's own files: a run that owns it is not disturbed. The lock's file stays, so it has one name.
  const folder = doctorFolder(pipeline);
  const path = `${folder}/${randomUUID()}.jsonl`;
  try {
    for (const [name, step] of lakeSteps(lake, folder, path, signal)) {
      try {
        checks.push(fine('lake', name, await step()));
      } catch (error) {
        signal.throwIfAborted();
        checks.push(problem('lake', name, error));
        break;
      }
    }
  } finally {
    // Also of a doctor that somebody has stopped: nobody else would take it away.
    await lake.remove(path).catch(() => {});
  }
  return checks;
}

/** Who logs in, whether the account lets them, and what kind of account it is. */
async function checkAccount(config: Config, log: Logger): Promise<Check[]> {
  const { inspectAccount } = await import('../lake/azure/inspect.ts');
  const { url, writer, auth } = config.lake;
  const found = await inspectAccount({ url, writer, auth, log });
  return found.map(({ name, detail, error }) => (error === null ? fine('lake', name, detail) : problem('lake', name, error)));
}

const LINE = Buffer.from('{"doctor":true}\n');

/** In order: each needs the one before it. */
function lakeSteps(lake: Lake, folder: string, path: string, signal: AbortSignal): [string, () => Promise<string>][] {
  return [
    [
      'create and append',
      async () => {
        await using part = await lake.open(path, { epoch: 1, expect: 'absent' }, signal);
        await part.append([LINE], signal);
        const { size } = await part.close();
        if (size !== LINE.length) throw new Error(`${size} bytes are there after ${LINE.length} were written`);
        return `${size} bytes, durable`;
      },
    ],
    [
      'conflict',
      async () => {
        try {
          await lake.put(path, LINE, 'absent');
        } catch (error) {
          if (SluiceError.is(error, LAKE_CONFLICT)) return 'a file that exists is not written over';
          throw error;
        }
        throw new Error('a file that exists was written over: this storage cannot keep two owners apart');
      },
    ],
    [
      'lock',
      async () => {
        await using first = await lake.own(`${folder}/checkpoint.json`, { takeOver: false }, signal);
        if (first === null) return 'held by another doctor at this moment';
        await using second = await lake.own(`${folder}/checkpoint.json`, { takeOver: false }, signal);
        if (second !== null) throw new Error('a lock can be had twice: this file system cannot keep two owners apart');
        return 'one owner at a time';
      },
    ],
    [
      'read',
      async () => {
        const chunks: Uint8Array[] = [];
        for await (const chunk of lake.read(path, 0, signal)) chunks.push(chunk);
        if (!Buffer.concat(chunks).equals(LINE)) throw new Error('what was read is not what was written');
        return 'what was written comes back';
      },
    ],
    [
      'delete',
      async () => {
        await lake.remove(path);
        if ((await lake.stat(path)) !== null) throw new Error('the file is still there');
        return 'the scratch file is gone';
      },
    ],
  ];
}

/** Looks at it, and changes nothing: a loader may be at work there, with another configuration. */
async function checkWarehouse(config: Config, log: Logger): Promise<Check[]> {
  if (config.warehouse === null) return [];
  try {
    await using warehouse = await openWarehouse(config, log, 'look');
    return [fine('warehouse', 'open', warehouse?.description ?? ''), fine('warehouse', 'tables', 'they are those that this version knows')];
  } catch (error) {
    // The owner has it open, which is as it should be.
    if (SluiceError.is(error, WAREHOUSE_BUSY)) return [{ area: 'warehouse', name: 'open', outcome: 'skipped', detail: error.message, fix: null }];
    if (SluiceError.is(error, WAREHOUSE_EMPTY)) return [await tablesToMake(config.warehouse)];
    // No failure: the next start brings them up.
    if (SluiceError.is(error, WAREHOUSE_OLDER))
      return [{ area: 'warehouse', name: 'tables', outcome: 'skipped', detail: error.message, fix: error.next }];
    return [problem('warehouse', 'open', error)];
  }
}

/** Whether they can be made is told as far as that can be known without making anything. */
async function tablesToMake(warehouse: NonNullable<Config['warehouse']>): Promise<Check> {
  const made = 'the first `sluice run` or `sluice load` makes them';
  if (warehouse.kind !== 'duckdb')
    return fine('warehouse', 'tables', `not made yet, as far as this role can see: ${made}, and shows whether the role may`);
  try {
    await probeFolder(dirname(warehouse.path));
    return fine('warehouse', 'tables', `not made yet: ${made}, in ${warehouse.path}`);
  } catch (error) {
    const cause = error instanceof SluiceError && error.cause !== undefined ? error.cause : error;
    const next = 'Give the user that runs sluice write access to the folder in `warehouse.url`.';
    return problem('warehouse', 'tables', new SluiceError(WAREHOUSE_UNAVAILABLE, `${warehouse.path}: ${reasonOf(cause)}`, { cause, next }));
  }
}

function fine(area: Area, name: string, detail: string): Check {
  return { area, name, outcome: 'ok', detail, fix: null };
}

function problem(area: Area, name: string, error: unknown): Check {
  const fix = error instanceof SluiceError ? error.next : 'Use a local disk with POSIX semantics, and check that it works.';
  return { area, name, outcome: 'failed', detail: reasonOf(error), fix };
}
