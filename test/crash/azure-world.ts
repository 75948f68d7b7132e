/**
 * Random schedules over a real storage server (the fake account of the tests, or Azurite), the product's own capture and lake over
 * it: each owner has a network of its own, whose requests are lost, late, doubled or answered with errors; owners are killed, are
 * frozen and wake up later, are stopped; leases are broken and etags raced behind their back.
 *
 * A seed decides what happens at which request. Requests that are under way at once arrive in any order, so that a seed repeats
 * the troubles of a run, not every step of it.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { systemClock, type Clock } from '../../src/core/clock.ts';
import { SluiceError } from '../../src/core/error.ts';
import { LAKE_CONFLICT, LAKE_LOST_OWNERSHIP, LAKE_UNAVAILABLE } from '../../src/core/errors.ts';
import type { Lake, LakePath } from '../../src/core/lake.ts';
import { isSealedLine, readLedgerLine, type SealedLine } from '../../src/core/ledger.ts';
import type { AzureWriter } from '../../src/lake/azure/location.ts';
import { openAzureLake } from '../../src/lake/azure/open.ts';
import { MemoryStore, openMemoryLake } from '../../src/lake/memory/memory.ts';
import { silentLog } from '../../src/ops/log.ts';
import { newStats } from '../../src/ops/stats.ts';
import { Capture } from '../../src/pipeline/capture.ts';
import { FATES, HttpProxy, type Fate, type Passing } from '../fakes/http-proxy.ts';
import { ScriptedSource } from '../fakes/scripted-source.ts';
import { OPTIONS, type History } from './schedule-world.ts';

const never = new AbortController().signal;
/** The adapter's waits pass a thousand times as fast. */
const HURRY = 1_000;
/** Who is cut off gives up after a tenth of a second. */
const PATIENCE_MS = 100_000;
const OWNERS_DISTURBED_MAX = 4;
const OWNERS_MAX = 12;

export interface Storage {
  /** `http://127.0.0.1:<port>/<account>` */
  readonly url: string;
  readonly account: string;
  readonly key: string;
  readonly writer: AzureWriter;
}

/** What an owner meets on its way. */
interface Plan {
  /** Of a request to be disturbed. */
  readonly chance: number;
  /** Number of the request at which it happens; `null`: never. */
  readonly at: number | null;
  readonly what: 'die' | 'die-late' | 'freeze' | 'stop';
}

export interface Owner {
  readonly id: number;
  requests: number;
  state: 'live' | 'frozen' | 'dead';
  readonly proxy: HttpProxy;
  readonly stop: AbortController;
  /** Resolves when it has ended: true when it had done everything. */
  readonly ended: Promise<boolean>;
  readonly frozen: Promise<void>;
  thaw(): void;
  /** What it ended with, if with an error. */
  error: unknown;
}

const CALM: Plan = { chance: 0, at: null, what: 'die' };

export class AzureWorld {
  readonly counts: Record<string, number> = {};
  /** What was done that must never be. */
  readonly faults: string[] = [];
  readonly #storage: Storage;
  readonly #container: string;
  readonly #history: History;
  readonly #random: () => number;
  readonly #fingerprints: readonly string[];
  readonly owners: Owner[] = [];
  #files = new Map<LakePath, Buffer>();

  constructor(storage: Storage, container: string, history: History, random: () => number, fingerprints: readonly string[] = ['A']) {
    this.#storage = storage;
    this.#container = container;
    this.#history = history;
    this.#random = random;
    this.#fingerprints = fingerprints;
  }

