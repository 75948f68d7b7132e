/**
 * What a producer has sent to a topic of two partitions, claims included, and the lines that the direct way makes of the same changes.
 */
import { join } from 'node:path';
import { expect } from 'vitest';
import type { Lake } from '../../src/core/lake.ts';
import { LAYOUT_PRESETS } from '../../src/core/layout.ts';
import { isSealedLine } from '../../src/core/ledger.ts';
import { openLocalLake } from '../../src/lake/local/local.ts';
import { silentLog } from '../../src/ops/log.ts';
import { newStats } from '../../src/ops/stats.ts';
import { sealedEvents } from '../../src/pipeline/event-files.ts';
import { readLedger } from '../../src/pipeline/ledger.ts';
import { Produce } from '../../src/pipeline/produce.ts';
import { CaptureBench, HOUR, T0, events } from './capture-bench.ts';
import { writeCapture, type Captured, type CaptureHow } from './capture-files.ts';
import { MemoryBus } from './memory-bus.ts';
import type { Script } from './scripted-source.ts';

const never = new AbortController().signal;
const PARTITIONS = 2;
/** As Capture names and writes its files when nobody has chosen. */
export const AZURE: CaptureHow = {
  pattern: '{Namespace}/{EventHub}/{PartitionId}/{Year}/{Month}/{Day}/{Hour}/{Minute}/{Second}',
  codec: 'null',
  perFile: 7,
  headers: 'bytes',
};
/** Two hours and a beginning of a third; one event is too large for a message. */
export const SCRIPT: Script = {
  events: events(
    ...Array.from({ length: 30 }, (_, n) => [1 + n, n % 3 === 0 ? 'bb' : 'a', { bytes: 200 }] as const),
    ...Array.from({ length: 12 }, (_, n) => [HOUR + 1 + n, 'a', { bytes: n === 3 ? 3_000 : 100 }] as const),
    [2 * HOUR + 1, 'bb'],
  ),
  end: { t: T0 + 2 * HOUR + 5, i: 1 },
  batchEvents: 5,
  fingerprint: 'A',
};

export interface CapturedTopic {
  /** Messages by partition. */
  readonly logs: readonly (readonly Captured[])[];
  /** Folder of the producer's lake, where the claims are. */
  readonly claims: string;
  /** What a lake must hold in the end: {@link linesOf}. */
  readonly expected: Readonly<Record<string, string>>;
}

export async function capturedTopic(folder: string): Promise<CapturedTopic> {
  const claims = join(folder, 'producer');
  await using lake = await openLocalLake(claims);
  const bench = new CaptureBench();
  const bus = new MemoryBus(PARTITIONS);
  await using source = bench.source({ ...SCRIPT, onBatch: (_, isLast) => bench.clock.move(isLast ? 60_000 : 10) });
  const options = {
    pipeline: 'p',
    startAt: { kind: 'now' as const },
    collections: ['db.*'] as string[],
    excluded: [] as string[],
    onHistoryLost: 'fail' as const,
    layout: LAYOUT_PRESETS.hive,
    partitionBy: 'collection' as const,
    messageBytesMax: 2_000,
    untilIdleMs: 30_000,
    wait: false,
    takeOver: false,
    acceptGap: false,
    unavailableAfterMs: 1_000,
    checkpointIntervalMs: 0,
    readAheadBytesMax: 0,
    compression: 'none',
    rollBytesMax: 1_000_000,
    flushBytesMax: 1_000_000,
    rangesAtOnce: 1,
  } as const;
  await new Produce(options, { source, bus, lake, clock: bench.clock, stats: newStats(), log: silentLog }).run(never);
  const logs = bus.logs.map((log) => log.map((message, sequence) => ({ sequence, message })));
  expect(logs.every((log) => log.length > 5)).toBe(true);
  expect(logs.flat().some(({ message }) => message.headers['claim'] !== undefined)).toBe(true);
  const direct = new CaptureBench();
  await direct.run(SCRIPT);
  return { logs, claims, expected: await linesOf(await direct.lake()) };
}

/** Sealed lines by collection and hour, in order. */
export async function linesOf(lake: Lake): Promise<Record<string, string>> {
  const texts: Record<string, string> = {};
  const sealed = [];
  for await (const line of readLedger(lake, 'p', '', never)) if (isSealedLine(line)) sealed.push(line);
  for (const each of sealed.toSorted((a, b) => (a.path < b.path ? -1 : 1))) {
    for await (const line of sealedEvents(lake, each, never))
      texts[`${each.coll} ${each.hour}`] = (texts[`${each.coll} ${each.hour}`] ?? '') + Buffer.from(line).toString();
  }
  return texts;
}

/** All that was sent, in files of `perFile` messages. */
export async function captureLogs(
  { logs }: Pick<CapturedTopic, 'logs'>,
  at: string,
  how: CaptureHow = AZURE,
  only: (partition: number, n: number) => boolean = () => true,
): Promise<string[]> {
  const paths: string[] = [];
  for (const [partition, log] of logs.entries()) {
    for (let n = 0; n * how.perFile < log.length; n += 1) {
      if (only(partition, n)) paths.push(await writeCapture(at, partition, n, log.slice(n * how.perFile, (n + 1) * how.perFile), how));
    }
  }
  return paths;
}
