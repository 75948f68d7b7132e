/**
 * `sluice render adf`: Data Factory as the clock of the warehouse, for those who run everything from there.
 *
 * It does no loading of its own: every hour it asks the registry which collections are to be loaded, calls for each the procedures of
 * `sluice render snowflake --mode task` (copy, then merge), and fails when the health view says ERROR. So each file is loaded once by
 * the same ledger, however often a run is repeated.
 */
import { expression, parameterFile, template, type Parameter, type Resource } from './arm.ts';
import { factoryId, inFactory } from './factory.ts';
import { jsonFile, scriptFile, type TextFile } from './text-file.ts';

const SNOWFLAKE = 'sluice_snowflake';
const VAULT = 'sluice_key_vault';
const PIPELINE = 'sluice_load';
const TRIGGER = 'sluice_hourly';
/** A run that hangs is worse than one that is repeated. */
const TIMEOUT = '0.01:00:00';

export interface AdfPlan {
  readonly pipeline: string;
  readonly account: string;
  readonly database: string;
  readonly warehouse: string;
  readonly role: string;
  readonly user: string;
  readonly collections: readonly {
    readonly name: string;
    /** Names of the procedures, as SQL. */
    readonly load: string;
    readonly merge: string;
  }[];
  readonly minute: number;
}

export function renderAdf(plan: AdfPlan): readonly TextFile[] {
  return [
    jsonFile('adf.json', template(PARAMETERS, resourcesOf(plan), {})),
    jsonFile('adf.parameters.json', parameterFile({})),
    scriptFile(
      'deploy.sh',
      [
        `Data Factory for the pipeline ${plan.pipeline}. Written by \`sluice render adf\`; may run again.`,
        'Needs az with its extension datafactory, a factory whose identity may read the vault (Key Vault Secrets User), and the procedures of',
        '`sluice render snowflake --mode task` (do not run its 11_start.sql: this trigger takes the place of the tasks).',
        'RESOURCE_GROUP=… FACTORY=… VAULT_URL=https://….vault.azure.net KEY_SECRET=<secret with the private key> sh deploy.sh',
      ],
      [
        ': "${RESOURCE_GROUP:?}" "${FACTORY:?}" "${VAULT_URL:?}" "${KEY_SECRET:?}"',
        '',
        '# A trigger that runs cannot be changed.',
        `az datafactory trigger stop --resource-group "$RESOURCE_GROUP" --factory-name "$FACTORY" --name ${TRIGGER} 2>/dev/null || true`,
        'az deployment group create --name sluice-adf --resource-group "$RESOURCE_GROUP" --confirm-with-what-if \\',
        '  --template-file "$here/adf.json" --parameters "@$here/adf.parameters.json" \\',
        '  --parameters factoryName="$FACTORY" vaultUrl="$VAULT_URL" keySecret="$KEY_SECRET"',
        `az datafactory trigger start --resource-group "$RESOURCE_GROUP" --factory-name "$FACTORY" --name ${TRIGGER}`,
      ],
    ),
  ];
}

const PARAMETERS: Record<string, Parameter> = {
  factoryName: { type: 'string', metadata: { description: 'The data factory; it must exist.' } },
  vaultUrl: { type: 'string', metadata: { description: 'Key Vault with the private key: https://name.vault.azure.net' } },
  keySecret: { type: 'string', metadata: { description: 'Secret that holds the private key (PEM) of the Snowflake user.' } },
};

function resourcesOf(plan: AdfPlan): Resource[] {
  return [
    inFactory('linkedservices', VAULT, { type: 'AzureKeyVault', typeProperties: { baseUrl: expression("parameters('vaultUrl')") } }),
    inFactory('linkedservices', SNOWFLAKE, snowflakeOf(plan), [factoryId('linkedservices', VAULT)]),
    inFactory('pipelines', PIPELINE, pipelineOf(plan), [factoryId('linkedservices', SNOWFLAKE)]),
    inFactory('triggers', TRIGGER, triggerOf(plan), [factoryId('pipelines', PIPELINE)]),
  ];
}

