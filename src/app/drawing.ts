/**
 * A row per collection: its hours, its health, its sums. A row whose inputs have not changed is the one of last time: of 500 collections
 * only a few change from one look to the next.
 */
import { formatNamespace, NamespaceFilter, parseNamespace } from '../core/namespace.ts';
import { hourOf, parseHourName, type Hour } from '../core/time.ts';
import type { CollectionRow } from '../core/warehouse.ts';
import type { Checkpoint } from '../pipeline/checkpoint.ts';
import type { HourBook, HourSums } from './hour-book.ts';
import { hourCells, runLengths } from './hour-cells.ts';
import type { CollectionOverview, Health } from './overview-types.ts';

export interface Known {
  readonly checkpoint: Checkpoint;
  readonly book: HourBook;
  readonly registry: readonly CollectionRow[];
  readonly hasWarehouse: boolean;
  readonly from: Hour;
  readonly nowMs: number;
}

interface Drawn extends Pick<CollectionOverview, 'filesSealed' | 'rowsSealed' | 'bytesSealed' | 'cells'> {
  /** What it was made of. */
  readonly inputs: string;
  /** An hour that was over for a whole hour is not loaded yet. */
  readonly isLate: boolean;
}

export class Drawing {
  readonly #count: number;
  #drawn = new Map<string, Drawn>();

  /** @param count hours of a row */
  constructor(count: number) {
    this.#count = count;
  }

  collections(known: Known): CollectionOverview[] {
    const { checkpoint, book, registry } = known;
    const parts = Map.groupBy(checkpoint.parts, (part) => formatNamespace(part.ns));
    const rows = new Map(registry.map((row) => [formatNamespace(row.namespace), row]));
    const names = [...new Set([...book.collections.keys(), ...parts.keys(), ...rows.keys()])].sort();
    const common = commonOf(known);
    const drawn = new Map<string, Drawn>();
    const overviews = names.map((namespace) => {
      const row = rows.get(namespace);
      const sums = book.collections.get(namespace);
      const open = parts.get(namespace) ?? [];
      const openHours = new Set(open.map((part) => parseHourName(part.hour) ?? 0));
      const inputs = [sums?.version, [...openHours].join(), row?.completeThrough, common].join(' ');
      const before = this.#drawn.get(namespace);
      const mine =
        before?.inputs === inputs ? before : this.#draw(known, { namespace, inputs, sums, openHours, completeThrough: row?.completeThrough ?? null });
      drawn.set(namespace, mine);
      const lastEvent = Math.max(sums?.lastEvent ?? 0, ...open.map((part) => part.lastAt?.t ?? 0));
      const { filesSealed, rowsSealed, bytesSealed, cells } = mine;
      return {
        namespace,
        health: healthOf(row, known.hasWarehouse && mine.isLate),
        status: row?.status ?? null,
        reason: row?.reason ?? null,
        partsOpen: open.length,
        filesSealed,
        rowsSealed,
        bytesSealed,
        rowsLoaded: row?.rows ?? null,
        lastEventAt: lastEvent === 0 ? null : new Date(lastEvent * 1000).toISOString(),
        completeThrough: row?.completeThrough ?? null,
        cells,
      };
    });
    this.#drawn = drawn;
    return overviews;
  }

  #draw({ checkpoint, book, from, nowMs }: Known, { namespace, inputs, sums, openHours, completeThrough }: Inputs): Drawn {
    const ns = parseNamespace(namespace);
    const cells = hourCells({
      checkpoint,
      gaps: checkpoint.gaps.filter(({ collections }) => collections.length === 0 || new NamespaceFilter(collections, []).matches(ns)),
      openHours,
      filesAt: (hour) => sums?.files[book.indexOf(hour) ?? -1] ?? 0,
      completeThrough: completeThrough === null ? null : Date.parse(completeThrough) / 1000,
      from,
      count: this.#count,
      nowSeconds: nowMs / 1000,
      knownFrom: book.knownFrom,
    });
    const late = hourOf(nowMs / 1000) - 1 - from;
    return { inputs, cells: runLengths(cells), isLate: cells.some((cell, at) => cell === 's' && at < late), ...totals(sums, book, from) };
  }
}

interface Inputs {
  readonly namespace: string;
  readonly inputs: string;
  readonly sums: HourSums | undefined;
  readonly openHours: ReadonlySet<Hour>;
  readonly completeThrough: string | null;
}

/** What all rows are made of. */
function commonOf({ checkpoint, book, from, nowMs }: Known): string {
  return [from, checkpoint.nextHour, checkpoint.startedAt.t, book.knownFrom, hourOf(nowMs / 1000), JSON.stringify(checkpoint.gaps)].join(' ');
}

function totals(sums: HourSums | undefined, book: HourBook, from: Hour): Pick<CollectionOverview, 'filesSealed' | 'rowsSealed' | 'bytesSealed'> {
  const total = { filesSealed: 0, rowsSealed: 0, bytesSealed: 0 };
  if (sums === undefined) return total;
  for (let at = book.indexOf(from) ?? 0; at < sums.files.length; at += 1) {
    total.filesSealed += sums.files[at] ?? 0;
    total.rowsSealed += sums.rows[at] ?? 0;
    total.bytesSealed += sums.bytes[at] ?? 0;
  }
  return total;
}

function healthOf(row: CollectionRow | undefined, isLate: boolean): Health {
  if (row?.status === 'ERROR') return 'error';
  if (row?.status === 'PAUSED') return 'paused';
  return isLate ? 'behind' : 'fine';
}
