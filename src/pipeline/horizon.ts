/**
 * What retention has taken away on purpose: all hours before a horizon, which only ever rises. A collection that is held back
 * (its files are not loaded yet) has a horizon of its own, below that of the others, until it has come up with them.
 *
 * Invariant: the horizon is durable before the first file of an hour below it goes. Whoever reads the lake asks for the
 * horizon first and leaves out what lies below it, whether the files are still there or not.
 */
import { SluiceError, reasonOf } from '../core/error.ts';
import { RETENTION_BAD } from '../core/errors.ts';
import type { Lake, LakeFile, LakePath } from '../core/lake.ts';
import { LAYOUT_PRESETS, partHour, partPath } from '../core/layout.ts';
import type { SealedLine } from '../core/ledger.ts';
import { formatNamespace, parseNamespace } from '../core/namespace.ts';
import { hourName, parseHourName, type Hour } from '../core/time.ts';
import { readFile } from './read-file.ts';

/** Hours before `from` are gone; `null`: none is. */
export interface Reach {
  readonly from: Hour | null;
  /** All files below this are removed, so that nobody has to look for them again. */
  readonly removed: Hour | null;
}

/** Why a collection keeps hours that those of others have lost. */
export interface Hold {
  /** `YYYYMMDD-HH`: the first that is kept for that. */
  readonly hour: string;
  /** ISO 8601: when that was first seen. */
  readonly since: string;
  readonly reason: string;
}

export interface Apart extends Reach {
  /** `null`: nothing holds it any more, and its files are being removed. */
  readonly hold: Hold | null;
}

export interface Horizon extends Reach {
  /** Collections that are not where the others are, by name. */
  readonly apart: ReadonlyMap<string, Apart>;
}

export interface SavedHorizon extends Horizon {
  readonly there: LakeFile | null;
}

export const NO_HORIZON: Horizon = { from: null, removed: null, apart: new Map() };

export const horizonPath = (pipeline: string): LakePath => `_sluice/${pipeline}/retention.json`;

/** @throws RETENTION_BAD */
export async function readHorizon(lake: Lake, pipeline: string, signal: AbortSignal): Promise<SavedHorizon> {
  const path = horizonPath(pipeline);
  const there = await lake.stat(path);
  if (there === null) return { ...NO_HORIZON, there };
  try {
    const content = JSON.parse((await readFile(lake, path, signal)).toString('utf8')) as Record<string, unknown>;
    // The first version knew no collections.
    const apart = content['v'] === 1 ? {} : content['apart'];
    if ((content['v'] !== 1 && content['v'] !== 2) || typeof apart !== 'object' || apart === null) throw new Error('it is not what it should be');
    const entries = Object.entries(apart).map(([name, each]) => [name, apartOf(each as Record<string, unknown>)] as const);
    return { ...reachOf(content), apart: new Map(entries), there };
  } catch (error) {
    signal.throwIfAborted();
    throw new SluiceError(RETENTION_BAD, `${path}: ${reasonOf(error)}`, { cause: error });
  }
}

function reachOf(content: Record<string, unknown>): Reach {
  const [from, removed] = ['from', 'removed'].map((name) => {
    const value = content[name] ?? null;
    const hour = typeof value === 'string' ? parseHourName(value) : null;
    if (value !== null && hour === null) throw new Error(`${name} is no hour`);
    return hour;
  });
  return { from: from!, removed: removed! };
}

function apartOf(content: Record<string, unknown>): Apart {
  const hold = (content['hold'] ?? null) as Hold | null;
  const isHold = hold === null || [hold.hour, hold.since, hold.reason].every((text) => typeof text === 'string');
  if (!isHold) throw new Error('a hold does not say what it holds, since when and why');
  return { ...reachOf(content), hold };
}

export async function saveHorizon(lake: Lake, pipeline: string, horizon: SavedHorizon, savedAt: string): Promise<LakeFile> {
  const { apart, there } = horizon;
  const entries = [...apart].map(([name, each]) => [name, { ...namesOf(each), hold: each.hold }]);
  // An older version reads the first form, and has to be kept from what it does not know.
  const content = entries.length === 0 ? { v: 1, ...namesOf(horizon), savedAt } : { v: 2, ...namesOf(horizon), apart: Object.fromEntries(entries), savedAt }; // prettier-ignore
  return await lake.put(horizonPath(pipeline), Buffer.from(`${JSON.stringify(content)}\n`), there ?? 'absent');
}

function namesOf({ from, removed }: Reach): { from: string | null; removed: string | null } {
  return { from: from === null ? null : hourName(from), removed: removed === null ? null : hourName(removed) };
}

export type OfCollection = Pick<SealedLine, 'db' | 'coll'>;

/** Where a collection stands. */
export function reachIn(horizon: Horizon, of: OfCollection): Reach {
  return horizon.apart.size === 0 ? horizon : (horizon.apart.get(formatNamespace(of)) ?? horizon);
}

export function isGone(line: OfCollection & Pick<SealedLine, 'hour'>, horizon: Horizon): boolean {
  return isBelow(line, reachIn(horizon, line).from);
}

export function isBelow({ hour }: Pick<SealedLine, 'hour'>, from: Hour | null): boolean {
  return from !== null && (parseHourName(hour) ?? 0) < from;
}

/** What of a lake is looked at: the hours that are asked for, without those that retention has taken. */
export class Extent {
  /** Of no collection there is anything before it; `null`: there may be. */
  readonly since: Hour | null;
  readonly #asked: Hour | null;
  readonly #horizon: Horizon;
  /** Folders of collections that are apart, with the layout of single events. */
  readonly #folders: readonly (readonly [folder: string, from: Hour | null])[];

  /** @param layout `null`: not known */
  constructor(horizon: Horizon, asked: Hour | null, layout: string | null) {
    this.#horizon = horizon;
    this.#asked = asked === null || layout === null ? asked : partHour(layout, asked);
    const lowest = [horizon, ...horizon.apart.values()].reduce<Hour | null>(
      (least, { from }) => (least === null || from === null ? null : Math.min(least, from)),
      Infinity,
    );
    this.since = this.#asked === null ? lowest : Math.max(this.#asked, lowest ?? 0);
    this.#folders = [...horizon.apart].map(([name, { from }]) => {
      const path = partPath(LAYOUT_PRESETS['per-event'], parseNamespace(name), 0, 0, '');
      return [path.slice(0, path.indexOf('/year=') + 1), from];
    });
  }

  has(line: OfCollection & Pick<SealedLine, 'hour'>): boolean {
    return !isGone(line, this.#horizon) && !isBelow(line, this.#asked);
  }

  /** Of a file of a single event, which lies with its collection. */
  hasEvent(path: LakePath, hour: Hour): boolean {
    const [, from] = this.#folders.find(([folder]) => path.startsWith(folder)) ?? ['', this.#horizon.from];
    return hour >= Math.max(from ?? 0, this.#asked ?? 0);
  }
}