function snowflakeOf({ account, database, warehouse, role, user }: AdfPlan): object {
  return {
    type: 'SnowflakeV2',
    typeProperties: {
      accountIdentifier: account,
      database,
      warehouse,
      role,
      authenticationType: 'KeyPair',
      user,
      privateKey: {
        type: 'AzureKeyVaultSecret',
        store: { referenceName: VAULT, type: 'LinkedServiceReference' },
        secretName: expression("parameters('keySecret')"),
      },
    },
  };
}

function script(name: string, text: string, after: readonly string[] = []): object {
  return {
    name,
    type: 'Script',
    dependsOn: after.map((activity) => ({ activity, dependencyConditions: ['Succeeded'] })),
    policy: { timeout: TIMEOUT, retry: 2, retryIntervalInSeconds: 60 },
    linkedServiceName: { referenceName: SNOWFLAKE, type: 'LinkedServiceReference' },
    typeProperties: { scripts: [{ type: 'Query', text: text.startsWith('@') ? dynamic(text) : text }] },
  };
}

function dynamic(value: string): { readonly type: 'Expression'; readonly value: string } {
  return { type: 'Expression', value };
}

function procedure(which: 'load' | 'merge'): string {
  return `pipeline().parameters.procedures[item().collection].${which}`;
}

function pipelineOf({ collections, pipeline }: AdfPlan): object {
  const names = collections.map(({ name }) => `'${name.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`).join(', ');
  return {
    description: `sluice, pipeline ${pipeline}: sealed hours into bronze, bronze into silver`,
    // Two runs at once would wait for each other's locks.
    concurrency: 1,
    parameters: {
      recentHours: { type: 'Int', defaultValue: 48 },
      procedures: { type: 'Object', defaultValue: Object.fromEntries(collections.map(({ name, load, merge }) => [name, { load, merge }])) },
    },
    activities: [
      // Nobody has rendered procedures for these yet: they stand in the output of the run.
      script('Discover', `SELECT collection AS "collection" FROM sluice.collection_registry WHERE collection NOT IN (${names})`),
      script('Lookup', `SELECT collection AS "collection" FROM sluice.collection_registry WHERE status <> 'PAUSED' AND collection IN (${names})`, [
        'Discover',
      ]),
      {
        name: 'ForEachCollection',
        type: 'ForEach',
        dependsOn: [{ activity: 'Lookup', dependencyConditions: ['Succeeded'] }],
        typeProperties: {
          items: dynamic("@activity('Lookup').output.resultSets[0].rows"),
          isSequential: false,
          batchCount: 4,
          activities: [
            script('Copy', `@concat('CALL ', ${procedure('load')}, '(', string(pipeline().parameters.recentHours), ')')`),
            script('Merge', `@concat('CALL ', ${procedure('merge')}, '()')`, ['Copy']),
          ],
        },
      },
      script('Health', 'SELECT count(*) AS "errors" FROM sluice.pipeline_health WHERE health = \'ERROR\'', ['ForEachCollection']),
      {
        name: 'Verdict',
        type: 'IfCondition',
        dependsOn: [{ activity: 'Health', dependencyConditions: ['Succeeded'] }],
        typeProperties: {
          expression: dynamic("@greater(int(activity('Health').output.resultSets[0].rows[0].errors), 0)"),
          ifTrueActivities: [
            {
              name: 'Unhealthy',
              type: 'Fail',
              typeProperties: {
                message: 'Collections are in ERROR: see sluice.pipeline_health and sluice.load_errors.',
                errorCode: 'SLUICE_UNHEALTHY',
              },
            },
          ],
        },
      },
    ],
  };
}

/** An hour is sealed within its first minutes after its end. */
function triggerOf({ minute }: AdfPlan): object {
  return {
    type: 'ScheduleTrigger',
    description: 'Every hour, when the hour before is sealed',
    pipelines: [{ pipelineReference: { referenceName: PIPELINE, type: 'PipelineReference' }, parameters: {} }],
    typeProperties: {
      recurrence: { frequency: 'Hour', interval: 1, startTime: '2026-01-01T00:00:00Z', timeZone: 'UTC', schedule: { minutes: [minute] } },
    },
  };
}
