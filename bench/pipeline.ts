/**
 * The capture as `sluice run` makes it, for benchmarks: default limits, a lake of theirs, stopped by them.
 */
import { systemClock } from '../src/core/clock.ts';
import type { Lake } from '../src/core/lake.ts';
import { LAYOUT_PRESETS } from '../src/core/layout.ts';
import type { Source } from '../src/core/source.ts';
import { silentLog } from '../src/ops/log.ts';
import type { PipelineStats } from '../src/ops/stats.ts';
import { Capture, type CaptureOptions } from '../src/pipeline/capture.ts';
import { MongoSource, type MongoSourceOptions } from '../src/source/mongo/mongo-source.ts';
import type { StreamOptions } from '../src/source/mongo/stream-plan.ts';

/** All of the database `bench`. */
export const STREAM: StreamOptions = { include: ['bench.*'], exclude: [], match: {}, fullDocument: 'off', fullDocumentBeforeChange: 'off' };

export function sourceOf(uri: string, stats: PipelineStats, how: Partial<MongoSourceOptions> = {}): MongoSource {
  const options = { ...STREAM, uri, json: 'relaxed', maxLineBytes: 100 << 20, exhaust: true, unavailableAfterMs: 60_000, ...how } as const;
  return new MongoSource(options, systemClock, stats, silentLog);
}

/** The defaults of a configuration. */
export function captureOptionsOf(how: Partial<CaptureOptions>): CaptureOptions {
  return {
    pipeline: 'bench',
    startAt: { kind: 'now' },
    collections: STREAM.include,
    excluded: STREAM.exclude,
    layout: LAYOUT_PRESETS.hive,
    compression: 'none',
    rollBytesMax: 256 << 20,
    rollAgeMs: 3_600_000,
    partsOpenMax: 2_000,
    flushBytesMax: 4 << 20,
    flushAgeMs: 0,
    readAheadBytesMax: 4 << 20,
    checkpointIntervalMs: 1_000,
    untilIdleMs: null,
    wait: false,
    takeOver: false,
    acceptGap: false,
    onHistoryLost: 'fail',
    rangesAtOnce: 4,
    unavailableAfterMs: 60_000,
    ...how,
  };
}

export function captureOf(
  source: Source,
  lake: Lake,
  stats: PipelineStats,
  startAt: CaptureOptions['startAt'],
  how: Partial<CaptureOptions> = {},
): Capture {
  const options = captureOptionsOf({ ...how, startAt });
  return new Capture(options, { source, lake, clock: systemClock, stats, log: silentLog });
}
