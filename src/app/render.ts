/**
 * `sluice render snowflake`: from a configuration to files that a person reads, and, when told to, to the account.
 */
import { SluiceError } from '../core/error.ts';
import { CONFIG_CONFLICT, USAGE } from '../core/errors.ts';
import { hourFolder } from '../core/layout.ts';
import { isLiteral, parseGlob, parseNamespace, type Namespace } from '../core/namespace.ts';
import type { Config, SnowflakeConfig } from '../config/config.ts';
import type { AzureLake, Mode, Plan, PlannedCollection, RenderedFile } from '../warehouse/snowflake/render/plan.ts';
import { snowflakeAuth } from './compose.ts';
import type { TextFile } from '../render/text-file.ts';

const LOADER = 'SLUICE_LOADER';
const READER = 'SLUICE_READER';
const WAREHOUSE = 'SLUICE_WH';
/** Modes in which Snowflake reads the lake by itself. */
const NEEDS_LAKE: ReadonlySet<Mode> = new Set(['task', 'pipe', 'dynamic', 'external']);

/** `sluice render snowflake`. */
export interface RenderArgs {
  readonly mode: 'copy' | 'task' | 'pipe' | 'dynamic' | 'external';
  /** By name; empty: those that `source.include` names. */
  readonly collections: readonly string[];
  /** The lake as Snowflake sees it; `null`: that of the configuration. */
  readonly lake: string | null;
  readonly tenant: string | null;
  readonly queue: string | null;
  readonly mail: readonly string[];
  readonly eventsPerDay: number;
}

/** @throws CONFIG_CONFLICT, USAGE when the configuration does not say enough */
export async function renderFiles(config: Config, args: RenderArgs): Promise<readonly RenderedFile[]> {
  const { renderSnowflake } = await import('../warehouse/snowflake/render/render.ts');
  return renderSnowflake(await planOf(config, args));
}

/** As they lie in the folder. */
export async function asText(files: readonly RenderedFile[]): Promise<readonly TextFile[]> {
  const { fileText } = await import('../warehouse/snowflake/render/render.ts');
  return files.map((file) => ({ name: file.name, text: fileText(file) }));
}

/** @throws CONFIG_CONFLICT, USAGE */
export async function planOf(config: Config, args: RenderArgs): Promise<Plan> {
  const { parseTarget } = await import('../warehouse/snowflake/target.ts');
  const { parseColumns } = await import('../warehouse/sql/columns.ts');
  const { planCollection } = await import('../warehouse/snowflake/render/plan.ts');
  const warehouse = needSnowflake(config);
  const target = parseTarget(warehouse.url);
  const lake = azureLake(args.lake ?? (config.lake.kind === 'azure' ? config.lake.url : null));
  if (lake === null && NEEDS_LAKE.has(args.mode)) {
    throw new SluiceError(CONFIG_CONFLICT, `mode ${args.mode} has Snowflake read the lake, and the lake is a local folder`, {
      next: 'Use a lake on Azure, name its address with --lake abfss://container@account.dfs.core.windows.net/prefix, or use --mode copy.',
    });
  }
  const columns = parseColumns(warehouse.columns);
  const planned: PlannedCollection[] = [];
  for (const ns of collectionsOf(config, args)) {
    planned.push(planCollection(ns, columns.get(`${ns.db}.${ns.coll}`) ?? [], folderOf(config.lake.layout, ns), planned));
  }
  return {
    pipeline: config.pipeline,
    mode: args.mode,
    database: target.database,
    warehouse: target.warehouse ?? WAREHOUSE,
    loader: target.role ?? LOADER,
    reader: READER,
    user: warehouse.auth?.['user'] ?? null,
    lake,
    compression: config.lake.compression,
    tenant: args.tenant,
    queue: args.queue,
    mail: args.mail,
    eventsPerDay: args.eventsPerDay,
    collections: planned,
  };
}

function needSnowflake(config: Config): SnowflakeConfig {
  if (config.warehouse?.kind === 'snowflake') return config.warehouse;
  throw new SluiceError(CONFIG_CONFLICT, 'the configuration has no Snowflake warehouse', {
    next: 'Set `warehouse.url: snowflake://account/database?warehouse=…&role=…`.',
  });
}

