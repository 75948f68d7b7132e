/**
 * `sluice render terraform`: the account, the container, the identity and its rights, Event Hubs, and what an administrator makes in
 * Snowflake. Names come from the configuration; what it cannot know are variables.
 */
import { hcl, list, text, type Block } from './hcl.ts';
import type { TextFile } from './text-file.ts';

export interface TerraformPlan {
  readonly pipeline: string;
  readonly lake: { readonly account: string; readonly container: string; readonly prefix: string; readonly hierarchical: boolean } | null;
  readonly eventHubs: {
    readonly namespace: string;
    readonly hub: string;
    readonly group: string;
    readonly partitions: number;
    readonly login: 'keys' | 'identity';
  } | null;
  readonly snowflake: {
    readonly database: string;
    readonly warehouse: string;
    readonly loader: string;
    readonly user: string | null;
  } | null;
}

/** Those whose attributes the files were checked against (test/fixtures/terraform-resources.json). */
const PROVIDERS = { azurerm: ['hashicorp/azurerm', '~> 4.55'], snowflake: ['snowflakedb/snowflake', '~> 2.11'] } as const;
const BLOB_CONTRIBUTOR = 'Storage Blob Data Contributor';

export function renderTerraform(plan: TerraformPlan): readonly TextFile[] {
  const { lake, eventHubs, snowflake } = plan;
  const azure = lake !== null || eventHubs !== null;
  const files: (TextFile | null)[] = [
    {
      name: 'versions.tf',
      text: hcl(versions(azure, snowflake !== null), [`Written by \`sluice render terraform\` for the pipeline ${plan.pipeline}.`]),
    },
    { name: 'variables.tf', text: hcl(variables(plan)) },
    azure
      ? { name: 'identity.tf', text: hcl(identity(plan), ['What sluice runs as: a pod, a container app or a machine takes this identity.']) }
      : null,
    lake === null
      ? null
      : { name: 'lake.tf', text: hcl(lakeBlocks(lake, plan.pipeline), ['The lake. docs/azure.md says why each of these is set.']) },
    eventHubs === null ? null : { name: 'eventhubs.tf', text: hcl(hubBlocks(eventHubs), ['The bus: one hub for this pipeline alone.']) },
    snowflake === null ? null : { name: 'snowflake.tf', text: hcl(snowflakeBlocks(snowflake, plan), [...SNOWFLAKE_NOTE]) },
    azure ? { name: 'outputs.tf', text: hcl(outputs(plan)) } : null,
  ];
  return files.filter((file) => file !== null);
}

const SNOWFLAKE_NOTE = [
  'What an administrator makes. Schemas, tables, stages and tasks are not here: sluice makes its own when it starts, and',
  '`sluice render snowflake` writes those that Snowflake runs by itself.',
] as const;

function versions(azure: boolean, snowflake: boolean): Block[] {
  const wanted = [...(azure ? (['azurerm'] as const) : []), ...(snowflake ? (['snowflake'] as const) : [])];
  return [
    {
      head: 'terraform',
      attributes: { required_version: text('>= 1.6') },
      blocks: [
        {
          head: 'required_providers',
          attributes: Object.fromEntries(
            wanted.map((name) => [name, `{ source = ${text(PROVIDERS[name][0])}, version = ${text(PROVIDERS[name][1])} }`]),
          ),
        },
      ],
    },
    ...(azure ? [{ head: 'provider "azurerm"', attributes: { storage_use_azuread: 'true' }, blocks: [{ head: 'features', attributes: {} }] }] : []),
  ];
}

function variable(name: string, type: string, description: string, fallback: string | null = null): Block {
  return { head: `variable "${name}"`, attributes: { type, description: text(description), default: fallback } };
}

function variables({ lake, eventHubs, snowflake }: TerraformPlan): Block[] {
  return [
    ...(lake !== null || eventHubs !== null
      ? [variable('resource_group', 'string', 'Resource group; it must exist.'), variable('location', 'string', 'Region, such as westeurope.')]
      : []),
    ...(lake === null ? [] : [variable('replication', 'string', 'Replication of the storage account.', text('ZRS'))]),
    ...(eventHubs === null
      ? []
      : [
          variable('throughput_units', 'number', 'Throughput units of the namespace: 1 MB/s in each.', '1'),
          variable('retention_hours', 'number', 'How long messages are kept: longer than consumers may ever be away.', '168'),
        ]),
    ...(snowflake === null
      ? []
      : [
          ...(lake === null ? [] : [variable('tenant', 'string', 'Entra tenant of the storage account.')]),
          variable('warehouse_size', 'string', 'Size of the warehouse; up to 20 million events a day XSMALL is enough.', text('XSMALL')),
          ...(snowflake.user === null
            ? []
            : [variable('public_key', 'string', 'Public half of the key pair, one line, without its first and last line.')]),
        ]),
  ];
}

