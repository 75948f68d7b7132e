/**
 * Whole files of a lake into memory: checkpoints, manifests and ledger files, which are small. Never parts.
 */
import { SluiceError } from '../core/error.ts';
import { LAKE_DAMAGED } from '../core/errors.ts';
import type { Lake, LakePath } from '../core/lake.ts';

export async function readFile(lake: Lake, path: LakePath, signal: AbortSignal): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of lake.read(path, 0, signal)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Of a file that others may remove. @returns `null`: it has gone since it was listed */
export async function readIfThere(lake: Lake, path: LakePath, signal: AbortSignal): Promise<Buffer | null> {
  try {
    return await readFile(lake, path, signal);
  } catch (error) {
    if (SluiceError.is(error, LAKE_DAMAGED) && (await lake.stat(path)) === null) return null;
    throw error;
  }
}
