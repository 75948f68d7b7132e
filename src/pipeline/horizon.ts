/**
 * What retention has taken away on purpose: all hours before a horizon, which only ever rises.
 *
 * Invariant: the horizon is durable before the first file of an hour below it goes. Whoever reads the lake asks for the
 * horizon first and leaves out what lies below it, whether the files are still there or not.
 */
import { SluiceError, reasonOf } from '../core/error.ts';
import { RETENTION_BAD } from '../core/errors.ts';
import type { Lake, LakeFile, LakePath } from '../core/lake.ts';
import type { SealedLine } from '../core/ledger.ts';
import { hourName, parseHourName, type Hour } from '../core/time.ts';
import { readFile } from './read-file.ts';

export interface Horizon {
  /** Hours before it are gone; `null`: none is. */
  readonly from: Hour | null;
  /** All files below this are removed, so that nobody has to look for them again. */
  readonly removed: Hour | null;
  readonly there: LakeFile | null;
}

export const horizonPath = (pipeline: string): LakePath => `_sluice/${pipeline}/retention.json`;

/** @throws RETENTION_BAD */
export async function readHorizon(lake: Lake, pipeline: string, signal: AbortSignal): Promise<Horizon> {
  const path = horizonPath(pipeline);
  const there = await lake.stat(path);
  if (there === null) return { from: null, removed: null, there };
  try {
    const { v, from, removed } = JSON.parse((await readFile(lake, path, signal)).toString('utf8')) as Record<string, unknown>;
    const hours = [from, removed].map((name) => (typeof name === 'string' ? parseHourName(name) : null));
    if (v !== 1 || hours[0] === null) throw new Error('it is not what it should be');
    return { from: hours[0]!, removed: hours[1] ?? null, there };
  } catch (error) {
    signal.throwIfAborted();
    throw new SluiceError(RETENTION_BAD, `${path}: ${reasonOf(error)}`, { cause: error });
  }
}

export async function saveHorizon(
  lake: Lake,
  pipeline: string,
  { from, removed, there }: Horizon & { readonly from: Hour },
  savedAt: string,
): Promise<LakeFile> {
  const content = { v: 1, from: hourName(from), removed: removed === null ? null : hourName(removed), savedAt };
  return await lake.put(horizonPath(pipeline), Buffer.from(`${JSON.stringify(content)}\n`), there ?? 'absent');
}

export function isGone({ hour }: Pick<SealedLine, 'hour'>, { from }: Pick<Horizon, 'from'>): boolean {
  return from !== null && (parseHourName(hour) ?? 0) < from;
}
