/**
 * One file per event (`per-event`), and the index that says which of them are promised.
 *
 * The index is the part: rolled, recovered, sealed and named by the ledger like any other. Its lines hold what is asked of
 * an event on the way (position, operation, collection, cluster time, key) and its file's path, size and hash.
 *
 * Invariant: a line of an index is appended only once its file is durable. A crash between the two leaves a file that no
 * index names; the event comes again, under the same name, because the name follows from its position. What is there by
 * then stands, and its bytes are what the index tells: a document that was looked up may differ on replay.
 */
import { createHash } from 'node:crypto';
import { SluiceError } from '../core/error.ts';
import { LAKE_CONFLICT, LAKE_DAMAGED } from '../core/errors.ts';
import { OPERATIONS, positionAt } from '../core/event.ts';
import type { Lake, LakePath } from '../core/lake.ts';
import { eventPath } from '../core/layout.ts';
import type { SealedLine } from '../core/ledger.ts';
import { documentKeyOf, parseLine, type LineFacts } from '../core/line.ts';
import { failpoint } from '../ops/failpoint.ts';
import { inParallel } from './parallel.ts';
import { readFile } from './read-file.ts';
import { linesIn, linesOf, readDecoded } from './read-lines.ts';

const PUTS_AT_ONCE = 32;

/** What a line of an index says of its file. */
export interface EventFile {
  readonly path: LakePath;
  readonly bytes: number;
  readonly sha256: string;
}

/** Lines of an index, and the size of the files that they name. */
export interface IndexLines {
  readonly chunks: readonly Uint8Array[];
  readonly eventBytes: number;
}

/** Makes a file of each line. @returns the lines for the indexes, in the order and groups of `groups` */
export async function putEvents(lake: Lake, groups: readonly (readonly Uint8Array[])[], signal: AbortSignal): Promise<readonly IndexLines[]> {
  const lines = groups.map((chunks) => chunks.flatMap((chunk) => [...linesIn(chunk)]));
  const index = lines.map((group) => ({ chunks: Array.from<Uint8Array>({ length: group.length }), eventBytes: 0 }));
  const puts = lines.flatMap((group, g) => group.map((line, n) => ({ line, g, n })));
  await inParallel(puts, PUTS_AT_ONCE, async ({ line, g, n }) => {
    signal.throwIfAborted();
    const { text, bytes } = await putEvent(lake, line, signal);
    index[g]!.chunks[n] = text;
    index[g]!.eventBytes += bytes;
  });
  return index;
}

async function putEvent(lake: Lake, line: Buffer, signal: AbortSignal): Promise<{ text: Buffer; bytes: number }> {
  const facts = parseLine(line);
  const key = documentKeyOf(line);
  const path = pathOf(facts, key);
  let stored = line;
  failpoint('event.before-put');
  try {
    await lake.put(path, line, 'absent');
  } catch (error) {
    if (!SluiceError.is(error, LAKE_CONFLICT)) throw error;
    stored = await readFile(lake, path, signal);
    const isIt = stored.length > 0 && positionAt(stored, 0) === facts.position;
    if (!isIt) throw new SluiceError(LAKE_CONFLICT, `${path} is there and is not the event at ${facts.position}`, { cause: error });
  }
  failpoint('event.after-put');
  const file: EventFile = { path, bytes: stored.length, sha256: createHash('sha256').update(stored).digest('hex') };
  return { text: indexLine(facts, key, file), bytes: stored.length };
}

/** Where the file of an event lies. @param key text of its document key */
export function pathOf(facts: LineFacts, key: string | null): LakePath {
  return eventPath({ ...facts, key, op: OPERATIONS[facts.op]! });
}

/** Begins as every line does, so that what reads lines for their facts reads these, too. */
function indexLine({ position, ns, op, at }: LineFacts, key: string | null, file: EventFile): Buffer {
  const meta = {
    position,
    operationType: OPERATIONS[op],
    ns: ns.coll === null ? { db: ns.db } : { db: ns.db, coll: ns.coll },
    at: new Date(at.t * 1000).toISOString(),
    clusterTime: { $timestamp: { t: at.t, i: at.i } },
    v: 1,
  };
  const documentKey = key === null ? '' : `"documentKey":${key},`;
  return Buffer.from(`{"_meta":${JSON.stringify(meta)},${documentKey}"file":${JSON.stringify(file)}}\n`);
}

/** `null` when the line does not name a file. */
export function eventFileOf(line: Buffer): EventFile | null {
  const { file } = JSON.parse(line.toString('utf8')) as { readonly file?: Partial<EventFile> };
  if (typeof file?.path !== 'string' || typeof file.sha256 !== 'string' || !Number.isSafeInteger(file.bytes)) return null;
  return file as EventFile;
}

/** The events that a sealed index names, in order, as one stream of lines. @throws LAKE_DAMAGED when one is not what the index says */
export async function* readEvents(lake: Lake, index: LakePath, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  for await (const line of linesOf(lake.read(index, 0, signal))) {
    const file = eventFileOf(line);
    if (file === null) throw new SluiceError(LAKE_DAMAGED, `${index} has a line that names no file`);
    const stored = await readFile(lake, file.path, signal);
    if (stored.length !== file.bytes || createHash('sha256').update(stored).digest('hex') !== file.sha256) {
      throw new SluiceError(LAKE_DAMAGED, `${file.path} is not what ${index} says`);
    }
    yield stored;
  }
}

/** The events of a sealed file in order, each with its newline. The buffer is valid until the next step. */
export async function* sealedEvents(
  lake: Lake,
  { path, eventBytes }: Pick<SealedLine, 'path' | 'eventBytes'>,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  yield* eventBytes === undefined ? linesOf(readDecoded(lake, path, 0, signal)) : readEvents(lake, path, signal);
}
