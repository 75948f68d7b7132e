/**
 * What is known of the last verification, on the lake: a run that begins anew, `status` and the metrics go on telling it.
 *
 * A time of the schedule is taken by a compare-and-swap of the same file: of several processes that hold a part of the
 * pipeline (consumers of a bus) one verifies.
 */
import { SluiceError } from '../core/error.ts';
import { LAKE_CONFLICT } from '../core/errors.ts';
import type { Lake, LakeFile } from '../core/lake.ts';
import { WAREHOUSE_CHECKS } from '../core/warehouse-proof.ts';
import type { VerificationStats } from '../ops/stats.ts';
import { verificationPath } from '../pipeline/checkpoint.ts';
import { readFile } from '../pipeline/read-file.ts';
import { DOCUMENT_CHECKS } from '../pipeline/verify-documents.ts';
import { LAKE_CHECKS } from '../pipeline/verify-findings.ts';
import { STREAM_CHECKS } from '../pipeline/verify-stream.ts';
import type { VerificationOverview } from './overview-types.ts';

/** Names of everything that a verification can find. */
export const FAULT_NAMES: readonly string[] = [LAKE_CHECKS, WAREHOUSE_CHECKS, STREAM_CHECKS, DOCUMENT_CHECKS].flatMap((checks) =>
  Object.keys(checks),
);
/** What it consists of. */
export const CHECK_NAMES = ['lake', 'warehouse', 'events', 'documents'] as const;

interface VerificationRecord {
  readonly v: 1;
  /** ISO 8601: the newest time of the schedule that somebody has taken. */
  readonly due: string | null;
  /** `null`: none has ended yet. */
  readonly last: VerificationOverview | null;
}

interface Kept {
  readonly file: LakeFile | null;
  readonly record: VerificationRecord;
}

const PUTS_MAX = 5;

export async function readVerification(lake: Lake, pipeline: string, signal: AbortSignal): Promise<VerificationOverview | null> {
  return (await read(lake, pipeline, signal)).record.last;
}

/** The last one that ended; how long ago it began does not matter. */
export async function keepVerification(lake: Lake, pipeline: string, last: VerificationOverview, signal: AbortSignal): Promise<void> {
  await change(lake, pipeline, (record) => ({ ...record, last }), signal);
}

/** @returns false: another process has taken this time, or a later one */
export async function takeTime(lake: Lake, pipeline: string, due: string, signal: AbortSignal): Promise<boolean> {
  return await change(lake, pipeline, (record) => (record.due !== null && record.due >= due ? null : { ...record, due }), signal);
}

/** What the metrics tell of it. */
export function statsOf({ begunAt, endedAt, ok, checks }: VerificationOverview): VerificationStats {
  const faults = new Map<string, number>();
  for (const { counts = {} } of checks) for (const [name, count = 0] of Object.entries(counts)) faults.set(name, (faults.get(name) ?? 0) + count);
  return {
    endedAtMs: Date.parse(endedAt ?? begunAt),
    seconds: (Date.parse(endedAt ?? begunAt) - Date.parse(begunAt)) / 1000,
    ok: ok === true,
    faults,
    checked: new Map(checks.map(({ name, checked = 0 }) => [name, checked])),
  };
}

async function read(lake: Lake, pipeline: string, signal: AbortSignal): Promise<Kept> {
  const path = verificationPath(pipeline);
  const file = await lake.stat(path);
  if (file === null) return { file, record: { v: 1, due: null, last: null } };
  try {
    return { file, record: JSON.parse((await readFile(lake, path, signal)).toString('utf8')) as VerificationRecord };
  } catch (error) {
    // It proves nothing by itself: one that cannot be read is written anew.
    if (!(error instanceof SyntaxError)) throw error;
    return { file, record: { v: 1, due: null, last: null } };
  }
}

async function change(
  lake: Lake,
  pipeline: string,
  next: (record: VerificationRecord) => VerificationRecord | null,
  signal: AbortSignal,
): Promise<boolean> {
  for (let puts = 1; ; puts += 1) {
    const { file, record } = await read(lake, pipeline, signal);
    const wanted = next(record);
    if (wanted === null) return false;
    try {
      await lake.put(verificationPath(pipeline), Buffer.from(`${JSON.stringify(wanted)}\n`), file ?? 'absent');
      return true;
    } catch (error) {
      if (!SluiceError.is(error, LAKE_CONFLICT) || puts >= PUTS_MAX) throw error;
    }
  }
}