function identity({ pipeline }: TerraformPlan): Block[] {
  const attributes = { name: text(`sluice-${pipeline.toLowerCase()}`), resource_group_name: 'var.resource_group', location: 'var.location' };
  return [{ head: 'resource "azurerm_user_assigned_identity" "sluice"', attributes }];
}

function assignment(name: string, role: string, scope: string): Block {
  return {
    head: `resource "azurerm_role_assignment" "${name}"`,
    attributes: {
      scope,
      role_definition_name: text(role),
      principal_id: 'azurerm_user_assigned_identity.sluice.principal_id',
      principal_type: text('ServicePrincipal'),
    },
  };
}

function lakeBlocks({ account, container, hierarchical }: NonNullable<TerraformPlan['lake']>, pipeline: string): Block[] {
  return [
    {
      head: 'resource "azurerm_storage_account" "lake"',
      attributes: {
        name: text(account),
        resource_group_name: 'var.resource_group',
        location: 'var.location',
        account_tier: text('Standard'),
        account_kind: text('StorageV2'),
        account_replication_type: 'var.replication',
        is_hns_enabled: String(hierarchical),
        min_tls_version: text('TLS1_2'),
        https_traffic_only_enabled: 'true',
        allow_nested_items_to_be_public: 'false',
        shared_access_key_enabled: 'false',
        tags: `{ application = "sluice", pipeline = ${text(pipeline)} }`,
      },
    },
    {
      head: 'resource "azurerm_storage_container" "lake"',
      attributes: { name: text(container), storage_account_id: 'azurerm_storage_account.lake.id', container_access_type: text('private') },
    },
    assignment('lake', BLOB_CONTRIBUTOR, 'azurerm_storage_container.lake.id'),
  ];
}

function hubBlocks({ namespace, hub, group, partitions, login }: NonNullable<TerraformPlan['eventHubs']>): Block[] {
  const inHub = {
    namespace_name: 'azurerm_eventhub_namespace.sluice.name',
    eventhub_name: 'azurerm_eventhub.sluice.name',
    resource_group_name: 'var.resource_group',
  };
  const rule = (name: string, send: boolean): Block => ({
    head: `resource "azurerm_eventhub_authorization_rule" "${name}"`,
    attributes: { name: text(`sluice-${name}`), ...inHub, listen: String(!send), send: String(send), manage: 'false' },
  });
  return [
    {
      head: 'resource "azurerm_eventhub_namespace" "sluice"',
      attributes: {
        name: text(namespace),
        resource_group_name: 'var.resource_group',
        location: 'var.location',
        sku: text('Standard'),
        capacity: 'var.throughput_units',
        auto_inflate_enabled: 'true',
        maximum_throughput_units: 'min(40, var.throughput_units * 2)',
        minimum_tls_version: text('1.2'),
        local_authentication_enabled: String(login === 'keys'),
      },
    },
    {
      head: 'resource "azurerm_eventhub" "sluice"',
      // Another number would be another hub, without its messages (SLC-1604).
      attributes: { name: text(hub), namespace_id: 'azurerm_eventhub_namespace.sluice.id', partition_count: String(partitions) },
      blocks: [
        { head: 'retention_description', attributes: { cleanup_policy: text('Delete'), retention_time_in_hours: 'var.retention_hours' } },
        { head: 'lifecycle', attributes: { prevent_destroy: 'true' } },
      ],
    },
    { head: 'resource "azurerm_eventhub_consumer_group" "sluice"', attributes: { name: text(group), ...inHub } },
    ...(login === 'keys'
      ? [rule('produce', true), rule('consume', false)]
      : [
          assignment('send', 'Azure Event Hubs Data Sender', 'azurerm_eventhub.sluice.id'),
          assignment('receive', 'Azure Event Hubs Data Receiver', 'azurerm_eventhub.sluice.id'),
        ]),
  ];
}

