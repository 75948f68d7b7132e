/**
 * Messages of other producers as the events that sluice would have made of the same changes: MongoDB's change events as Atlas
 * Stream Processing and the MongoDB Kafka connector send them, and those of Debezium.
 *
 * Values stay as the producer wrote them (relaxed or canonical Extended JSON); only the document key is made canonical, as it
 * is in every line.
 */
import type { BusRecord, ForeignEvent } from '../../core/bus.ts';
import { LINE_PREFIX, OPERATION_INDEX, OPERATION_OTHER, asPosition, type Position } from '../../core/event.ts';
import type { Timestamp } from '../../core/time.ts';
import type { Change } from './change.ts';
import { readDebezium } from './debezium.ts';
import { canonical, compact, membersOf, textOf, type Members } from './json-text.ts';

export type ForeignFormat = 'detect' | 'changeEvents' | 'debezium';

/** `null`: nothing has happened (the tombstone that follows a delete). @throws Error with what is wrong */
export function readForeign(format: ForeignFormat, record: BusRecord): ForeignEvent | null {
  if (record.value === null || record.value.length === 0) return null;
  const members = unwrapped(record.value.toString('utf8'));
  const isDebezium =
    format === 'debezium' || (format === 'detect' && members.some(([key]) => key === 'op') && members.some(([key]) => key === 'source'));
  const change = isDebezium ? readDebezium(members, keyOf(record)) : readChangeEvent(members, record.timeMs);
  return {
    token: change.token === null ? null : asPosition(change.token),
    at: change.at,
    op: OPERATION_INDEX.get(change.operationType) ?? OPERATION_OTHER,
    ns: change.ns,
    line: (position) => lineOf(change, position),
  };
}

/** Kafka Connect may put a text into a text, or beside its schema. */
function unwrapped(json: string): Members {
  const text = compact(json);
  if (text.startsWith('"')) return unwrapped(JSON.parse(text) as string);
  const members = membersOf(text);
  if (members === null) throw new Error('it is no JSON object');
  const payload = members.find(([key]) => key === 'payload')?.[1];
  return payload !== undefined && members.every(([key]) => key === 'payload' || key === 'schema') ? unwrapped(payload) : members;
}

function keyOf(record: BusRecord): Members {
  return record.key === null || record.key.length === 0 ? [] : unwrapped(record.key.toString('utf8'));
}

/** In `_meta`, or of the producer's own. */
const NOT_BELOW: ReadonlySet<string> = new Set(['_id', 'operationType', 'ns', 'clusterTime', 'wallTime', 'txnNumber', 'lsid', '_stream_meta']);
const IN_META = ['wallTime', 'txnNumber', 'lsid'] as const;
/** Version of the token, then the cluster time. */
const TOKEN = /^82([0-9A-F]{8})([0-9A-F]{8})[0-9A-F]*$/;

/** A `$project` may have left out whatever it liked. */
function readChangeEvent(members: Members, timeMs: number): Change {
  const given = new Map(members);
  const operationType = textOf(given.get('operationType'));
  const ns = given.has('ns') ? new Map(membersOf(given.get('ns')!) ?? []) : null;
  const db = textOf(ns?.get('db'));
  if (operationType === null) throw new Error('it has no `operationType`');
  if (db === null) throw new Error('it has no namespace');
  const data = textOf(new Map(membersOf(given.get('_id') ?? '') ?? []).get('_data'));
  const token = data !== null && TOKEN.test(data) ? data : null;
  return {
    token,
    at: timestampOf(given.get('clusterTime')) ?? timeOfToken(token) ?? { t: Math.floor(timeMs / 1000), i: 0 },
    operationType,
    ns: { db, coll: textOf(ns?.get('coll')) },
    meta: IN_META.flatMap((name) => (given.has(name) ? [[name, canonical(given.get(name)!)] as const] : [])),
    rest: members.filter(([key]) => !NOT_BELOW.has(key)).map(([key, value]) => [key, key === 'documentKey' ? canonical(value) : value]),
  };
}

function timeOfToken(token: string | null): Timestamp | null {
  const m = TOKEN.exec(token ?? '');
  return m === null ? null : { t: Number.parseInt(m[1]!, 16), i: Number.parseInt(m[2]!, 16) };
}

function timestampOf(json: string | undefined): Timestamp | null {
  const m = /^\{"\$timestamp":\{"t":(\d+),"i":(\d+)\}\}$/.exec(json ?? '');
  return m === null ? null : { t: Number(m[1]), i: Number(m[2]) };
}

function lineOf({ at, operationType, ns, meta, rest }: Change, position: Position): Buffer {
  const time = `"at":"${new Date(at.t * 1000).toISOString()}","clusterTime":{"$timestamp":{"t":${at.t},"i":${at.i}}}`;
  const where = JSON.stringify(ns.coll === null ? { db: ns.db } : ns);
  const more = meta.map(([key, value]) => `"${key}":${value},`).join('');
  const below = rest.map(([key, value]) => `,${JSON.stringify(key)}:${value}`).join('');
  return Buffer.from(`${LINE_PREFIX}${position}","operationType":${JSON.stringify(operationType)},"ns":${where},${time},${more}"v":1}${below}}\n`);
}
