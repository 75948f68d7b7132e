/**
 * The ledger as its owner writes it: one file a day, opened and fenced like a part, named by the checkpoint first; a further
 * one when the storage takes no more appends to it.
 *
 * Invariant: a path has one line. After a crash on a storage that keeps what lies beyond the checkpoint, the line of a
 * part that was being sealed may be there already: then it is not written again.
 */
import type { Clock } from '../core/clock.ts';
import { SluiceError } from '../core/error.ts';
import { LEDGER_BAD } from '../core/errors.ts';
import type { Appender, Lake, LakePath } from '../core/lake.ts';
import { isSnapshotPath } from '../core/layout.ts';
import { isSealedLine, readLedgerLine, type LedgerLine, type SealedLine } from '../core/ledger.ts';
import { dayName } from '../core/time.ts';
import { failpoint } from '../ops/failpoint.ts';
import { hourKey, ledgerFolder, ledgerPath } from './checkpoint.ts';
import type { Committer } from './committer.ts';
import { readFile } from './read-file.ts';

export class Ledger {
  readonly #lake: Lake;
  readonly #committer: Committer;
  readonly #clock: Clock;
  #appender: Appender | null = null;
  /** Paths with a line, of the parts that may still be asked for. */
  readonly #paths = new Set<LakePath>();
  /** Lines of collection-hours that are not published yet, by hour key. */
  readonly #byHour = new Map<string, SealedLine[]>();

  constructor(lake: Lake, committer: Committer, clock: Clock) {
    this.#lake = lake;
    this.#committer = committer;
    this.#clock = clock;
  }

