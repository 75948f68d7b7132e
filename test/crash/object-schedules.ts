/**
 * Schedules over an object storage, the product's own capture over it: requests that are lost, answers that are lost,
 * requests that happen late, or twice, after whoever sent them has gone on; crashes, clean stops, owners that come while
 * another one lives, former owners that wake up, changed settings.
 *
 * A schedule is a seed. Owners take their steps one at a time, and everything between two steps happens within a turn of
 * the event loop, so that the same seed is the same schedule.
 */
import type { Clock } from '../../src/core/clock.ts';
import { SluiceError } from '../../src/core/error.ts';
import { LAKE_CONFLICT, LAKE_LOST_OWNERSHIP } from '../../src/core/errors.ts';
import type { Lake, LakePath } from '../../src/core/lake.ts';
import { isSealedLine, readLedgerLine, type SealedLine } from '../../src/core/ledger.ts';
import { silentLog } from '../../src/ops/log.ts';
import { newStats } from '../../src/ops/stats.ts';
import { Capture, type CaptureOptions } from '../../src/pipeline/capture.ts';
import { MemoryStore, openMemoryLake } from '../../src/lake/memory/memory.ts';
import { ScriptedSource } from '../fakes/scripted-source.ts';
import { ObjectLake, OutcomeUnknown, RULES, type Rules } from './object-lake.ts';
import { ObjectStore, type ObjectReply, type ObjectRequest, type StoreKind } from './object-store.ts';
import { OPTIONS, random, type History } from './schedule-world.ts';

const STEPS_MAX = 20_000;
/** Owners that may come while others live, or after a crash; later ones only when nobody is left. */
const OWNERS_DISTURBED_MAX = 5;
const OWNERS_MAX = 20;

interface Waiting {
  readonly owner: Owner;
  readonly request: ObjectRequest;
  readonly reply: (reply: ObjectReply) => void;
  readonly fail: (error: Error) => void;
}

interface Owner {
  readonly id: number;
  dead: boolean;
  ended: boolean;
  readonly stop: AbortController;
}

class Dead extends Error {}

export interface ScheduleOptions {
  readonly seed: number;
  readonly kind: StoreKind;
  readonly history: History;
  /** Fingerprints that an owner's stream may have. */
  readonly fingerprints: readonly string[];
  readonly rules?: Rules;
  /** Told of every step. */
  readonly trace?: (what: string) => void;
}

export class Schedule {
  /** What was done that must never be, found while it ran. */
  readonly faults: string[] = [];
  steps = 0;
  readonly counts: Record<string, number> = {};
  readonly #options: ScheduleOptions;
  readonly #random: () => number;
  readonly #store = new ObjectStore();
  readonly #owners: Owner[] = [];
  readonly #late: ObjectRequest[] = [];
  readonly #sealed = new Map<LakePath, Buffer>();
  #waiting: Waiting[] = [];
  #current: Owner | null = null;
  #finished = false;
  #failure: unknown = null;

  constructor(options: ScheduleOptions) {
    this.#options = options;
    this.#random = random(options.seed * 2_654_435_761);
    this.#store.onChange = (path, before, after) => this.#watch(path, before, after);
  }

