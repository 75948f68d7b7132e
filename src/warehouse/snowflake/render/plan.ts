/**
 * What `sluice render snowflake` writes is made from this alone: the same plan gives the same files, byte for byte.
 */
import type { Namespace } from '../../../core/namespace.ts';
import type { UserColumn } from '../../sql/columns.ts';
import { SCHEMAS } from '../../sql/dialect.ts';
import { catalogOf, tableStem, type Catalog, type Tables } from '../../sql/names.ts';
import type { SqlValue, Statement } from '../../sql/statement.ts';
import { snowflakeDialect } from '../dialect.ts';

/**
 * `copy`: sluice loads and merges. `task`: Snowflake copies sealed files and merges by itself. `pipe`: Snowpipe brings the lines.
 * `dynamic`: as `task`, silver is a dynamic table. `external`: bronze stays in the lake.
 */
export const MODES = ['copy', 'task', 'pipe', 'dynamic', 'external'] as const;
export type Mode = (typeof MODES)[number];

/** A lake that Snowflake can read by itself. */
export interface AzureLake {
  readonly account: string;
  readonly container: string;
  /** `''`, or with `/` at its end. */
  readonly prefix: string;
}

export interface Plan {
  readonly pipeline: string;
  readonly mode: Mode;
  readonly database: string;
  readonly warehouse: string;
  readonly loader: string;
  readonly reader: string;
  /** The user that sluice logs in as, if the configuration names one. */
  readonly user: string | null;
  readonly lake: AzureLake | null;
  readonly compression: 'none' | 'gzip' | 'zstd';
  /** Entra tenant of the storage account; `null`: a placeholder that a person fills in. */
  readonly tenant: string | null;
  /** Storage queue that gets the events of the container, for auto-ingest. */
  readonly queue: string | null;
  /** Who is told by alerts. */
  readonly mail: readonly string[];
  readonly eventsPerDay: number;
  readonly collections: readonly PlannedCollection[];
}

export interface PlannedCollection {
  readonly ns: Namespace & { readonly coll: string };
  readonly tables: Tables;
  readonly columns: readonly UserColumn[];
  /** Below the stage, with `/` at its end: where files of this collection lie. */
  readonly folder: string;
}

export interface RenderedFile {
  readonly name: string;
  readonly statements: readonly string[];
  /** What the file is for: its first comment. */
  readonly purpose: string;
}

export const dialect = snowflakeDialect;
export const catalog: Catalog = catalogOf(dialect, SCHEMAS);
export const id = (name: string): string => dialect.identifier(name);
export const text = (value: string): string => dialect.string(value);
export const TENANT_PLACEHOLDER = '<tenant id of the storage account>';
export const QUEUE_PLACEHOLDER = 'https://<account>.queue.core.windows.net/<queue>';

export function planCollection(
  ns: Namespace & { readonly coll: string },
  columns: readonly UserColumn[],
  folder: string,
  taken: readonly PlannedCollection[],
): PlannedCollection {
  const stem = tableStem(
    ns,
    taken.map((one) => one.tables.stem),
  );
  return { ns, columns, folder, tables: catalog.tables(stem) };
}

/** An object of the `sluice` schema that belongs to a collection. */
export function objectOf(collection: PlannedCollection, suffix: string): string {
  return `${dialect.identifier(SCHEMAS.sluice)}.${dialect.identifier(`${collection.tables.stem}_${suffix}`)}`;
}

const PIECES = /'(?:[^'\\]|''|\\[\s\S])*'|"(?:[^"]|"")*"|\$\$[\s\S]*?\$\$|\?/g;

/** A statement with its values written out, for a file. A question mark inside of a text or of a function is none of ours. */
export function inline(statement: Statement): string {
  const left = [...statement.values];
  const written = statement.text.replaceAll(PIECES, (piece) => (piece === '?' ? literal(left.shift() ?? null) : piece));
  if (left.length > 0) throw new Error(`${left.length} values have no place in ${statement.text}`);
  return written;
}

function literal(value: SqlValue): string {
  if (value === null) return 'NULL';
  return typeof value === 'string' ? dialect.string(value) : String(value).toUpperCase();
}

/** Minute of the hour: tasks follow the sealing of an hour, and each other. */
export function minuteOf(index: number): number {
  return 7 + ((index * 7) % 50);
}
