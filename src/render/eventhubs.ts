/**
 * `sluice render eventhubs`: a namespace and a hub for one pipeline, and nobody may do more with them than the pipeline needs.
 *
 * With a connection string as the login there are policies on the hub: Send for the producer, Listen for consumers. With Entra
 * identities there are role assignments on the hub, and keys are switched off altogether.
 */
import { DATA_ROLES, expression, parameterFile, quoted, roleAssignment, template, type Parameter, type Resource } from './arm.ts';
import { jsonFile, scriptFile, type TextFile } from './text-file.ts';

/** The newest that is generally available (2024). */
const API = '2024-01-01';

export interface EventHubsPlan {
  readonly pipeline: string;
  readonly namespace: string;
  readonly hub: string;
  readonly group: string;
  readonly sku: 'Standard' | 'Premium';
  /** Throughput units of Standard, processing units of Premium. */
  readonly units: number;
  readonly partitions: number;
  readonly retentionHours: number;
  /** `keys`: policies with connection strings. `identity`: role assignments, and no keys. */
  readonly login: 'keys' | 'identity';
  /** Who the policies are for: producer and consumers apart, or one process that does both. */
  readonly policies: 'split' | 'one';
  /** Event Hubs Capture into a container of a storage account in the same resource group. */
  readonly capture: { readonly account: string; readonly container: string } | null;
}

export function renderEventHubs(plan: EventHubsPlan): readonly TextFile[] {
  return [
    jsonFile('eventhubs.json', template(parametersOf(plan), resourcesOf(plan), outputsOf())),
    jsonFile('eventhubs.parameters.json', parameterFile(valuesOf(plan))),
    scriptFile('deploy.sh', purposeOf(plan), commandsOf(plan)),
  ];
}

const NAMESPACE_ID = "resourceId('Microsoft.EventHub/namespaces', parameters('namespaceName'))";
const HUB_ID = "resourceId('Microsoft.EventHub/namespaces/eventhubs', parameters('namespaceName'), parameters('hubName'))";
const ACCOUNT_ID = "resourceId('Microsoft.Storage/storageAccounts', parameters('captureAccount'))";

function parametersOf(plan: EventHubsPlan): Record<string, Parameter> {
  const text = (description: string, defaultValue?: string): Parameter => ({
    type: 'string',
    ...(defaultValue === undefined ? {} : { defaultValue }),
    metadata: { description },
  });
  return {
    location: text('Region of the namespace.', expression('resourceGroup().location')),
    namespaceName: text('Namespace: bus.url before .servicebus.windows.net.'),
    hubName: text('Event hub: the last part of bus.url.'),
    consumerGroup: text('Consumer group: bus.group.'),
    capacity: {
      type: 'int',
      minValue: 1,
      maxValue: plan.sku === 'Standard' ? 40 : 16,
      metadata: {
        description: plan.sku === 'Standard' ? 'Throughput units: 1 MB/s in, 2 MB/s out each.' : 'Processing units: 1, 2, 4, 8, 12 or 16.',
      },
    },
    ...(plan.sku === 'Standard'
      ? {
          capacityMax: {
            type: 'int',
            minValue: 1,
            maxValue: 40,
            metadata: { description: 'Throughput units that Azure may add by itself under load.' },
          },
        }
      : {}),
    partitionCount: {
      type: 'int',
      minValue: 1,
      maxValue: plan.sku === 'Standard' ? 32 : 100,
      metadata: { description: 'Partitions. Never change it: it is part of what the pipeline is (SLC-1604).' },
    },
    retentionHours: {
      type: 'int',
      minValue: 1,
      maxValue: retentionHoursMax(plan.sku),
      metadata: { description: 'How long messages are kept: longer than consumers may ever be away.' },
    },
    ...(plan.login === 'identity'
      ? {
          producerPrincipalId: text('Object id of the identity that runs `sluice run --role produce`; empty: no role is given.', ''),
          consumerPrincipalId: text('Object id of the identity that runs `sluice run --role consume`; empty: no role is given.', ''),
        }
      : {}),
    ...(plan.capture === null
      ? {}
      : {
          captureAccount: text('Storage account for Capture, in this resource group.'),
          captureContainer: text('Container for Capture; it must exist.'),
        }),
  };
}

