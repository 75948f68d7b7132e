/**
 * What the demo's shop keeps: customers, orders and stock, with the BSON types and odd keys that real shops have.
 *
 * Every choice comes from the seeded random numbers that are passed in; ids and times do not, so that a second shop in
 * the same database never meets the first one's keys.
 */
import { Binary, Decimal128, Double, Long, MaxKey, ObjectId, UUID, type Document } from 'mongodb';

/** Most customers are new; some came from three older systems and brought their keys along. */
export type CustomerId = ObjectId | Long | Double | string;

export interface Address {
  readonly street: string;
  readonly city: string;
  readonly country: string;
  readonly geo: { readonly type: 'Point'; readonly coordinates: readonly number[] };
}

export interface Customer {
  readonly _id: CustomerId;
  readonly name: { readonly first: string; readonly last: string };
  readonly email: string;
  readonly born: Date;
  readonly since: Date;
  readonly address: Address;
  readonly previousAddresses?: readonly Address[];
  readonly loyaltyPoints: number;
  readonly balance: Decimal128;
  readonly tags: readonly string[];
  readonly savedSearches: readonly RegExp[];
  /** NaN: no rating yet. */
  readonly averageRating: number;
  readonly referredBy: CustomerId | null;
  readonly visits: readonly { readonly at: Date; readonly points: number }[];
}

export interface Order {
  readonly _id: ObjectId;
  readonly number: Long;
  readonly customer: CustomerId;
  readonly status: string;
  readonly placedAt: Date;
  readonly updatedAt: Date;
  readonly archived?: boolean;
  readonly lines: readonly Document[];
  readonly total: Decimal128;
  readonly shipTo: Address;
  readonly payment: { readonly method: string; readonly reference: UUID; readonly fingerprint: Binary };
  readonly parcels: readonly (readonly number[])[];
  readonly gift: boolean;
  readonly note: string | null;
  readonly history: readonly { readonly at: Date; readonly status: string; readonly by?: number }[];
}

export interface Stock {
  readonly _id: string;
  readonly name: string;
  readonly price: Decimal128;
  readonly available: number;
  readonly weightKg: number;
  readonly tiers: readonly { readonly upTo: number | MaxKey; readonly percent: number }[];
  readonly restockedAt: Date;
  readonly lastSoldAt?: Date;
}

/** One line of an order, as far as the stock is concerned. */
export interface Taken {
  readonly sku: string;
  readonly quantity: number;
}

/** Repeatable random numbers (mulberry32): the same seed gives the same sequence everywhere. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** In [0, 1). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  /** A whole number in [0, below). */
  int(below: number): number {
    return Math.floor(this.next() * below);
  }

  pick<const T extends readonly [unknown, ...unknown[]]>(items: T): T[number] {
    return items[this.int(items.length)];
  }

  bytes(count: number): Uint8Array {
    return Uint8Array.from({ length: count }, () => this.int(256));
  }
}

const FIRST_NAMES = ['Ada', 'Björn', 'Chloé', 'Daan', 'Élodie', 'Fatima', 'Grace', 'Ναταλία', '美咲', 'Zoë', 'O’Neil', 'Łukasz'] as const;
const LAST_NAMES = ['Lovelace', 'Nguyễn', 'Müller', 'García', 'Øster', 'Okafor', '佐藤', 'Novák', 'Smith', 'D"Angelo'] as const;
const CITIES = [
  { city: 'Berlin', country: 'DE', at: [13.405, 52.52] },
  { city: 'Lyon', country: 'FR', at: [4.8357, 45.764] },
  { city: 'São Paulo', country: 'BR', at: [-46.6333, -23.5505] },
  { city: '東京', country: 'JP', at: [139.6917, 35.6895] },
  { city: 'Tromsø', country: 'NO', at: [18.9553, 69.6492] },
] as const;
const GOODS = ['kettle', 'lamp', 'notebook', 'backpack', 'rug', 'chess set', 'teapot', 'headphones', 'scarf', 'bicycle bell'] as const;
const COLOURS = ['red', 'petrol', 'sand', 'black', 'lilac', 'olive'] as const;
const TAGS = ['newsletter', 'b2b', 'gift', 'vip', 'returns-often', 'app'] as const;
const PAYMENTS = ['card', 'invoice', 'wallet', 'voucher'] as const;
const DAY_MS = 86_400_000;

