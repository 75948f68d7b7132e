/**
 * `sluice render asp`: Atlas Stream Processing as the producer of a bus. Atlas reads the change stream and publishes to Event Hubs;
 * `sluice run --role consume` reads that.
 *
 * What the consumer relies on is kept whole: the resume token (`_id`), which tells a repeated message, the cluster time, which
 * decides the hour, and Extended JSON that loses nothing. A stage that would take one of them away is refused.
 */
import { SluiceError } from '../core/error.ts';
import { USAGE } from '../core/errors.ts';
import type { Timestamp } from '../core/time.ts';
import { jsonFile, scriptFile, shellWord, type TextFile } from './text-file.ts';

export type JsonDocument = Readonly<Record<string, unknown>>;

export interface AspPlan {
  readonly pipeline: string;
  /** Host of the namespace: `name.servicebus.windows.net`. */
  readonly host: string;
  readonly hub: string;
  /** Names in Atlas. */
  readonly cluster: string;
  readonly workspace: string;
  readonly source: {
    readonly level: 'cluster' | 'database' | 'collection';
    readonly database: string;
    readonly collection: string | null;
    /** Run where the change stream is, before anything leaves it. */
    readonly stages: readonly JsonDocument[];
  };
  readonly fullDocument: 'off' | 'updateLookup' | 'whenAvailable' | 'required';
  readonly fullDocumentBeforeChange: 'off' | 'whenAvailable' | 'required';
  /** `null`: when it is started first. */
  readonly startAt: { readonly time: Timestamp } | { readonly token: JsonDocument } | null;
  readonly partitionBy: 'collection' | 'document';
  readonly json: 'relaxed' | 'canonical';
  readonly project: JsonDocument | null;
  /** A query that every event must satisfy, besides what sluice needs; others go to the dead letters. */
  readonly validate: JsonDocument | null;
  readonly privateLink: { readonly namespaceId: string; readonly region: string } | null;
}

const EVENT_HUBS = 'sluice-eventhubs';
const SOURCE = 'sluice-source';
const DEAD_LETTERS = 'sluice-dead-letters';
const DEAD_LETTER_DB = 'sluice_asp';
const DEAD_LETTER_ROLE = 'sluiceDeadLetters';
/** Where the script puts the id of the private link, which only Atlas knows. */
export const LINK_PLACEHOLDER = '<id of the private link, filled in by register.sh>';
const PASSWORD_PLACEHOLDER = '<EVENTHUBS_CONNECTION, filled in by register.sh>';
/** What a message must have to become an event (docs/event-hubs.md). */
const NEEDED = ['_id', 'operationType', 'clusterTime'] as const;
const KEPT = [...NEEDED, 'ns', 'documentKey'] as const;

export function renderAsp(plan: AspPlan): readonly TextFile[] {
  return [
    ...(plan.privateLink === null ? [] : [jsonFile('private-link.json', privateLink(plan, plan.privateLink))]),
    jsonFile('connection-eventhubs.json', eventHubs(plan)),
    jsonFile('connection-source.json', cluster(plan, SOURCE, { role: 'readAnyDatabase', type: 'BUILT_IN' })),
    jsonFile('connection-dead-letters.json', cluster(plan, DEAD_LETTERS, { role: DEAD_LETTER_ROLE, type: 'CUSTOM' })),
    jsonFile('processor.json', {
      name: processorName(plan),
      pipeline: stagesOf(plan),
      options: { dlq: { connectionName: DEAD_LETTERS, db: DEAD_LETTER_DB, coll: processorName(plan) } },
    }),
    scriptFile('register.sh', purposeOf(plan), commandsOf(plan)),
  ];
}

/** Letters and digits: mongosh takes such names without quotes. */
function processorName({ pipeline }: AspPlan): string {
  return `sluice_${pipeline.replaceAll('-', '_')}`;
}

function privateLink({ host }: AspPlan, { namespaceId, region }: NonNullable<AspPlan['privateLink']>): object {
  return { provider: 'AZURE', vendor: 'EVENTHUB', region, serviceEndpointId: namespaceId, dnsDomain: host };
}

function eventHubs(plan: AspPlan): object {
  const access = plan.privateLink === null ? { type: 'PUBLIC' } : { type: 'PRIVATE_LINK', connectionId: LINK_PLACEHOLDER };
  return {
    name: EVENT_HUBS,
    type: 'Kafka',
    // The Kafka endpoint of Event Hubs; the user is this very word.
    bootstrapServers: `${plan.host}:9093`,
    security: { protocol: 'SASL_SSL' },
    authentication: { mechanism: 'PLAIN', username: '$ConnectionString', password: PASSWORD_PLACEHOLDER },
    networking: { access },
  };
}

function cluster(plan: AspPlan, name: string, dbRoleToExecute: object): object {
  return { name, type: 'Cluster', clusterName: plan.cluster, dbRoleToExecute };
}

function stagesOf(plan: AspPlan): object[] {
  return [
    { $source: sourceOf(plan) },
    { $validate: { validator: validatorOf(plan), validationAction: 'dlq' } },
    ...(plan.project === null ? [] : [{ $project: checkedProjection(plan.project) }]),
    { $emit: emitOf(plan) },
  ];
}

