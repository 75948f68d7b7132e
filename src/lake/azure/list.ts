/**
 * Lists files in path order out of a service that lists in an order of its own.
 *
 * A flat account sorts whole names, a hierarchical one walks its folders, and whether `a-b` comes before `a/c` there is not
 * documented. So the upper folders are walked level by level, their names compared with their `/` (no such key is a prefix of
 * another), and what lies below them is read as it comes and sorted: at most one collection's files are in memory.
 */
import type { LakeFile, LakePath } from '../../core/lake.ts';
import type { Listed, ListPage, ListRequest } from './blob-endpoint.ts';
import type { Answer, Persistence } from './persistence.ts';
import { isContainerGone, isGone, unexpected } from './reply.ts';

/** Folders for the database and the collection; of `_sluice` and the pipeline. */
const LEVELS = 2;

/** @param below `''` or with a `/` at its end */
export async function* listInOrder(list: ListRequest, persistence: Persistence, below: LakePath, signal: AbortSignal): AsyncGenerator<LakeFile> {
  const depth = below.split('/').length - 1;
  const isDeep = depth >= LEVELS;
  const found: Listed[] = [];
  for await (const entries of pages(list, persistence, below, isDeep ? 'deep' : 'level', signal)) {
    for (const entry of entries) if (!isDeep || !entry.isFolder) found.push(entry);
  }
  found.sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1));
  for (const entry of found) {
    signal.throwIfAborted();
    if (entry.isFolder) yield* listInOrder(list, persistence, `${entry.path}/`, signal);
    else if (!isHidden(entry.path)) yield { path: entry.path, size: entry.size, etag: entry.etag };
  }
}

async function* pages(
  list: ListRequest,
  persistence: Persistence,
  below: LakePath,
  how: 'level' | 'deep',
  signal: AbortSignal,
): AsyncGenerator<readonly Listed[]> {
  let from: string | null = null;
  do {
    const at: string | null = from;
    const reply: Answer<ListPage> = await persistence.again((s) => list(below, how, at, s), `list ${below}`, signal);
    if (reply.is === 'refused') {
      if (isGone(reply) || isContainerGone(reply)) return;
      throw unexpected(reply, `list ${below}`);
    }
    yield reply.value.entries;
    from = reply.value.next;
  } while (from !== null);
}

const keyOf = (entry: Listed): string => (entry.isFolder ? `${entry.path}/` : entry.path);

/** The file whose lease says who owns a pipeline; a collection's folder cannot begin with `_`. */
export const leaseFileOf = (checkpoint: LakePath): LakePath => `${checkpoint}.lease`;

function isHidden(path: LakePath): boolean {
  return path.startsWith('_sluice/') && path.endsWith('.json.lease');
}
