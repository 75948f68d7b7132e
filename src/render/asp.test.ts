/**
 * What is rendered for Atlas Stream Processing. There is no schema of it that could be had: stages and their options are
 * compared with what MongoDB's pages name, and what a stage promises of its events is tried on events.
 */
import { describe, expect, it } from 'vitest';
import { shellProblem } from '../../test/shell.ts';
import { withoutRegExp } from '../app/render-bus.ts';
import { planStream } from '../source/mongo/stream-plan.ts';
import { renderAsp, type AspPlan } from './asp.ts';

const PLAN: AspPlan = {
  pipeline: 'shop',
  host: 'acme.servicebus.windows.net',
  hub: 'shop',
  cluster: 'Shop',
  workspace: 'streams',
  source: { level: 'collection', database: 'shop', collection: 'orders', stages: [] },
  fullDocument: 'updateLookup',
  fullDocumentBeforeChange: 'off',
  startAt: null,
  partitionBy: 'collection',
  json: 'relaxed',
  project: null,
  validate: null,
  privateLink: null,
};
const filtered = planStream({
  include: ['shop.ord*', 'shop.items'],
  exclude: ['shop.*_tmp'],
  match: { operationType: { $ne: 'delete' } },
  fullDocument: 'required',
  fullDocumentBeforeChange: 'required',
});

const CASES: readonly (readonly [name: string, plan: AspPlan])[] = [
  ['plain', PLAN],
  [
    'everything',
    {
      ...PLAN,
      source: { level: filtered.level, database: filtered.database, collection: null, stages: filtered.stages.map(withoutRegExp) },
      fullDocument: 'required',
      fullDocumentBeforeChange: 'required',
      startAt: { time: { t: 1_795_000_000, i: 0 } },
      partitionBy: 'document',
      json: 'canonical',
      project: { 'fullDocument.card': 0 },
      validate: { 'fullDocument.total': { $gte: 0 } },
      privateLink: {
        namespaceId: '/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/shop/providers/Microsoft.EventHub/namespaces/acme',
        region: 'US_EAST_2',
      },
    },
  ],
  [
    'the whole cluster',
    { ...PLAN, source: { level: 'cluster', database: 'admin', collection: null, stages: [] }, startAt: { token: { _data: '82AB' } } },
  ],
];

/** From MongoDB's pages on the stages and the connection registry. */
const OPTIONS: Readonly<Record<string, readonly string[]>> = {
  $source: ['connectionName', 'db', 'coll', 'config'],
  '$source.config': ['fullDocument', 'fullDocumentBeforeChange', 'pipeline', 'startAtOperationTime', 'startAfter'],
  $validate: ['validator', 'validationAction'],
  $emit: ['connectionName', 'topic', 'config'],
  '$emit.config': ['acks', 'key', 'keyFormat', 'headers', 'outputFormat'],
};

type Stage = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

describe.each(CASES)('Atlas Stream Processing: %s', (name, plan) => {
  const files = new Map(renderAsp(plan).map((file) => [file.name, file.text]));
  const processor = JSON.parse(files.get('processor.json')!) as { name: string; pipeline: Stage[]; options: { dlq: { connectionName: string } } };
  const connections = [...files]
    .filter(([file]) => file.startsWith('connection-'))
    .map(([, text]) => JSON.parse(text) as { name: string; type: string });

  it('is as it was', async () => {
    const written = [...files].map(([file, content]) => `==== ${file}\n${content}`).join('\n');
    await expect(written).toMatchFileSnapshot(`golden/asp-${name.replaceAll(/\W+/g, '-')}.txt`);
  });

  it('begins with a source, ends with one emit, and has options that there are', () => {
    const names = processor.pipeline.map((stage) => Object.keys(stage)[0]!);
    expect([names[0], names.at(-1)]).toEqual(['$source', '$emit']);
    for (const stage of processor.pipeline) {
      const [[stageName, options]] = Object.entries(stage) as [[string, Record<string, unknown>]];
      if (stageName === '$project') continue;
      expect(OPTIONS[stageName], stageName).toEqual(expect.arrayContaining(Object.keys(options)));
      const config = OPTIONS[`${stageName}.config`];
      if (config !== undefined) expect(config, stageName).toEqual(expect.arrayContaining(Object.keys(options['config'] as object)));
    }
  });

  it('names no connection that it does not register', () => {
    const named = [
      ...processor.pipeline.flatMap((stage) => Object.values(stage).map((one) => one['connectionName'])),
      processor.options.dlq.connectionName,
    ];
    const made = new Set(connections.map((one) => one.name));
    expect(named.filter((one) => one !== undefined && !made.has(one as string))).toEqual([]);
    for (const one of made) expect(files.get('register.sh')).toContain(`connections create ${one} `);
  });

  it('holds no secret, and has commands that a shell can read', () => {
    expect([...files.values()].join()).not.toMatch(/SharedAccessKey|Endpoint=sb/);
    expect(shellProblem(files.get('register.sh')!)).toBeNull();
  });
});

describe('a projection', () => {
  it.each([
    ['that leaves the resume token out', { _id: 0 }],
    ['that excludes the cluster time', { clusterTime: 0 }],
    ['that names other fields alone', { fullDocument: 1 }],
    ['that forgets the key', { operationType: 1, clusterTime: 1, ns: 1, fullDocument: 1 }],
  ])('%s is refused', (_what, project) => expect(() => renderAsp({ ...PLAN, project })).toThrow(/--project takes away/));

  it.each([
    ['that only excludes', { 'fullDocument.card': 0, wallTime: 0 }],
    ['that keeps what is needed', { operationType: 1, clusterTime: 1, ns: 1, documentKey: 1, fullDocument: 1 }],
  ])('%s is taken', (_what, project) => expect(() => renderAsp({ ...PLAN, project })).not.toThrow());
});

describe('a filter without regular expressions', () => {
  it('says the same in plain JSON', () => {
    expect(withoutRegExp({ a: 1, 'ns.coll': { $in: ['x', /^y/] }, $nor: [{ 'ns.db': { $in: [/z$/] } }] })).toEqual({
      $and: [{ a: 1, $nor: [{ 'ns.db': { $regex: 'z$' } }] }, { $or: [{ 'ns.coll': 'x' }, { 'ns.coll': { $regex: '^y' } }] }],
    });
  });
});
