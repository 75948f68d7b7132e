/**
 * `sluice render terraform` and `render adf`: from a configuration to what the platform around sluice is made of.
 */
import type { Config } from '../config/config.ts';
import { SluiceError } from '../core/error.ts';
import { CONFIG_CONFLICT } from '../core/errors.ts';
import type { TerraformPlan } from '../render/terraform.ts';
import type { TextFile } from '../render/text-file.ts';
import { azureLake, planOf } from './render.ts';
import { hubOf } from './render-bus.ts';

const LOADER = 'SLUICE_LOADER';
const WAREHOUSE = 'SLUICE_WH';

export interface TerraformArgs {
  readonly partitions: number;
}

/** @throws CONFIG_CONFLICT when nothing of it is on Azure or Snowflake */
export async function terraformFiles(config: Config, args: TerraformArgs): Promise<readonly TextFile[]> {
  const { renderTerraform } = await import('../render/terraform.ts');
  const plan: TerraformPlan = {
    pipeline: config.pipeline,
    lake: lakeOf(config),
    eventHubs: eventHubsOf(config, args),
    snowflake: await snowflakeOf(config),
  };
  if (plan.lake === null && plan.eventHubs === null && plan.snowflake === null) {
    throw new SluiceError(CONFIG_CONFLICT, 'the lake, the bus and the warehouse are all on this machine: there is nothing to make', {
      next: 'Set `lake.url`, `bus.url` or `warehouse.url` to what shall be made: abfss://…, eventhubs://…, snowflake://….',
    });
  }
  return renderTerraform(plan);
}

function lakeOf({ lake }: Config): TerraformPlan['lake'] {
  if (lake.kind !== 'azure' || lake.url.startsWith('http:')) return null;
  const place = azureLake(lake.url);
  const hierarchical = lake.writer === null ? /^abfss:|\.dfs\./.test(lake.url) : lake.writer === 'dfs';
  return place === null ? null : { ...place, hierarchical };
}

function eventHubsOf({ bus }: Config, { partitions }: TerraformArgs): TerraformPlan['eventHubs'] {
  if (bus === null || !bus.url.startsWith('eventhubs:')) return null;
  const { namespace, hub } = hubOf(bus);
  return { namespace, hub, group: bus.group, partitions, login: bus.auth.kind === 'default' ? 'identity' : 'keys' };
}

async function snowflakeOf({ warehouse }: Config): Promise<TerraformPlan['snowflake']> {
  if (warehouse?.kind !== 'snowflake') return null;
  const { parseTarget } = await import('../warehouse/snowflake/target.ts');
  const target = parseTarget(warehouse.url);
  return {
    database: target.database,
    warehouse: target.warehouse ?? WAREHOUSE,
    loader: target.role ?? LOADER,
    user: warehouse.auth?.['user'] ?? null,
  };
}

export interface AdfArgs {
  readonly collections: readonly string[];
  /** Minute of the hour at which it runs. */
  readonly minute: number;
  /** As in `render snowflake`, for a lake that is not named in the configuration. */
  readonly lake: string | null;
  /** Where Capture writes to, and where a data flow shall write what it makes of it; `null`: none. */
  readonly dataFlow: { readonly capture: string; readonly to: string } | null;
}

/** @throws CONFIG_CONFLICT, USAGE */
export async function adfFiles(config: Config, args: AdfArgs): Promise<readonly TextFile[]> {
  const flow = args.dataFlow === null ? [] : await dataFlowFiles(config, args.dataFlow);
  // Who only wants to look into Capture files need not have a warehouse.
  return args.dataFlow !== null && config.warehouse?.kind !== 'snowflake' ? flow : [...(await loadingFiles(config, args)), ...flow];
}

async function dataFlowFiles(config: Config, { capture, to }: { readonly capture: string; readonly to: string }): Promise<readonly TextFile[]> {
  const { renderDataFlow } = await import('../render/adf-data-flow.ts');
  return renderDataFlow({ pipeline: config.pipeline, capture: azureLake(capture)!, to: azureLake(to)! });
}

async function loadingFiles(config: Config, { collections, minute, lake }: AdfArgs): Promise<readonly TextFile[]> {
  const { renderAdf } = await import('../render/adf.ts');
  const { objectOf } = await import('../warehouse/snowflake/render/plan.ts');
  const { parseTarget } = await import('../warehouse/snowflake/target.ts');
  const plan = await planOf(config, { mode: 'task', collections, lake, tenant: null, queue: null, mail: [], eventsPerDay: 1 });
  if (plan.user === null) {
    throw new SluiceError(CONFIG_CONFLICT, 'Data Factory logs in as the user of `warehouse.auth`, and there is none', {
      next: 'Set `warehouse.auth: { kind: keyPair, user, privateKeyFile }`; the private key goes into Key Vault.',
    });
  }
  const { account } = parseTarget(config.warehouse!.kind === 'snowflake' ? config.warehouse!.url : '');
  return renderAdf({
    pipeline: config.pipeline,
    account,
    database: plan.database,
    warehouse: plan.warehouse,
    role: plan.loader,
    user: plan.user,
    collections: plan.collections.map((one) => ({
      name: `${one.ns.db}.${one.ns.coll}`,
      load: objectOf(one, 'load_recent'),
      merge: objectOf(one, 'merge_changes'),
    })),
    minute,
  });
}