  /** Fences the file that the checkpoint names, then reads all that the unpublished hours need. */
  async recover(signal: AbortSignal): Promise<void> {
    const { state } = this.#committer;
    if (state.ledger !== null) {
      const { path, length } = state.ledger;
      failpoint('ledger.before-fence');
      this.#appender = await this.#lake.open(path, { epoch: state.epoch, expect: 'any', length }, signal);
      failpoint('ledger.after-fence');
      await this.#committer.assertOwner();
      state.ledger.length = this.#appender.length;
    }
    const since = [...state.hours, ...state.snapshots].reduce((day, each) => (each.since < day ? each.since : day), this.#day());
    for await (const line of readFencedLedger(this.#lake, ledgerFolder(state.pipeline, this.#committer.scope), since, signal))
      if (isSealedLine(line)) this.#remember(line);
    // In a file that is full there is no room for it; nothing else is written there either.
    if (this.#appender !== null && this.#appender.isFull !== true) await this.#writeEpoch(signal);
  }

  has(path: LakePath): boolean {
    return this.#paths.has(path);
  }

  /** Lines of a collection-hour, in path order. */
  ofHour(key: string): readonly SealedLine[] {
    return (this.#byHour.get(key) ?? []).toSorted((a, b) => (a.path < b.path ? -1 : 1));
  }

  /** The hour is published: its lines are on the lake and no longer asked for. */
  forget(key: string): void {
    for (const line of this.#byHour.get(key) ?? []) this.#paths.delete(line.path);
    this.#byHour.delete(key);
  }

  /** Day of the file that the next line goes to: never before the one that is open. */
  get day(): string {
    return this.#day();
  }

  /** The snapshot is complete: its files are asked for no longer. */
  forgetSnapshot(folder: LakePath): void {
    for (const path of this.#paths) if (path.startsWith(folder)) this.#paths.delete(path);
  }

  /** Lines become durable together. The parts that they name are closed. */
  async append(lines: readonly SealedLine[], signal: AbortSignal): Promise<void> {
    const fresh = lines.filter((line) => !this.#paths.has(line.path));
    if (fresh.length === 0) return;
    const appender = await this.#current(signal);
    failpoint('ledger.before-append');
    await appender.append([encodeLines(fresh)], signal);
    failpoint('ledger.after-append');
    this.#committer.state.ledger!.length = appender.length;
    for (const line of fresh) this.#remember(line);
  }

  async close(): Promise<void> {
    await this.#appender?.[Symbol.asyncDispose]();
    this.#appender = null;
  }

  #remember(line: SealedLine): void {
    this.#paths.add(line.path);
    if (isSnapshotPath(line.path)) return;
    const key = hourKey({ db: line.db, coll: line.coll }, line.hour);
    const lines = this.#byHour.get(key);
    if (lines === undefined) this.#byHour.set(key, [line]);
    else lines.push(line);
  }

  #day(): string {
    const { state } = this.#committer;
    const open = openFile(state.ledger?.path)?.day ?? '';
    // Nor before the day from which on an hour's lines will be looked for: a clock that is put back must not hide them.
    const promised = state.hours.at(-1)?.since ?? '';
    return [dayName(new Date(this.#clock.now())), open, promised].toSorted().at(-1)!;
  }

  /** Of the file that the next line goes to, among those of its day. */
  #number(): number {
    const open = openFile(this.#committer.state.ledger?.path);
    if (open === null || open.day !== this.#day()) return 0;
    return this.#appender?.isFull === true ? open.number + 1 : open.number;
  }

  async #current(signal: AbortSignal): Promise<Appender> {
    const { state } = this.#committer;
    const path = ledgerPath(state.pipeline, this.#committer.scope, this.#day(), this.#number());
    if (this.#appender !== null && state.ledger?.path === path) return this.#appender;
    await this.#appender?.close();
    this.#appender = null;
    const there = await this.#lake.stat(path);
    state.ledger = { path, length: there?.size ?? 0 };
    await this.#committer.save('ledger-intent');
    failpoint('ledger.before-open');
    this.#appender = await this.#lake.open(path, { epoch: state.epoch, expect: 'any', length: state.ledger.length }, signal);
    failpoint('ledger.after-open');
    await this.#committer.assertOwner();
    await this.#writeEpoch(signal);
    return this.#appender;
  }

  async #writeEpoch(signal: AbortSignal): Promise<void> {
    const { state } = this.#committer;
    failpoint('ledger.before-epoch');
    await this.#appender!.append([encodeLines([{ epoch: state.epoch, at: new Date(this.#clock.now()).toISOString() }])], signal);
    failpoint('ledger.after-epoch');
    state.ledger!.length = this.#appender!.length;
  }
}

function openFile(path: LakePath | undefined): { readonly day: string; readonly number: number } | null {
  const m = /\/(\d{8})(?:\.part-(\d{4,}))?\.jsonl$/.exec(path ?? '');
  return m === null ? null : { day: m[1]!, number: Number(m[2] ?? 0) };
}

function encodeLines(lines: readonly LedgerLine[]): Buffer {
  return Buffer.from(lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
}

/**
 * All lines of the ledger from a day on, in order.
 * A last line without its newline is being written (or was cut by a crash): it is not there yet, so it is left out.
 * @param since `YYYYMMDD`
 * @throws LEDGER_BAD
 */
export async function* readLedger(lake: Lake, pipeline: string, since: string, signal: AbortSignal): AsyncGenerator<LedgerLine> {
  for await (const { text, path } of ledgerFiles(lake, ledgerFolder(pipeline), since, signal)) yield* parseLedger(text, path);
}

/** The lines of sealed files that are asked for, and the paths that these take the place of. @throws LEDGER_BAD */
export async function readSealed(
  lake: Lake,
  pipeline: string,
  isAsked: (line: SealedLine) => boolean,
  signal: AbortSignal,
): Promise<{ lines: SealedLine[]; superseded: ReadonlySet<LakePath> }> {
  const lines: SealedLine[] = [];
  const superseded = new Set<LakePath>();
  for await (const line of readLedger(lake, pipeline, '', signal)) {
    if (!isSealedLine(line) || !isAsked(line)) continue;
    lines.push(line);
    for (const path of line.supersedes ?? []) superseded.add(path);
  }
  return { lines, superseded };
}

/**
 * As its owner reads it: nobody writes, so that half a line is damage. Left out, it would be taken for the beginning of the
 * line that is written next. @throws LEDGER_BAD
 */
export async function* readFencedLedger(lake: Lake, folder: LakePath, since: string, signal: AbortSignal): AsyncGenerator<LedgerLine> {
  for await (const { text, path } of ledgerFiles(lake, folder, since, signal)) {
    // Others write to what lies deeper.
    if (path.lastIndexOf('/') > folder.length) continue;
    if (text !== '' && !text.endsWith('\n')) throw new SluiceError(LEDGER_BAD, `${path} ends in the middle of a line`);
    yield* parseLedger(text, path);
  }
}

async function* ledgerFiles(lake: Lake, folder: LakePath, since: string, signal: AbortSignal): AsyncGenerator<{ text: string; path: LakePath }> {
  const from = `${since}.jsonl`;
  for await (const { path } of lake.list(folder, signal)) {
    // Those of partitions and of the maintenance lie a folder deeper.
    if (path.slice(path.lastIndexOf('/') + 1) >= from) yield { text: (await readFile(lake, path, signal)).toString('utf8'), path };
  }
}

/** @throws LEDGER_BAD */
export function* parseLedger(text: string, path: LakePath): Generator<LedgerLine> {
  const lines = text.split('\n');
  lines.pop();
  for (const [index, text] of lines.entries()) {
    const line = readLedgerLine(text);
    if (line === null) throw new SluiceError(LEDGER_BAD, `${path}, line ${index + 1}`);
    yield line;
  }
}