export function retentionHoursMax(sku: EventHubsPlan['sku']): number {
  return sku === 'Standard' ? 7 * 24 : 90 * 24;
}

function valuesOf(plan: EventHubsPlan): Record<string, string | number> {
  return {
    namespaceName: plan.namespace,
    hubName: plan.hub,
    consumerGroup: plan.group,
    capacity: plan.units,
    ...(plan.sku === 'Standard' ? { capacityMax: Math.min(40, plan.units * 2) } : {}),
    partitionCount: plan.partitions,
    retentionHours: plan.retentionHours,
    ...(plan.capture === null ? {} : { captureAccount: plan.capture.account, captureContainer: plan.capture.container }),
  };
}

function resourcesOf(plan: EventHubsPlan): Resource[] {
  const { sku, capture } = plan;
  const captureRole = roleAssignment(
    DATA_ROLES.blobContributor,
    ACCOUNT_ID,
    `reference(${NAMESPACE_ID}, ${quoted(API)}, 'full').identity.principalId`,
    { dependsOn: [expression(NAMESPACE_ID)] },
  );
  // A name may hold nothing that is only known while deploying.
  const namedRole = { ...captureRole, name: expression(`guid(${ACCOUNT_ID}, ${NAMESPACE_ID}, ${quoted(DATA_ROLES.blobContributor)})`) };
  const roleId = `extensionResourceId(${ACCOUNT_ID}, 'Microsoft.Authorization/roleAssignments', guid(${ACCOUNT_ID}, ${NAMESPACE_ID}, ${quoted(DATA_ROLES.blobContributor)}))`;
  return [
    {
      type: 'Microsoft.EventHub/namespaces',
      apiVersion: API,
      name: expression("parameters('namespaceName')"),
      location: expression("parameters('location')"),
      tags: { application: 'sluice', pipeline: plan.pipeline },
      sku: { name: sku, tier: sku, capacity: expression("parameters('capacity')") },
      ...(capture === null ? {} : { identity: { type: 'SystemAssigned' } }),
      properties: {
        // Keys that nobody needs are keys that can leak.
        disableLocalAuth: plan.login === 'identity',
        kafkaEnabled: true,
        minimumTlsVersion: '1.2',
        ...(sku === 'Standard' ? { isAutoInflateEnabled: true, maximumThroughputUnits: expression("parameters('capacityMax')") } : {}),
      },
    },
    ...(capture === null ? [] : [namedRole]),
    {
      type: 'Microsoft.EventHub/namespaces/eventhubs',
      apiVersion: API,
      name: expression("format('{0}/{1}', parameters('namespaceName'), parameters('hubName'))"),
      dependsOn: [expression(NAMESPACE_ID), ...(capture === null ? [] : [expression(roleId)])],
      properties: {
        partitionCount: expression("parameters('partitionCount')"),
        // Compaction would take away what a consumer has not read.
        retentionDescription: { cleanupPolicy: 'Delete', retentionTimeInHours: expression("parameters('retentionHours')") },
        ...(capture === null ? {} : { captureDescription: captureOf() }),
      },
    },
    {
      type: 'Microsoft.EventHub/namespaces/eventhubs/consumergroups',
      apiVersion: API,
      name: expression("format('{0}/{1}/{2}', parameters('namespaceName'), parameters('hubName'), parameters('consumerGroup'))"),
      dependsOn: [expression(HUB_ID)],
      properties: { userMetadata: `sluice, pipeline ${plan.pipeline}` },
    },
    ...(plan.login === 'keys' ? rules(plan).map(ruleOf) : ROLES.map(([parameter, role]) => givenRole(parameter, role))),
  ];
}

const ROLES = [
  ['producerPrincipalId', DATA_ROLES.eventHubsSender],
  ['consumerPrincipalId', DATA_ROLES.eventHubsReceiver],
] as const;

function givenRole(parameter: string, role: string): Resource {
  return roleAssignment(role, HUB_ID, `parameters('${parameter}')`, {
    condition: expression(`not(empty(parameters('${parameter}')))`),
    dependsOn: [expression(HUB_ID)],
  });
}