  /** Runs until an owner has done everything and nothing is on its way. @throws what an owner ends with that no schedule explains */
  async run(): Promise<void> {
    const chance = [0.02, 0.05, 0.1][Math.floor(this.#random() * 3)]!;
    for (;;) {
      await new Promise((resolve) => setImmediate(resolve));
      if (this.#failure !== null) throw this.#failure;
      if (this.steps > STEPS_MAX) throw new Error('no progress: too many steps');
      const live = this.#owners.filter((owner) => this.#waiting.some((each) => each.owner === owner));
      if (live.length === 0) {
        if (this.#late.length > 0) this.#deliver(0);
        else if (this.#finished) return;
        else this.#begin();
        continue;
      }
      if (this.#current === null || !live.includes(this.#current)) this.#current = live.at(-1)!;
      this.#step(this.#current, live, this.#random() < chance);
    }
  }

  files(): Map<LakePath, Buffer> {
    return new Map([...this.#store.objects].filter(([path]) => !path.endsWith('.lease')).map(([path, { bytes }]) => [path, bytes]));
  }

  async lake(): Promise<Lake> {
    const store = new MemoryStore();
    for (const [path, bytes] of this.files()) store.files.set(path, { bytes, size: bytes.length, version: 1, lease: null });
    return await openMemoryLake(store);
  }

  ledger(): SealedLine[] {
    const files = [...this.files()].filter(([path]) => path.includes('/ledger/')).toSorted(([a], [b]) => (a < b ? -1 : 1));
    return files.flatMap(([, bytes]) => sealedLines(bytes));
  }

  changed(): string[] {
    return [];
  }

  /** One request of this owner, as it should go or as it should not. */
  #step(owner: Owner, live: readonly Owner[], isDisturbed: boolean): void {
    this.steps += 1;
    const mine = this.#waiting.filter((each) => each.owner === owner);
    // Requests that are under way at once arrive in any order.
    const waiting = mine[Math.floor(this.#random() * mine.length)]!;
    const { request } = waiting;
    const options = isDisturbed ? this.#disturbances(request, live) : [];
    const what = options[Math.floor(this.#random() * options.length)] ?? 'run';
    this.counts[what] = (this.counts[what] ?? 0) + 1;
    this.#options.trace?.(`owner ${owner.id} ${what} ${request.op} ${request.path}`);
    if (what === 'wake') {
      const others = live.filter((each) => each !== owner);
      this.#current = others[Math.floor(this.#random() * others.length)]!;
      return;
    }
    if (what === 'deliver') return this.#deliver(Math.floor(this.#random() * this.#late.length));
    if (what === 'takeover') return this.#begin();
    if (what === 'stop') return owner.stop.abort(new Error('stopped'));
    if (what === 'crash' || what === 'crashLate') {
      if (what === 'crashLate') this.#late.push(request);
      return this.#kill(owner);
    }
    this.#waiting = this.#waiting.filter((each) => each !== waiting);
    if (what === 'late' || what === 'twice') this.#late.push(request);
    if (what === 'lostBefore' || what === 'late') return waiting.fail(new OutcomeUnknown());
    const reply = this.#store.run(request);
    if (what === 'lostAfter' || what === 'twice') return waiting.fail(new OutcomeUnknown());
    waiting.reply(reply);
  }

  #disturbances({ op }: ObjectRequest, live: readonly Owner[]): string[] {
    const found = ['lostBefore'];
    const writes = op !== 'get';
    if (writes) found.push('lostAfter');
    // A late lease is broken by whoever needs it; it would only end owners for nothing.
    if (writes && op !== 'acquire' && op !== 'change') found.push('late', 'twice');
    if (this.#owners.length < OWNERS_DISTURBED_MAX) found.push('crash', 'takeover', 'stop', ...(writes ? ['crashLate'] : []));
    if (live.length > 1) found.push('wake', 'wake');
    if (this.#late.length > 0) found.push('deliver', 'deliver');
    return found;
  }

  #deliver(index: number): void {
    const [request] = this.#late.splice(index, 1);
    if (request === undefined) return;
    this.#options.trace?.(`late: ${request.op} ${request.path}`);
    this.#store.run(request);
  }

  #kill(owner: Owner): void {
    owner.dead = true;
    const gone = this.#waiting.filter((each) => each.owner === owner);
    this.#waiting = this.#waiting.filter((each) => each.owner !== owner);
    for (const { fail } of gone) fail(new Dead());
  }

  #begin(): void {
    if (this.#owners.length >= OWNERS_MAX) throw new Error('no progress: owners keep stopping');
    const owner: Owner = { id: this.#owners.length + 1, dead: false, ended: false, stop: new AbortController() };
    this.#owners.push(owner);
    this.#current = owner;
    const pick = <T>(of: readonly T[]): T => of[Math.floor(this.#random() * of.length)]!;
    const settings = {
      rollBytesMax: pick([200, 400, 10_000]),
      partsOpenMax: pick([0, 1, 100]),
      checkpointIntervalMs: pick([0, 1_000]),
      flushAgeMs: pick([0, 0, 1_500]),
      flushBytesMax: pick([1, 1, 700]),
    };
    void this.#capture(owner, pick(this.#options.fingerprints), settings).then(
      (finished) => {
        owner.ended = true;
        this.#finished ||= finished;
      },
      (error: unknown) => (this.#failure ??= error),
    );
  }

  async #capture(owner: Owner, fingerprint: string, settings: Partial<CaptureOptions>): Promise<boolean> {
    const { history, kind, rules = RULES } = this.#options;
    // Days of two machines differ, and a clock may be put back.
    const dayMs = [0, 86_400_000, 0][owner.id % 3]!;
    let nowMs = history.events[0]!.at.t * 1000 + dayMs;
    const clock: Clock = { now: () => nowMs, sleep: async () => {} };
    const onBatch = (_: number, isLast: boolean): void => void (nowMs += isLast ? 60_000 : 600);
    const source = new ScriptedSource({
      ...history,
      fingerprint,
      sees: ({ id }) => history.events[id]!.seenBy?.includes(fingerprint) ?? true,
      onBatch,
    });
    const lake = new ObjectLake(this.#store, kind, owner.id, (request) => this.#request(owner, request), rules);
    const capture = new Capture({ ...OPTIONS, ...settings }, { source, lake, clock, stats: newStats(), log: silentLog });
    try {
      await capture.run(owner.stop.signal);
      return !owner.dead && !owner.stop.signal.aborted;
    } catch (error) {
      if (owner.dead || SluiceError.is(error, LAKE_CONFLICT, LAKE_LOST_OWNERSHIP)) return false;
      throw error;
    }
  }

  #request(owner: Owner, request: ObjectRequest): Promise<ObjectReply> {
    if (owner.dead) return Promise.reject(new Dead());
    return new Promise((reply, fail) => void this.#waiting.push({ owner, request, reply, fail }));
  }

  /** What is sealed stays as it is, from the very line of the ledger on. */
  #watch(path: LakePath, before: Buffer | null, after: Buffer): void {
    const sealed = this.#sealed.get(path);
    if (sealed !== undefined && !sealed.equals(after)) this.faults.push(`${path} was sealed and has changed`);
    if (!path.includes('/ledger/')) return;
    if (before !== null && !after.subarray(0, before.length).equals(before)) this.faults.push(`${path} was written over`);
    for (const line of sealedLines(after.subarray(before?.length ?? 0))) {
      const bytes = this.#store.objects.get(line.path)?.bytes;
      if (bytes === undefined || bytes.length !== line.bytes) this.faults.push(`${line.path} was sealed and is not what its line says`);
      else this.#sealed.set(line.path, bytes);
    }
  }
}

function sealedLines(bytes: Buffer): SealedLine[] {
  const lines = bytes.toString('utf8').split('\n').slice(0, -1).map((text) => readLedgerLine(text)); // prettier-ignore
  return lines.filter((line) => line !== null).filter(isSealedLine);
}