function collectionsOf(config: Config, args: RenderArgs): (Namespace & { readonly coll: string })[] {
  const names = args.collections.length > 0 ? args.collections : config.source.include;
  return names.map((name) => {
    const { db, coll } = parseGlob(name);
    const ns = isLiteral(db) && isLiteral(coll) ? parseNamespace(name) : null;
    if (ns === null || ns.coll === null) {
      throw new SluiceError(USAGE, `${name} is no name of a collection: tables are made for collections by name`, {
        next: 'Name them: sluice render snowflake shop.orders shop.customers; `sluice status` lists what was captured.',
      });
    }
    // Procedures stand between these marks, where nothing can be escaped.
    if (name.includes('$$'))
      throw new SluiceError(USAGE, `${name} holds $$, which a procedure of Snowflake cannot name; let sluice load it (--mode copy)`);
    return { db: ns.db, coll: ns.coll };
  });
}

/** What is the same in the folder of every hour of a collection. */
function folderOf(layout: string, ns: Namespace): string {
  const [one, other] = [0, 24 * 366 + 13].map((hour) => hourFolder(layout, ns, hour * 24 + 7));
  if (one === undefined || other === undefined || one === null || other === null) {
    throw new SluiceError(
      CONFIG_CONFLICT,
      'with this `lake.layout` a folder does not hold one collection alone, and Snowflake cannot find its files',
      {
        next: 'Use the layout hive, or let sluice load (--mode copy).',
      },
    );
  }
  let shared = 0;
  while (shared < one.length && one[shared] === other[shared]) shared += 1;
  return one.slice(0, one.lastIndexOf('/', shared - 1) + 1);
}

/** @throws USAGE */
export function azureLake(url: string | null): AzureLake | null {
  if (url === null) return null;
  const abfss = /^abfss:\/\/([^/@]+)@([^/.]+)\.dfs\.[^/]+(?:\/([^?#]*))?$/.exec(url);
  const blob = /^https:\/\/([^/.]+)\.(?:blob|dfs)\.[^/]+\/([^/?#]+)(?:\/([^?#]*))?$/.exec(url.split('?')[0] ?? '');
  const [container, account, path] = abfss === null ? [blob?.[2], blob?.[1], blob?.[3]] : [abfss[1], abfss[2], abfss[3]];
  if (container === undefined || account === undefined) throw new SluiceError(USAGE, `${url.split('?')[0]} is no lake on Azure`);
  const prefix = (path ?? '').replace(/^\/+|\/+$/g, '');
  return { account, container, prefix: prefix === '' ? '' : `${prefix}/` };
}

/** The files that make, or the one that drops. */
export function chosenFiles(files: readonly RenderedFile[], how: 'apply' | 'destroy'): readonly RenderedFile[] {
  return files.filter((file) => file.name.startsWith('99') === (how === 'destroy'));
}

/** Runs the statements of files on the account, in order; stops at the first that fails, and may be run again. */
export async function runRendered(
  config: Config,
  files: readonly RenderedFile[],
  onStatement: (file: string, statement: string) => void,
  signal: AbortSignal,
): Promise<number> {
  const { SnowflakeConnection } = await import('../warehouse/snowflake/connection.ts');
  const { failure } = await import('../warehouse/snowflake/errors.ts');
  const { parseTarget } = await import('../warehouse/snowflake/target.ts');
  const { TENANT_PLACEHOLDER, QUEUE_PLACEHOLDER } = await import('../warehouse/snowflake/render/plan.ts');
  const warehouse = needSnowflake(config);
  const auth = snowflakeAuth(warehouse.auth);
  if (auth === null) throw new SluiceError(CONFIG_CONFLICT, 'there is no `warehouse.auth`');
  const missing = files.flatMap((file) => file.statements).find((one) => one.includes(TENANT_PLACEHOLDER) || one.includes(QUEUE_PLACEHOLDER));
  if (missing !== undefined) {
    throw new SluiceError(USAGE, 'the tenant or the queue is not named', {
      next: 'Give --tenant <id>, and with --mode pipe --queue <address of the storage queue>.',
    });
  }
  const target = parseTarget(warehouse.url);
  // The files change roles themselves, and the database and warehouse may not be there yet.
  const connection = await SnowflakeConnection.open({ ...target, role: null, warehouse: null }, auth, `sluice:${config.pipeline}:render`, signal);
  let done = 0;
  try {
    for (const file of files) {
      for (const text of file.statements) {
        onStatement(file.name, text);
        await connection
          .run({ text, values: [] }, { limitMs: 10 * 60_000, tag: `sluice:${config.pipeline}:render`, signal })
          .catch((error: unknown) => {
            throw failure(error, `${file.name}, after ${done} statements`);
          });
        done += 1;
      }
    }
    return done;
  } finally {
    await connection.close();
  }
}
