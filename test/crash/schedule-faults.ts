/**
 * What a lake must be after a schedule: an oracle of its own, on purpose not the product's verifier, which has its say too.
 */
import { isSealedLine, type LedgerLine, type SealedLine } from '../../src/core/ledger.ts';
import { hourName, hourOf } from '../../src/core/time.ts';
import { verifyLake } from '../../src/pipeline/verify-lake.ts';
import { indexesAsParts } from './schedule-events.ts';
import { sha256, type History, type World } from './schedule-world.ts';

/**
 * Everything that is off in the end; empty when the lake is right.
 * @param positions `mixed`: files of two fingerprints may meet in the middle of a transaction, whose positions then say
 * nothing; the verifier, which knows no fingerprints, may call that an order fault
 */
/** A world of schedules, whatever its lake. */
type Outcome = Pick<World, 'faults' | 'changed' | 'files' | 'ledger' | 'lake'>;

export async function faultsOf(world: Outcome, history: History, positions: 'alike' | 'mixed' = 'alike'): Promise<string[]> {
  const found = [...new Set(world.faults), ...world.changed()];
  const files = world.files();
  const paths = [...files.keys()].toSorted();
  const data = paths.filter((path) => path.endsWith('.jsonl') && !path.startsWith('_sluice'));
  const isPerEvent = data.some((path) => path.includes('/_index-'));
  const seen = isPerEvent ? indexesAsParts(files, found) : files;
  const parts = isPerEvent ? [...seen.keys()].filter((path) => path.endsWith('.jsonl') && !path.startsWith('_sluice')).toSorted() : data;
  found.push(...eventFaults(seen, parts, history));
  const lines = new Map<string, SealedLine>();
  for (const line of world.ledger()) {
    if (lines.has(line.path)) found.push(`two ledger lines for ${line.path}`);
    lines.set(line.path, line);
  }
  for (const path of data) {
    const line = lines.get(path);
    const bytes = files.get(path)!;
    if (line === undefined) found.push(`no ledger line for ${path}`);
    else if (line.sha256 !== sha256(bytes)) found.push(`ledger and bytes differ for ${path}`);
    else if (line.rows !== bytes.toString('utf8').split('\n').length - 1) found.push(`ledger rows differ for ${path}`);
  }
  for (const path of lines.keys()) if (!files.has(path)) found.push(`${path} has a ledger line and is gone`);
  found.push(...publishedFaults(seen, parts, history), ...epochFaults(files));
  const report = await verifyLake(await world.lake(), 'p', { signal: new AbortController().signal });
  const judged = report.findings.filter(({ check }) => positions === 'alike' || check !== 'order');
  found.push(...judged.map(({ check, path, detail }) => `verify: ${check}: ${path}: ${detail}`));
  return found;
}

/** Each event once, in the right place, in order within its hour. */
function eventFaults(files: ReadonlyMap<string, Buffer>, data: readonly string[], history: History): string[] {
  const found: string[] = [];
  const seen = new Map<number, string>();
  const lastOf = new Map<string, number>();
  for (const path of data) {
    for (const text of files.get(path)!.toString('utf8').split('\n').slice(0, -1)) {
      const id = (JSON.parse(text) as { fullDocument: { _id: number } }).fullDocument._id;
      const event = history.events[id]!;
      if (seen.has(id)) found.push(`event ${id} twice: ${seen.get(id)} and ${path}`);
      seen.set(id, path);
      const folder = path.slice(0, path.lastIndexOf('/'));
      const hour = hourName(hourOf(event.at.t));
      if (!path.includes(`events-${hour}`) || !path.startsWith(event.ns.replace('.', '/'))) found.push(`event ${id} in the wrong place: ${path}`);
      if ((lastOf.get(folder) ?? -1) >= id) found.push(`event ${id} out of order in ${path}`);
      lastOf.set(folder, id);
    }
  }
  // What only some filters let through may have passed under another one.
  for (const event of history.events) if (event.seenBy === undefined && !seen.has(event.id)) found.push(`event ${event.id} missing`);
  return found;
}

function publishedFaults(files: ReadonlyMap<string, Buffer>, data: readonly string[], history: History): string[] {
  const found: string[] = [];
  const collections = new Map<string, Set<string>>();
  for (const folder of new Set(data.map((path) => path.slice(0, path.lastIndexOf('/'))))) {
    const hour = /events-(\d{8}-\d\d)/.exec(data.find((path) => path.startsWith(`${folder}/`))!)![1]!;
    const names = collections.get(hour) ?? new Set();
    collections.set(hour, names.add(folder.split('/').slice(0, 2).join('.')));
    const manifest = files.get(`${folder}/_manifest.json`);
    if (manifest === undefined || !files.has(`${folder}/_SUCCESS`)) {
      found.push(`hour not published: ${folder}`);
      continue;
    }
    const listed = (JSON.parse(manifest.toString('utf8')) as { files: SealedLine[] }).files.map((f) => f.path);
    const there = data.filter((path) => path.startsWith(`${folder}/`));
    if (listed.join() !== there.join()) found.push(`manifest of ${folder} lists ${listed.join()}, there are ${there.join()}`);
  }
  for (let hour = hourOf(history.events[0]!.at.t); hour < hourOf(history.end.t); hour += 1) {
    const name = hourName(hour);
    const file = files.get(`_sluice/p/hours/${name}.json`);
    const said = file && (JSON.parse(file.toString('utf8')) as { complete: boolean; collections: string[] });
    if (said === undefined) found.push(`no hour file ${name}`);
    else if (!said.complete || said.collections.join() !== [...(collections.get(name) ?? [])].toSorted().join())
      found.push(`hour file ${name} says ${JSON.stringify(said)}`);
  }
  return found;
}

/** Owners write their epoch before anything else, and never after a later one. */
function epochFaults(files: ReadonlyMap<string, Buffer>): string[] {
  const found: string[] = [];
  let epoch = 0;
  for (const [path, bytes] of [...files].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    if (!path.startsWith('_sluice/p/ledger/')) continue;
    for (const text of bytes.toString('utf8').split('\n').slice(0, -1)) {
      const line = JSON.parse(text) as LedgerLine;
      if (isSealedLine(line)) continue;
      if (line.epoch < epoch) found.push(`owner ${line.epoch} wrote to the ledger after owner ${epoch}`);
      epoch = line.epoch;
    }
  }
  return found;
}
