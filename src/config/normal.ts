/**
 * From a file that fits the schema to the normal form, and everything that takes more than one key to decide.
 */
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { LAYOUT_PRESETS, hoursPerPart, isPerEvent } from '../core/layout.ts';
import { maskProblem } from '../core/mask.ts';
import { isLiteral, parseGlob } from '../core/namespace.ts';
import type { AuthConfig, Config, DumpConfig, VerifyConfig, LakeConfig, SnowflakeConfig, StartAtConfig, WarehouseConfig } from './config.ts';
import type { FileConfig } from './schema.ts';
import { templateProblems } from './template.ts';

export interface Finding {
  readonly kind: 'invalid' | 'conflict';
  readonly path: readonly string[];
  readonly message: string;
}

const HOUR_MS = 3_600_000;
const FLUSH_AGE_LOCAL_MS = 0;
/** Each flush costs money on Azure. */
const FLUSH_AGE_AZURE_MS = 5000;

/** @param folder what relative paths start from: the folder of the file */
export function normalise(from: FileConfig, file: string | null, folder: string): { readonly config: Config; readonly findings: readonly Finding[] } {
  const findings: Finding[] = [];
  const report = (kind: Finding['kind'], path: string, message: string): void => void findings.push({ kind, path: path.split('.'), message });
  const config: Config = {
    file,
    pipeline: from.pipeline,
    source: {
      uri: from.source.uri,
      include: from.source.include,
      exclude: from.source.exclude,
      match: from.source.match,
      fullDocument: from.source.fullDocument,
      fullDocumentBeforeChange: from.source.fullDocumentBeforeChange,
      startAt: startAt(from.source.startAt, report),
      onHistoryLost: from.source.onHistoryLost,
      snapshot: { parallel: from.source.snapshot.parallel, bytesPerSecondMax: from.source.snapshot.maxBytesPerSecond ?? null },
      exhaust: from.source.exhaust,
      unavailableAfterMs: from.source.unavailableAfter,
      mask: from.source.mask,
      maskKey: from.source.maskKey ?? null,
    },
    lake: lake(from.lake, folder, report),
    checkpoint: { intervalMs: from.checkpoint.interval },
    warehouse: from.warehouse === undefined ? null : warehouse(from.warehouse, folder, report),
    http: { port: from.http.port, host: from.http.host, token: from.http.token ?? null },
    bus: from.bus === undefined ? null : { ...from.bus, auth: entraAuth('bus.auth', from.bus.auth, folder, report) },
    dump: from.dump === undefined ? null : dump(from.dump, report),
    verify: from.verify === undefined ? null : verify(from.verify, from.warehouse !== undefined, report),
  };
  if (config.lake.retention?.bronzeMs != null && config.warehouse === null)
    report('conflict', 'lake.retention.bronze', 'needs a `warehouse`, whose bronze it is about');
  mask(config, findings);
  conflicts(config, report);
  return { config, findings };
}

type Report = (kind: Finding['kind'], path: string, message: string) => void;

const START_AT = 'must be now, a time such as 2026-11-21T00:00:00Z, { token: { _data: "82…" } } or snapshot';
const TIME = /^\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?)?$/i;
const SECONDS_MAX = 2 ** 32 - 1;

function startAt(written: FileConfig['source']['startAt'], report: Report): StartAtConfig {
  if (written === undefined || written === 'now') return { kind: 'now' };
  if (written === 'snapshot') return { kind: 'snapshot' };
  if (typeof written === 'string') {
    const m = TIME.exec(written);
    const ms = m === null ? Number.NaN : Date.parse(written.replace(' ', 'T'));
    const t = Math.floor(ms / 1000);
    if (m === null || !(t >= 0 && t <= SECONDS_MAX)) report('invalid', 'source.startAt', START_AT);
    else if (written.length > 10 && m[1] === undefined) report('invalid', 'source.startAt', 'must name its zone: 2026-11-21T00:00:00Z or …+01:00');
    return { kind: 'time', at: { t: Number.isNaN(t) ? 0 : t, i: 0 } };
  }
  const { token } = written;
  if (Object.keys(written).length === 1 && token !== null && typeof token === 'object' && !Array.isArray(token)) {
    const document = token as Record<string, unknown>;
    if (typeof document['_data'] !== 'string' || !/^[0-9a-f]+$/i.test(document['_data'])) {
      report('invalid', 'source.startAt.token', 'must be the whole resume token: { _data: "82…" }, with _typeBits if it has them');
    }
    return { kind: 'token', token: document };
  }
  report('invalid', 'source.startAt', START_AT);
  return { kind: 'now' };
}

const LOOPBACK_NAMES: ReadonlySet<string> = new Set(['localhost', '::1', '[::1]']);

/** Whether a host name or address is this machine's loopback. */
export function isLoopback(host: string): boolean {
  return LOOPBACK_NAMES.has(host.toLowerCase()) || /^127(?:\.\d{1,3}){3}$/.test(host);
}

