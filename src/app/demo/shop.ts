/**
 * The demo's shop: a small business that writes to MongoDB all day, and knows exactly what it wrote.
 *
 * It is also the load of the crash tests: `ledger` is told every acknowledged write, so that a test can say of each
 * whether the lake has it. Counts are of change events: a no-op update is none, an order of two goods is three.
 */
import { MongoError, type MongoClient } from 'mongodb';
import { systemClock } from '../../core/clock.ts';
import {
  openShop,
  SHOP_COLLECTIONS,
  ShopWriter,
  type ShopCollection,
  type ShopOperation,
  type ShopWrite,
  type ShopWriterOptions,
} from './shop-writer.ts';

export type { ShopCollection, ShopOperation, ShopWrite } from './shop-writer.ts';

export interface ShopOptions {
  readonly db: string;
  /** Steps (a step is one to four writes) of all writers together, in a second. Default 50; `Infinity` for as fast as it goes. */
  readonly opsPerSecond?: number;
  /** That work at the same time, default 4. */
  readonly writers?: number;
  /** Ends by itself after so many steps. Default: goes on until it is stopped. */
  readonly stepsMax?: number;
  /** Default 1. With the same seed, writers and steps, the same things happen; ids and times differ. */
  readonly seed?: number;
  /** Told each write once the server has acknowledged it, in the order of acknowledgement. */
  readonly ledger?: (write: ShopWrite) => void;
  /** Closes the shop, as `stop` does. */
  readonly signal: AbortSignal;
}

export type ShopCounts = Readonly<Record<ShopOperation, number>>;

export interface ShopSummary {
  /** Acknowledged, each one change event. */
  readonly writes: number;
  readonly perOperation: ShopCounts;
  readonly perCollection: Readonly<Record<ShopCollection, ShopCounts>>;
  /** Steps whose outcome is unknown, because the server was lost for longer than the driver retries. 0: the counts are exact. */
  readonly stepsUnsettled: number;
}

export interface Shop extends AsyncDisposable {
  /** As it stands. */
  summary(): ShopSummary;
  /** Resolves when the shop has closed; rejects when the server refused a write for good, which closes it. */
  readonly closed: Promise<ShopSummary>;
  /** No new step from now on; waits for those that have begun. May be called more than once. */
  stop(): Promise<ShopSummary>;
}

const OPS_PER_SECOND = 50;
const WRITERS = 4;
const BACKOFF_MS = 250;
/** A shop that fell behind by more than this does not try to catch up. */
const BEHIND_MS_MAX = 1000;

/** Opens the shop: when this resolves, collections and stock are there and the writers have begun. */
export async function startShop(client: MongoClient, options: ShopOptions): Promise<Shop> {
  const tally = new Tally();
  const closing = new AbortController();
  const signal = AbortSignal.any([options.signal, closing.signal]);
  const writers = options.writers ?? WRITERS;
  // A thousand numbers per millisecond since 1970: unique over restarts, below 2^52.
  let serial = systemClock.now() * 1000;
  const base: Omit<ShopWriterOptions, 'seed'> = {
    client,
    db: options.db,
    nextSerial: () => serial++,
    now: () => new Date(systemClock.now()),
    onWrite: (write) => {
      tally.count(write);
      options.ledger?.(write);
    },
  };
  const seed = options.seed ?? 1;
  await openShop({ ...base, seed });
  const pause = (writers / (options.opsPerSecond ?? OPS_PER_SECOND)) * 1000;
  const work = Array.from({ length: writers }, async (_, index) => {
    const steps = options.stepsMax === undefined ? Infinity : Math.floor((options.stepsMax + index) / writers);
    try {
      await workThrough(new ShopWriter({ ...base, seed: seed * 1000 + index }), { steps, pause, tally, signal });
    } catch (error) {
      closing.abort();
      throw error;
    }
  });
  const closed = Promise.allSettled(work).then((results) => {
    for (const result of results) if (result.status === 'rejected') throw result.reason;
    return tally.summary();
  });
  // Whoever awaits `closed` or `stop` gets it; nobody has to. Closing in passing must not hide it behind itself.
  closed.catch(() => undefined);
  const stop = async (): Promise<ShopSummary> => {
    closing.abort();
    return await closed;
  };
  return { summary: () => tally.summary(), closed, stop, [Symbol.asyncDispose]: async () => void (await stop().catch(() => undefined)) };
}

interface Work {
  readonly steps: number;
  /** Between the starts of two steps, ms. */
  readonly pause: number;
  readonly tally: Tally;
  readonly signal: AbortSignal;
}

async function workThrough(writer: ShopWriter, { steps, pause, tally, signal }: Work): Promise<void> {
  let due = systemClock.now();
  for (let step = 0; step < steps && !signal.aborted; step++) {
    try {
      await writer.step();
    } catch (error) {
      if (!isOutage(error)) throw error;
      tally.unsettled += 1;
      await sleep(BACKOFF_MS, signal);
    }
    const now = systemClock.now();
    due = Math.max(due + pause, now - BEHIND_MS_MAX);
    if (due > now) await sleep(due - now, signal);
  }
}

/** Until `ms` have passed or the shop closes. */
async function sleep(ms: number, signal: AbortSignal): Promise<void> {
  await systemClock.sleep(ms, signal).catch(() => undefined);
}

/** The server is away or changing its primary: the shop waits. Anything else (no rights, a bad document) is for a person. */
function isOutage(error: unknown): boolean {
  if (!(error instanceof MongoError)) return false;
  if (['MongoNetworkError', 'MongoNetworkTimeoutError', 'MongoPoolClearedError', 'MongoServerSelectionError'].includes(error.name)) return true;
  return ['RetryableWriteError', 'TransientTransactionError', 'UnknownTransactionCommitResult'].some((label) => error.hasErrorLabel(label));
}

class Tally {
  unsettled = 0;
  readonly #counts: Record<ShopCollection, Record<ShopOperation, number>> = { customers: noWrites(), orders: noWrites(), stock: noWrites() };

  count(write: ShopWrite): void {
    this.#counts[write.collection][write.op] += 1;
  }

  summary(): ShopSummary {
    const perOperation = noWrites();
    for (const collection of SHOP_COLLECTIONS) {
      for (const [op, count] of Object.entries(this.#counts[collection])) perOperation[op as ShopOperation] += count;
    }
    const writes = Object.values(perOperation).reduce((sum, count) => sum + count, 0);
    return { writes, perOperation, perCollection: structuredClone(this.#counts), stepsUnsettled: this.unsettled };
  }
}

function noWrites(): Record<ShopOperation, number> {
  return { insert: 0, update: 0, replace: 0, delete: 0 };
}
