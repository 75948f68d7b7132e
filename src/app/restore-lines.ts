/**
 * Documents on their way from the process that has the warehouse open to the one that writes them: a line each, and one more that says how
 * it ended.
 *
 * Invariant: what has no last line is not whole. A process that dies in the middle must not look like a small collection.
 */
import { SluiceError } from '../core/error.ts';
import { allErrors, OWNER_BROKE_OFF, UNEXPECTED } from '../core/errors.ts';
import type { KeyedDocument } from '../core/warehouse.ts';
import type { RestoreTotals } from '../pipeline/restore.ts';
import { linesOf } from '../pipeline/read-lines.ts';

const CHUNK_CHARS = 64 * 1024;

interface Last {
  readonly end?: RestoreTotals;
  readonly error?: { readonly code: string; readonly detail: string; readonly next: string };
}

/** @param totals asked for after the last one */
export async function* documentLines(documents: AsyncIterable<KeyedDocument>, totals: () => RestoreTotals): AsyncGenerator<Uint8Array> {
  let text = '';
  let last: Last;
  try {
    for await (const { key, doc } of documents) {
      text += `${JSON.stringify([key, doc])}\n`;
      if (text.length < CHUNK_CHARS) continue;
      yield Buffer.from(text);
      text = '';
    }
    last = { end: totals() };
  } catch (error) {
    const known = error instanceof SluiceError ? error : new SluiceError(UNEXPECTED, undefined, { cause: error });
    last = { error: { code: known.code, detail: known.message.slice(known.kind.title.length + 2), next: known.next } };
  }
  yield Buffer.from(`${text}${JSON.stringify(last)}\n`);
}

/** @param onEnd told once, after the last one @throws what the other process has met, OWNER_BROKE_OFF it has ended too soon */
export async function* documentsIn(chunks: AsyncIterable<Uint8Array>, onEnd: (totals: RestoreTotals) => void): AsyncGenerator<KeyedDocument> {
  for await (const line of linesOf(chunks)) {
    const value = JSON.parse(Buffer.from(line.buffer, line.byteOffset, line.byteLength).toString('utf8')) as readonly [string, string] | Last;
    if (Array.isArray(value)) {
      yield { key: value[0] as string, doc: value[1] as string };
      continue;
    }
    const { end, error } = value as Last;
    if (end !== undefined) return onEnd(end);
    const kind = allErrors().find(({ code }) => code === error?.code) ?? UNEXPECTED;
    throw new SluiceError(kind, error?.detail, error === undefined ? {} : { next: error.next });
  }
  throw new SluiceError(OWNER_BROKE_OFF, 'it has ended before the last document');
}