function snowflakeBlocks({ database, warehouse, loader, user }: NonNullable<TerraformPlan['snowflake']>, { lake }: TerraformPlan): Block[] {
  const role = (name: string, label: string, comment: string): Block => ({
    head: `resource "snowflake_account_role" "${label}"`,
    attributes: { name: text(name), comment: text(comment) },
  });
  const grant = (label: string, to: string, privileges: readonly string[], type: string, name: string): Block => ({
    head: `resource "snowflake_grant_privileges_to_account_role" "${label}"`,
    attributes: { account_role_name: `snowflake_account_role.${to}.name`, privileges: list(privileges.map(text)) },
    blocks: [{ head: 'on_account_object', attributes: { object_type: text(type), object_name: name } }],
  });
  return [
    role(loader, 'loader', 'sluice: loads and merges'),
    role('SLUICE_READER', 'reader', 'sluice: reads silver, gold and the health of the pipeline'),
    {
      head: 'resource "snowflake_grant_account_role" "loader"',
      attributes: { role_name: 'snowflake_account_role.loader.name', parent_role_name: text('SYSADMIN') },
    },
    {
      head: 'resource "snowflake_warehouse" "sluice"',
      attributes: {
        name: text(warehouse),
        warehouse_size: 'var.warehouse_size',
        auto_suspend: '60',
        auto_resume: text('true'),
        initially_suspended: 'true',
        statement_timeout_in_seconds: '3600',
        comment: text('sluice'),
      },
    },
    {
      head: 'resource "snowflake_database" "sluice"',
      attributes: { name: text(database) },
      blocks: [{ head: 'lifecycle', attributes: { prevent_destroy: 'true' } }],
    },
    grant('loader_warehouse', 'loader', ['USAGE', 'OPERATE'], 'WAREHOUSE', 'snowflake_warehouse.sluice.name'),
    grant('reader_warehouse', 'reader', ['USAGE'], 'WAREHOUSE', 'snowflake_warehouse.sluice.name'),
    grant('loader_database', 'loader', ['USAGE', 'CREATE SCHEMA'], 'DATABASE', 'snowflake_database.sluice.name'),
    grant('reader_database', 'reader', ['USAGE'], 'DATABASE', 'snowflake_database.sluice.name'),
    ...(user === null ? [] : userBlocks(user)),
    ...(lake === null ? [] : integrationBlocks(lake)),
  ];
}

function userBlocks(user: string): Block[] {
  return [
    {
      head: 'resource "snowflake_service_user" "sluice"',
      attributes: {
        name: text(user),
        default_role: 'snowflake_account_role.loader.name',
        default_warehouse: 'snowflake_warehouse.sluice.name',
        rsa_public_key: 'var.public_key',
      },
    },
    {
      head: 'resource "snowflake_grant_account_role" "user"',
      attributes: { role_name: 'snowflake_account_role.loader.name', user_name: 'snowflake_service_user.sluice.name' },
    },
  ];
}

function integrationBlocks({ account, container, prefix }: NonNullable<TerraformPlan['lake']>): Block[] {
  return [
    {
      head: 'resource "snowflake_storage_integration" "lake"',
      attributes: {
        name: text('SLUICE_LAKE'),
        type: text('EXTERNAL_STAGE'),
        enabled: 'true',
        storage_provider: text('AZURE'),
        azure_tenant_id: 'var.tenant',
        storage_allowed_locations: list([text(`azure://${account}.blob.core.windows.net/${container}/${prefix}`)]),
      },
    },
  ];
}

function outputs({ lake, eventHubs, snowflake }: TerraformPlan): Block[] {
  const output = (name: string, value: string): Block => ({ head: `output "${name}"`, attributes: { value } });
  return [
    ...(lake === null && eventHubs === null ? [] : [output('client_id', 'azurerm_user_assigned_identity.sluice.client_id')]),
    ...(lake === null ? [] : [output('lake_url', text(`abfss://${lake.container}@${lake.account}.dfs.core.windows.net/${lake.prefix}`))]),
    ...(eventHubs === null ? [] : [output('bus_url', text(`eventhubs://${eventHubs.namespace}.servicebus.windows.net/${eventHubs.hub}`))]),
    ...(snowflake === null || lake === null ? [] : [output('snowflake_integration', 'snowflake_storage_integration.lake.name')]),
  ];
}
