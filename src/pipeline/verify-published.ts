/**
 * Proves what a lake says about itself: manifests, `_SUCCESS`, hour files, and that nothing lies there unnamed.
 *
 * An owner may be running. So the lake is listed first and the checkpoint and the ledger are read after it, in this
 * order: a file was named by a checkpoint before it was made, and has its ledger line before a checkpoint drops it, so
 * whatever the listing has shown is in one of them by then. The other way round each new file would look foreign.
 */
import { isDeepStrictEqual } from 'node:util';
import { reasonOf, SluiceError } from '../core/error.ts';
import { LAKE_DAMAGED } from '../core/errors.ts';
import { folderOf, type Lake, type LakeFile, type LakePath } from '../core/lake.ts';
import { hoursPerPart, isSnapshotPath, partHour } from '../core/layout.ts';
import type { SealedLine } from '../core/ledger.ts';
import { formatNamespace, parseNamespace, type Namespace } from '../core/namespace.ts';
import { hourName, hourOf, parseHourName, SECONDS_PER_HOUR, type Hour } from '../core/time.ts';
import { hourFilePath, hourKey, openPaths, type Checkpoint, type PartRecord } from './checkpoint.ts';
import type { Extent } from './horizon.ts';
import { readFile } from './read-file.ts';
import { manifestPath } from './publish.ts';
import type { Findings } from './verify-findings.ts';
import { byCollectionHour, type LedgerView } from './verify-ledger.ts';

/** What a listing shows, sorted by what it is. */
export interface LakeListing {
  readonly manifests: readonly LakePath[];
  /** `_SUCCESS` files. */
  readonly successes: readonly LakeFile[];
  readonly hourFiles: readonly LakePath[];
  /** Data that was in neither the ledger nor the checkpoint when they were read before the listing. */
  readonly unknown: readonly LakePath[];
}

export async function listLake(lake: Lake, pipeline: string, isKnown: (path: LakePath) => boolean, signal: AbortSignal): Promise<LakeListing> {
  const listing = { manifests: [] as LakePath[], successes: [] as LakeFile[], hourFiles: [] as LakePath[], unknown: [] as LakePath[] };
  for await (const file of lake.list('', signal)) {
    const { path } = file;
    const name = path.slice(path.lastIndexOf('/') + 1);
    if (path.startsWith('_sluice/')) {
      if (path.startsWith(`_sluice/${pipeline}/manifests/`)) listing.manifests.push(path);
      else if (path.startsWith(`_sluice/${pipeline}/hours/`)) listing.hourFiles.push(path);
    } else if (name === '_manifest.json') listing.manifests.push(path);
    else if (name === '_SUCCESS') listing.successes.push(file);
    else if (!isKnown(path)) listing.unknown.push(path);
  }
  return listing;
}

/** The ledger, which a compaction or an erasure may change while this proof is under way. */
export interface LedgerNow {
  /** Read after the listing that is proved. */
  readonly ledger: LedgerView;
  /** What a compaction or an erasure has named, read after the ledger. */
  readonly maintained: readonly PartRecord[];
}

/** How often a manifest that is being replaced is looked at again. */
const LOOKS_MAX = 5;

export class PublishedProof {
  readonly #lake: Lake;
  readonly #pipeline: string;
  readonly #checkpoint: Checkpoint | null;
  #ledger: LedgerView;
  readonly #extent: Extent;
  readonly #findings: Findings;
  readonly #reread: () => Promise<LedgerNow>;
  #maintained: ReadonlySet<LakePath>;
  #groups: ReadonlyMap<string, readonly SealedLine[]>;
  /** Collections with files, by hour. */
  readonly #sealed = new Map<string, Set<string>>();
  /** Collection-hours with a part that is not sealed. */
  readonly #open: ReadonlySet<string>;
  /** Manifest paths by collection-hour. */
  readonly #manifests = new Map<string, LakePath>();
  /** What hour files say of themselves, by hour. */
  readonly #complete = new Map<string, boolean>();

