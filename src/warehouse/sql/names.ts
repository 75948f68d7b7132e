/**
 * Names of a collection's tables.
 *
 * Warehouses compare names without case, and `a__b` + `c` reads like `a` + `b__c`. Invariant: no two collections share a
 * table, nor does one's history view or one of its arrays' views meet another's table; whoever comes second gets a hash into its name. The name
 * is kept in the registry, so that it stays whatever comes later.
 */
import { createHash } from 'node:crypto';
import type { Namespace } from '../../core/namespace.ts';
import type { Dialect, Schemas } from './dialect.ts';
import { text, type Statement } from './statement.ts';

const HISTORY = '_history';
const HASH_CHARS = 8;
/** Snowflake takes names of 255 characters, and views and tasks have a suffix. */
const STEM_CHARS_MAX = 200;

/**
 * Stem of a collection's tables: `<db>__<coll>`, with a hash behind it when that is taken.
 * @param taken stems of all other collections
 * @param views names of views beside them
 */
export function tableStem(ns: Namespace, taken: readonly string[], views: readonly string[] = []): string {
  const names = new Set([...taken.flatMap(namesOf), ...views.map((name) => name.toLowerCase())]);
  // eslint-disable-next-line no-control-regex -- a line break inside a name would make the SQL unreadable
  const whole = `${ns.db}__${ns.coll ?? '_database'}`.replace(/[\u0000-\u001f\u007f]/g, '_');
  // Never in the middle of a character.
  const plain = whole.slice(0, STEM_CHARS_MAX).replace(/[\uD800-\uDBFF]$/, '');
  const digest = createHash('sha256')
    .update(JSON.stringify([ns.db, ns.coll]))
    .digest('hex');
  let stem = plain === whole ? plain : `${plain}_${digest.slice(0, HASH_CHARS)}`;
  for (let chars = HASH_CHARS; namesOf(stem).some((name) => names.has(name)); chars += 1) {
    stem = `${plain}_${digest.slice(0, chars)}`;
  }
  return stem;
}

/** What a collection has names for, in lower case. */
export function namesOf(stem: string): string[] {
  return [stem.toLowerCase(), (stem + HISTORY).toLowerCase()];
}

/** A collection's tables, qualified and quoted. */
export interface Tables {
  readonly stem: string;
  readonly bronze: Statement;
  readonly silver: Statement;
  readonly history: Statement;
  readonly gold: Statement;
}

/** The tables of sluice itself, qualified and quoted. */
export interface Catalog {
  readonly schemas: Schemas;
  readonly control: Statement;
  readonly ledger: Statement;
  readonly registry: Statement;
  readonly baselines: Statement;
  readonly gaps: Statement;
  readonly errors: Statement;
  readonly health: Statement;
  readonly schemaHistory: Statement;
  readonly views: Statement;
  /** Rows of bronze that a transaction of the retention removes; empty outside of it. */
  readonly superseded: Statement;
  /** A function of the `sluice` schema. */
  readonly member: Statement;
  readonly documentKey: Statement;
  readonly scalar: Statement;
  readonly uuidText: Statement;
  readonly structure: Statement;
  /** A view of gold. */
  view(name: string): Statement;
  tables(stem: string): Tables;
}

export function catalogOf(dialect: Dialect, schemas: Schemas): Catalog {
  const within = (schema: string, name: string): Statement => text(`${dialect.identifier(schema)}.${dialect.identifier(name)}`);
  const own = (name: string): Statement => within(schemas.sluice, name);
  return {
    schemas,
    control: own('control'),
    ledger: own('load_ledger'),
    registry: own('collection_registry'),
    baselines: own('baselines'),
    gaps: own('gaps'),
    errors: own('load_errors'),
    health: own('pipeline_health'),
    schemaHistory: own('schema_history'),
    views: own('views'),
    superseded: own('superseded'),
    member: own('member'),
    documentKey: own('document_key'),
    scalar: own('scalar'),
    uuidText: own('uuid_text'),
    structure: own('structure'),
    view: (name) => within(schemas.gold, name),
    tables: (stem) => ({
      stem,
      bronze: within(schemas.bronze, stem),
      silver: within(schemas.silver, stem),
      history: within(schemas.silver, stem + HISTORY),
      gold: within(schemas.gold, stem),
    }),
  };
}
