/**
 * `sluice reshape`: Capture files of Event Hubs into the lake's layout, exactly once.
 *
 * The files are read as a bus is (bus/capture/), by the same consuming side as a broker, so that the cursor of each partition is its
 * checkpoint on the lake. What is done with a file afterwards is done once that checkpoint, durable, has passed it.
 */
import { existsSync } from 'node:fs';
import { systemClock } from '../core/clock.ts';
import { SluiceError } from '../core/error.ts';
import { CONFIG_CONFLICT, LAKE_CONFLICT, RESHAPE_EMPTY, RESHAPE_OTHER } from '../core/errors.ts';
import { asPosition } from '../core/event.ts';
import type { Lake, LakePath } from '../core/lake.ts';
import { compareTimestamps, hourOf, type Timestamp } from '../core/time.ts';
import { CaptureBus } from '../bus/capture/capture-bus.ts';
import type { Config } from '../config/config.ts';
import { failpoint } from '../ops/failpoint.ts';
import { newStats } from '../ops/stats.ts';
import { receive } from '../pipeline/bus-message.ts';
import { PRODUCER, checkpointPath, encodeCheckpoint, newCheckpoint, partitionScope, type Checkpoint } from '../pipeline/checkpoint.ts';
import { Consume } from '../pipeline/consume.ts';
import { claimPrefix } from '../pipeline/owner.ts';
import { readCheckpoint } from '../pipeline/read-checkpoint.ts';
import { readFile } from '../pipeline/read-file.ts';
import { captureOptions, openLake } from './compose.ts';
import type { CommandOptions, ReshapeArgs, ReshapeSummary } from './types.ts';

/** A checkpoint is read to its end, whatever ends the run. */
const never = new AbortController().signal;
/** When all files are read, what is left open is sealed after so long. */
const IDLE_MS = 500;
const POLL_ONCE_MS = 50;
const AFTERWARDS_MS = 30_000;
const SUMS = ['events', 'eventsReplayed', 'partsSealed', 'hoursComplete'] as const;
/** What `partitionBy` and the number of partitions are, in the fingerprint of a message. */
const SHARED_OUT = / (collection|document)\/(\d+)$/;

export async function reshape(config: Config, args: ReshapeArgs, options: CommandOptions, signal: AbortSignal): Promise<ReshapeSummary> {
  const { log } = options;
  const { pipeline, source } = config;
  if (source.startAt.kind === 'snapshot' || source.onHistoryLost === 'repair') {
    const next = "Give it a configuration with `startAt: now` and `onHistoryLost: fail`. What the producer has read whole is in the producer's lake.";
    throw new SluiceError(CONFIG_CONFLICT, '`sluice reshape` has Capture files alone, and reads no collection whole', { next });
  }
  await using lake = await openLake(config, { log });
  if (args.from.startsWith('file:') && !existsSync(localFolder(args.from))) throw new SluiceError(RESHAPE_EMPTY, `${args.from} is not there`);
  await using files = await openLake(withLake(config, args.from), { log });
  await using claims = args.claims === null ? null : await openLake(withLake(config, args.claims), { log });
  const cursor = async (partition: number): Promise<bigint> => cursorOf(await readCheckpoint(lake, pipeline, partitionScope(partition), never));
  const pollMs = args.watchMs ?? POLL_ONCE_MS;
  await using bus = new CaptureBus({ files, pattern: args.pattern, claims: claims ?? lake, pollMs, cursor, clock: systemClock });
  const producer = await begin(config, lake, async () => await firstMessages(bus, args.watchMs, signal), signal);
  bus.count = producer.bus!.partitions;
  const stats = newStats();
  const consume = async (untilIdleMs: number | null, until: AbortSignal): Promise<void> => {
    const how = { untilIdleMs, wait: true, takeOver: args.takeOver, acceptGap: args.acceptGap };
    const partitionBy = producer.bus!.partitionBy as 'collection' | 'document';
    const onBadMessage = config.bus?.onBadMessage ?? 'deadLetter';
    const each = newStats();
    const consumeOptions = { ...(await captureOptions(config, how)), group: 'reshape', partitionBy, onBadMessage, foreign: null };
    try {
      await new Consume(consumeOptions, { bus, lake, clock: systemClock, stats: each, log }).run(until);
    } finally {
      for (const name of SUMS) stats[name] += each[name];
    }
  };
  const afterwards = { lake: files, bus, cursor, args };
  const ended = new AbortController();
  const tidying = args.watchMs === null ? Promise.resolve(0) : tidyEvery(afterwards, AbortSignal.any([signal, ended.signal]));
  let gone = 0;
  try {
    if (args.watchMs !== null) await consume(null, signal);
    else {
      // Not by the clock: a storage may be slow.
      const exhausted = new AbortController();
      bus.onExhausted = () => exhausted.abort(new Error('all files are read'));
      await consume(null, AbortSignal.any([signal, exhausted.signal]));
      if (!signal.aborted) await consume(IDLE_MS, signal);
    }
  } finally {
    ended.abort();
    gone = await tidying;
  }
  if (!signal.aborted) gone += await tidy(afterwards, signal);
  return {
    events: stats.events,
    replayed: stats.eventsReplayed,
    partsSealed: stats.partsSealed,
    hoursComplete: stats.hoursComplete,
    filesDone: gone,
  };
}

