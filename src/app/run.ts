/**
 * `sluice run`: capture, load, and whoever asks meanwhile, in one process.
 */
import type { Clock } from '../core/clock.ts';
import { systemClock } from '../core/clock.ts';
import { endsWithin } from '../core/ends-within.ts';
import { SluiceError } from '../core/error.ts';
import { CONFIG_CONFLICT } from '../core/errors.ts';
import type { Bus } from '../core/bus.ts';
import type { Lake } from '../core/lake.ts';
import type { Warehouse } from '../core/warehouse.ts';
import type { Config } from '../config/config.ts';
import type { Logger } from '../ops/log.ts';
import { newStats, type PipelineStats } from '../ops/stats.ts';
import { Capture } from '../pipeline/capture.ts';
import { Consume } from '../pipeline/consume.ts';
import { Produce } from '../pipeline/produce.ts';
import { Loader } from '../pipeline/loader.ts';
import type { Control, Serving } from './control.ts';
import { captureOptions, consumeOptions, makeSnapshots, makeSource, openBus, openLake, openWarehouse, produceOptions } from './compose.ts';
import { DumpLoop } from './dump.ts';
import { LoadLoop } from './load-loop.ts';
import { watchOplog } from './oplog-watch.ts';
import { eraseLoop } from './erase.ts';
import { Opening } from './opening.ts';
import { retainLoop } from './retain.ts';
import { RunControl } from './run-control.ts';
import { scheduleOf } from './schedule.ts';
import { SourceCounts } from './source-counts.ts';
import type { Role, RunOptions } from './types.ts';
import { verifyLoop } from './verify-loop.ts';

const PROGRESS_MS = 1_000;
/** What a stop leaves to a load that is under way. */
const STOP_LOAD_MS_MAX = 8_000;
const FILES_PER_LOAD_MAX = 1_000;
/** Nothing more is produced: the rest of the topic is there at once. */
const REST_IDLE_MS_MAX = 2_000;

/** What one run holds; filled as it starts. */
export interface Running {
  readonly config: Config;
  readonly role: Role;
  readonly stats: PipelineStats;
  readonly lake: Lake;
  /** `null` before the pipeline is owned, or without a warehouse. */
  warehouse: Warehouse | null;
  /** `null` where nothing is loaded. */
  opening: Opening | null;
  loads: LoadLoop | null;
  counts: SourceCounts | null;
  /** What has parts to seal; `null` in roles `load` and `produce`. */
  capture: (Pick<Capture, 'seal'> & Partial<Pick<Capture, 'snapshot'>>) | null;
  /** What whoever asks is answered by, the schedule of verifications included. */
  control?: Pick<Control, 'verify'>;
}

/** Runs until the signal aborts or the pipeline is idle long enough; everything is durable when it resolves. */
export async function runPipeline(config: Config, options: RunOptions, signal: AbortSignal, clock: Clock = systemClock): Promise<PipelineStats> {
  const { role, log, progress, serve } = options;
  if ((role === 'produce' || role === 'consume') && config.bus === null) {
    throw new SluiceError(CONFIG_CONFLICT, `\`--role ${role}\` without a \`bus\` in the configuration`, {
      next: 'Add a `bus`, or use `--role all` or `--role capture`.',
    });
  }
  if (role === 'produce' && config.bus !== null && config.bus.format !== 'sluice') {
    throw new SluiceError(CONFIG_CONFLICT, `another program writes to the topic (\`bus.format: ${config.bus.format}\`)`, {
      next: 'Use `--role consume`, or leave `bus.format` out if sluice is to write to it.',
    });
  }
  if (role === 'load' && config.warehouse === null)
    throw new SluiceError(CONFIG_CONFLICT, '`--role load` without a `warehouse` in the configuration');
  const stats = newStats();
  await using lake = await openLake(config, { log: options.log, stats, stop: signal });
  const running: Running = { config, role, stats, lake, warehouse: null, opening: null, loads: null, counts: null, capture: null };
  const control = new RunControl(running, log);
  running.control = control;
  const ticking = new AbortController();
  const ticks = progress === null ? Promise.resolve() : tick(() => progress(stats), clock, ticking.signal);
  let serving: Serving | null = null;
  try {
    serving = serve === null ? null : await serve(control);
    if (role === 'load') await runLoads(running, options, serving, clock, signal);
    else if (role !== 'capture' && config.bus !== null) await runBus(running, options, serving, clock, signal);
    else await runCapture(running, options, serving, clock, signal);
    return stats;
  } finally {
    ticking.abort();
    await ticks;
    progress?.(stats);
    // In this order: who opens the warehouse next has not written its run file while ours is taken away.
    await serving?.[Symbol.asyncDispose]();
    await running.warehouse?.[Symbol.asyncDispose]();
  }
}