export const SKUS: readonly string[] = GOODS.flatMap((name, good) =>
  COLOURS.map((_, colour) => `${name.slice(0, 3).toUpperCase()}-${good}${colour}`),
);

/** Cents as money: never a double. */
export function money(cents: number): Decimal128 {
  return Decimal128.fromString((cents / 100).toFixed(2));
}

export function price(random: Random): Decimal128 {
  return money(199 + random.int(30_000));
}

/** @param serial unique in the database; below 2^52, so that a double can hold it and a half */
export function customerId(random: Random, serial: number): CustomerId {
  const dice = random.int(10);
  // The oldest system counted in a spreadsheet, where every number is a double.
  if (dice === 0) return new Double(serial);
  if (dice === 1) return new Double(serial + 0.5);
  // Beyond 2^53: a reader that parses it as a double meets another customer.
  if (dice === 2) return Long.fromBigInt(BigInt(serial) * 1000n + 7n);
  if (dice === 3) return `C-${serial.toString(36)}`;
  return new ObjectId();
}

export function newCustomer(random: Random, _id: CustomerId, now: Date): Customer {
  const first = random.pick(FIRST_NAMES);
  const last = random.pick(LAST_NAMES);
  return {
    _id,
    name: { first, last },
    email: `${first}.${last}.${random.int(10_000)}@example.com`.toLowerCase().replace(/[^\w.@\u0080-\uffff]/g, ''),
    born: new Date((random.int(70 * 365) - 40 * 365) * DAY_MS),
    since: now,
    address: address(random),
    loyaltyPoints: random.int(500),
    balance: money(random.int(20_000) - 5000),
    tags: Array.from({ length: random.int(4) }, () => random.pick(TAGS)),
    savedSearches: random.int(5) === 0 ? [new RegExp(`^${random.pick(GOODS)}`, 'i')] : [],
    averageRating: random.int(3) === 0 ? Number.NaN : random.int(50) / 10,
    referredBy: null,
    visits: [],
  };
}

export function address(random: Random): Address {
  const { city, country, at } = random.pick(CITIES);
  return { street: `${random.pick(LAST_NAMES)} St. ${1 + random.int(200)}`, city, country, geo: { type: 'Point', coordinates: [...at] } };
}

export function newOrder(random: Random, customer: CustomerId, serial: number, now: Date): { order: Order; taken: readonly Taken[] } {
  const taken = new Map<string, number>();
  const lines: Document[] = [];
  let cents = 0;
  for (let count = 1 + random.int(3); count > 0; count--) {
    const sku = SKUS[random.int(SKUS.length)] ?? '';
    const quantity = 1 + random.int(3);
    const each = 199 + random.int(30_000);
    // Two updates of one document in a transaction would be two events; the shop adds them up first.
    taken.set(sku, (taken.get(sku) ?? 0) + quantity);
    lines.push({ sku, quantity, price: money(each), discounts: random.int(4) === 0 ? [{ code: 'SPRING', percent: 7.5 }] : [] });
    cents += each * quantity;
  }
  const order: Order = {
    _id: new ObjectId(),
    number: Long.fromNumber(serial),
    customer,
    status: 'placed',
    placedAt: now,
    updatedAt: now,
    lines,
    total: money(cents),
    shipTo: address(random),
    payment: { method: random.pick(PAYMENTS), reference: new UUID(), fingerprint: new Binary(random.bytes(8)) },
    parcels: [[1 + random.int(3), random.int(100) / 8], []],
    gift: random.int(8) === 0,
    note: random.int(6) === 0 ? 'Please ring twice.\n– "the neighbours"' : null,
    history: [{ at: now, status: 'placed' }],
  };
  return { order, taken: [...taken].map(([sku, quantity]) => ({ sku, quantity })) };
}

export function newStock(random: Random, now: Date): Omit<Stock, '_id'> {
  return {
    name: `${random.pick(COLOURS)} ${random.pick(GOODS)}`,
    price: price(random),
    available: 500 + random.int(500),
    weightKg: random.int(4000) / 1000,
    tiers: [
      { upTo: 10, percent: 0 },
      { upTo: new MaxKey(), percent: 5 },
    ],
    restockedAt: now,
  };
}
