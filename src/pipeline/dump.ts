/**
 * Dumps: a collection whole, or the changes of an hour, as files for programs that follow no ledger.
 *
 * Invariants: each collection and hour is dumped once, however often it is asked for; a change is in one file; what a crash
 * left of a file is gone before that dump is made again; one collection that fails does not stop the others. Two dumps of
 * one pipeline never run at the same time: a lock of their own sees to that (dump-record.ts).
 */
import type { Clock } from '../core/clock.ts';
import type { CollectionReading, DocumentReader } from '../core/documents.ts';
import { SluiceError, reasonOf } from '../core/error.ts';
import { DUMP_BUSY, DUMP_COUNT, DUMP_HISTORY, DUMP_TIMEOUT } from '../core/errors.ts';
import type { Lake, LakePath } from '../core/lake.ts';
import { formatNamespace, NamespaceFilter, type Namespace } from '../core/namespace.ts';
import { hourName, hourOf } from '../core/time.ts';
import type { Logger } from '../ops/log.ts';
import { ChangesOfHours, dumpChanges } from './dump-changes.ts';
import { asElements } from './dump-file.ts';
import { dumpLock, newRecord, readRecords, recordPath, type DumpAsked, type DumpContent, type DumpFile, type DumpNames } from './dump-record.ts';
import { OpenDump } from './open-dump.ts';

export interface DumpOptions {
  readonly pipeline: string;
  readonly content: DumpContent;
  readonly names: DumpNames;
  /** Globs. */
  readonly collections: readonly string[];
  /** For one collection. */
  readonly timeoutMs: number;
  /** Changes of one file at most. */
  readonly changesMax: number;
}

export interface DumpOutcome {
  readonly namespace: string;
  /** `YYYYMMDD-HH`. */
  readonly hour: string;
  /** `there`: it had been dumped before. */
  readonly outcome: 'dumped' | 'there' | 'failed';
  readonly files: readonly LakePath[];
  /** Documents or changes, in these files. */
  readonly rows: number;
  /** What failed, or what there is to know. */
  readonly note: string | null;
}

interface Parts {
  readonly lake: Lake;
  readonly clock: Clock;
  readonly log: Logger;
  readonly reader: DocumentReader;
}

export class Dumper {
  readonly #options: DumpOptions;
  readonly #lake: Lake;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #reader: DocumentReader;

  constructor(options: DumpOptions, { lake, clock, log, reader }: Parts) {
    this.#options = options;
    this.#lake = lake;
    this.#clock = clock;
    this.#log = log;
    this.#reader = reader;
  }

  /** @throws DUMP_BUSY while another dump of this pipeline runs */
  async run(asked: DumpAsked, signal: AbortSignal): Promise<readonly DumpOutcome[]> {
    const { pipeline, content } = this.#options;
    const ownership = await this.#lake.own(dumpLock(pipeline), { takeOver: false }, signal);
    if (ownership === null) throw new SluiceError(DUMP_BUSY, `of ${pipeline} in ${this.#lake.description}`);
    await using owned = ownership;
    const until = AbortSignal.any([signal, owned.lost]);
    await this.#cleanUp(until);
    return content === 'documents' ? await this.#documents(asked, until) : await this.#changes(asked, until);
  }

  #isAskedFor(ns: Namespace, { collections }: DumpAsked): boolean {
    const isIn = (globs: readonly string[]): boolean => new NamespaceFilter(globs, []).matches(ns);
    return ns.coll !== null && isIn(this.#options.collections) && (collections.length === 0 || isIn(collections));
  }

