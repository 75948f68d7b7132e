/**
 * The collections as rows: which of them, and in which order.
 */
import { useEffect, useMemo, useRef } from 'preact/hooks';
import type { CollectionOverview, Overview } from '../../src/app/overview-types.ts';
import { decode, verifiedBefore } from './cells.ts';

export interface Row extends CollectionOverview {
  readonly codes: Uint8Array;
}

/** How the rows are put in order. */
export const ORDERS = {
  attention: 'attention first',
  name: 'by name',
  rows: 'most rows first',
  last: 'last event first',
} as const;
export type Order = keyof typeof ORDERS;

const URGENCY = { error: 0, behind: 1, paused: 2, fine: 3 } as const;

export function needsAttention({ health }: CollectionOverview): boolean {
  return health !== 'fine';
}

export function useRows(
  overview: Overview,
  search: string,
  only: boolean,
  order: Order,
): { readonly all: readonly Row[]; readonly shown: readonly Row[] } {
  const kept = useKeptRows(overview);
  const shown = useMemo(() => {
    const words = search.toLowerCase().trim();
    const found = kept.filter((row) => row.namespace.toLowerCase().includes(words) && (!only || needsAttention(row)));
    if (order === 'name') return found;
    const by: Readonly<Record<Exclude<Order, 'name'>, (a: Row, b: Row) => number>> = {
      attention: (a, b) => URGENCY[a.health] - URGENCY[b.health] || Number(b.cells.includes('g')) - Number(a.cells.includes('g')),
      rows: (a, b) => b.rowsSealed - a.rowsSealed,
      last: (a, b) => (b.lastEventAt ?? '').localeCompare(a.lastEventAt ?? ''),
    };
    return found.toSorted(by[order]);
  }, [kept, search, only, order]);
  return { all: kept, shown };
}

/** Rows that have not changed stay the same objects: what shows them is not drawn again, and their hours are not read again. */
function useKeptRows(overview: Overview): readonly Row[] {
  const before = useRef<{ readonly of: string; readonly rows: ReadonlyMap<string, Row> }>({ of: '', rows: new Map() });
  const kept = useMemo(() => {
    const { from } = overview.hours;
    const verified = verifiedBefore(overview);
    const hasWarehouse = overview.warehouse !== null;
    const of = [from, verified, hasWarehouse].join(' ');
    const known = before.current;
    const rows = overview.collections.map((each) => {
      const row = known.of === of ? known.rows.get(each.namespace) : undefined;
      if (row === undefined || row.cells !== each.cells) return { ...each, codes: decode(each.cells, from, verified, hasWarehouse) };
      return isSame(row, each) ? row : { ...each, codes: row.codes };
    });
    return { of, rows };
  }, [overview]);
  useEffect(() => {
    before.current = { of: kept.of, rows: new Map(kept.rows.map((row) => [row.namespace, row])) };
  }, [kept]);
  return kept.rows;
}

function isSame(row: Row, now: CollectionOverview): boolean {
  return (Object.keys(now) as (keyof CollectionOverview)[]).every((key) => row[key] === now[key]);
}