  /** Owners come and go until one has done everything and nobody is left. */
  async run(): Promise<void> {
    const chance = [0.01, 0.03, 0.06][Math.floor(this.#random() * 3)]!;
    for (let n = 0; ; n += 1) {
      if (n > OWNERS_MAX) throw new Error('no progress: too many owners');
      const isCalm = n >= OWNERS_DISTURBED_MAX;
      const owner = await this.begin(isCalm ? CALM : this.#plan(chance));
      await Promise.race([owner.ended, owner.frozen]);
      if (owner.state === 'frozen') continue;
      const finished = await owner.ended;
      // Former owners wake now at the latest, and what is on its way arrives.
      for (const each of this.owners) each.thaw();
      await Promise.all(this.owners.map((each) => each.ended));
      for (const each of this.owners) await each.proxy.deliverAll();
      if (finished && isCalm) break;
    }
    await this.look();
  }

  /** Reads what the storage holds, past every network. */
  async look(): Promise<void> {
    const lake = await this.#open(this.#storage.url);
    this.#files = new Map();
    for await (const { path } of lake.list('', never)) {
      const chunks: Uint8Array[] = [];
      for await (const chunk of lake.read(path, 0, never)) chunks.push(chunk);
      this.#files.set(path, Buffer.concat(chunks));
    }
  }

  files(): Map<LakePath, Buffer> {
    return this.#files;
  }

  async lake(): Promise<Lake> {
    const store = new MemoryStore();
    for (const [path, bytes] of this.#files) store.files.set(path, { bytes, size: bytes.length, version: 1, lease: null });
    return await openMemoryLake(store);
  }

  ledger(): SealedLine[] {
    const files = [...this.#files].filter(([path]) => path.includes('/ledger/')).toSorted(([a], [b]) => (a < b ? -1 : 1));
    return files.flatMap(([, bytes]) => sealedLines(bytes));
  }

  /** The oracle compares every sealed file with its ledger line. */
  changed(): string[] {
    return [];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { proxy } of this.owners) await proxy[Symbol.asyncDispose]();
  }

  async begin(plan: Plan = CALM): Promise<Owner> {
    const frozen = Promise.withResolvers<void>();
    const thawed = Promise.withResolvers<void>();
    const proxy = await HttpProxy.to(this.#storage.url, (passing) => this.#decide(owner, plan, passing, frozen.resolve, thawed.promise));
    const owner: Owner & { ended: Promise<boolean> } = {
      id: this.owners.length + 1,
      requests: 0,
      state: 'live',
      proxy,
      stop: new AbortController(),
      ended: Promise.resolve(false),
      frozen: frozen.promise,
      thaw: () => {
        if (owner.state === 'frozen') owner.state = 'live';
        thawed.resolve();
      },
      error: null,
    };
    this.owners.push(owner);
    owner.ended = this.#capture(owner);
    return owner;
  }

  #plan(chance: number): Plan {
    const whats = ['die', 'die', 'die-late', 'freeze', 'stop'] as const;
    return {
      chance,
      at: this.#random() < 0.85 ? 1 + Math.floor(this.#random() * 80) : null,
      what: whats[Math.floor(this.#random() * whats.length)]!,
    };
  }

  async #decide(owner: Owner, plan: Plan, passing: Passing, freeze: () => void, thawed: Promise<void>): Promise<Fate> {
    if (owner.state === 'frozen') await thawed;
    if (owner.state === 'dead') return 'cut';
    owner.requests += 1;
    if (owner.requests === plan.at) {
      this.#count(plan.what);
      if (plan.what === 'stop') owner.stop.abort(new Error('stopped'));
      else if (plan.what === 'freeze') {
        owner.state = 'frozen';
        freeze();
        await thawed;
      } else {
        owner.state = 'dead';
        return plan.what === 'die-late' ? 'lost-reply' : 'cut';
      }
    }
    if (this.#random() >= plan.chance) return 'pass';
    // Now and then somebody wakes, or what was late arrives.
    const others = this.owners.filter((each) => each.state === 'frozen');
    if (others.length > 0 && this.#random() < 0.3) others[Math.floor(this.#random() * others.length)]!.thaw();
    if (this.#random() < 0.3) await this.owners[Math.floor(this.#random() * this.owners.length)]!.proxy.deliver();
    const isAppend = /comp=appendblock|action=append/.test(passing.url);
    const behind = isAppend ? this.#random() : 1;
    if (behind < 0.15) await this.#breakLease(passing);
    else if (behind < 0.3) await this.#raceEtag(passing);
    const fate = FATES[Math.floor(this.#random() * FATES.length)]!;
    this.#count(fate);
    return fate;
  }

  #count(what: string): void {
    this.counts[what] = (this.counts[what] ?? 0) + 1;
  }

  async #capture(owner: Owner): Promise<boolean> {
    let nowMs = this.#history.events[0]!.at.t * 1000;
    const clock: Clock = { now: () => nowMs, sleep: () => nextTurn() };
    const fingerprint = this.#fingerprints[Math.floor(this.#random() * this.#fingerprints.length)]!;
    const source = new ScriptedSource({ ...this.#history, fingerprint, onBatch: (_, isLast) => void (nowMs += isLast ? 60_000 : 600) });
    try {
      const lake = await this.#open(owner.proxy.url);
      const rollBytesMax = this.#random() < 0.5 ? 400 : 10_000;
      const capture = new Capture({ ...OPTIONS, rollBytesMax }, { source, lake, clock, stats: newStats(), log: silentLog });
      await capture.run(owner.stop.signal);
      return !owner.stop.signal.aborted;
    } catch (error) {
      owner.error = error;
      // Who meets another owner stands down (75), who is cut off ends (69); anything else is a bug.
      if (!SluiceError.is(error, LAKE_CONFLICT, LAKE_LOST_OWNERSHIP, LAKE_UNAVAILABLE)) {
        this.faults.push(`owner ${owner.id} ended with ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
      }
      return false;
    }
  }

  async #open(url: string): Promise<Lake> {
    const { account, key, writer } = this.#storage;
    const clock: Clock = { now: () => performance.now() * HURRY, sleep: (ms, signal) => systemClock.sleep(ms / HURRY, signal) };
    return await openAzureLake({
      url: `${url}/${this.#container}/p`,
      writer,
      auth: { kind: 'accountKey', account, key },
      clock,
      patienceMs: PATIENCE_MS,
    });
  }

  async #breakLease(passing: Passing): Promise<void> {
    this.#count('lease-broken');
    const blob = await this.#blobOf(passing);
    await blob
      .getBlobLeaseClient()
      .breakLease(0)
      .catch(() => {});
  }

  /** Somebody sets metadata, under our own lease. */
  async #raceEtag(passing: Passing): Promise<void> {
    this.#count('etag-raced');
    const leaseId = String(passing.headers['x-ms-lease-id']);
    const blob = await this.#blobOf(passing);
    await blob.setMetadata({ raced: 'yes' }, { conditions: { leaseId } }).catch(() => {});
  }

  async #blobOf(passing: Passing) {
    const { BlobClient, StorageSharedKeyCredential } = await import('@azure/storage-blob');
    const { url, account, key } = this.#storage;
    const path = passing.url.split('?', 1)[0]!;
    return new BlobClient(`${new URL(url).origin}${path}`, new StorageSharedKeyCredential(account, key), { retryOptions: { maxTries: 1 } });
  }
}

function sealedLines(bytes: Buffer): SealedLine[] {
  const lines = bytes.toString('utf8').split('\n').slice(0, -1).map((text) => readLedgerLine(text)); // prettier-ignore
  return lines.filter((line) => line !== null).filter(isSealedLine);
}
