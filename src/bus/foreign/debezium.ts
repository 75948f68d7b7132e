/**
 * Events of Debezium's MongoDB connector: documents are texts of Extended JSON within the JSON, and there is no resume token.
 */
import type { Timestamp } from '../../core/time.ts';
import type { Change } from './change.ts';
import { canonical, compact, membersOf, textOf, type Members } from './json-text.ts';

/** `r` is a row of its snapshot. */
const OPERATIONS: ReadonlyMap<string, string> = new Map([
  ['c', 'insert'],
  ['u', 'update'],
  ['d', 'delete'],
  ['r', 'snapshot'],
]);

/** @throws Error with what is wrong */
export function readDebezium(members: Members, key: Members): Change {
  const given = new Map(members);
  const source = new Map(membersOf(given.get('source') ?? '') ?? []);
  const op = textOf(given.get('op'));
  const operation = OPERATIONS.get(op ?? '');
  if (operation === undefined) throw new Error(op === null ? 'it has no `op`' : `it has the operation ${op}`);
  const [db, coll] = [textOf(source.get('db')), textOf(source.get('collection'))];
  if (db === null || coll === null) throw new Error('it has no namespace');
  const description = present(given.get('updateDescription'));
  return {
    token: null,
    at: timeOf(source),
    operationType: operation === 'update' && description === null ? 'replace' : operation,
    ns: { db, coll },
    meta: [],
    rest: [
      ...documentKey(key),
      ...document('fullDocument', given.get('after')),
      ...document('fullDocumentBeforeChange', given.get('before')),
      ...(description === null ? [] : [['updateDescription', descriptionOf(description)] as const]),
    ],
  };
}

function present(json: string | undefined): string | null {
  return json === undefined || json === 'null' ? null : json;
}

/** `ts_ms` is the cluster time's second, `ord` its ordinal. */
function timeOf(source: ReadonlyMap<string, string>): Timestamp {
  const ms = Number(source.get('ts_ms'));
  if (!Number.isFinite(ms) || ms <= 0) throw new Error('its `source` has no `ts_ms`');
  const ordinal = Number(source.get('ord') ?? 0);
  return { t: Math.floor(ms / 1000), i: Number.isSafeInteger(ordinal) && ordinal > 0 ? ordinal : 0 };
}

/** The key is `{"id": "<Extended JSON of _id>"}`; an id that is a text may stand there as it is. */
function documentKey(key: Members): Members {
  const id = textOf(new Map(key).get('id'));
  return id === null ? [] : [['documentKey', `{"_id":${canonical(extended(id))}}`]];
}

function document(name: string, json: string | undefined): Members {
  const text = textOf(json);
  return text === null ? [] : [[name, compact(text)]];
}

function extended(text: string): string {
  try {
    return compact(text);
  } catch {
    return JSON.stringify(text);
  }
}

/** As MongoDB's: what was set is a text here, too. */
function descriptionOf(json: string): string {
  const given = new Map(membersOf(json) ?? []);
  const list = (name: string): string => present(given.get(name)) ?? '[]';
  const updated = textOf(given.get('updatedFields'));
  return `{"updatedFields":${updated === null ? '{}' : compact(updated)},"removedFields":${list('removedFields')},"truncatedArrays":${list('truncatedArrays')}}`;
}