async function runCapture(running: Running, options: RunOptions, serving: Serving | null, clock: Clock, signal: AbortSignal): Promise<void> {
  const { config, stats, lake } = running;
  const { role, log } = options;
  await using source = await makeSource(config, clock, stats, log);
  await using snapshots = await makeSnapshots(config, clock, stats, log);
  const loading = new AbortController();
  let loop: Promise<void> = Promise.resolve();
  const capture = new Capture(await captureOptions(config, options), {
    source,
    snapshots,
    lake,
    clock,
    stats,
    log,
    onOwned: async () => {
      // Only now: a standby must not hold the warehouse's file.
      if (role === 'all') await beginLoads(running, options, clock, loading.signal);
      loop = besides(running, serving, clock, log, loading.signal);
      await serving?.owned();
    },
    onLeaving: async () => await serving?.leaving(),
    onSealed: () => running.loads?.notify(),
    // What was sealed last is loaded before the end. A stop leaves it to the next run.
    onIdle: (until) => loadRest(running, until),
  });
  running.capture = capture;
  const watching = new AbortController();
  const watch = watchOplog(config, stats, clock, watching.signal);
  try {
    await capture.run(signal);
  } finally {
    watching.abort();
    await watch;
    await endLoop(loop, loading, clock);
  }
}

/** The producing side, the consuming side, or both: then nothing is idle before the producer is, and the rest is consumed after it. */
async function runBus(running: Running, options: RunOptions, serving: Serving | null, clock: Clock, signal: AbortSignal): Promise<void> {
  const { config, stats, lake } = running;
  const { role, log } = options;
  await using bus = await openBus(config, clock, log);
  const parts = { bus, lake, clock, log };
  const failed = new AbortController();
  const either = AbortSignal.any([signal, failed.signal]);
  const sides: (() => Promise<void>)[] = [];
  const producerStats = newStats();
  if (role !== 'consume') sides.push(() => runProduce(running, options, { ...parts, stats: role === 'all' ? producerStats : stats }, either));
  if (role === 'consume') sides.push(() => runConsume(running, options, { ...parts, serving }, either));
  const isForeign = config.bus !== null && config.bus.format !== 'sluice';
  if (isForeign) sides.splice(0, sides.length, () => runConsume(running, options, { ...parts, serving }, either));
  else if (role === 'all') {
    const produced = new AbortController();
    const produce = sides.pop()!;
    sides.push(async () => {
      await produce();
      produced.abort(new Error('all is produced'));
    });
    sides.push(async () => {
      await runConsume(running, { ...options, untilIdleMs: null }, { ...parts, serving, producerStats }, AbortSignal.any([either, produced.signal]));
      if (either.aborted || options.untilIdleMs === null) return;
      const rest = { ...options, untilIdleMs: Math.min(options.untilIdleMs, REST_IDLE_MS_MAX) };
      await runConsume(running, rest, { ...parts, serving, producerStats }, either);
    });
  }
  // What one fails with ends the other.
  await Promise.all(
    sides.map(async (side) => {
      try {
        await side();
      } catch (error) {
        failed.abort(error);
        throw error;
      }
    }),
  );
}

type BusParts = { readonly bus: Bus; readonly lake: Lake; readonly clock: Clock; readonly log: Logger };

async function runProduce(running: Running, options: RunOptions, parts: BusParts & { stats: PipelineStats }, signal: AbortSignal): Promise<void> {
  const { config, stats: snapshotStats } = running;
  const { clock, stats, log } = parts;
  await using source = await makeSource(config, clock, stats, log);
  await using snapshots = await makeSnapshots(config, clock, snapshotStats, log);
  await new Produce(await produceOptions(config, options), { ...parts, source, snapshots, snapshotStats }).run(signal);
}

type ConsumeRun = BusParts & { readonly serving: Serving | null; readonly producerStats?: PipelineStats };

async function runConsume(running: Running, options: RunOptions, parts: ConsumeRun, signal: AbortSignal): Promise<void> {
  const { config, stats } = running;
  const { clock, serving, log } = parts;
  const loading = new AbortController();
  let loop: Promise<void> = Promise.resolve();
  const consume = new Consume(await consumeOptions(config, options), {
    ...parts,
    stats,
    onOwned: async () => {
      if (options.role === 'all' && running.warehouse === null) await beginLoads(running, options, clock, loading.signal);
      loop = besides(running, serving, clock, log, loading.signal);
      await serving?.owned();
    },
    onLeaving: async () => await serving?.leaving(),
    onSealed: () => running.loads?.notify(),
  });
  running.capture = consume;
  try {
    await consume.run(signal);
    if (!signal.aborted) await loadRest(running, signal);
  } finally {
    await endLoop(loop, loading, clock);
  }
}