  /** `checkpoint` and then `ledger` were read after the listing that is proved. */
  constructor(
    lake: Lake,
    pipeline: string,
    checkpoint: Checkpoint | null,
    { now, reread }: { readonly now: LedgerNow; readonly reread: () => Promise<LedgerNow> },
    extent: Extent,
    findings: Findings,
  ) {
    const { ledger } = now;
    this.#lake = lake;
    this.#pipeline = pipeline;
    this.#checkpoint = checkpoint;
    this.#ledger = ledger;
    this.#reread = reread;
    this.#maintained = pathsOf(now);
    this.#extent = extent;
    this.#findings = findings;
    const events = ledger.lines.filter(({ path }) => !isSnapshotPath(path));
    this.#groups = byCollectionHour(events);
    for (const { hour, db, coll } of events) {
      const name = formatNamespace({ db, coll });
      const names = this.#sealed.get(hour);
      if (names === undefined) this.#sealed.set(hour, new Set([name]));
      else names.add(name);
    }
    this.#open = new Set((checkpoint?.parts ?? []).map((part) => hourKey(part.ns, part.hour)));
  }

  async prove(listing: LakeListing, signal: AbortSignal): Promise<void> {
    for (const path of listing.manifests) await this.#proveManifest(path, signal);
    for (const file of listing.successes) await this.#proveSuccess(file);
    for (const path of listing.hourFiles) await this.#proveHourFile(path, signal);
    await this.#proveHours(listing, signal);
    const open = new Set(openPaths(this.#checkpoint));
    const isKnown = (path: LakePath): boolean => open.has(path) || this.#ledger.paths.has(path) || this.#maintained.has(path);
    // Named when it was listed, it may have come into the ledger between the two readings: looked for once more.
    if (!listing.unknown.every(isKnown)) await this.#lookAgain();
    for (const path of listing.unknown) {
      if (isKnown(path) || (await this.#lake.stat(path)) === null) continue;
      this.#findings.add('unknown-file', path, 'is in neither the ledger nor the checkpoint');
    }
  }

  /** @returns whether anything is otherwise than before */
  async #lookAgain(): Promise<boolean> {
    const [paths, maintained] = [this.#ledger.paths.size, this.#maintained];
    const now = await this.#reread();
    this.#ledger = now.ledger;
    this.#maintained = pathsOf(now);
    this.#groups = byCollectionHour(now.ledger.lines.filter(({ path }) => !isSnapshotPath(path)));
    return now.ledger.paths.size !== paths || !isDeepStrictEqual(this.#maintained, maintained);
  }

  async #proveManifest(path: LakePath, signal: AbortSignal): Promise<void> {
    const manifest = await this.#readJson<{ ns: Namespace; hour: string; files: SealedLine[] }>('manifest', path, signal);
    if (manifest === null) return;
    const { ns, hour, files } = manifest;
    if (typeof ns?.db !== 'string' || typeof hour !== 'string' || !Array.isArray(files)) {
      this.#findings.add('manifest', path, 'has no ns, hour or files');
      return;
    }
    // Retention may have been cut short before it came to this one.
    if (!this.#extent.has({ ...ns, hour })) return;
    const key = hourKey(ns, hour);
    const other = this.#manifests.get(key);
    if (other !== undefined) this.#findings.add('manifest', path, `${other} is the manifest of ${key} already`);
    this.#manifests.set(key, path);
    const difference = await this.#manifestFault(path, key, files, signal);
    if (difference !== null) this.#findings.add('manifest', path, difference);
    if (this.#open.has(key)) this.#findings.add('manifest', path, `a part of ${key} is open`);
    if (!path.endsWith('/_manifest.json')) return;
    const elsewhere = files.find((file) => !file.path.startsWith(`${folderOf(path)}/`));
    if (elsewhere !== undefined) this.#findings.add('manifest', path, `names ${elsewhere.path}, which lies in another folder`);
  }

  /**
   * What parts a manifest from the ledger, or `null`. A compaction or an erasure writes its ledger lines first: until it comes to the
   * manifest, that tells the files as they were before. While it works the two are looked at again.
   */
  async #manifestFault(path: LakePath, key: string, files: readonly SealedLine[], signal: AbortSignal): Promise<string | null> {
    let listed = files;
    for (let look = 1; ; look += 1) {
      const lines = this.#groups.get(key) ?? [];
      const difference = differenceOf(listed, lines);
      if (difference === null || look === LOOKS_MAX || ![...listed, ...lines].some(({ supersedes }) => supersedes !== undefined)) return difference;
      if (this.#isUnderWay(lines) && differenceOf(listed, this.#before(lines)) === null) return null;
      const was = JSON.stringify(listed);
      const isOther = await this.#lookAgain();
      const again = await this.#readJson<{ files: SealedLine[] }>('manifest', path, signal);
      if (again === null) return null;
      listed = again.files;
      if (!isOther && JSON.stringify(listed) === was) return difference;
    }
  }

  #isUnderWay(lines: readonly SealedLine[]): boolean {
    return lines.some(({ path }) => this.#maintained.has(path));
  }

  /** The files of an hour as they were before its compaction, or its erasure. */
  #before(lines: readonly SealedLine[]): SealedLine[] {
    return lines.flatMap((line) =>
      this.#maintained.has(line.path) ? replacedBy(line).flatMap((path) => this.#ledger.superseded.get(path) ?? []) : [line],
    );
  }

  async #proveSuccess({ path, size }: LakeFile): Promise<void> {
    const folder = `${folderOf(path)}/`;
    const manifest = `${folder}_manifest.json`;
    if (size !== 0) this.#findings.add('success', path, `holds ${size} bytes and should be empty`);
    // The listing may be older than the manifest, so it is looked for again.
    if ((await this.#lake.stat(manifest)) === null) this.#findings.add('success', path, 'there is no manifest beside it');
    const open = this.#checkpoint?.parts.find((part) => part.path.startsWith(folder));
    if (open !== undefined) this.#findings.add('success', path, `${open.path} is ${open.state}`);
  }

  async #proveHourFile(path: LakePath, signal: AbortSignal): Promise<void> {
    const content = await this.#readJson<{ hour: string; complete: boolean; collections: string[] }>('hour-file', path, signal);
    if (content === null) return;
    const { hour, collections } = content;
    const add = (detail: string): void => this.#findings.add('hour-file', path, detail);
    if (typeof hour !== 'string' || typeof content.complete !== 'boolean' || !Array.isArray(collections))
      return add('has no hour, complete or collections');
    if (!path.endsWith(`/${hour}.json`)) return add(`says that it is of ${hour}`);
    if ((parseHourName(hour) ?? 0) < (this.#extent.since ?? 0)) return;
    this.#complete.set(hour, content.complete);
    const parts = this.#partsOf(hour);
    const open = this.#checkpoint?.parts.find((part) => part.hour === parts);
    if (open !== undefined) add(`${open.path} is ${open.state}`);
    const sealed = this.#sealed.get(parts) ?? new Set<string>();
    for (const name of collections) {
      if (!this.#extent.has({ ...parseNamespace(name), hour: parts })) continue;
      if (!sealed.has(name)) add(`names ${name}, which has no file in that hour`);
      const ns = parseNamespace(name);
      if (this.#manifests.has(hourKey(ns, parts)) || this.#checkpoint === null) continue;
      const late = manifestPath(this.#pipeline, this.#checkpoint.layout, ns, parts);
      if ((await this.#lake.stat(late)) === null) add(`names ${name}, which has no manifest`);
    }
    for (const name of sealed) if (!collections.includes(name)) add(`leaves out ${name}, which has files in that hour`);
  }

  /** The hour by which the parts go that events of `hour` are in. */
  #partsOf(hour: string): string {
    const of = parseHourName(hour);
    return this.#checkpoint === null || of === null ? hour : hourName(partHour(this.#checkpoint.layout, of));
  }

  /** What is published is published whole: listings may have missed what came while they were made, so it is looked for again. */
  async #proveHours({ hourFiles, successes }: LakeListing, signal: AbortSignal): Promise<void> {
    const checkpoint = this.#checkpoint;
    if (checkpoint === null) return;
    const listed = new Set([...hourFiles, ...successes.map(({ path }) => path)]);
    const isMissing = async (path: LakePath): Promise<boolean> => !listed.has(path) && (await this.#lake.stat(path)) === null;
    for (const [hour, complete] of this.#complete) {
      const lie = lieOf(complete, parseHourName(hour) ?? 0, checkpoint);
      if (lie !== null) this.#findings.add('hour-file', hourFilePath(this.#pipeline, hour), lie);
    }
    for (const [key, path] of this.#manifests) {
      signal.throwIfAborted();
      if (!path.endsWith('/_manifest.json') || !this.#areComplete(key.slice(0, key.indexOf('/')), checkpoint)) continue;
      const success = `${path.slice(0, -'_manifest.json'.length)}_SUCCESS`;
      if (await isMissing(success)) this.#findings.add('success', success, 'is missing, its hour is published as complete');
    }
    // Also an hour in which nothing came has its file.
    for (let hour = Math.max(hourOf(checkpoint.startedAt.t), this.#extent.since ?? 0); hour < checkpoint.nextHour; hour += 1) {
      signal.throwIfAborted();
      const path = hourFilePath(this.#pipeline, hourName(hour));
      if (await isMissing(path)) this.#findings.add('hour-file', path, 'is missing, the hour was published');
    }
  }

  /** All hours that parts of `parts` go by. */
  #areComplete(parts: string, { layout }: Checkpoint): boolean {
    const first = parseHourName(parts) ?? 0;
    return Array.from({ length: hoursPerPart(layout) }, (_, n) => hourName(first + n)).every((hour) => this.#complete.get(hour) === true);
  }

  async #readJson<T>(check: 'manifest' | 'hour-file', path: LakePath, signal: AbortSignal): Promise<T | null> {
    try {
      const value: unknown = JSON.parse((await readFile(this.#lake, path, signal)).toString('utf8'));
      if (typeof value === 'object' && value !== null) return value as T;
      this.#findings.add(check, path, 'is not a JSON object');
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof SluiceError && error.kind !== LAKE_DAMAGED) throw error;
      this.#findings.add(check, path, `cannot be read: ${reasonOf(error)}`);
    }
    return null;
  }
}

/** What an hour file says of gaps that the checkpoint does not, or `null`. An hour that was over before a gap may touch it. */
function lieOf(complete: boolean, hour: Hour, { gaps }: Checkpoint): string | null {
  const begin = hour * SECONDS_PER_HOUR;
  const touching = gaps.filter(({ from, to }) => from.t < begin + SECONDS_PER_HOUR && (to === null || to.t >= begin));
  if (!complete && touching.length === 0) return 'says that the hour is not complete, the checkpoint knows no gap in it';
  const within = touching.find(({ from, to }) => from.t <= begin && (to === null || to.t > begin));
  return complete && within !== undefined ? `says that the hour is complete, the checkpoint has a gap in it: ${within.cause}` : null;
}

function pathsOf({ maintained }: LedgerNow): ReadonlySet<LakePath> {
  return new Set(maintained.map(({ path }) => path));
}

/** Files that were in force until then: an erasure names those, too, that the one before it had replaced. */
function replacedBy({ supersedes = [], erased }: SealedLine): readonly LakePath[] {
  return erased === undefined ? supersedes : supersedes.slice(0, 1);
}

/** What parts a manifest from the ledger, or `null`. */
function differenceOf(files: readonly SealedLine[], lines: readonly SealedLine[]): string | null {
  const byPath = new Map(lines.map((line) => [line.path, line]));
  for (const file of files) {
    const line = byPath.get(file.path);
    if (line === undefined) return `names ${file.path}, which the ledger does not have for that hour`;
    if (!isDeepStrictEqual(file, line)) return `says something else of ${file.path} than the ledger`;
    byPath.delete(file.path);
  }
  const [left] = byPath.keys();
  return left === undefined ? null : `leaves out ${left}`;
}
