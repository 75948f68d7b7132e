/**
 * Which letter an hour of a collection gets: the picture of completeness.
 */
import { hourOf, SECONDS_PER_HOUR, type Hour } from '../core/time.ts';
import type { Checkpoint, GapRecord } from '../pipeline/checkpoint.ts';
import type { HourState } from './overview-types.ts';

export interface HoursKnown {
  readonly checkpoint: Pick<Checkpoint, 'startedAt' | 'nextHour'>;
  /** Those that concern the collection. */
  readonly gaps: readonly GapRecord[];
  readonly openHours: ReadonlySet<Hour>;
  /** Sealed files of an hour. */
  readonly filesAt: (hour: Hour) => number;
  /** Seconds since 1970 up to which all is loaded and merged; `null`: not known. */
  readonly completeThrough: number | null;
  readonly from: Hour;
  readonly count: number;
  readonly nowSeconds: number;
  /** Of the hours before, what the ledger says is not known yet. */
  readonly knownFrom: Hour;
}

export function hourCells(known: HoursKnown): HourState[] {
  const { checkpoint, gaps, openHours, filesAt, completeThrough, from, count } = known;
  const begun = checkpoint.startedAt.t === 0 ? Number.POSITIVE_INFINITY : hourOf(checkpoint.startedAt.t);
  const inGap = (hour: Hour): boolean =>
    gaps.some((gap) => hour >= hourOf(gap.from.t) && hour <= hourOf(gap.to === null ? known.nowSeconds : gap.to.t));
  const stateOf = (hour: Hour): HourState => {
    if (inGap(hour)) return 'g';
    if (openHours.has(hour)) return 'o';
    const over = hour < checkpoint.nextHour;
    if (filesAt(hour) > 0) {
      if (completeThrough !== null && completeThrough >= (hour + 1) * SECONDS_PER_HOUR) return 'l';
      // More can come for an hour that is not over, though what is there is sealed.
      return over ? 's' : 'o';
    }
    return over && hour >= begun && hour >= known.knownFrom ? '.' : '-';
  };
  return Array.from({ length: count }, (_, at) => stateOf(from + at));
}

/** `...oo` is `.3o2`. */
export function runLengths(cells: readonly HourState[]): string {
  let out = '';
  for (let at = 0; at < cells.length;) {
    let end = at;
    while (end < cells.length && cells[end] === cells[at]) end += 1;
    out += `${cells[at]}${end - at}`;
    at = end;
  }
  return out;
}
