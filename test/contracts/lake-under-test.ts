/**
 * What the parts of the lake's contract suite share.
 */
import { SluiceError, type ErrorKind } from '../../src/core/error.ts';
import type { Lake, LakeFile, LakePath } from '../../src/core/lake.ts';

export interface LakeUnderTest extends AsyncDisposable {
  /** Empty. */
  readonly lake: Lake;
  /** Another lake over the same storage, as a second process would have it. */
  reopen(): Promise<Lake>;
  /** `open` cuts a part back to `length`; else it keeps what lies beyond. */
  readonly cutsAtFence: boolean;
  /** `takeOver` breaks a lease; else it has no effect. */
  readonly breaksLeases: boolean;
}

export const never = new AbortController().signal;
export const PART = 'shop/orders/year=2026/month=11/day=21/hour=07/events-20261121-07.jsonl';
export const CHECKPOINT = '_sluice/shop/checkpoint.json';
export const bytes = (text: string): Buffer => Buffer.from(text);

export async function textOf(lake: Lake, path: LakePath, from = 0): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of lake.read(path, from, never)) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

export async function listOf(lake: Lake, prefix: LakePath): Promise<LakeFile[]> {
  const files: LakeFile[] = [];
  for await (const file of lake.list(prefix, never)) files.push(file);
  return files;
}

export async function kindOf(work: Promise<unknown>): Promise<ErrorKind | 'done' | Error> {
  try {
    await work;
    return 'done';
  } catch (error) {
    return error instanceof SluiceError ? error.kind : (error as Error);
  }
}

export async function writePart(lake: Lake, path: LakePath, text: string): Promise<LakeFile> {
  const part = await lake.open(path, { epoch: 1, expect: 'absent' }, never);
  await part.append([bytes(text)], never);
  return part.close();
}
