/**
 * Whole files of a lake into memory: checkpoints, manifests and ledger files, which are small. Never parts.
 */
import type { Lake, LakePath } from '../core/lake.ts';

export async function readFile(lake: Lake, path: LakePath, signal: AbortSignal): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of lake.read(path, 0, signal)) chunks.push(chunk);
  return Buffer.concat(chunks);
}
