/**
 * Which hours must stay whatever their age: those that are not over for good, and those of which somebody still needs a file.
 *
 * Invariant: nothing goes that the warehouse has not loaded, and nothing of a snapshot that is not complete, whose parts all belong to the
 * hour at which it was taken. What holds one collection says nothing of the others.
 */
import type { LakePath } from '../core/lake.ts';
import { partHour } from '../core/layout.ts';
import type { SealedLine } from '../core/ledger.ts';
import { formatNamespace } from '../core/namespace.ts';
import { hourName, hourOf, parseHourName, type Hour } from '../core/time.ts';
import type { Warehouse } from '../core/warehouse.ts';
import { firstNotOver } from './compaction-plan.ts';
import { isBelow } from './horizon.ts';
import type { WholePipeline } from './whole.ts';

const PATHS_PER_QUESTION = 1_000;

/** What retention asks of a warehouse. */
export type KnowsLoaded = Pick<Warehouse, 'loaded' | 'collections'>;

export interface HeldHour {
  /** The first that stays. */
  readonly hour: Hour;
  readonly reason: string;
}

/** The first hour that stays of every collection, whatever is loaded. */
export function limitOf(about: WholePipeline, wanted: Hour): { readonly hour: Hour; readonly heldBy: string | null } {
  const hour = partHour(about.layout, wanted);
  const over = firstNotOver(about);
  return over >= hour ? { hour, heldBy: null } : { hour: over, heldBy: `the hour ${hourName(over)} is not over for good yet` };
}

/** Collections with something to hold before `hour`. @param lines in force */
export async function holdsBefore(
  hour: Hour,
  about: WholePipeline,
  lines: readonly SealedLine[],
  warehouse: KnowsLoaded | null,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, HeldHour>> {
  const holds = new Map<string, HeldHour>();
  const hold = (name: string, at: Hour, reason: string): void => {
    if (at < (holds.get(name)?.hour ?? hour)) holds.set(name, { hour: at, reason });
  };
  for (const { ns, at } of about.snapshots) {
    hold(formatNamespace(ns), partHour(about.layout, hourOf(at.clusterTime.t)), 'a snapshot of it is being read, of which all files are kept until it is complete'); // prettier-ignore
  }
  if (warehouse === null) return holds;
  const old = lines.filter((line) => isBelow(line, hour)).toSorted((a, b) => (a.hour < b.hour ? -1 : 1));
  const states = new Map<string, string>();
  if (old.length > 0)
    for (const { namespace, status } of await warehouse.collections())
      if (status === 'PAUSED' || status === 'ERROR') states.set(formatNamespace(namespace), status);
  for (let at = 0; at < old.length; at += PATHS_PER_QUESTION) {
    signal.throwIfAborted();
    const some = old.slice(at, at + PATHS_PER_QUESTION);
    const known = await warehouse.loaded(some.flatMap(({ path, supersedes = [] }) => [path, ...supersedes]));
    for (const line of some) {
      if (isLoaded(line, known)) continue;
      const name = formatNamespace(line);
      const state = states.has(name) ? ` (status ${states.get(name)})` : '';
      hold(name, partHour(about.layout, parseHourName(line.hour) ?? 0), `the warehouse has not loaded ${line.path}${state}`);
    }
  }
  return holds;
}

/** Itself, or all the files that it took the place of. */
function isLoaded({ path, supersedes = [], erased }: SealedLine, known: ReadonlySet<LakePath>): boolean {
  return known.has(path) || (erased === undefined && supersedes.length > 0 && supersedes.every((each) => known.has(each)));
}
