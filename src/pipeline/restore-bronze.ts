/**
 * Restoring out of the warehouse: bronze has every line as it came, also of hours that the lake has no longer.
 *
 * It is as complete as it says: from the first row that is kept up to what is loaded. A collection whose loading is held up may have been
 * renamed into this one: so this one is known no further than all of them are.
 */
import { SluiceError } from '../core/error.ts';
import { RESTORE_CHANGED, RESTORE_NOTHING } from '../core/errors.ts';
import { parseLine } from '../core/line.ts';
import { formatNamespace, type Namespace } from '../core/namespace.ts';
import { compareTimestamps, type Timestamp } from '../core/time.ts';
import type { BronzeHistory, Warehouse } from '../core/warehouse.ts';
import { History, shownMoment, snapshotOf, type RestorePlan, type RestoreSource } from './restore-plan.ts';

const BEYOND = 'What is later is not loaded yet: `sluice seal`, then `sluice load`.';
const ORDINAL_MAX = 2 ** 32 - 1;

export class BronzeSource implements RestoreSource {
  readonly name = 'the warehouse';
  readonly #warehouse: Warehouse;

  constructor(warehouse: Warehouse) {
    this.#warehouse = warehouse;
  }

  async plan(ns: Namespace, asOf: Timestamp, signal: AbortSignal): Promise<RestorePlan> {
    const warehouse = this.#warehouse;
    const known = await warehouse.history(ns, signal);
    const history = new History<string>(ns);
    // What begins before the first row that is kept cannot be followed.
    const isKept = (line: Buffer): boolean => known.from === null || compareTimestamps(parseLine(line).at, known.from) >= 0;
    for (const line of known.marks.map((text) => Buffer.from(text))) if (isKept(line)) history.addMark(line);
    for (const { end, folder, rows } of known.snapshots) {
      const line = Buffer.from(end);
      const said = snapshotOf(line)?.rows ?? -1;
      if (!isKept(line)) continue;
      if (known.erased ? rows <= said : rows === said) history.addSnapshot(line, folder);
    }
    for (const { from, to } of known.gaps) {
      history.addBreak(from);
      // Whole seconds are all that is noted: nothing is said of any moment within.
      if (to !== null) history.addBreak({ t: to.t, i: ORDINAL_MAX });
    }
    for (const second of known.ends) history.addUnknown(second, { t: second.t + 1, i: 0 });
    const base = history.choose(asOf, { end: endOf(known, ns, warehouse), beyond: beyond(known, ns) }, this.name);
    return {
      from: this.name,
      position: base.position,
      erased: known.erased ? null : 0,
      snapshot: (stop) => linesOf(base.snapshot === null ? [] : warehouse.snapshotLines(ns, base.snapshot, stop)),
      events: async function* (stop) {
        yield* linesOf(warehouse.eventLines(ns, { after: base.position, upTo: asOf }, stop));
        await assertKept(warehouse, ns, known, stop);
      },
    };
  }
}

async function* linesOf(lines: AsyncIterable<string> | Iterable<string>): AsyncGenerator<Uint8Array> {
  for await (const line of lines) yield Buffer.from(line);
}

/** @throws RESTORE_NOTHING */
function endOf({ until }: BronzeHistory, ns: Namespace, { description }: Warehouse): Timestamp {
  if (until !== null) return until.at;
  throw new SluiceError(RESTORE_NOTHING, `${description} does not say up to when ${formatNamespace(ns)} is loaded`, {
    next: 'Check the name, and `sluice load` what is sealed.',
  });
}

function beyond({ until }: BronzeHistory, ns: Namespace): string {
  if (until === null || until.by === formatNamespace(ns)) return BEYOND;
  return `${until.by} is loaded up to ${shownMoment(until.at)} and no further, and it may have been renamed to ${formatNamespace(ns)} since: \`sluice load\`, \`sluice resume\`.`;
}

/** While it was read, retention may have taken the beginning. @throws RESTORE_CHANGED */
async function assertKept(warehouse: Warehouse, ns: Namespace, before: BronzeHistory, signal: AbortSignal): Promise<void> {
  const { from } = await warehouse.history(ns, signal);
  if (from !== null && (before.from === null || compareTimestamps(from, before.from) > 0))
    throw new SluiceError(RESTORE_CHANGED, `rows of ${formatNamespace(ns)} before ${shownMoment(from)} are gone since it began`);
}
