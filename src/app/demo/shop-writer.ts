/**
 * One writer of the shop: a till, a back office or an app, that does one thing after another.
 *
 * Invariant: a write is reported if and only if the server has acknowledged it (a majority has it) and it has changed a
 * document, so each report is exactly one change event and each change event of the shop is one report.
 * Writers share the stock, and only through `$inc`; customers and orders belong to the writer that made them. So no
 * writer can spoil another's count, and what one writer does depends on its seed alone.
 */
import type { ClientSession, Collection, MongoClient, UpdateFilter } from 'mongodb';
import {
  address,
  customerId,
  money,
  newCustomer,
  newOrder,
  newStock,
  price,
  Random,
  SKUS,
  type Customer,
  type CustomerId,
  type Order,
  type Stock,
} from './shop-documents.ts';

export const SHOP_OPERATIONS = ['insert', 'update', 'replace', 'delete'] as const;
export type ShopOperation = (typeof SHOP_OPERATIONS)[number];
export const SHOP_COLLECTIONS = ['customers', 'orders', 'stock'] as const;
export type ShopCollection = (typeof SHOP_COLLECTIONS)[number];

/** A write that the server has acknowledged. */
export interface ShopWrite {
  /** `shop.orders`. */
  readonly ns: string;
  readonly collection: ShopCollection;
  readonly op: ShopOperation;
  readonly id: Customer['_id'] | Order['_id'] | Stock['_id'];
}

export interface ShopWriterOptions {
  readonly client: MongoClient;
  readonly db: string;
  readonly seed: number;
  /** The next number that nobody in this database has: below 2^52. */
  nextSerial(): number;
  now(): Date;
  onWrite(write: ShopWrite): void;
}

/** What a writer remembers to change later; older ones are left as they are. */
const REMEMBERED_MAX = 2000;
const VISITS_MAX = 4;
const STATUS_AFTER: Readonly<Record<string, string>> = { placed: 'paid', paid: 'packed', packed: 'shipped', shipped: 'delivered' };
const MAJORITY = { writeConcern: { w: 'majority' } } as const;
const NAMESPACE_EXISTS = 48;

/** The collections, and the stock in the shelves: only what is not there yet. */
export async function openShop(options: ShopWriterOptions): Promise<void> {
  const db = options.client.db(options.db);
  for (const name of SHOP_COLLECTIONS) {
    await db.createCollection(name).catch((error: unknown) => {
      if ((error as { code?: unknown }).code !== NAMESPACE_EXISTS) throw error;
    });
  }
  const random = new Random(options.seed);
  const upserts = SKUS.map((sku) => ({
    updateOne: { filter: { _id: sku }, update: { $setOnInsert: newStock(random, options.now()) }, upsert: true },
  }));
  const { upsertedIds } = await db.collection<Stock>('stock').bulkWrite(upserts, { ...MAJORITY, ordered: false });
  for (const id of Object.values(upsertedIds)) {
    options.onWrite({ ns: `${options.db}.stock`, collection: 'stock', op: 'insert', id });
  }
}

export class ShopWriter {
  readonly #options: ShopWriterOptions;
  readonly #random: Random;
  readonly #customers: Collection<Customer>;
  readonly #orders: Collection<Order>;
  readonly #stock: Collection<Stock>;
  readonly #knownCustomers: CustomerId[] = [];
  readonly #knownOrders: { readonly id: Order['_id']; readonly status: string }[] = [];

  constructor(options: ShopWriterOptions) {
    this.#options = options;
    this.#random = new Random(options.seed);
    const db = options.client.db(options.db);
    this.#customers = db.collection<Customer>('customers', MAJORITY);
    this.#orders = db.collection<Order>('orders', MAJORITY);
    this.#stock = db.collection<Stock>('stock', MAJORITY);
  }

