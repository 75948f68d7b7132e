import type { Lake } from '../core/lake.ts';
import { checkpointPath, decodeCheckpoint, type Checkpoint, type Scope } from './checkpoint.ts';
import { readFile } from './read-file.ts';

/** For those who do not own it. `null`: there is none yet. @throws CHECKPOINT_BAD, CHECKPOINT_NEWER */
export async function readCheckpoint(lake: Lake, pipeline: string, scope: Scope, signal: AbortSignal): Promise<Checkpoint | null> {
  const path = checkpointPath(pipeline, scope);
  if ((await lake.stat(path)) === null) return null;
  return decodeCheckpoint(await readFile(lake, path, signal), path);
}