function localPath(written: string, folder: string): string | null {
  try {
    if (written.startsWith('//')) return fileURLToPath(`file:${written}`);
  } catch {
    // file://host/path names another machine.
    return null;
  }
  return written === '' || written.includes('\0') ? null : resolve(folder, written);
}

const AZURE = [
  /^abfss:\/\/[^/@]+@[^/@]+(?:\/[^?#]*)?$/,
  /^https:\/\/[^/@]+\/[^/?#]+(?:\/[^?#]*)?(?:\?.*)?$/,
  /^http:\/\/([^/@]+)\/[^/?#]+\/[^/?#]+(?:\/[^?#]*)?(?:\?.*)?$/,
];

function lake(from: FileConfig['lake'], folder: string, report: Report): LakeConfig {
  const local = from.url.startsWith('file:');
  let root = '';
  if (local) {
    root = localPath(from.url.slice('file:'.length), folder) ?? '';
    if (root === '') report('invalid', 'lake.url', 'must name a folder on this machine, such as file:./lake or file:/data/lake');
  } else if (!AZURE.some((form) => form.test(from.url))) {
    report(
      'invalid',
      'lake.url',
      'must be file:./lake, abfss://container@account.dfs.core.windows.net/prefix or https://account.blob.core.windows.net/container/prefix',
    );
  } else if (from.url.startsWith('http:') && !isLoopback(new URL(from.url).hostname)) {
    report('invalid', 'lake.url', 'must use https: plain http is for emulators on this machine');
  }
  const preset = Object.hasOwn(LAYOUT_PRESETS, from.layout) ? LAYOUT_PRESETS[from.layout as keyof typeof LAYOUT_PRESETS] : null;
  const layout = preset ?? from.layout;
  if (preset === null) {
    if (!layout.includes('{'))
      report(
        'invalid',
        'lake.layout',
        'must be hive, hourly, per-event or a template such as "{db}/{coll}/{yyyyMMdd}/events-{yyyyMMdd}-{HH}{part}.jsonl"',
      );
    else for (const problem of templateProblems(layout)) report('invalid', 'lake.layout', problem);
  }
  if (isPerEvent(layout) && from.compression !== 'none')
    report(
      'conflict',
      'lake.compression',
      '`per-event` files are one event each and are not compressed: leave it out, or use hive, hourly or a template',
    );
  if (local && from.writer !== undefined)
    report('conflict', 'lake.writer', '`lake.writer` is for Azure, but `lake.url` is a local folder: leave it out');
  if (local && from.auth.kind !== 'default')
    report('conflict', 'lake.auth', '`lake.auth` is for Azure, but `lake.url` is a local folder: leave it out');
  return {
    url: from.url,
    kind: local ? 'local' : 'azure',
    root,
    layout,
    json: from.json,
    compression: from.compression,
    roll: { maxBytes: from.roll.maxBytes, maxAgeMs: from.roll.maxAge ?? hoursPerPart(layout) * HOUR_MS },
    flush: { maxBytes: from.flush.maxBytes, maxAgeMs: from.flush.maxAge ?? (local ? FLUSH_AGE_LOCAL_MS : FLUSH_AGE_AZURE_MS) },
    maxOpenParts: from.maxOpenParts,
    maxLineBytes: from.maxLineBytes,
    writer: from.writer ?? null,
    auth: entraAuth('lake.auth', from.auth, folder, report),
    retention:
      from.retention === undefined
        ? null
        : {
            hoursMs: from.retention.hours ?? null,
            dumpsMs: from.retention.dumps ?? null,
            claimsMs: from.retention.claims ?? null,
            deadLettersMs: from.retention.deadLetters ?? null,
            bronzeMs: from.retention.bronze ?? null,
          },
  };
}

function entraAuth(key: string, auth: AuthConfig, folder: string, report: Report): AuthConfig {
  if (auth.kind === 'servicePrincipal' && (auth['clientSecret'] === undefined) === (auth['certificateFile'] === undefined))
    report('invalid', key, 'needs either clientSecret or certificateFile');
  return withFiles(auth, folder);
}

/** Paths of files start from the folder of the configuration, as everywhere. */
function withFiles(auth: AuthConfig, folder: string): AuthConfig {
  const files = ['tokenFile', 'certificateFile'].flatMap((key) => (auth[key] === undefined ? [] : [[key, resolve(folder, auth[key])]]));
  return { ...auth, ...(Object.fromEntries(files) as Record<string, string>) };
}

function warehouse(from: NonNullable<FileConfig['warehouse']>, folder: string, report: Report): WarehouseConfig {
  const shared = { deletes: from.deletes, columns: from.columns, load: from.load, sourceCountsMs: from.sourceCounts };
  if (from.url.startsWith('snowflake:')) {
    if (!/^snowflake:\/\/[^/]+\/[^/?]+(?:\?.*)?$/.test(from.url))
      report('invalid', 'warehouse.url', 'must be snowflake://account/database?warehouse=…&role=…');
    return { kind: 'snowflake', url: from.url, auth: snowflakeAuth(from.auth, folder), ...shared };
  }
  const written = from.url.startsWith('duckdb:') ? from.url.slice('duckdb:'.length) : null;
  let path = '';
  if (written === null) report('invalid', 'warehouse.url', 'must be duckdb:./warehouse.duckdb or snowflake://account/database');
  else if (/^(\/\/)?:memory:$/.test(written))
    report('invalid', 'warehouse.url', 'must name a file: a warehouse in memory would be empty after each start');
  else {
    path = localPath(written, folder) ?? '';
    if (path === '' || written.endsWith('/')) report('invalid', 'warehouse.url', 'must name a file, such as duckdb:./warehouse.duckdb');
  }
  if (from.auth !== undefined) report('conflict', 'warehouse.auth', '`warehouse.auth` is for Snowflake, but `warehouse.url` is DuckDB: leave it out');
  return { kind: 'duckdb', path, memoryLimitBytes: from.memoryLimit, ...shared };
}

/** A key lies beside the configuration that names it, wherever the command is run. */
function snowflakeAuth(auth: NonNullable<FileConfig['warehouse']>['auth'], folder: string): SnowflakeConfig['auth'] {
  if (auth === undefined) return null;
  return auth.kind === 'keyPair' ? { ...auth, privateKeyFile: localPath(auth.privateKeyFile, folder) ?? auth.privateKeyFile } : { ...auth };
}

function dump({ timeout, content, ...rest }: NonNullable<FileConfig['dump']>, report: Report): DumpConfig {
  const { layout } = rest;
  if (layout === 'document' && content === 'documents')
    report('conflict', 'dump.content', 'must be changes with `layout: document`; use `layout: ndjson` or `array` for documents');
  if (layout === 'array' && content === 'changes')
    report('conflict', 'dump.content', 'must be documents with `layout: array`; use `layout: ndjson` or `document` for changes');
  return { ...rest, content: content ?? (layout === 'document' ? 'changes' : 'documents'), timeoutMs: timeout };
}

function verify({ cron, checks, window }: NonNullable<FileConfig['verify']>, hasWarehouse: boolean, report: Report): VerifyConfig {
  if (checks?.includes('warehouse') === true && !hasWarehouse)
    report('conflict', 'verify.checks', 'must not name the warehouse without a `warehouse` in the configuration');
  return { cron, checks: checks ?? (hasWarehouse ? ['lake', 'warehouse', 'source'] : ['lake', 'source']), windowMs: window };
}

/** Shorter secrets are guessed. */
const MASK_KEY_CHARS_MIN = 16;

function mask({ source: { mask: rules, maskKey } }: Config, findings: Finding[]): void {
  for (const [key, rule] of Object.entries(rules)) {
    const message = maskProblem(key, rule);
    // A key of the mask holds dots.
    if (message !== null) findings.push({ kind: 'invalid', path: ['source', 'mask', key], message });
  }
  if (Object.keys(rules).length > 0 && maskKey === null)
    findings.push({
      kind: 'conflict',
      path: ['source', 'maskKey'],
      message: 'must be set with a `source.mask`: give a long random secret, such as "${SLUICE_MASK_KEY}", and keep it for the life of the lake',
    });
  if (maskKey !== null && maskKey.length < MASK_KEY_CHARS_MIN)
    findings.push({ kind: 'invalid', path: ['source', 'maskKey'], message: `must have ${MASK_KEY_CHARS_MIN} characters or more` });
}

function conflicts(config: Config, report: Report): void {
  if (config.warehouse !== null && config.source.fullDocument === 'off') {
    report(
      'conflict',
      'source.fullDocument',
      'must not be off with a `warehouse`: silver is made of whole documents; use updateLookup, or leave `warehouse` out',
    );
  }
  if (Object.keys(config.source.match).length > 0 && (config.source.startAt.kind === 'snapshot' || config.source.onHistoryLost === 'repair')) {
    report(
      'conflict',
      'source.match',
      'is about change events, and a snapshot has none: leave it out, or use `startAt: now` and `onHistoryLost: fail`',
    );
  }
  if (
    config.bus !== null &&
    config.bus.format !== 'sluice' &&
    (config.source.startAt.kind === 'snapshot' || config.source.onHistoryLost === 'repair')
  ) {
    report(
      'conflict',
      'bus.format',
      'says that another program reads MongoDB: sluice has its messages alone, and nobody who reads collections whole; use `startAt: now` or a time, and `onHistoryLost: fail`',
    );
  }
  if (config.lake.layout.includes('{') && !config.lake.layout.includes('{db}')) {
    const databases = new Set(config.source.include.map((glob) => parseGlob(glob).db));
    if (databases.size > 1 || [...databases].some((name) => !isLiteral(name))) {
      report(
        'conflict',
        'lake.layout',
        'has no {db}, but `source.include` may span several databases, and two collections of one name would share files: include one database, or use hive or a template with {db}',
      );
    }
  }
  if (!isLoopback(config.http.host) && config.http.token === null) {
    report('conflict', 'http.host', `is not the loopback, and then \`http.token\` must be set: give one, or use 127.0.0.1`);
  }
}
