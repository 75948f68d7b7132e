/**
 * Messages of a topic that cannot be read, kept on the lake so that reading goes on and nothing is lost.
 *
 * Each is a file of its own, named by its partition and its offset: put only if absent, before the position passes it, so that
 * whoever meets the message again finds it there. docs/specs/bus.md.
 */
import type { BusRecord } from '../core/bus.ts';
import { SluiceError } from '../core/error.ts';
import { DEAD_LETTER_NONE, LAKE_CONFLICT } from '../core/errors.ts';
import type { Lake, LakePath } from '../core/lake.ts';
import { failpoint } from '../ops/failpoint.ts';
import { partitionScope } from './checkpoint.ts';
import { readIfThere } from './read-file.ts';

/** As it stands in its file. */
export interface DeadLetter {
  readonly v: 1;
  readonly topic: string;
  readonly partition: number;
  /** Decimal digits. */
  readonly offset: string;
  /** When it was sent. */
  readonly at: string;
  /** Code of the error. */
  readonly reason: string;
  readonly detail: string;
  /** Base64, as the value and those of the headers. */
  readonly key: string | null;
  readonly headers: readonly (readonly [name: string, value: string | null])[];
  readonly value: string | null;
}

const folderOf = (pipeline: string): LakePath => `_sluice/${pipeline}/dead-letters`;
const base64 = (bytes: Buffer | null): string | null => bytes?.toString('base64') ?? null;
const OFFSET_DIGITS = 20;
const NAME = /\/(p\d+-\d+)\.jsonl$/;

export async function putDeadLetter(
  lake: Lake,
  pipeline: string,
  {
    topic,
    partition,
    record,
    error,
  }: { readonly topic: string; readonly partition: number; readonly record: BusRecord; readonly error: SluiceError },
): Promise<void> {
  const at = new Date(record.timeMs).toISOString();
  const letter: DeadLetter = {
    v: 1,
    topic,
    partition,
    offset: record.offset.toString(),
    at,
    reason: error.code,
    detail: error.message,
    key: base64(record.key),
    headers: record.headers().map(([name, value]) => [name, base64(value)]),
    value: base64(record.value),
  };
  const name = `${partitionScope(partition)}-${letter.offset.padStart(OFFSET_DIGITS, '0')}`;
  failpoint('dead-letter.before-put');
  try {
    await lake.put(
      `${folderOf(pipeline)}/${at.slice(0, 10).replaceAll('-', '/')}/${name}.jsonl`,
      Buffer.from(`${JSON.stringify(letter)}\n`),
      'absent',
    );
  } catch (conflict) {
    if (!SluiceError.is(conflict, LAKE_CONFLICT)) throw conflict;
  }
  failpoint('dead-letter.after-put');
}

/** Names, oldest first. */
export async function listDeadLetters(
  lake: Lake,
  pipeline: string,
  signal: AbortSignal,
): Promise<{ readonly name: string; readonly path: LakePath }[]> {
  const found: { name: string; path: LakePath }[] = [];
  for await (const { path } of lake.list(`${folderOf(pipeline)}/`, signal)) {
    const name = NAME.exec(path)?.[1];
    if (name !== undefined) found.push({ name, path });
  }
  return found;
}

/** @returns `null`: it is gone, replayed or removed since it was listed @throws DEAD_LETTER_NONE it cannot be read */
export async function readDeadLetter(lake: Lake, path: LakePath, signal: AbortSignal): Promise<DeadLetter | null> {
  const text = await readIfThere(lake, path, signal);
  if (text === null) return null;
  try {
    return JSON.parse(text.toString('utf8')) as DeadLetter;
  } catch (cause) {
    throw new SluiceError(DEAD_LETTER_NONE, `${path} cannot be read`, { cause });
  }
}