  async #documents(asked: DumpAsked, signal: AbortSignal): Promise<DumpOutcome[]> {
    const found = (await this.#reader.collections(signal)).filter((ns) => this.#isAskedFor(ns, asked));
    const hour = hourName(hourOf(this.#clock.now() / 1000));
    const outcomes: DumpOutcome[] = [];
    for (const ns of found) outcomes.push(await this.#one(ns, hour, signal, (dump, until) => this.#wholeCollection(dump, until)));
    return outcomes;
  }

  async #changes(asked: DumpAsked, signal: AbortSignal): Promise<DumpOutcome[]> {
    const hours = new ChangesOfHours(this.#lake, this.#options.pipeline);
    const found = await hours.find(asked, this.#clock.now(), signal);
    const outcomes: DumpOutcome[] = [];
    for (const each of found) {
      if (!this.#isAskedFor(each.ns, asked)) continue;
      const { changesMax } = this.#options;
      const outcome = await this.#one(each.ns, each.hour, signal, (dump, until) =>
        dumpChanges(hours, dump, each, { changesMax, now: this.#clock.now() }, until),
      );
      if (outcome.outcome !== 'there' || asked.hour !== null) outcomes.push(outcome);
    }
    return outcomes;
  }

  /** One collection's hour, whose failure is its own. */
  async #one(
    ns: Namespace,
    hour: string,
    signal: AbortSignal,
    work: (dump: OpenDump, signal: AbortSignal) => Promise<string | null>,
  ): Promise<DumpOutcome> {
    const { timeoutMs, pipeline, content, names } = this.#options;
    const namespace = formatNamespace(ns);
    const path = recordPath(pipeline, { db: ns.db, coll: ns.coll ?? '' }, hour, content);
    const timeout = AbortSignal.timeout(timeoutMs);
    const until = AbortSignal.any([signal, timeout]);
    let dump: OpenDump | null = null;
    try {
      dump = await OpenDump.open(this.#lake, path, newRecord(ns, hour, content, this.#iso()), names, until);
      if (dump.record.done)
        return { namespace, hour, outcome: 'there', files: dump.record.files.map((file) => file.path), rows: rowsOf(dump.record.files), note: null };
      const before = dump.record.files.length;
      const note = await work(dump, until);
      const files = dump.record.files.slice(before);
      if (files.length > 0) this.#log.info({ collection: namespace, hour, files: files.map((file) => file.path), rows: rowsOf(files) }, 'dumped');
      return {
        namespace,
        hour,
        outcome: files.length > 0 || dump.record.done ? 'dumped' : 'there',
        files: files.map((file) => file.path),
        rows: rowsOf(files),
        note,
      };
    } catch (error) {
      await dump
        ?.abandon()
        .catch((cause: unknown) => this.#log.warn({ err: cause, path }, 'what is left of a dump is taken away before the next one'));
      signal.throwIfAborted();
      const known = timeout.aborted ? new SluiceError(DUMP_TIMEOUT, `${namespace} took longer than ${timeoutMs / 1000} s`, { cause: error }) : error;
      this.#log.error({ err: known, collection: namespace, hour }, 'a collection could not be dumped; the others are');
      const note = known instanceof SluiceError ? `${known.code}: ${known.message}` : reasonOf(known);
      return { namespace, hour, outcome: 'failed', files: [], rows: 0, note };
    }
  }

  /** @returns what there is to know of it */
  async #wholeCollection(dump: OpenDump, signal: AbortSignal): Promise<string | null> {
    const { db, coll } = dump.record.ns;
    try {
      await using reading = await this.#reader.open({ db, coll }, { atOneTime: true }, signal);
      await this.#read(dump, reading, signal);
      return null;
    } catch (error) {
      if (!SluiceError.is(error, DUMP_HISTORY)) throw error;
      this.#log.warn({ err: error, collection: `${db}.${coll}` }, 'the server does not keep one moment for so long: dumped while others write');
    }
    await dump.abandon();
    await using reading = await this.#reader.open({ db, coll }, { atOneTime: false }, signal);
    await this.#read(dump, reading, signal);
    return 'not of one moment: the server does not keep one for as long as this took';
  }

  async #read(dump: OpenDump, reading: CollectionReading, signal: AbortSignal): Promise<void> {
    const isArray = this.#options.names.layout === 'array';
    await using writer = await dump.begin(0, signal);
    for await (const { lines, count } of reading.documents(signal)) {
      await writer.write(isArray ? asElements(lines, writer.rows === 0) : lines, count);
    }
    if (isArray) await writer.write(Buffer.from(writer.rows === 0 ? '[]\n' : '\n]\n'), 0);
    const { least, most } = await reading.count();
    if (writer.rows < least || writer.rows > most)
      throw new SluiceError(DUMP_COUNT, `${writer.rows} documents were read, the server counts ${least === most ? least : `${least} to ${most}`}`);
    await dump.end(writer, { done: true, at: reading.at }, this.#iso());
  }

  /** Takes away what dumps that were cut short have left. */
  async #cleanUp(signal: AbortSignal): Promise<void> {
    for await (const { path, record } of readRecords(this.#lake, this.#options.pipeline, signal)) {
      if (record.writing === null) continue;
      this.#log.warn({ path: record.writing }, 'removing what is left of a dump that was cut short');
      const dump = await OpenDump.open(this.#lake, path, record, this.#options.names, signal);
      await dump.abandon();
    }
  }

  #iso(): string {
    return new Date(this.#clock.now()).toISOString();
  }
}

function rowsOf(files: readonly DumpFile[]): number {
  return files.reduce((sum, { rows }) => sum + rows, 0);
}
