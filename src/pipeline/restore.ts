/**
 * A collection as it was at a moment, out of the lines that the lake or the warehouse has of it.
 *
 * Events are followed in order from where the state began (restore-plan.ts). What an update did is done to the document that
 * is there: the document beside an event may have been looked up later. Documents wait in a file that is not kept
 * (SQLite), so that a collection may be larger than memory.
 */
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { join } from 'node:path';
import { isObject, jsonText, parseJson } from '../core/extended-json.ts';
import { OPERATIONS } from '../core/event.ts';
import { documentIdOf, parseLine, textOf } from '../core/line.ts';
import { Scratch } from '../core/scratch.ts';
import { compareTimestamps, type Timestamp } from '../core/time.ts';
import type { KeyedDocument } from '../core/warehouse.ts';
import type { RestorePlan } from './restore-plan.ts';
import { applyUpdate } from './restore-update.ts';

export interface RestoreOptions {
  /** Inclusive. */
  readonly asOf: Timestamp;
  /** The document beside an update is that of the moment of the change (a post-image): it is taken as it is. */
  readonly hasPostImages: boolean;
}

export interface RestoreTotals {
  /** Events that were followed, and rows of the snapshot that they began with. */
  readonly events: number;
  readonly documents: number;
  /** Lines that were erased since: what they said is not given back. `null`: some were, and nobody knows how many. */
  readonly erased: number | null;
  /** Keys of documents of which nobody holds the content at that moment (lines over `lake.maxLineBytes`). */
  readonly unknown: readonly string[];
}

const UNKNOWN_MAX = 100;
const COMMIT_EVERY = 20_000;

/**
 * Every document of the collection, in the order of the text of their keys.
 * @param onEnd told once, after the last one
 */
export async function* restore(
  plan: RestorePlan,
  options: RestoreOptions,
  onEnd: (totals: RestoreTotals) => void,
  signal: AbortSignal,
): AsyncGenerator<KeyedDocument> {
  await using scratch = await Scratch.make('sluice-restore');
  using state = new State(join(scratch.folder, 'documents'));
  const events = await follow(plan, options, state, signal);
  let documents = 0;
  const unknown: string[] = [];
  for (const { key, doc } of state.all()) {
    signal.throwIfAborted();
    if (doc !== null) {
      documents += 1;
      yield { key, doc };
    } else if (unknown.length < UNKNOWN_MAX) unknown.push(key);
  }
  onEnd({ events, documents, erased: plan.erased, unknown });
}

async function follow(plan: RestorePlan, options: RestoreOptions, state: State, signal: AbortSignal): Promise<number> {
  let count = 0;
  const each = async (lines: AsyncIterable<Uint8Array>, take: (bytes: Buffer) => boolean): Promise<void> => {
    for await (const line of lines) {
      signal.throwIfAborted();
      if (take(Buffer.from(line.buffer, line.byteOffset, line.byteLength))) count += 1;
    }
  };
  await each(plan.snapshot(signal), (bytes) => state.put(keyOf(bytes) ?? '', textOf(bytes, 'fullDocument')));
  await each(plan.events(signal), (bytes) => {
    const facts = parseLine(bytes);
    if (facts.position <= plan.position || compareTimestamps(facts.at, options.asOf) > 0) return false;
    return applyEvent(state, bytes, OPERATIONS[facts.op]!, options.hasPostImages);
  });
  return count;
}

/** By `_id` alone, whatever shard key the collection had at the time. */
function keyOf(line: Buffer): string | null {
  const id = documentIdOf(line);
  return id === null ? null : `{"_id":${id}}`;
}

/** @returns whether it says something of a document */
function applyEvent(state: State, bytes: Buffer, op: string, hasPostImages: boolean): boolean {
  const key = keyOf(bytes);
  if (key === null) return false;
  if (op === 'insert' || op === 'replace') return state.put(key, textOf(bytes, 'fullDocument'));
  if (op === 'delete') return state.remove(key);
  if (op !== 'update') return false;
  const after = textOf(bytes, 'fullDocument');
  if (hasPostImages && after !== null && after !== 'null') return state.put(key, after);
  const before = state.get(key);
  // Read by the snapshot after it was gone: its delete comes, too.
  if (before === undefined) return false;
  const description = textOf(bytes, 'updateDescription');
  if (before === null || description === null) return state.put(key, null);
  const [document, update] = [parseJson(before), parseJson(description)];
  if (!isObject(document) || !isObject(update)) return state.put(key, null);
  applyUpdate(document, update);
  return state.put(key, jsonText(document));
}

/** Documents by key; `null`: there is one, and its content is not known. */
class State implements Disposable {
  readonly #database: DatabaseSync;
  readonly #put: StatementSync;
  readonly #get: StatementSync;
  readonly #remove: StatementSync;
  #changes = 0;

  constructor(file: string) {
    this.#database = new DatabaseSync(file);
    // It is not kept: nothing of it need be durable.
    this.#database.exec('PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA locking_mode=EXCLUSIVE');
    this.#database.exec('CREATE TABLE documents (key TEXT PRIMARY KEY, doc TEXT) WITHOUT ROWID');
    this.#put = this.#database.prepare('INSERT INTO documents (key, doc) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET doc = excluded.doc');
    this.#get = this.#database.prepare('SELECT doc FROM documents WHERE key = ?');
    this.#remove = this.#database.prepare('DELETE FROM documents WHERE key = ?');
    this.#database.exec('BEGIN');
  }

  put(key: string, doc: string | null): true {
    this.#put.run(key, doc);
    return this.#changed();
  }

  get(key: string): string | null | undefined {
    return (this.#get.get(key) as { doc: string | null } | undefined)?.doc;
  }

  remove(key: string): true {
    this.#remove.run(key);
    return this.#changed();
  }

  *all(): Generator<{ key: string; doc: string | null }> {
    this.#database.exec('COMMIT; BEGIN');
    for (const row of this.#database.prepare('SELECT key, doc FROM documents ORDER BY key').iterate())
      yield row as { key: string; doc: string | null };
  }

  [Symbol.dispose](): void {
    this.#database.close();
  }

  #changed(): true {
    this.#changes += 1;
    if (this.#changes % COMMIT_EVERY === 0) this.#database.exec('COMMIT; BEGIN');
    return true;
  }
}
