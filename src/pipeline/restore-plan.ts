/**
 * At which moments a collection can be given back as it was, and from where on its events are followed.
 *
 * A state begins where everything about the collection is known: it was created or dropped (then it is empty), or a
 * snapshot of it is complete. It can be followed from there through the events, up to a gap, to a rename that brought documents
 * from elsewhere, or to what is not there yet. While a snapshot was read it is of no one moment: its state begins at its end.
 * Invariant: no moment is answered about which something is not known.
 */
import { SluiceError } from '../core/error.ts';
import { RESTORE_MOMENT, RESTORE_NOTHING } from '../core/errors.ts';
import { parseLine, textOf } from '../core/line.ts';
import { formatNamespace, type Namespace } from '../core/namespace.ts';
import { compareTimestamps, type Timestamp } from '../core/time.ts';

/** Where lines are kept: the lake, or bronze. */
export interface RestoreSource {
  /** For messages: `the lake`. */
  readonly name: string;
  /** @param asOf inclusive @throws RESTORE_NOTHING, RESTORE_MOMENT with the nearest moments that can be had */
  plan(ns: Namespace, asOf: Timestamp, signal: AbortSignal): Promise<RestorePlan>;
}

export interface RestorePlan {
  /** For messages. */
  readonly from: string;
  /** Events after this position are to be followed. */
  readonly position: string;
  /** Lines, up to that moment, that were erased since they were written: their documents are not given back. `null`: some were, nobody knows how many. */
  readonly erased: number | null;
  /** Lines of the snapshot that it begins with. Each is valid until the next one. */
  snapshot(signal: AbortSignal): AsyncIterable<Uint8Array>;
  /** Lines of its events, each after those before it of the same document; some may lie outside of what is asked. */
  events(signal: AbortSignal): AsyncIterable<Uint8Array>;
}

/** Where a state begins. @typeParam S what a snapshot is read from */
export interface Base<S> {
  /** First moment at which it is whole. */
  readonly at: Timestamp;
  readonly position: string;
  /** `null`: it begins empty. */
  readonly snapshot: S | null;
}

/** Events of these make or end a state. */
export const MARKS = ['create', 'drop', 'rename', 'dropDatabase'] as const;

/** Up to where something is known, and what to say of moments beyond it. */
export interface KnownUntil {
  /** Exclusive. */
  readonly end: Timestamp;
  readonly beyond: string;
}

/** All that is known of one collection's beginnings and ends. */
export class History<S> {
  readonly #ns: Namespace;
  readonly #bases: Base<S>[] = [];
  readonly #breaks: Timestamp[] = [];
  readonly #unknown: { readonly from: Timestamp; readonly to: Timestamp }[] = [];

  constructor(ns: Namespace) {
    this.#ns = ns;
  }

  /** The line of an event among {@link MARKS}, of any collection. */
  addMark(line: Buffer): void {
    const { db, coll } = this.#ns;
    const { op, at, position, ns: of } = factsOf(line);
    const isOwn = of.db === db && of.coll === coll;
    const isEmpty = (isOwn && (op === 'create' || op === 'drop' || op === 'rename')) || (op === 'dropDatabase' && of.db === db);
    if (isEmpty) this.#bases.push({ at, position, snapshot: null });
    if (op === 'rename' && isTo(line, this.#ns)) this.addBreak(at);
  }

  /** @param end the line that says that a snapshot is whole */
  addSnapshot(end: Buffer, snapshot: S): void {
    const { endedAt } = snapshotOf(end) ?? {};
    if (endedAt !== undefined) this.#bases.push({ at: endedAt.$timestamp, position: parseLine(end).position, snapshot });
  }

  /** From here on nothing is known of what is there. */
  addBreak(at: Timestamp): void {
    this.#breaks.push(at);
  }

  /** Somewhere between them it may have been ended, or documents brought to it. @param to exclusive */
  addUnknown(from: Timestamp, to: Timestamp): void {
    this.addBreak(from);
    this.#unknown.push({ from, to });
  }

  /** The newest beginning from which that moment can be reached. @throws RESTORE_NOTHING, RESTORE_MOMENT */
  choose(asOf: Timestamp, { end, beyond }: KnownUntil, from: string): Base<S> {
    const spans = this.#bases.map((base) => ({
      base,
      until: [...this.#breaks.filter((at) => compareTimestamps(at, base.at) > 0), end].toSorted(compareTimestamps)[0]!,
    }));
    const isWithin = (at: Timestamp): boolean =>
      this.#unknown.some(({ from, to }) => compareTimestamps(from, at) <= 0 && compareTimestamps(at, to) < 0);
    const good = spans.filter(({ base, until }) => compareTimestamps(base.at, until) < 0 && !isWithin(base.at));
    if (good.length === 0)
      throw new SluiceError(
        RESTORE_NOTHING,
        `nothing in ${from} says what ${formatNamespace(this.#ns)} held: it was neither created nor snapshotted while it was captured, or that is not there yet`,
        { next: `A collection can be given back from its creation or from a snapshot on. Check the name. ${beyond}` },
      );
    const fitting = good.filter(({ base, until }) => compareTimestamps(base.at, asOf) <= 0 && compareTimestamps(asOf, until) < 0);
    const best = fitting.toSorted((a, b) => compareTimestamps(a.base.at, b.base.at)).at(-1);
    if (best === undefined) throw refusal(asOf, good, compareTimestamps(asOf, end) >= 0 ? ` ${beyond}` : '');
    return best.base;
  }
}

function refusal<S>(asOf: Timestamp, good: readonly { base: Base<S>; until: Timestamp }[], hint: string): SluiceError {
  const before = good
    .map(({ until }) => until)
    .filter((at) => compareTimestamps(at, asOf) <= 0)
    .toSorted(compareTimestamps)
    .at(-1);
  const after = good
    .map(({ base }) => base.at)
    .filter((at) => compareTimestamps(at, asOf) > 0)
    .toSorted(compareTimestamps)[0];
  const near = [
    ...(before === undefined ? [] : [`just before ${shownMoment(before)}`]),
    ...(after === undefined ? [] : [`from ${shownMoment(after)} on`]),
  ].join(', or ');
  return new SluiceError(RESTORE_MOMENT, `${shownMoment(asOf)}; the nearest moments are ${near}`, {
    next: `Give one of these as \`--as-of\`.${hint}`,
  });
}

/** As `--as-of` takes it. */
export function shownMoment({ t, i }: Timestamp): string {
  return `${t}.${i} (${new Date(t * 1000).toISOString().slice(0, 19)}Z)`;
}

function factsOf(line: Buffer): { op: string; at: Timestamp; position: string; ns: Namespace } {
  const { _meta } = JSON.parse(line.toString('utf8')) as { _meta: { operationType: string } };
  const { at, position, ns } = parseLine(line);
  return { op: _meta.operationType, at, position, ns };
}

function isTo(line: Buffer, ns: Namespace): boolean {
  const text = textOf(line, 'to');
  const to = text === null ? null : (JSON.parse(text) as { db?: unknown; coll?: unknown });
  return to?.db === ns.db && to.coll === ns.coll;
}

/** What the end of a snapshot says; `null` when the line is none. */
export function snapshotOf(
  line: Buffer,
): { readonly files: number; readonly rows: number; readonly endedAt: { readonly $timestamp: Timestamp } } | null {
  const text = textOf(line, 'snapshot');
  return text === null ? null : (JSON.parse(text) as NonNullable<ReturnType<typeof snapshotOf>>);
}
