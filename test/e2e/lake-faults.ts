/**
 * What must be true of a lake on the disk after whatever happened, told from its files alone: none of the product's code
 * is used.
 *
 * Each function returns what it found wrong; nothing found is an empty list. Every fault begins with its name and a colon:
 * lake-faults.test.ts plants each of them.
 */
import { createHash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { EJSON } from 'bson';
import type { ShopWrite } from '../../src/app/demo/shop.ts';
import { isData, linesOf, listLake, readAll, type LakeLine } from './lake-files.ts';

const FAULTS_SHOWN = 10;

/** Each event once, in the file of its hour and collection, in order there. Needs the hive layout and plain names. */
export function placeFaults(lines: readonly LakeLine[]): string[] {
  const faults: string[] = [];
  const last = new Map<string, string>();
  const seen = new Map<string, string>();
  for (const { path, number, event } of lines) {
    const { ns, clusterTime, position } = event._meta;
    const { folder, name } = hourOf(clusterTime.$timestamp.t);
    const at = `${ns.db}/${ns.coll ?? '_database'}/${folder}/`;
    const file = path.slice(at.length);
    const isPart = new RegExp(`^events-${name}(\\.p\\d{3})?(\\.part-\\d{4})?\\.jsonl(\\.gz|\\.zst)?$`).test(file);
    // What is shared out by document is in order per partition.
    const sequence = `${at}${/\.p\d{3}/.exec(file)?.[0] ?? ''}`;
    if (!path.startsWith(at) || !isPart) faults.push(`wrong place: ${position} of ${at} ${name} is in ${path}`);
    const before = last.get(sequence) ?? '';
    const key = `${at} ${position}`;
    if (seen.has(key)) faults.push(`duplicate: ${path}:${number} has ${position}, which ${seen.get(key)} has`);
    else if (before > position) faults.push(`order: ${path}:${number} has ${position} after ${before}`);
    seen.set(key, `${path}:${number}`);
    last.set(sequence, position);
  }
  return faults.slice(0, FAULTS_SHOWN);
}

function hourOf(seconds: number): { readonly folder: string; readonly name: string } {
  const iso = new Date(seconds * 1000).toISOString();
  const [yyyy, MM, dd, HH] = [iso.slice(0, 4), iso.slice(5, 7), iso.slice(8, 10), iso.slice(11, 13)];
  return { folder: `year=${yyyy}/month=${MM}/day=${dd}/hour=${HH}`, name: `${yyyy}${MM}${dd}-${HH}` };
}

interface Sealed {
  readonly path: string;
  readonly bytes: number;
  readonly rows: number;
  readonly sha256: string;
}

const sha = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

/** Lines of the ledger that name a file. A last line without its newline is not one yet. */
function ledgerOf(files: ReadonlyMap<string, Buffer>): Sealed[] {
  const ledgers = [...files].filter(([path]) => /^_sluice\/[^/]+\/ledger\//.test(path));
  const lines = ledgers.flatMap(([, bytes]) => bytes.toString('utf8').split('\n').slice(0, -1));
  return lines.map((line) => JSON.parse(line) as Partial<Sealed>).filter((line): line is Sealed => line.path !== undefined);
}

/** Each data file has one line in the ledger, which says what it is; every manifest says the same of what is in its folder. */
export function ledgerFaults(files: ReadonlyMap<string, Buffer>): string[] {
  const faults: string[] = [];
  const lines = new Map<string, Sealed>();
  for (const line of ledgerOf(files)) {
    if (lines.has(line.path)) faults.push(`ledger line twice: ${line.path}`);
    lines.set(line.path, line);
    const bytes = files.get(line.path);
    if (bytes === undefined) {
      faults.push(`missing file: ${line.path} is in the ledger and not in the lake`);
      continue;
    }
    if (bytes.length !== line.bytes) faults.push(`wrong size: ${line.path} has ${bytes.length} bytes, the ledger says ${line.bytes}`);
    if (sha(bytes) !== line.sha256) faults.push(`wrong hash: ${line.path} is not what its ledger line says`);
    const torn = tornFault(line.path, bytes);
    if (torn !== null) faults.push(torn);
    else {
      const rows = linesOf(new Map([[line.path, bytes]])).length;
      if (rows !== line.rows) faults.push(`wrong count: ${line.path} has ${rows} rows, the ledger says ${line.rows}`);
    }
  }
  const data = [...files.keys()].filter(isData);
  for (const path of data) if (!lines.has(path)) faults.push(`unknown file: ${path} is not in the ledger`);
  for (const [path, bytes] of files) {
    if (!path.endsWith('/_manifest.json')) continue;
    const folder = path.slice(0, -'_manifest.json'.length);
    const listed = (JSON.parse(bytes.toString('utf8')) as { files: Sealed[] }).files;
    const [names, there] = [listed.map((file) => file.path).join(), data.filter((file) => file.startsWith(folder)).join()];
    if (names !== there) faults.push(`manifest: ${path} lists ${names}, there are ${there}`);
    for (const file of listed) {
      const line = lines.get(file.path);
      if (line !== undefined && !isDeepStrictEqual(line, file)) faults.push(`manifest: ${path} says something else of ${file.path} than the ledger`);
    }
  }
  return faults.slice(0, FAULTS_SHOWN);
}

/** A file whose last line, or whose last compressed member, is not all there, or with a line that is no JSON. */
function tornFault(path: string, bytes: Buffer): string | null {
  try {
    linesOf(new Map([[path, bytes]]));
    return null;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return error instanceof SyntaxError || reason.includes('newline') ? `torn line: ${path}: ${reason}` : `torn file: ${path}: ${reason}`;
  }
}

/** Hour files say which collections have data in their hour, and nothing is lost here. Needs the hive layout and plain names. */
export function hourFileFaults(files: ReadonlyMap<string, Buffer>): string[] {
  const faults: string[] = [];
  const collections = new Map<string, Set<string>>();
  for (const path of files.keys()) {
    if (!isData(path)) continue;
    const [db, coll] = path.split('/');
    const hour = /events-(\d{8}-\d\d)/.exec(path)?.[1] ?? '';
    const names = collections.get(hour) ?? new Set();
    collections.set(hour, names.add(coll === '_database' ? `${db}` : `${db}.${coll}`));
  }
  for (const [path, bytes] of files) {
    const hour = /^_sluice\/[^/]+\/hours\/([^/]+)\.json$/.exec(path)?.[1];
    if (hour === undefined) continue;
    const said = JSON.parse(bytes.toString('utf8')) as { hour: string; complete: boolean; collections: string[] };
    const there = [...(collections.get(hour) ?? [])].toSorted();
    if (said.hour !== hour || !said.complete) faults.push(`hour file: ${path} says ${JSON.stringify(said)}`);
    if (said.collections.toSorted().join() !== there.join())
      faults.push(`hour file: ${path} names ${said.collections.join()}, there are ${there.join()}`);
  }
  return faults.slice(0, FAULTS_SHOWN);
}

/** What is missing where all hours from the first to the last one given are over: hour files, manifests, `_SUCCESS`. */
export function unpublished(files: ReadonlyMap<string, Buffer>, pipeline: string, fromSeconds: number, toSeconds: number): string[] {
  const wanted: string[] = [];
  for (let hour = Math.floor(fromSeconds / 3600); hour <= Math.floor(toSeconds / 3600); hour += 1) {
    const { folder, name } = hourOf(hour * 3600);
    wanted.push(`_sluice/${pipeline}/hours/${name}.json`);
    for (const path of files.keys())
      if (isData(path) && path.includes(`/${folder}/`)) wanted.push(join(path, '_manifest.json'), join(path, '_SUCCESS'));
  }
  return [...new Set(wanted)].filter((path) => !files.has(path)).map((path) => `not published: ${path}`);
}

/** A file beside another one. */
function join(path: string, name: string): string {
  return `${path.slice(0, path.lastIndexOf('/'))}/${name}`;
}

/** What each acknowledged write did to its document, in order, is what the lake says of that document: no more, no less. */
export function writeFaults(writes: readonly ShopWrite[], lines: readonly LakeLine[]): string[] {
  const acknowledged = new Map<string, string[]>();
  const captured = new Map<string, string[]>();
  const add = (to: Map<string, string[]>, key: string, op: string): void => {
    const ops = to.get(key);
    if (ops === undefined) to.set(key, [op]);
    else ops.push(op);
  };
  for (const { ns, id, op } of writes) add(acknowledged, `${ns} ${EJSON.stringify({ _id: id }, { relaxed: false })}`, op);
  for (const { event } of lines) {
    const { ns, operationType } = event._meta;
    if (event['documentKey'] !== undefined) add(captured, `${ns.db}.${ns.coll} ${JSON.stringify(event['documentKey'])}`, operationType);
  }
  const faults: string[] = [];
  for (const key of new Set([...acknowledged.keys(), ...captured.keys()])) {
    const [wanted, got] = [acknowledged.get(key)?.join() ?? 'nothing', captured.get(key)?.join() ?? 'nothing'];
    if (wanted !== got) faults.push(`${nameOf(wanted, got)}: ${key}: acknowledged were ${wanted}, the lake has ${got}`);
  }
  return faults.slice(0, FAULTS_SHOWN);
}

function nameOf(wanted: string, got: string): string {
  if (wanted.length === got.length) return 'wrong event';
  return wanted.length > got.length ? 'missing event' : 'event too many';
}

/** Remembers all that may not change any more from the moment it is there. Looked at while nobody writes. */
export class SealedGuard {
  readonly #root: string;
  readonly #seen = new Map<string, string>();

  constructor(root: string) {
    this.#root = root;
  }

  /** Takes note of what is sealed or published by now. */
  async look(): Promise<void> {
    const paths = await listLake(this.#root);
    const final = paths.filter((path) => /\/(_manifest\.json|_SUCCESS|hours\/[^/]+\.json|pipeline\.json)$/.test(path));
    const ledgers = await readAll(
      this.#root,
      paths.filter((path) => path.includes('/ledger/')),
    );
    const fresh = [...ledgerOf(ledgers).map((line) => line.path), ...final].filter((path) => !this.#seen.has(path));
    for (const [path, bytes] of await readAll(this.#root, fresh)) this.#seen.set(path, sha(bytes));
  }

  /** What is not as it was when it was seen first. */
  changed(files: ReadonlyMap<string, Buffer>): string[] {
    return [...this.#seen]
      .filter(([path, was]) => sha(files.get(path) ?? Buffer.from('gone')) !== was)
      .map(([path]) => `changed: ${path} was sealed and is another one now`);
  }

  /** Files that it has seen. */
  get size(): number {
    return this.#seen.size;
  }
}