function sourceOf({ source, ...plan }: AspPlan): object {
  return {
    connectionName: SOURCE,
    ...(source.level === 'cluster' ? {} : { db: source.database }),
    ...(source.level === 'collection' ? { coll: source.collection } : {}),
    config: {
      ...(plan.fullDocument === 'off' ? {} : { fullDocument: plan.fullDocument }),
      ...(plan.fullDocumentBeforeChange === 'off' ? {} : { fullDocumentBeforeChange: plan.fullDocumentBeforeChange }),
      ...(source.stages.length === 0 ? {} : { pipeline: source.stages }),
      ...startOf(plan.startAt),
    },
  };
}

function startOf(startAt: AspPlan['startAt']): object {
  if (startAt === null) return {};
  return 'time' in startAt ? { startAtOperationTime: { $timestamp: startAt.time } } : { startAfter: startAt.token };
}

function validatorOf({ validate }: AspPlan): JsonDocument {
  const needed = Object.fromEntries(NEEDED.map((field) => [field, { $exists: true }]));
  return validate === null ? needed : { $and: [needed, validate] };
}

/** @throws USAGE when a field would be gone that sluice needs */
function checkedProjection(project: JsonDocument): JsonDocument {
  const says = (field: string): unknown => project[field];
  const excludes = Object.entries(project).every(([field, value]) => field === '_id' || value === 0 || value === false);
  const gone = KEPT.filter((field) => {
    const value = says(field);
    if (value === 0 || value === false) return true;
    return value === undefined && !excludes && field !== '_id';
  });
  if (gone.length === 0) return project;
  throw new SluiceError(USAGE, `--project takes away ${gone.join(', ')}, which sluice needs`, {
    next: `Keep ${KEPT.join(', ')}: { "${gone[0]}": 1, … }, or only exclude: { "fullDocument.secret": 0 }.`,
  });
}

function emitOf(plan: AspPlan): object {
  const namespace = {
    $cond: [{ $ifNull: ['$ns.coll', false] }, { $concat: ['$ns.db', '.', '$ns.coll'] }, { $ifNull: ['$ns.db', ''] }],
  };
  const byDocument = plan.partitionBy === 'document';
  return {
    connectionName: EVENT_HUBS,
    topic: plan.hub,
    config: {
      acks: 'all',
      key: byDocument ? '$documentKey' : namespace,
      keyFormat: byDocument ? 'json' : 'string',
      headers: { operationType: '$operationType', ns: namespace, at: { $dateToString: { date: '$clusterTime', onNull: '' } } },
      outputFormat: plan.json === 'canonical' ? 'canonicalJson' : 'relaxedJson',
    },
  };
}

function purposeOf(plan: AspPlan): string[] {
  return [
    `Atlas Stream Processing for the pipeline ${plan.pipeline}. Written by \`sluice render asp\`.`,
    'Needs the Atlas CLI (atlas auth login; role Project Stream Processing Owner) and jq.',
    'ATLAS_PROJECT_ID=… EVENTHUBS_CONNECTION="$(cat connection-string)" sh register.sh',
    'EVENTHUBS_CONNECTION is that of the policy with Send; it goes to Atlas and into no file that stays.',
  ];
}

function commandsOf(plan: AspPlan): string[] {
  const workspace = shellWord(plan.workspace);
  const project = '--projectId "$ATLAS_PROJECT_ID"';
  const link =
    plan.privateLink === null
      ? []
      : [
          '# 1. The private link. Approve it in Azure (Networking, Private endpoint connections), then run this again with LINK_ID.',
          'if [ -z "${LINK_ID:-}" ]; then',
          `  atlas streams privateLinks create --provider AZURE --file "$here/private-link.json" ${project}`,
          `  atlas streams privateLinks list ${project}`,
          "  echo 'When it is approved and DONE: LINK_ID=<its id> sh register.sh'",
          '  exit 0',
          'fi',
          '',
        ];
  const fill = plan.privateLink === null ? '' : ' | .networking.access.connectionId = env.LINK_ID';
  return [
    ': "${ATLAS_PROJECT_ID:?the id of the Atlas project}"',
    ': "${EVENTHUBS_CONNECTION:?the connection string of the policy with Send}"',
    ...(plan.privateLink === null ? [] : ['export LINK_ID']),
    'export EVENTHUBS_CONNECTION',
    'filled=$(mktemp)',
    `trap 'rm -f "$filled"' EXIT`,
    '',
    ...link,
    '# A role that may write the dead letters and nothing else.',
    `atlas customDbRoles create ${DEAD_LETTER_ROLE} --privilege INSERT@${DEAD_LETTER_DB},FIND@${DEAD_LETTER_DB},CREATE_COLLECTION@${DEAD_LETTER_DB} ${project}`,
    '',
    '# The connections.',
    `jq '.authentication.password = env.EVENTHUBS_CONNECTION${fill}' "$here/connection-eventhubs.json" > "$filled"`,
    ...[
      [EVENT_HUBS, '$filled'],
      [SOURCE, '$here/connection-source.json'],
      [DEAD_LETTERS, '$here/connection-dead-letters.json'],
    ].map(([name, file]) => `atlas streams connections create ${name} --instance ${workspace} --file "${file}" ${project}`),
    '',
    '# The processor.',
    `atlas api streams createStreamProcessor --groupId "$ATLAS_PROJECT_ID" --tenantName ${workspace} --file "$here/processor.json"`,
    `atlas api streams startStreamProcessor --groupId "$ATLAS_PROJECT_ID" --tenantName ${workspace} --processorName ${processorName(plan)}`,
  ];
}