/** What a run does beside its capture, until it ends. */
async function besides(running: Running, serving: Serving | null, clock: Clock, log: Logger, signal: AbortSignal): Promise<void> {
  const { config, lake } = running;
  await Promise.all([new DumpLoop(config, { lake, clock, log }).run(signal), withWarehouse(running, serving, clock, log, signal)]);
}

/** What waits for the warehouse, if there is one. */
async function withWarehouse(running: Running, serving: Serving | null, clock: Clock, log: Logger, signal: AbortSignal): Promise<void> {
  await running.opening?.done;
  if (signal.aborted) return;
  const { config, lake, warehouse, stats, control } = running;
  if (warehouse !== null) await serving?.opened().catch((error: unknown) => log.warn({ err: error }, 'other commands will not find this process'));
  await Promise.all([
    loadAlong(running, signal),
    retainLoop(config, { lake, warehouse, stats, clock, log }, signal),
    eraseLoop(config, { lake, warehouse, clock, log }, signal),
    verifyLoop(config, { lake, hasWarehouse: warehouse !== null, stats, clock, log, verify: (args, stop) => control!.verify(args, stop) }, signal),
  ]);
}

async function runLoads(running: Running, options: RunOptions, serving: Serving | null, clock: Clock, signal: AbortSignal): Promise<void> {
  const { stats } = running;
  const { untilIdleMs } = options;
  await beginLoads(running, options, clock, signal);
  await (untilIdleMs === null ? running.opening!.done : running.opening!.insist(signal));
  if (signal.aborted) {
    stats.state = 'stopped';
    return;
  }
  await serving?.opened();
  stats.state = 'running';
  const idle = new AbortController();
  let heardAtMs = clock.now();
  const ends = AbortSignal.any([signal, idle.signal]);
  const { config, lake, warehouse } = running;
  const loads = running.loads!.run(ends, ({ files }) => {
    running.counts?.onRound(files > 0, ends);
    if (files > 0) heardAtMs = clock.now();
    else if (untilIdleMs !== null && clock.now() - heardAtMs >= untilIdleMs) idle.abort();
  });
  // Whoever captures beside it does not know what is loaded.
  const others = new AbortController();
  const using = { lake, warehouse, stats, clock, log: options.log };
  const besides = Promise.all([
    retainLoop(config, using, AbortSignal.any([ends, others.signal])),
    eraseLoop(config, using, AbortSignal.any([ends, others.signal])),
  ]);
  try {
    await loads;
  } finally {
    others.abort();
    await besides;
  }
  await running.counts?.settled();
  stats.state = 'stopped';
}

/** Loads, and counts at the source, until the signal aborts. */
async function loadAlong({ loads, counts }: Running, signal: AbortSignal): Promise<void> {
  await loads?.run(signal, ({ files }) => counts?.onRound(files > 0, signal));
  await counts?.settled();
}

/** What is sealed is loaded and merged. @throws WAREHOUSE_BUSY */
async function loadRest(running: Running, signal: AbortSignal): Promise<void> {
  await running.opening?.insist(signal);
  if (!signal.aborted) await running.loads?.catchUp(signal);
}

async function beginLoads(running: Running, options: RunOptions, clock: Clock, signal: AbortSignal): Promise<void> {
  running.opening = await Opening.begin({ open: () => openLoads(running, options, clock), clock, log: options.log }, signal);
}

async function openLoads(running: Running, options: RunOptions, clock: Clock): Promise<void> {
  const { config, stats, lake } = running;
  const { log } = options;
  running.warehouse = await openWarehouse(config, log, 'fold');
  if (running.warehouse === null) return;
  const loader = new Loader(lake, running.warehouse, { pipeline: config.pipeline, filesPerLoadMax: FILES_PER_LOAD_MAX, clock, log, stats });
  // Who wants to end when all is loaded does not wait for a time of the day.
  const schedule = scheduleOf(options.untilIdleMs === null ? (config.warehouse?.load ?? 'sealed') : 'sealed');
  running.loads = new LoadLoop(loader, schedule, clock, stats, log);
  const everyMs = config.warehouse?.sourceCountsMs ?? Infinity;
  running.counts = new SourceCounts(running.warehouse, { uri: config.source.uri, everyMs, clock, log });
}

/** A load that is under way may end; one that takes too long is rolled back by the warehouse when it is closed. */
async function endLoop(loop: Promise<void>, loading: AbortController, clock: Clock): Promise<void> {
  loading.abort();
  await endsWithin(STOP_LOAD_MS_MAX, loop, clock);
}

async function tick(work: () => void, clock: Clock, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    work();
    await clock.sleep(PROGRESS_MS, signal).catch(() => {});
  }
}
