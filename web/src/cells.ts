/**
 * Hours of a collection as numbers, and what several of them look like when they share a pixel.
 */
import type { Overview } from '../../src/app/overview-types.ts';

/** In the order in which they matter when hours share a column: the worst wins, progress counts from its least. */
export const STATES = ['none', 'quiet', 'verified', 'loaded', 'sealed', 'open', 'gap'] as const;
export type State = (typeof STATES)[number];

const CODES: Readonly<Record<string, number>> = { '-': 0, '.': 1, l: 3, s: 4, o: 5, g: 6 };
const VERIFIED = 2;
const LOADED = 3;
const SEALED = 4;

export const WORDS: Readonly<Record<State, string>> = {
  none: 'not covered',
  quiet: 'complete, nothing happened',
  verified: 'loaded and verified',
  loaded: 'loaded',
  sealed: 'sealed',
  open: 'open',
  gap: 'gap in the history',
};

/** Hours before this one were proven to be right; 0: none. */
export function verifiedBefore({ verification }: Overview): number {
  return verification?.ok === true ? verification.before : 0;
}

/** @param cells as in the overview: `.700s3l16` */
export function decode(cells: string, from: number, verified: number, hasWarehouse: boolean): Uint8Array {
  const out: number[] = [];
  for (const [, letter = '-', times] of cells.matchAll(/([-.oslg])(\d+)/g)) {
    const code = CODES[letter] ?? 0;
    for (let n = Number(times); n > 0; n -= 1) {
      const proven = from + out.length < verified && (code === LOADED || (code === SEALED && !hasWarehouse));
      out.push(proven ? VERIFIED : code);
    }
  }
  return Uint8Array.from(out);
}

/** The last `hours` of them in at most `columns` columns, the worst of each. */
export function columnsOf(codes: Uint8Array, hours: number, columns: number): Uint8Array {
  const shown = codes.subarray(Math.max(0, codes.length - hours));
  if (shown.length <= columns) return shown;
  const out = new Uint8Array(columns);
  for (let at = 0; at < columns; at += 1) {
    const end = Math.floor(((at + 1) * shown.length) / columns);
    for (let i = Math.floor((at * shown.length) / columns); i < end; i += 1) out[at] = Math.max(out[at] ?? 0, shown[i] ?? 0);
  }
  return out;
}
