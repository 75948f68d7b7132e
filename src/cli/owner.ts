/**
 * A running owner holds the lock and the warehouse: what it can do is asked of it. Without one the command does it here.
 */
import type { Config } from '../config/config.ts';
import { hasPassed, systemClock } from '../core/clock.ts';
import { SluiceError } from '../core/error.ts';
import { LAKE_OWNED, OWNER_UNREACHABLE, WAREHOUSE_BUSY } from '../core/errors.ts';
import type { OwnerPath } from '../http/client.ts';
import type { RunFile, Seat } from '../http/run-file.ts';
import type { Io } from './io.ts';

const BUSY_MS_MAX = 5_000;
const BUSY_POLL_MS = 200;

/** Who is asked, best first: sealing is for who writes the lake, SQL for who has the warehouse open. */
const SEATS: Readonly<Record<OwnerPath, readonly Seat[]>> = {
  '/api/status': ['lake', 'warehouse'],
  '/api/seal': ['lake'],
  '/api/snapshot': ['lake'],
  '/api/dump': ['lake'],
  '/api/retain': ['warehouse', 'lake'],
  '/api/erase': ['warehouse', 'lake'],
  '/api/restore': ['warehouse'],
  '/api/restore-documents': ['warehouse'],
  '/api/load': ['warehouse'],
  '/api/merge': ['warehouse'],
  '/api/query': ['warehouse'],
  '/api/verify': ['warehouse', 'lake'],
  '/api/pause': ['warehouse'],
  '/api/resume': ['warehouse'],
  '/api/discover': ['warehouse'],
  '/api/collections': ['warehouse'],
  '/api/schema': ['warehouse'],
};

/** Of lake and warehouse together: whoever has the lake alone can do it only where there is no warehouse. */
const OF_BOTH: readonly OwnerPath[] = ['/api/retain', '/api/erase', '/api/verify'];

function seatsFor(path: OwnerPath, { warehouse }: Config): readonly Seat[] {
  return warehouse !== null && OF_BOTH.includes(path) ? ['warehouse'] : SEATS[path];
}

/** @typeParam T what the path answers with: the same as `here` gives */
export async function askOwnerOr<T>(io: Io, config: Config, path: OwnerPath, body: object, here: () => Promise<T>): Promise<T> {
  const { callOwner } = await import('../http/client.ts');
  return await ownerOr(io, config, path, async (owner) => (await callOwner(owner, path, body, io.signal)) as T, here);
}

/**
 * Does something with an answer of any length, which the owner need not give to its end.
 * @returns `null`: nobody runs, so that it can be done here
 */
export async function streamOwnerOr<T>(
  io: Io,
  config: Config,
  path: OwnerPath,
  body: object,
  work: (chunks: AsyncIterable<Uint8Array>) => Promise<T>,
): Promise<T | null> {
  const { streamOwner } = await import('../http/client.ts');
  const left = new AbortController();
  const signal = AbortSignal.any([io.signal, left.signal]);
  const nobody = async (): Promise<null> => null;
  try {
    const chunks = await ownerOr(io, config, path, (owner) => streamOwner(owner, path, body, signal), nobody);
    return chunks === null ? null : await work(chunks);
  } finally {
    left.abort();
  }
}

/** Who starts or ends has lock and file for a moment longer than its run file is there: nothing was done yet, so it is looked again. */
async function ownerOr<T>(io: Io, config: Config, path: OwnerPath, ask: (owner: RunFile) => Promise<T>, here: () => Promise<T>): Promise<T> {
  for (const sinceMs = systemClock.now(); ;) {
    try {
      return await askOnce(io, config, path, ask, here);
    } catch (error) {
      if (!SluiceError.is(error, WAREHOUSE_BUSY, LAKE_OWNED) || hasPassed(BUSY_MS_MAX, sinceMs, systemClock.now())) throw error;
    }
    await systemClock.sleep(BUSY_POLL_MS, io.signal);
  }
}

async function askOnce<T>(io: Io, config: Config, path: OwnerPath, ask: (owner: RunFile) => Promise<T>, here: () => Promise<T>): Promise<T> {
  const { readRunFile } = await import('../http/run-file.ts');
  for (const seat of seatsFor(path, config)) {
    const owner = await readRunFile(config, seat, io.env);
    if (owner === null) continue;
    try {
      return await ask(owner);
    } catch (error) {
      // Its pid and port are somebody else's by now, or it ends at this moment. If it lives after all, its lock keeps us out.
      if (!SluiceError.is(error, OWNER_UNREACHABLE)) throw error;
    }
  }
  return await here();
}

/** Any process that runs the pipeline and answers, the one that captures first; `null`: none. */
export async function whoAnswers(io: Io, config: Config): Promise<RunFile | null> {
  const { readRunFile } = await import('../http/run-file.ts');
  const { answers } = await import('../http/client.ts');
  for (const seat of SEATS['/api/status']) {
    const owner = await readRunFile(config, seat, io.env);
    if (owner !== null && (await answers(owner, io.signal))) return owner;
  }
  return null;
}
