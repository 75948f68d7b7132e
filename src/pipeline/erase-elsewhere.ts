/**
 * What of a subject lies beside the event files: dumps, messages that could not be read, lines that were too large for the bus.
 */
import { createHash } from 'node:crypto';
import { isObject, parseJson, type Json } from '../core/extended-json.ts';
import type { Lake, LakePath } from '../core/lake.ts';
import { parseLine } from '../core/line.ts';
import { formatNamespace } from '../core/namespace.ts';
import { SECONDS_PER_HOUR, parseHourName } from '../core/time.ts';
import { failpoint } from '../ops/failpoint.ts';
import { claimsFolder } from './checkpoint.ts';
import { listDeadLetters, readDeadLetter } from './dead-letters.ts';
import { dumpLock, readRecords, type DumpFile, type DumpRecord } from './dump-record.ts';
import type { ErasureRecord } from './erasure-record.ts';
import { keysOf } from './erase-lake.ts';
import { readFile, readIfThere } from './read-file.ts';
import { digestOf, identityIn, identityOf } from './subject.ts';
import type { WholePipeline } from './whole.ts';

/** A dump is held in memory while it is written anew. */
const DUMP_BYTES_MAX = 1024 ** 3;

export class EraseElsewhere {
  readonly #lake: Lake;
  readonly #about: WholePipeline;
  readonly #record: ErasureRecord;
  readonly #keys: ReadonlyMap<string, ReadonlySet<string>>;
  readonly #save: () => Promise<void>;

  constructor(lake: Lake, about: WholePipeline, record: ErasureRecord, save: () => Promise<void>) {
    this.#lake = lake;
    this.#about = about;
    this.#record = record;
    this.#keys = keysOf(record);
    this.#save = save;
  }

  /** @param before seconds: what the lake has been rid of @returns what could not be done, for people */
  async run(before: number, signal: AbortSignal): Promise<string[]> {
    const left = await this.#dumps(signal);
    await this.#deadLetters(signal);
    await this.#claims(before, signal);
    return left;
  }

