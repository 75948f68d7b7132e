/**
 * Takes superseded rows out of bronze, hour by hour: sql/retention.ts says which.
 *
 * Invariant: the rows go, the rows that stay count them, the load ledger knows what is left of each file, and the registry says up to which
 * hour, all in one transaction: a crash leaves a horizon that is true. Never past `complete_through`: what is loaded later cannot be older.
 */
import type { Namespace } from '../../core/namespace.ts';
import { SECONDS_PER_HOUR, hourOf, type Hour } from '../../core/time.ts';
import type { BronzeRetention } from '../../core/warehouse.ts';
import { failpoint } from '../../ops/failpoint.ts';
import { isUnmerged, type Entry } from '../sql/registry.ts';
import * as statements from '../sql/retention.ts';
import { findEntry, tablesOf, type Context } from './collections.ts';
import type { Reads, Session, Write } from './session.ts';

/** A transaction passes hours with so many rows together, at least one hour. */
const STEP_ROWS_MAX = 2_000_000;

export interface RetainBronze {
  readonly before: Hour;
  readonly dryRun: boolean;
}

const nothing = (entry: Entry | null): BronzeRetention => ({ from: horizonIn(entry), rows: 0, heldBy: null });

export async function retainBronze(
  database: Reads,
  write: Write,
  context: Context,
  ns: Namespace,
  { before, dryRun }: RetainBronze,
  signal: AbortSignal,
): Promise<BronzeRetention> {
  const planned = await database.read((session) => plan(session, context, ns, before), signal);
  const { entry, hours, heldBy } = planned;
  if (entry === null || hours.length === 0) return { ...nothing(entry), heldBy };
  if (dryRun) return { ...(await database.read((session) => count(session, context, entry, planned.before), signal)), heldBy };
  let rows = 0;
  for (const until of stepsOf(hours, planned.before)) {
    signal.throwIfAborted();
    const step = await write((session) => pass(session, context, ns, until));
    failpoint('warehouse.after-retain-commit');
    rows += step.rows;
    if (step.heldBy !== null) return { from: step.from, rows, heldBy: step.heldBy };
  }
  return { from: planned.before, rows, heldBy };
}

interface Plan {
  readonly entry: Entry | null;
  readonly before: Hour;
  readonly hours: readonly HourRows[];
  readonly heldBy: string | null;
}

interface HourRows {
  readonly hour: Hour;
  readonly rows: number;
}

/** How far it may go, and what there is up to there. */
async function plan(session: Session, context: Context, ns: Namespace, wanted: Hour): Promise<Plan> {
  const entry = await findEntry(session, context, ns);
  if (entry === null || entry.coll === null || entry.last_batch === 0) return { entry: null, before: wanted, hours: [], heldBy: null };
  const { hour, heldBy } = limitIn(entry, wanted);
  const span = spanOf(entry, hour);
  const hours = span.from >= span.before ? [] : await session.all<HourRows>(statements.selectHours(tablesOf(context, entry), span));
  return { entry, before: hour, hours, heldBy };
}

function limitIn(entry: Entry, wanted: Hour): { readonly hour: Hour; readonly heldBy: string | null } {
  const { complete_through: through } = entry;
  const complete = through === null ? 0 : hourOf(Date.parse(through) / 1000);
  if (isUnmerged(entry) || entry.learnt_batch < entry.merged_batch) return { hour: 0, heldBy: 'rows of it wait for the merge' };
  return complete >= wanted ? { hour: wanted, heldBy: null } : { hour: complete, heldBy: `it is complete up to ${through ?? 'no time yet'} only` };
}

function spanOf(entry: Entry, before: Hour): statements.Span {
  return { from: (horizonIn(entry) ?? 0) * SECONDS_PER_HOUR, before: before * SECONDS_PER_HOUR };
}

function horizonIn(entry: Entry | null): Hour | null {
  return entry?.bronze_from == null ? null : hourOf(Date.parse(entry.bronze_from) / 1000);
}

/** Hours to stop before, on the way to the last one. */
function stepsOf(hours: readonly HourRows[], before: Hour): Hour[] {
  const steps: Hour[] = [];
  let rows = 0;
  for (const each of hours) {
    if (rows > 0 && rows + each.rows > STEP_ROWS_MAX) {
      steps.push(each.hour);
      rows = 0;
    }
    rows += each.rows;
  }
  return [...steps, before];
}

async function count(session: Session, context: Context, entry: Entry, before: Hour): Promise<Pick<BronzeRetention, 'from' | 'rows'>> {
  const of = { ...context, tables: tablesOf(context, entry) };
  const ended = await endedBefore(session, context, entry, before);
  const [sum] = await session.all<{ rows: number }>(statements.countSuperseded(of, spanOf(entry, before), ended));
  return { from: before, rows: sum?.rows ?? 0 };
}

/** One transaction. What it rests on is looked at again: somebody may have loaded, or have been here, in between. */
async function pass(session: Session, context: Context, ns: Namespace, until: Hour): Promise<BronzeRetention> {
  const entry = await findEntry(session, context, ns);
  if (entry === null) return nothing(null);
  const { hour, heldBy } = limitIn(entry, until);
  const span = spanOf(entry, hour);
  if (span.from >= span.before) return { ...nothing(entry), heldBy };
  const { catalog } = context;
  const tables = tablesOf(context, entry);
  const of = { ...context, tables };
  await session.run(statements.clearSuperseded(catalog));
  await session.run(statements.insertSuperseded(of, span, await endedBefore(session, context, entry, hour)));
  const [wrong] = await session.all<{ path: string; found: number; expected: number | null }>(statements.selectNotWhole(catalog, tables));
  if (wrong !== undefined) {
    await session.run(statements.clearSuperseded(catalog));
    const { path, found, expected } = wrong;
    return { ...nothing(entry), heldBy: `bronze has ${found} rows of ${path}, and should have ${expected ?? 0}: \`sluice verify --warehouse\`` };
  }
  await session.run(statements.updateFiles(of));
  await session.run(statements.countRemoved(catalog, tables, span));
  const rows = await session.run(statements.deleteSuperseded(catalog, tables));
  await session.run(statements.recordRetention(catalog, ns, isoOf(hour), rows));
  await session.run(statements.clearSuperseded(catalog));
  failpoint('warehouse.before-retain-commit');
  return { from: hour, rows, heldBy };
}

async function endedBefore(session: Session, { catalog }: Context, entry: Entry, before: Hour): Promise<string> {
  return (await session.all<{ position: string }>(statements.selectEnded(catalog, entry, isoOf(before))))[0]?.position ?? '';
}

function isoOf(hour: Hour): string {
  return new Date(hour * SECONDS_PER_HOUR * 1000).toISOString();
}
