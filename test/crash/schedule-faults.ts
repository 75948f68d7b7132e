/**
 * What a lake must be after a schedule: an oracle of its own, on purpose not the product's verifier, which has its say too.
 * Every fault begins with its name and a colon, those of the verifier with `verify: `: schedule-faults.test.ts plants each.
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
    if (lines.has(line.path)) found.push(`ledger line twice: ${line.path}`);
    lines.set(line.path, line);
  }
  for (const path of data) {
    const line = lines.get(path);
    const bytes = files.get(path)!;
    if (line === undefined) found.push(`unknown file: ${path} has no ledger line`);
    else if (line.bytes !== bytes.length) found.push(`wrong size: ${path} has ${bytes.length} bytes, its ledger line says ${line.bytes}`);
    else if (line.sha256 !== sha256(bytes)) found.push(`wrong hash: ${path} is not what its ledger line says`);
    else if (line.rows !== bytes.toString('utf8').split('\n').length - 1) found.push(`wrong count: ${path} has not the rows of its ledger line`);
  }
  for (const path of lines.keys()) if (!files.has(path)) found.push(`missing file: ${path} has a ledger line and is gone`);
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
    const texts = files.get(path)!.toString('utf8').split('\n');
    if (texts.pop() !== '') found.push(`torn line: ${path} does not end in a newline`);
    for (const text of texts) {
      const id = idIn(text);
      if (id === null) {
        found.push(`torn line: ${path} holds ${text}`);
        continue;
      }
      const event = history.events[id]!;
      if (seen.has(id)) found.push(`duplicate: event ${id} is in ${seen.get(id)} and ${path}`);
      seen.set(id, path);
      const folder = path.slice(0, path.lastIndexOf('/'));
      const hour = hourName(hourOf(event.at.t));
      if (!path.includes(`events-${hour}`) || !path.startsWith(event.ns.replace('.', '/'))) found.push(`wrong place: event ${id} is in ${path}`);
      if ((lastOf.get(folder) ?? -1) >= id) found.push(`order: event ${id} in ${path}`);
      lastOf.set(folder, id);
    }
  }
  // What only some filters let through may have passed under another one.
  for (const event of history.events) if (event.seenBy === undefined && !seen.has(event.id)) found.push(`missing event: ${event.id}`);
  return found;
}

function idIn(text: string): number | null {
  try {
    return (JSON.parse(text) as { fullDocument: { _id: number } }).fullDocument._id;
  } catch {
    return null;
  }
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
      found.push(`not published: ${folder}`);
      continue;
    }
    const listed = (JSON.parse(manifest.toString('utf8')) as { files: SealedLine[] }).files.map((f) => f.path);
    const there = data.filter((path) => path.startsWith(`${folder}/`));
    if (listed.join() !== there.join()) found.push(`manifest: that of ${folder} lists ${listed.join()}, there are ${there.join()}`);
  }
  for (let hour = hourOf(history.events[0]!.at.t); hour < hourOf(history.end.t); hour += 1) {
    const name = hourName(hour);
    const file = files.get(`_sluice/p/hours/${name}.json`);
    const said = file && (JSON.parse(file.toString('utf8')) as { complete: boolean; collections: string[] });
    if (said === undefined) found.push(`hour file: there is none of ${name}`);
    else if (!said.complete || said.collections.join() !== [...(collections.get(name) ?? [])].toSorted().join())
      found.push(`hour file: that of ${name} says ${JSON.stringify(said)}`);
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
      if (line.epoch < epoch) found.push(`epoch: owner ${line.epoch} wrote to the ledger after owner ${epoch}`);
      epoch = line.epoch;
    }
  }
  return found;
}