  #isMine(ns: { readonly db: string; readonly coll: string | null }, identity: string | null): boolean {
    return identity !== null && this.#keys.get(formatNamespace(ns))?.has(digestOf(this.#record.salt, ns, identity)) === true;
  }

  async #dumps(signal: AbortSignal): Promise<string[]> {
    const { pipeline } = this.#about;
    const lake = this.#lake;
    const ownership = await lake.own(dumpLock(pipeline), { takeOver: false }, signal);
    if (ownership === null) return ['dumps are being made, and were not looked at'];
    await using _owned = ownership;
    const left: string[] = [];
    for await (const { path, record } of readRecords(lake, pipeline, signal)) {
      const isAsked = this.#keys.has(formatNamespace(record.ns)) && (parseHourName(record.hour) ?? 0) * SECONDS_PER_HOUR < this.#record.until.t;
      if (isAsked) left.push(...(await this.#dump(path, record, signal)));
    }
    return left;
  }

  /** The files keep their names. A crash between a file and its record leaves one that is not as its record says; this is done again then. */
  async #dump(path: LakePath, record: DumpRecord, signal: AbortSignal): Promise<string[]> {
    const lake = this.#lake;
    const left: string[] = [];
    const files: DumpFile[] = [];
    for (const file of record.files) {
      const there = await lake.stat(file.path);
      if (there === null || there.size > DUMP_BYTES_MAX) {
        if (there !== null) left.push(`${file.path}: too large to be written anew: remove it, or wait for its retention`);
        files.push(file);
        continue;
      }
      const text = (await readFile(lake, file.path, signal)).toString('utf8');
      const kept = withoutLines(text, (line) => this.#isMine(record.ns, identityInDump(line, record)), files);
      const bytes = Buffer.from(kept.text);
      if (kept.text !== text) {
        failpoint('erase.before-dump');
        await lake.put(file.path, bytes, there);
        failpoint('erase.after-dump');
        this.#record.dumps += 1;
      }
      files.push({ path: file.path, bytes: bytes.length, rows: kept.rows, sha256: createHash('sha256').update(bytes).digest('hex') });
    }
    if (JSON.stringify(files) === JSON.stringify(record.files)) return left;
    const there = await lake.stat(path);
    // The position up to which changes are dumped holds a key; it is asked for no longer when the hour is closed.
    const through = record.done ? null : record.through;
    if (there !== null) await lake.put(path, Buffer.from(`${JSON.stringify({ ...record, files, through })}\n`), there);
    await this.#save();
    return left;
  }

  async #deadLetters(signal: AbortSignal): Promise<void> {
    for (const { path } of await listDeadLetters(this.#lake, this.#about.pipeline, signal)) {
      const letter = await readDeadLetter(this.#lake, path, signal);
      // Replayed since it was listed.
      if (letter === null) continue;
      const texts = [letter.key, letter.value].map((base64) => Buffer.from(base64 ?? '', 'base64').toString('utf8'));
      if (!texts.some((text) => this.#speaksOf(text))) continue;
      this.#record.deadLetters += 1;
      await this.#remove(path);
    }
  }

  /** A message that nobody could read: whatever in it is called `_id` counts, also within texts that are JSON. */
  #speaksOf(text: string): boolean {
    const json = jsonOf(text);
    return json !== null && this.#holds(json, true);
  }

  #holds(json: Json, isId: boolean): boolean {
    if (isId && this.#record.documents.some((ns) => this.#isMine(ns, identityOf(json)))) return true;
    if (Array.isArray(json)) return json.some((each) => this.#holds(each, false));
    if (isObject(json)) return json.members.some(([name, value]) => this.#holds(value, name === '_id' || name === 'id'));
    return typeof json === 'string' && /^[[{"]/.test(json) && this.#speaksOf(json);
  }

  /** Those that every partition has read by now. */
  async #claims(before: number, signal: AbortSignal): Promise<void> {
    for await (const { path } of this.#lake.list(`${claimsFolder(this.#about.pipeline)}/`, signal)) {
      const line = await readIfThere(this.#lake, path, signal);
      // The producer has removed it since it was listed: the topic has forgotten its message.
      if (line === null) continue;
      const { ns, at } = parseLine(line);
      if (at.t >= before || !this.#isMine(ns, identityIn(line))) continue;
      this.#record.claims += 1;
      await this.#remove(path);
    }
  }

  async #remove(path: LakePath): Promise<void> {
    failpoint('erase.before-remove');
    await this.#lake.remove(path);
    failpoint('erase.after-remove');
    await this.#save();
  }
}

/** JSON that others have written may have white space. */
function jsonOf(text: string): Json | null {
  try {
    return parseJson(text);
  } catch {
    try {
      return parseJson(JSON.stringify(JSON.parse(text)));
    } catch {
      return null;
    }
  }
}

/** @param line of a dump, which may be an element of a list */
function identityInDump(line: string, { content }: DumpRecord): string | null {
  if (content === 'changes') return identityIn(Buffer.from(line));
  const json = jsonOf(line) ?? undefined;
  const id = isObject(json) ? json.members.find(([name]) => name === '_id') : undefined;
  return id === undefined ? null : identityOf(id[1]);
}

/**
 * The same dump without some of its lines, whether they stand by themselves or in a list, one a line.
 * @param earlier files of the same dump, as they are by now
 */
function withoutLines(
  text: string,
  isErased: (line: string) => boolean,
  earlier: readonly DumpFile[],
): { readonly text: string; readonly rows: number } {
  const isList = /^(?:\[|\{"metadata":)/.test(text);
  const lines = text.split('\n').slice(0, -1);
  if (!isList) {
    const kept = lines.filter((line) => !isErased(line));
    return { text: kept.map((line) => `${line}\n`).join(''), rows: kept.length };
  }
  const [head, ...rest] = lines as [string, ...string[]];
  // Without an element all of it is one line.
  const elements = rest.slice(0, -1).map((line) => (line.endsWith(',') ? line.slice(0, -1) : line));
  const kept = elements.filter((line) => !isErased(line));
  if (kept.length === elements.length) return { text, rows: kept.length };
  const close = rest.at(-1)!;
  const begin = headFor(head.slice(0, -1), kept, earlier);
  return { text: kept.length === 0 ? `${begin}[${close}\n` : `${begin}[\n${kept.join(',\n')}\n${close}\n`, rows: kept.length };
}

/** What the head of a document of changes says of them. */
function headFor(head: string, kept: readonly string[], earlier: readonly DumpFile[]): string {
  const found = /^\{"metadata":(.*),"changes":$/s.exec(head)?.[1];
  if (found === undefined) return head;
  const positions = kept.map((line) => parseLine(Buffer.from(line)).position);
  const metadata = JSON.parse(found) as Record<string, unknown>;
  const parts = earlier.map(({ path, rows }) => ({ path, changes: rows }));
  return `{"metadata":${JSON.stringify({ ...metadata, changes: kept.length, first: positions[0] ?? null, last: positions.at(-1) ?? null, parts })},"changes":`;
}