interface Rule {
  readonly name: string;
  readonly rights: readonly ('Send' | 'Listen')[];
}

function rules(plan: EventHubsPlan): readonly Rule[] {
  if (plan.policies === 'one') return [{ name: 'sluice', rights: ['Send', 'Listen'] }];
  return [
    { name: 'sluice-produce', rights: ['Send'] },
    { name: 'sluice-consume', rights: ['Listen'] },
  ];
}

function ruleOf({ name, rights }: Rule): Resource {
  return {
    type: 'Microsoft.EventHub/namespaces/eventhubs/authorizationRules',
    apiVersion: API,
    name: expression(`format('{0}/{1}/{2}', parameters('namespaceName'), parameters('hubName'), ${quoted(name)})`),
    dependsOn: [expression(HUB_ID)],
    properties: { rights },
  };
}

/** What `sluice reshape` reads: Avro, one folder per partition and time. */
function captureOf(): object {
  return {
    enabled: true,
    encoding: 'Avro',
    intervalInSeconds: 300,
    sizeLimitInBytes: 300 * 2 ** 20,
    skipEmptyArchives: true,
    destination: {
      name: 'EventHubArchive.AzureBlockBlob',
      identity: { type: 'SystemAssigned' },
      properties: {
        storageAccountResourceId: expression(ACCOUNT_ID),
        blobContainer: expression("parameters('captureContainer')"),
        archiveNameFormat: '{Namespace}/{EventHub}/{PartitionId}/{Year}/{Month}/{Day}/{Hour}/{Minute}/{Second}',
      },
    },
  };
}

function outputsOf(): Record<string, { type: 'string'; value: string }> {
  return {
    busUrl: {
      type: 'string',
      value: expression("format('eventhubs://{0}.servicebus.windows.net/{1}', parameters('namespaceName'), parameters('hubName'))"),
    },
    namespaceId: { type: 'string', value: expression(NAMESPACE_ID) },
  };
}

function purposeOf(plan: EventHubsPlan): string[] {
  return [
    `Event Hubs for the pipeline ${plan.pipeline}. Written by \`sluice render eventhubs\`; may run again.`,
    'Needs az (az login) and the right to deploy into the resource group. Shows what would change, and asks.',
    'RESOURCE_GROUP=my-group sh deploy.sh',
  ];
}

function commandsOf(plan: EventHubsPlan): string[] {
  const keys = rules(plan).map(({ name, rights }) =>
    [
      `# ${rights.join(' and ')}: EVENTHUBS_CONNECTION of ${who(name)}.`,
      'az eventhubs eventhub authorization-rule keys list --resource-group "$RESOURCE_GROUP" \\',
      `  --namespace-name ${plan.namespace} --eventhub-name ${plan.hub} --name ${name} \\`,
      '  --query primaryConnectionString --output tsv',
    ].join('\n'),
  );
  return [
    ': "${RESOURCE_GROUP:?name the resource group}"',
    '',
    'az deployment group create --name sluice-eventhubs --resource-group "$RESOURCE_GROUP" --confirm-with-what-if \\',
    '  --template-file "$here/eventhubs.json" --parameters "@$here/eventhubs.parameters.json"' +
      (plan.login === 'identity'
        ? ' \\\n  --parameters producerPrincipalId="${PRODUCER_PRINCIPAL_ID:-}" consumerPrincipalId="${CONSUMER_PRINCIPAL_ID:-}"'
        : ''),
    '',
    ...(plan.login === 'keys'
      ? [
          'if [ "${SHOW_KEYS:-no}" = yes ]; then',
          ...keys.flatMap((one) => one.split('\n').map((line) => `  ${line}`)),
          'else',
          `  echo 'SHOW_KEYS=yes prints the connection strings.'`,
          'fi',
        ]
      : []),
  ];
}

function who(policy: string): string {
  return { 'sluice-produce': '`sluice run --role produce`', 'sluice-consume': '`sluice run --role consume`' }[policy] ?? '`sluice run`';
}
