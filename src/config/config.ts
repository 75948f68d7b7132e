/**
 * The normal form of a configuration: made once, at the edge, and the only one that the rest of the program sees.
 *
 * Defaults are filled, paths are absolute, sizes are bytes, durations are milliseconds, every list is a list. What
 * cannot be is not representable where that was cheap to have.
 */
import type { MaskRule } from '../core/mask.ts';
import type { Timestamp } from '../core/time.ts';

export interface Config {
  /** Absolute path of the file it came from; `null` when it was made from a text. */
  readonly file: string | null;
  readonly pipeline: string;
  readonly source: SourceConfig;
  readonly lake: LakeConfig;
  readonly checkpoint: { readonly intervalMs: number };
  readonly warehouse: WarehouseConfig | null;
  readonly http: HttpConfig;
  readonly bus: BusConfig | null;
  readonly dump: DumpConfig | null;
  readonly verify: VerifyConfig | null;
}

export type FullDocument = 'off' | 'updateLookup' | 'whenAvailable' | 'required';
export type FullDocumentBeforeChange = 'off' | 'whenAvailable' | 'required';

/** As the user wrote it; Extended JSON values are still documents (`{ $oid: … }`). */
export type StartAtConfig =
  | { readonly kind: 'now' }
  /** Inclusive. */
  | { readonly kind: 'time'; readonly at: Timestamp }
  /** The whole token document, as Extended JSON. */
  | { readonly kind: 'token'; readonly token: Readonly<Record<string, unknown>> }
  | { readonly kind: 'snapshot' };

export interface SourceConfig {
  /** Holds a password as a rule: show it through `redactUri` alone. */
  readonly uri: string;
  readonly include: readonly string[];
  readonly exclude: readonly string[];
  /** Extended JSON, not yet turned into BSON values. Empty: no further `$match`. */
  readonly match: Readonly<Record<string, unknown>>;
  readonly fullDocument: FullDocument;
  readonly fullDocumentBeforeChange: FullDocumentBeforeChange;
  readonly startAt: StartAtConfig;
  readonly onHistoryLost: 'fail' | 'repair';
  readonly snapshot: { readonly parallel: number; readonly bytesPerSecondMax: number | null };
  readonly exhaust: boolean;
  readonly unavailableAfterMs: number;
  readonly mask: Readonly<Record<string, MaskRule>>;
  /** Never `null` with a mask. */
  readonly maskKey: string | null;
}

/** A way to log in: its kind and the keys that go with it, some of them secret. */
export interface AuthConfig {
  readonly kind: string;
  readonly [key: string]: string | undefined;
}

export interface LakeConfig {
  /** As written. May hold a SAS signature: show it through `redactUri` alone. */
  readonly url: string;
  readonly kind: 'local' | 'azure';
  /** Absolute folder of a local lake; `''` on Azure. */
  readonly root: string;
  /** Template of a part's path (core/layout.ts); presets are resolved. */
  readonly layout: string;
  readonly json: 'relaxed' | 'canonical';
  readonly compression: 'none' | 'gzip' | 'zstd';
  readonly roll: { readonly maxBytes: number; readonly maxAgeMs: number };
  readonly flush: { readonly maxBytes: number; readonly maxAgeMs: number };
  readonly maxOpenParts: number;
  readonly maxLineBytes: number;
  readonly writer: 'dfs' | 'append-blob' | null;
  readonly auth: AuthConfig;
  /** `null`: for ever. */
  readonly retention: {
    readonly hoursMs: number | null;
    readonly dumpsMs: number | null;
    readonly claimsMs: number | null;
    readonly deadLettersMs: number | null;
    readonly bronzeMs: number | null;
  } | null;
}

export interface DuckdbConfig {
  readonly kind: 'duckdb';
  /** Absolute. */
  readonly path: string;
  readonly deletes: 'soft' | 'hard';
  /** Namespace → column → `path.to.field TYPE`, as written. */
  readonly columns: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** `sealed`, or a cron line of five fields. */
  readonly load: string;
  readonly sourceCountsMs: number;
  readonly memoryLimitBytes: number;
}

export interface SnowflakeConfig {
  readonly kind: 'snowflake';
  readonly url: string;
  readonly auth: AuthConfig | null;
  readonly deletes: 'soft' | 'hard';
  readonly columns: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly load: string;
  readonly sourceCountsMs: number;
}

export type WarehouseConfig = DuckdbConfig | SnowflakeConfig;

export interface HttpConfig {
  /** 0: any. */
  readonly port: number;
  readonly host: string;
  /** `null`: each run makes its own. */
  readonly token: string | null;
}

export interface BusConfig {
  readonly url: string;
  readonly auth: AuthConfig;
  readonly group: string;
  readonly partitionBy: 'collection' | 'document';
  readonly format: 'sluice' | 'detect' | 'changeEvents' | 'debezium';
  readonly onBadMessage: 'deadLetter' | 'stop';
  readonly maxMessageBytes: number;
}

export interface VerifyConfig {
  readonly cron: string;
  readonly checks: readonly ('lake' | 'warehouse' | 'source')[];
  /** How far back the change stream is read again. */
  readonly windowMs: number;
}

export interface DumpConfig {
  readonly cron: string;
  readonly collections: readonly string[];
  readonly layout: 'ndjson' | 'document' | 'array';
  readonly content: 'documents' | 'changes';
  readonly timeoutMs: number;
  readonly maxChanges: number;
}