/** The same logins and limits, another place. */
export function withLake(config: Config, url: string): Config {
  const local = url.startsWith('file:');
  return { ...config, lake: { ...config.lake, url, kind: local ? 'local' : 'azure', root: local ? localFolder(url) : '' } };
}

export function localFolder(url: string): string {
  return url.slice('file:'.length).replace(/^\/\/(?=\/)/, '');
}

function cursorOf(checkpoint: Checkpoint | null): bigint {
  const token = checkpoint?.resume?.token;
  return token === undefined ? 0n : BigInt((JSON.parse(Buffer.from(token).toString('utf8')) as { next: string }).next);
}

/** Its token says that nothing but reshaping goes on from it. */
const TOKEN = Buffer.from('{"v":1,"reshape":true}');

/** The lake is made by `reshape`: no producer writes to it. */
export function isOfReshape({ resume }: Checkpoint): boolean {
  return Buffer.from(resume?.token ?? []).equals(TOKEN);
}

/** Of which stream a message is, and from when. */
export interface FirstMessage {
  readonly fingerprint: string;
  readonly at: Timestamp;
}

/**
 * What stands in the place of a producer's checkpoint: how the messages are shared out, and since when. Made once, from the first
 * messages that there are. @throws RESHAPE_OTHER, RESHAPE_EMPTY
 */
export async function begin(config: Config, lake: Lake, findFirst: () => Promise<readonly FirstMessage[]>, signal: AbortSignal): Promise<Checkpoint> {
  const { pipeline } = config;
  const path = checkpointPath(pipeline, PRODUCER);
  const known = await readCheckpoint(lake, pipeline, PRODUCER, never);
  if (known !== null && isOfReshape(known)) return known;
  if (known !== null || (await lake.stat(checkpointPath(pipeline))) !== null)
    throw new SluiceError(RESHAPE_OTHER, `${pipeline} in ${lake.description}`);
  const first = await findFirst();
  const [{ fingerprint }] = first as [FirstMessage];
  const shared = SHARED_OUT.exec(fingerprint);
  if (shared === null) throw new SluiceError(RESHAPE_EMPTY, `a message does not say how they are shared out: ${fingerprint}`);
  const startedAt = first.map(({ at }) => at).toSorted(compareTimestamps)[0]!;
  const partitions = Number(shared[2]);
  const begun: Checkpoint = {
    ...newCheckpoint(pipeline, config.lake.layout),
    epoch: 1,
    resume: { position: asPosition(''), clusterTime: startedAt, token: TOKEN },
    watermark: startedAt,
    startedAt,
    nextHour: hourOf(startedAt.t),
    fingerprint,
    bus: { partitions, partitionBy: shared[1]!, from: Array.from({ length: partitions }, () => '0') },
    savedAt: new Date(systemClock.now()).toISOString(),
  };
  await claimPrefix(lake, pipeline, signal);
  failpoint('reshape.before-begin');
  try {
    await lake.put(path, encodeCheckpoint(begun), 'absent');
  } catch (error) {
    if (!SluiceError.is(error, LAKE_CONFLICT)) throw error;
    // Another process has begun at the same moment: what it has put stands.
    return (await readCheckpoint(lake, pipeline, PRODUCER, never))!;
  }
  failpoint('reshape.after-begin');
  return begun;
}

async function firstMessages(bus: CaptureBus, watchMs: number | null, signal: AbortSignal): Promise<readonly FirstMessage[]> {
  for (;;) {
    const first: FirstMessage[] = [];
    for (const record of await bus.firstRecords(signal)) {
      const received = receive(record, bus.description);
      first.push({ fingerprint: received.fingerprint, at: received.kind === 'event' ? received.at : received.watermark });
    }
    if (first.length > 0) return first;
    if (watchMs === null) throw new SluiceError(RESHAPE_EMPTY, bus.description);
    await systemClock.sleep(watchMs, signal);
  }
}

interface Afterwards {
  readonly lake: Lake;
  readonly bus: CaptureBus;
  readonly cursor: (partition: number) => Promise<bigint>;
  readonly args: ReshapeArgs;
}

/** Files that durable checkpoints have passed go, or move. @returns how many */
async function tidy({ lake, bus, cursor, args }: Afterwards, signal: AbortSignal): Promise<number> {
  if (args.readFiles === 'keep') return 0;
  let gone = 0;
  for (const partition of (await bus.list(signal)).keys()) {
    for (const { path } of await bus.passed(partition, await cursor(partition), signal)) {
      signal.throwIfAborted();
      failpoint('reshape.before-remove');
      if (args.readFiles === 'move') await copyTo(lake, path, `${args.moveTo}/${path}`, signal);
      await lake.remove(path);
      failpoint('reshape.after-remove');
      gone += 1;
    }
  }
  return gone;
}

async function tidyEvery(afterwards: Afterwards, signal: AbortSignal): Promise<number> {
  let gone = 0;
  while (!signal.aborted) {
    await systemClock.sleep(AFTERWARDS_MS, signal).catch(() => {});
    if (!signal.aborted) gone += await tidy(afterwards, signal);
  }
  return gone;
}

async function copyTo(lake: Lake, from: LakePath, to: LakePath, signal: AbortSignal): Promise<void> {
  const bytes = await readFile(lake, from, signal);
  try {
    await lake.put(to, bytes, 'absent');
  } catch (error) {
    if (!SluiceError.is(error, LAKE_CONFLICT) || !(await readFile(lake, to, signal)).equals(bytes)) throw error;
  }
}