  /**
   * One thing that happens in a shop. When it throws, what it would have written may or may not be there, and is
   * neither reported nor touched again.
   */
  async step(): Promise<void> {
    const dice = this.#random.int(100);
    if (dice < 12 || this.#knownCustomers.length === 0) await this.#signUp();
    else if (dice < 40 || this.#knownOrders.length === 0) await this.#placeOrder();
    else if (dice < 65) await this.#advanceOrder();
    else if (dice < 76) await this.#editCustomer();
    else if (dice < 84) await this.#moveHouse();
    else if (dice < 92) await this.#restock();
    else if (dice < 97) await this.#dropOrder();
    else await this.#leave();
  }

  async #signUp(): Promise<void> {
    const id = customerId(this.#random, this.#options.nextSerial());
    await this.#customers.insertOne(newCustomer(this.#random, id, this.#options.now()));
    this.#report('customers', 'insert', id);
    remember(this.#knownCustomers, id);
  }

  /** The order and what it takes from the shelves: both or neither. */
  async #placeOrder(): Promise<void> {
    const customer = this.#knownCustomers[this.#random.int(this.#knownCustomers.length)] ?? '';
    const now = this.#options.now();
    // Everything random is drawn here: the transaction may run more than once.
    const { order, taken } = newOrder(this.#random, customer, this.#options.nextSerial(), now);
    await this.#options.client.withSession(async (session: ClientSession) => {
      await session.withTransaction(async () => {
        await this.#orders.insertOne(order, { session });
        for (const { sku, quantity } of taken) {
          await this.#stock.updateOne({ _id: sku }, { $inc: { available: -quantity }, $set: { lastSoldAt: now } }, { session });
        }
      }, MAJORITY);
    });
    this.#report('orders', 'insert', order._id);
    for (const { sku } of taken) this.#report('stock', 'update', sku);
    remember(this.#knownOrders, { id: order._id, status: 'placed' });
  }

  async #advanceOrder(): Promise<void> {
    const { id, status } = take(this.#knownOrders, this.#random);
    const next = STATUS_AFTER[status];
    const at = this.#options.now();
    const change: UpdateFilter<Order> =
      next === undefined
        ? { $set: { archived: true, updatedAt: at }, $unset: { note: '' } }
        : { $set: { status: next, updatedAt: at }, $push: { history: { at, status: next, by: this.#random.int(20) } } };
    const { modifiedCount } = await this.#orders.updateOne({ _id: id }, change);
    this.#reportIf(modifiedCount, 'orders', 'update', id);
    if (next !== undefined) remember(this.#knownOrders, { id, status: next });
  }

  async #editCustomer(): Promise<void> {
    const id = take(this.#knownCustomers, this.#random);
    const points = 1 + this.#random.int(100);
    const change: UpdateFilter<Customer> = {
      $inc: { loyaltyPoints: points },
      $set: { balance: money(this.#random.int(90_000)), 'address.street': `Main St. ${this.#random.int(500)}` },
      // The last few alone: an array that is cut is told differently from one that grows.
      $push: { visits: { $each: [{ at: this.#options.now(), points }], $slice: -VISITS_MAX } },
    };
    const { modifiedCount } = await this.#customers.updateOne({ _id: id }, change);
    this.#reportIf(modifiedCount, 'customers', 'update', id);
    remember(this.#knownCustomers, id);
  }

  /** The app sends the whole profile. */
  async #moveHouse(): Promise<void> {
    const id = take(this.#knownCustomers, this.#random);
    const { _id, ...profile } = newCustomer(this.#random, id, this.#options.now());
    const replacement = { ...profile, address: address(this.#random), previousAddresses: [address(this.#random)] };
    const { modifiedCount } = await this.#customers.replaceOne({ _id }, replacement);
    this.#reportIf(modifiedCount, 'customers', 'replace', id);
    remember(this.#knownCustomers, id);
  }

  async #restock(): Promise<void> {
    const sku = SKUS[this.#random.int(SKUS.length)] ?? '';
    const change = { $inc: { available: 1 + this.#random.int(200) }, $set: { price: price(this.#random), restockedAt: this.#options.now() } };
    const { modifiedCount } = await this.#stock.updateOne({ _id: sku }, change);
    this.#reportIf(modifiedCount, 'stock', 'update', sku);
  }

  async #dropOrder(): Promise<void> {
    const { id } = take(this.#knownOrders, this.#random);
    const { deletedCount } = await this.#orders.deleteOne({ _id: id });
    this.#reportIf(deletedCount, 'orders', 'delete', id);
  }

  async #leave(): Promise<void> {
    const id = take(this.#knownCustomers, this.#random);
    const { deletedCount } = await this.#customers.deleteOne({ _id: id });
    this.#reportIf(deletedCount, 'customers', 'delete', id);
  }

  #reportIf(changed: number, collection: ShopCollection, op: ShopOperation, id: ShopWrite['id']): void {
    if (changed === 1) this.#report(collection, op, id);
  }

  #report(collection: ShopCollection, op: ShopOperation, id: ShopWrite['id']): void {
    this.#options.onWrite({ ns: `${this.#options.db}.${collection}`, collection, op, id });
  }
}

/** Out of the list until the write has succeeded. The list is not empty: `step` sees to it. */
function take<T>(list: T[], random: Random): T {
  const index = random.int(list.length);
  const last = list.pop() as T;
  const taken = list[index];
  if (taken === undefined) return last;
  list[index] = last;
  return taken;
}

function remember<T>(list: T[], item: T): void {
  list.push(item);
  if (list.length > REMEMBERED_MAX) list.shift();
}
