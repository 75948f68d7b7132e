/**
 * `sluice render eventhubs` and `render asp`: from the `bus` of a configuration to what Azure and Atlas need for it.
 */
import type { Document } from 'mongodb';
import type { BusConfig, Config } from '../config/config.ts';
import { SluiceError } from '../core/error.ts';
import { CONFIG_CONFLICT, USAGE } from '../core/errors.ts';
import type { AspPlan, JsonDocument } from '../render/asp.ts';
import type { EventHubsPlan } from '../render/eventhubs.ts';
import type { TextFile } from '../render/text-file.ts';

export interface EventHubsArgs {
  readonly sku: EventHubsPlan['sku'];
  readonly units: number;
  readonly partitions: number;
  /** `null`: as long as the tier allows. */
  readonly retentionHours: number | null;
  readonly policies: EventHubsPlan['policies'];
  /** `account/container`; `null`: no Capture. */
  readonly capture: string | null;
}

export interface AspArgs {
  readonly cluster: string;
  readonly workspace: string;
  readonly project: JsonDocument | null;
  readonly validate: JsonDocument | null;
  /** Resource id of the namespace and Atlas region; `null`: over the public endpoint. */
  readonly privateLink: AspPlan['privateLink'];
}

/** @throws CONFIG_CONFLICT, USAGE */
export async function eventHubsFiles(config: Config, args: EventHubsArgs): Promise<readonly TextFile[]> {
  const { renderEventHubs, retentionHoursMax } = await import('../render/eventhubs.ts');
  const bus = needBus(config);
  const { namespace, hub } = hubOf(bus);
  const retentionHours = args.retentionHours ?? retentionHoursMax(args.sku);
  if (retentionHours > retentionHoursMax(args.sku))
    throw new SluiceError(USAGE, `${args.sku} keeps messages for ${retentionHoursMax(args.sku)} hours at most`);
  if (args.sku === 'Standard' && args.partitions > 32) throw new SluiceError(USAGE, 'Standard has 32 partitions at most');
  return renderEventHubs({
    ...args,
    pipeline: config.pipeline,
    namespace,
    hub,
    group: bus.group,
    retentionHours,
    login: bus.auth.kind === 'default' ? 'identity' : 'keys',
    capture: captureOf(args.capture),
  });
}

/** @throws CONFIG_CONFLICT, USAGE */
export async function aspFiles(config: Config, args: AspArgs): Promise<readonly TextFile[]> {
  const { renderAsp } = await import('../render/asp.ts');
  const { planStream } = await import('../source/mongo/stream-plan.ts');
  const bus = needBus(config);
  const { host, hub } = hubOf(bus);
  if (bus.auth.kind === 'default') {
    throw new SluiceError(
      CONFIG_CONFLICT,
      'Atlas Stream Processing logs in to Event Hubs with a connection string, and `bus.auth` names an identity',
      {
        next: 'Set `bus.auth: { kind: connectionString, value: ${EVENTHUBS_CONNECTION} }`.',
      },
    );
  }
  const { source } = config;
  const { level, database, collection, stages } = planStream({
    include: source.include,
    exclude: source.exclude,
    match: source.match,
    fullDocument: source.fullDocument,
    fullDocumentBeforeChange: source.fullDocumentBeforeChange,
  });
  return renderAsp({
    ...args,
    pipeline: config.pipeline,
    host,
    hub,
    source: { level, database, collection, stages: stages.map(withoutRegExp) },
    fullDocument: source.fullDocument,
    fullDocumentBeforeChange: source.fullDocumentBeforeChange,
    startAt: startOf(config),
    partitionBy: bus.partitionBy,
    json: config.lake.json,
  });
}

function startOf({ source: { startAt } }: Config): AspPlan['startAt'] {
  if (startAt.kind === 'time') return { time: startAt.at };
  return startAt.kind === 'token' ? { token: startAt.token } : null;
}

/** JSON has no RegExp, and `$in` takes no `$regex`: such a condition becomes one `$or` of plain ones. */
export function withoutRegExp(document: Document): JsonDocument {
  const plain: Record<string, unknown> = {};
  const either: JsonDocument[] = [];
  for (const [key, value] of Object.entries(document)) {
    const values = isDocument(value) && Array.isArray(value['$in']) ? (value['$in'] as unknown[]) : [];
    const [only] = values;
    if (values.length === 1 && only instanceof RegExp) plain[key] = { $regex: only.source };
    else if (values.some((one) => one instanceof RegExp)) {
      either.push({ $or: values.map((one) => ({ [key]: one instanceof RegExp ? { $regex: one.source } : one })) });
    } else plain[key] = walk(value);
  }
  return either.length === 0 ? plain : { $and: [...(Object.keys(plain).length > 0 ? [plain] : []), ...either] };
}

function walk(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(walk);
  return isDocument(value) ? withoutRegExp(value) : value;
}

function isDocument(value: unknown): value is Document {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function needBus(config: Config): BusConfig {
  if (config.bus !== null) return config.bus;
  throw new SluiceError(CONFIG_CONFLICT, 'the configuration has no `bus`', {
    next: 'Add `bus: { url: eventhubs://namespace.servicebus.windows.net/hub }`; without one sluice needs no Event Hubs.',
  });
}

/** @throws CONFIG_CONFLICT */
export function hubOf({ url }: BusConfig): { readonly host: string; readonly namespace: string; readonly hub: string } {
  const [, host, namespace, hub] = /^eventhubs:\/\/(([^./]+)[^/]*)\/([^/]+)$/.exec(url) ?? [];
  if (host === undefined || namespace === undefined || hub === undefined) {
    throw new SluiceError(CONFIG_CONFLICT, `${url.split('?')[0]} is no Event Hub`, {
      next: 'Set `bus.url: eventhubs://namespace.servicebus.windows.net/hub`; topics of Kafka are made with its own tools.',
    });
  }
  return { host, namespace, hub };
}

/** @throws USAGE */
function captureOf(text: string | null): EventHubsPlan['capture'] {
  if (text === null) return null;
  const [, account, container] = /^([a-z0-9]{3,24})\/([a-z0-9-]{3,63})$/.exec(text) ?? [];
  if (account !== undefined && container !== undefined) return { account, container };
  throw new SluiceError(USAGE, `--capture ${text} is not account/container`, { next: 'Name both: --capture acmelake/capture.' });
}
