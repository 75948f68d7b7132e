/**
 * `sluice render spark`: from a configuration and where the Capture files are to a job for Spark.
 */
import { resolve } from 'node:path';
import type { Config } from '../config/config.ts';
import { SluiceError } from '../core/error.ts';
import { ADOPT_LAYOUT, USAGE } from '../core/errors.ts';
import { isPerEvent } from '../core/layout.ts';
import type { TextFile } from '../render/text-file.ts';
import { azureLake } from './render.ts';

export interface SparkArgs {
  readonly from: string;
  readonly staging: string;
  readonly claims: string | null;
  readonly pattern: string;
}

/** `sluice adopt` holds a staged file in memory. */
const ROLL_BYTES_MAX = 64 * 1024 ** 2;

/** @throws USAGE, CAPTURE_PATTERN, ADOPT_LAYOUT */
export async function sparkFiles(config: Config, { from, staging, claims, pattern }: SparkArgs): Promise<readonly TextFile[]> {
  const { renderSpark } = await import('../render/spark.ts');
  const { patternRegex } = await import('../bus/capture/files.ts');
  const { pipeline, lake } = config;
  if (isPerEvent(lake.layout)) throw new SluiceError(ADOPT_LAYOUT, '`lake.layout` is per-event');
  return renderSpark({
    pipeline,
    lake: sparkUrl(lake.kind === 'local' ? `file:${lake.root}` : lake.url),
    capture: sparkUrl(from),
    staging: sparkUrl(staging),
    claims: claims === null ? null : sparkUrl(claims),
    pattern,
    regex: patternRegex(pattern).source.replaceAll(String.raw`\/`, '/'),
    rollBytes: Math.min(lake.roll.maxBytes, ROLL_BYTES_MAX),
    adoptFrom: staging,
  });
}

/** As Hadoop's drivers take it. @throws USAGE */
function sparkUrl(url: string): string {
  if (url.startsWith('file:')) return `file://${resolve(url.slice('file:'.length).replace(/^\/\/(?=\/)/, ''))}`;
  if (url.startsWith('http:')) throw new SluiceError(USAGE, `${url} is an emulator, which Spark cannot reach`);
  if (url.startsWith('abfss:')) return url;
  const place = azureLake(url);
  if (place === null) throw new SluiceError(USAGE, `${url} is no place that Spark can read`);
  return `abfss://${place.container}@${place.account}.dfs.core.windows.net/${place.prefix}`.replace(/\/$/, '');
}
