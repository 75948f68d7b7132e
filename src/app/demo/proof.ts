/**
 * The demo's proof: what the shop wrote, what MongoDB holds, what the lake has and what silver says must be one.
 */
import { EJSON, type Document } from 'bson';
import type { MongoClient } from 'mongodb';
import type { Config } from '../../config/config.ts';
import { isSealedLine } from '../../core/ledger.ts';
import type { Lake } from '../../core/lake.ts';
import { documentKeyOf, parseLine } from '../../core/line.ts';
import { OPERATIONS } from '../../core/event.ts';
import type { Warehouse } from '../../core/warehouse.ts';
import type { Logger } from '../../ops/log.ts';
import { readLedger } from '../../pipeline/ledger.ts';
import { linesOf, readDecoded } from '../../pipeline/read-lines.ts';
import { openLake } from '../compose.ts';
import { needWarehouse } from '../load.ts';
import type { VerifyCheck, VerifyReport } from '../types.ts';
import { verifyWith } from '../verify.ts';
import { canonicalOfBson, canonicalOfLine } from './canonical.ts';
import type { ShopSummary, ShopWrite } from './shop.ts';
import { SHOP_COLLECTIONS, SHOP_OPERATIONS } from './shop-writer.ts';

export interface ProofInput {
  readonly config: Config;
  readonly client: MongoClient;
  readonly db: string;
  /** Every write that MongoDB acknowledged. */
  readonly writes: readonly ShopWrite[];
  readonly shop: ShopSummary;
  readonly log: Logger;
}

const FINDINGS_MAX = 20;

export async function prove(input: ProofInput, signal: AbortSignal): Promise<VerifyReport> {
  await using lake = await openLake(input.config, input);
  await using warehouse = await needWarehouse(input.config, input.log, 'look');
  const checks: VerifyCheck[] = [await eventsCheck(input, lake, signal)];
  for (const collection of SHOP_COLLECTIONS) checks.push(await documentsCheck(input, collection, warehouse, signal));
  const rest = await verifyWith(input.config, lake, warehouse, { lake: true, warehouse: true, source: false }, signal);
  // The whole list of what was checked is what `sluice verify` shows.
  checks.push(...rest.checks.map((check) => ({ ...check, detail: check.detail.split('\n').slice(0, 2).join(' ') })));
  return { ok: checks.every((check) => check.outcome !== 'failed'), checks };
}

/** Each acknowledged write is in the lake as often as it was made, and nothing else is. */
async function eventsCheck(input: ProofInput, lake: Lake, signal: AbortSignal): Promise<VerifyCheck> {
  const balance = new Map<string, number>();
  const add = (id: string, n: number): void => void balance.set(id, (balance.get(id) ?? 0) + n);
  for (const { ns, op, id } of input.writes) add(`${op} ${ns} ${EJSON.stringify({ _id: id }, { relaxed: false })}`, 1);
  const written: ReadonlySet<string> = new Set(SHOP_OPERATIONS);
  let events = 0;
  for await (const file of readLedger(lake, input.config.pipeline, '', signal)) {
    if (!isSealedLine(file)) continue;
    for await (const line of linesOf(readDecoded(lake, file.path, 0, signal))) {
      const { ns, op } = parseLine(line);
      const name = OPERATIONS[op]!;
      if (!written.has(name)) continue;
      events += 1;
      add(`${name} ${ns.db}.${ns.coll} ${documentKeyOf(line)}`, -1);
    }
  }
  const off = [...balance].filter(([, n]) => n !== 0);
  const findings = off.slice(0, FINDINGS_MAX).map(([id, n]) => (n > 0 ? `missing ${n}×: ${id}` : `too many ${-n}×: ${id}`));
  // After an outage in which a write's outcome stayed unknown the lake may rightly hold more.
  const exact = input.shop.stepsUnsettled === 0 ? off.length === 0 : off.every(([, n]) => n <= 0);
  return {
    name: 'events',
    outcome: exact ? 'ok' : 'failed',
    detail:
      `${input.writes.length.toLocaleString('en')} acknowledged writes, ${events.toLocaleString('en')} events in the lake: none missing, none twice`.replace(
        /:.*$/,
        (good) => (exact ? good : ': they differ'),
      ),
    findings,
  };
}

/** Every document of the source is in silver with the same value, and nothing else is current there. */
async function documentsCheck(input: ProofInput, collection: string, warehouse: Warehouse, signal: AbortSignal): Promise<VerifyCheck> {
  const { client, db } = input;
  const findings: string[] = [];
  const source = new Map<string, string>();
  for await (const document of client.db(db).collection(collection).find({}, { promoteValues: false, bsonRegExp: true, signal })) {
    source.set(EJSON.stringify((document as Document)['_id'], { relaxed: false }), canonicalOfBson(document));
  }
  const total = source.size;
  let same = 0;
  for await (const { key, doc } of warehouse.silver({ db, coll: collection }, signal)) {
    const there = source.get(key);
    source.delete(key);
    if (there === undefined) findings.push(`silver has ${key}, MongoDB has not`);
    else if (doc === null || canonicalOfLine(doc) !== there) findings.push(`${key} differs`);
    else same += 1;
  }
  for (const key of source.keys()) findings.push(`MongoDB has ${key}, silver has not`);
  return {
    name: `silver.${db}__${collection}`,
    outcome: findings.length === 0 ? 'ok' : 'failed',
    detail: `${same.toLocaleString('en')} of ${total.toLocaleString('en')} documents are the same in MongoDB and in silver`,
    findings: findings.slice(0, FINDINGS_MAX),
  };
}
