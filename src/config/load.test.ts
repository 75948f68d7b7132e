import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SluiceError } from '../core/error.ts';
import { CONFIG_CONFLICT, CONFIG_INVALID, CONFIG_NOT_FOUND, CONFIG_SYNTAX } from '../core/errors.ts';
import type { Config } from './config.ts';
import { checkConfig, loadConfig, parseConfig } from './load.ts';
import { Secrets } from './redact.ts';

const FOLDER = '/etc/sluice';

/** A valid file with `more` put in place of its sections. */
function file(more: Record<string, unknown> = {}): string {
  return JSON.stringify({ pipeline: 'shop', source: { uri: 'mongodb://localhost' }, lake: { url: 'file:./lake' }, ...more });
}

function parse(text: string, env: Record<string, string> = {}): Config {
  return parseConfig(text, { folder: FOLDER, env });
}

function failure(text: string, env: Record<string, string> = {}): SluiceError {
  try {
    parse(text, env);
  } catch (error) {
    if (error instanceof SluiceError) return error;
    throw error;
  }
  throw new Error('was accepted');
}

describe('a small file', () => {
  it('becomes the normal form with every default filled', () => {
    expect(parse('pipeline: shop\nsource: { uri: mongodb://localhost }\nlake: { url: "file:./lake" }\n')).toEqual({
      file: null,
      pipeline: 'shop',
      source: {
        uri: 'mongodb://localhost',
        include: ['*.*'],
        exclude: [],
        match: {},
        fullDocument: 'updateLookup',
        fullDocumentBeforeChange: 'off',
        startAt: { kind: 'now' },
        onHistoryLost: 'fail',
        snapshot: { parallel: 4, bytesPerSecondMax: null },
        exhaust: true,
        unavailableAfterMs: 60_000,
        mask: {},
        maskKey: null,
      },
      lake: {
        url: 'file:./lake',
        kind: 'local',
        root: '/etc/sluice/lake',
        layout: '{db}/{coll}/year={yyyy}/month={MM}/day={dd}/hour={HH}/events-{yyyyMMdd}-{HH}{part}.jsonl',
        json: 'relaxed',
        compression: 'none',
        roll: { maxBytes: 268_435_456, maxAgeMs: 3_600_000 },
        flush: { maxBytes: 4_194_304, maxAgeMs: 0 },
        maxOpenParts: 2000,
        maxLineBytes: 104_857_600,
        writer: null,
        auth: { kind: 'default' },
        retention: null,
      },
      checkpoint: { intervalMs: 1000 },
      warehouse: null,
      http: { port: 8080, host: '127.0.0.1', token: null },
      bus: null,
      dump: null,
      verify: null,
    });
  });

  it('may leave keys empty', () => {
    const config = parse('pipeline: a\nsource:\n  uri: mongodb://h\n  exclude:\nlake:\n  url: file:/data\n  roll:\nwarehouse:\nhttp:\n');
    expect(config.lake.root).toBe('/data');
    expect(config.warehouse).toBeNull();
    expect(config.source.exclude).toEqual([]);
  });

  it('may have one glob in place of a list, and off written as false', () => {
    const { source } = parse(
      'pipeline: a\nsource: { uri: mongodb://h, include: shop.*, fullDocument: false, fullDocumentBeforeChange: off }\nlake: { url: file:/d }',
    );
    expect(source).toMatchObject({ include: ['shop.*'], fullDocument: 'off', fullDocumentBeforeChange: 'off' });
  });

  it('may use anchors and merge keys', () => {
    const config = parse(
      'pipeline: a\nsource: &s { uri: mongodb://h }\nlake: { url: file:/d, roll: &r { maxAge: 5m }, flush: { maxBytes: 1MiB } }\nhttp: { port: 9 }\n',
    );
    expect(config.lake.roll.maxAgeMs).toBe(300_000);
  });
});

describe('the whole of interface.md', () => {
  const everything = `
pipeline: shop
source:
  uri: \${MONGODB_URI}
  include: ["shop.*"]
  exclude: ["shop.tmp_*"]
  match: {}
  fullDocument: updateLookup
  fullDocumentBeforeChange: off
  startAt: snapshot
  onHistoryLost: repair
  snapshot: { parallel: 2, maxBytesPerSecond: 50 MB }
  mask: { "customers.email": hash, "*.ssn": drop, a.b: { rename: c } }
  maskKey: "\${MASK_KEY}"
lake:
  url: abfss://container@account.dfs.core.windows.net/prefix
  writer: dfs
  auth: { kind: accountKey, account: a, key: "\${KEY}" }
  layout: per-event
  json: canonical
  compression: none
  roll: { maxBytes: 256MiB, maxAge: 1h }
  flush: { maxBytes: 4MiB }
  retention: { hours: 90d, dumps: 30d }
bus:
  url: eventhubs://namespace.servicebus.windows.net/hub
  auth: { kind: connectionString, value: "\${EVENTHUBS_CONNECTION}" }
  group: sluice
  partitionBy: document
  onBadMessage: deadLetter
warehouse:
  url: snowflake://account/database?warehouse=w&role=r
  auth: { kind: keyPair, user: SLUICE, privateKeyFile: /key }
  deletes: hard
  columns: { shop.orders: { total: "fullDocument.total DECIMAL(18,2)" } }
  load: "5 * * * *"
dump: { cron: "0 * * * *", collections: ["shop.*"], layout: document }
verify: { cron: "30 3 * * *" }
http: { port: 8080, host: 0.0.0.0, token: 0123-token }
`;
  const env = {
    MONGODB_URI: 'mongodb://u:p@h',
    KEY: 'accountkey==',
    MASK_KEY: 'a secret of the mask',
    EVENTHUBS_CONNECTION: 'Endpoint=sb://n/;SharedAccessKey=k',
  };

  it('is accepted', () => {
    expect(parse(everything, env)).toMatchObject({
      source: {
        uri: 'mongodb://u:p@h',
        startAt: { kind: 'snapshot' },
        onHistoryLost: 'repair',
        snapshot: { parallel: 2, bytesPerSecondMax: 50_000_000 },
        mask: { 'customers.email': 'hash', 'a.b': { rename: 'c' } },
      },
      lake: {
        kind: 'azure',
        root: '',
        layout: expect.stringContaining('_index-'),
        flush: { maxAgeMs: 5000 },
        retention: { hoursMs: 7_776_000_000, dumpsMs: 2_592_000_000, claimsMs: null, deadLettersMs: null, bronzeMs: null },
      },
      bus: { partitionBy: 'document', maxMessageBytes: 900_000 },
      warehouse: { kind: 'snowflake', deletes: 'hard', load: '5 * * * *', columns: { 'shop.orders': { total: 'fullDocument.total DECIMAL(18,2)' } } },
      dump: { layout: 'document' },
      verify: { cron: '30 3 * * *', checks: ['lake', 'warehouse', 'source'], windowMs: 3_600_000 },
      http: { host: '0.0.0.0', token: '0123-token' },
    });
  });

  it('keeps the digits of a condition, which goes with no snapshot', () => {
    const source = { uri: 'mongodb://h', match: { 'fullDocument.n': { $gt: { $numberLong: '9007199254740993' } }, gone: null } };
    expect(parse(file({ source })).source.match).toEqual(source.match);
    for (const more of [{ startAt: 'snapshot' }, { onHistoryLost: 'repair' }]) {
      expect(() => parse(file({ source: { ...source, ...more } }))).toThrow('source.match is about change events, and a snapshot has none');
    }
  });

  it('refuses to read whole what another program sends', () => {
    const bus = { url: 'kafka://h:1/t', format: 'debezium' };
    for (const more of [{ startAt: 'snapshot' }, { onHistoryLost: 'repair' }]) {
      expect(() => parse(file({ source: { uri: 'mongodb://h', ...more }, bus }))).toThrow('bus.format says that another program reads MongoDB');
    }
  });

  it('takes each start with each layout, over a bus as without', () => {
    for (const startAt of ['now', '2026-11-21T00:00:00Z', { token: { _data: '82AB' } }, 'snapshot']) {
      for (const layout of ['hive', '{db}/{coll}/{yyyyMMdd}/{HH}{part}.jsonl', '{db}/{coll}/{yyyyMMdd}{part}.jsonl']) {
        for (const bus of [{}, { bus: { url: 'kafka://h:1/t' } }]) {
          const lake = { url: 'file:x', layout, compression: 'gzip' };
          expect(parse(file({ source: { uri: 'mongodb://h', startAt }, lake, ...bus })).lake.layout).not.toBe('');
        }
      }
    }
  });
});

describe('where a run starts', () => {
  const startAt = (written: unknown): Config['source']['startAt'] => parse(file({ source: { uri: 'mongodb://h', startAt: written } })).source.startAt;

  it.each([
    ['now', { kind: 'now' }],
    ['2026-11-21T00:00:00Z', { kind: 'time', at: { t: 1_795_219_200, i: 0 } }],
    ['2026-11-21T01:00:00+01:00', { kind: 'time', at: { t: 1_795_219_200, i: 0 } }],
    ['2026-11-21', { kind: 'time', at: { t: 1_795_219_200, i: 0 } }],
    [
      { token: { _data: '82AB', _typeBits: { $binary: { base64: 'gg==', subType: '00' } } } },
      { kind: 'token', token: { _data: '82AB', _typeBits: { $binary: { base64: 'gg==', subType: '00' } } } },
    ],
  ])('%j', (written, normal) => expect(startAt(written)).toEqual(normal));

  it.each([
    'yesterday',
    '2026-11-21T00:00:00',
    '1969-01-01',
    '2026-13-01T00:00:00Z',
    { token: '82AB' },
    { token: { _data: 'xyz' } },
    { token: { _data: '82' }, more: 1 },
    7,
    [],
  ])('not %j', (written) => {
    expect(() => startAt(written)).toThrow(expect.objectContaining({ kind: CONFIG_INVALID }));
  });
});

describe('a wrong file', () => {
  it('is told all of its problems at once, each with its place', () => {
    const error = failure(
      'pipeline: 3\nsource:\n  uri: "postgres://u:pw12345@h"\n  inclde: [x]\n  fullDocument: updateLokup\nlake:\n  layuot: hive\n  maxAge: 3s\nhttp: { port: 70000 }\nwarehose: {}\n',
    );
    expect(error.kind).toBe(CONFIG_INVALID);
    expect(error.message.split('\n').slice(1)).toEqual([
      '  configuration:1:11: pipeline must be text (put it in quotes)',
      '  configuration:3:8: source.uri must begin with mongodb:// or mongodb+srv://',
      '  configuration:4:3: source.inclde is not a key here; did you mean `include`?',
      '  configuration:5:17: source.fullDocument must be one of off, updateLookup, whenAvailable, required; did you mean updateLookup?',
      '  configuration:7:3: lake.url is missing',
      '  configuration:7:3: lake.layuot is not a key here; did you mean `layout`?',
      '  configuration:8:3: lake.maxAge is not a key here; did you mean `lake.roll.maxAge`?',
      '  configuration:9:15: http.port must be a whole number between 0 and 65535',
      '  configuration:10:1: warehose is not a key here; did you mean `warehouse`?',
    ]);
  });

  it.each<[string, Record<string, unknown>]>([
    ['pipeline must be 1 to 63 letters', { pipeline: '../x' }],
    ['source must be a document', { source: 'mongodb://h' }],
    ['source.include.0 must be a namespace', { source: { uri: 'mongodb://h', include: ['/x'] } }],
    ['source.include must be a list', { source: { uri: 'mongodb://h', include: { a: 1 } } }],
    ['source.match must be a document', { source: { uri: 'mongodb://h', match: [] } }],
    ['source.mask.a must be hash, drop, truncate, { truncate', { source: { uri: 'mongodb://h', mask: { a: 'encrypt' } } }],
    ['source.mask.a must name a collection and a field', { source: { uri: 'mongodb://h', mask: { a: 'drop' }, maskKey: '0123456789abcdef' } }],
    ['source.mask.a._id is about `_id`', { source: { uri: 'mongodb://h', mask: { 'a._id': 'drop' }, maskKey: '0123456789abcdef' } }],
    ['source.maskKey must have 16 characters', { source: { uri: 'mongodb://h', mask: { 'a.b': 'drop' }, maskKey: 'short' } }],
    ['source.exhaust must be true or false', { source: { uri: 'mongodb://h', exhaust: 'maybe' } }],
    ['source.onHistoryLost must be one of fail, repair', { source: { uri: 'mongodb://h', onHistoryLost: 'skip' } }],
    ['source.unavailableAfter must be a time with its unit', { source: { uri: 'mongodb://h', unavailableAfter: 5 } }],
    ['lake.url must be file:./lake, abfss:', { lake: { url: './lake' } }],
    ['lake.url must name a folder on this machine', { lake: { url: 'file://host/lake' } }],
    ['lake.url must name a folder on this machine', { lake: { url: 'file:' } }],
    ['lake.url must use https', { lake: { url: 'http://example.com/account/container' } }],
    ['lake.auth.kind must be one of', { lake: { url: 'file:x', auth: { kind: 'acountKey' } } }],
    ['lake.auth.key is missing', { lake: { url: 'https://a/c', auth: { kind: 'accountKey', account: 'a' } } }],
    ['lake.roll.maxBytes must be a size between 1KiB and 1TiB', { lake: { url: 'file:x', roll: { maxBytes: '5 cows' } } }],
    ['lake.roll.maxAge must be a time', { lake: { url: 'file:x', roll: { maxAge: '2d' } } }],
    ['lake.maxOpenParts must be a whole number between 1', { lake: { url: 'file:x', maxOpenParts: 0 } }],
    ['lake.layout must be hive, hourly', { lake: { url: 'file:x', layout: 'daily' } }],
    ['lake.layout needs {part}', { lake: { url: 'file:x', layout: '{db}/{coll}/{yyyyMMdd}.jsonl' } }],
    ['bus.url must be eventhubs://', { bus: { url: 'amqp://x/y' } }],
    ['warehouse.url must be duckdb:', { warehouse: { url: './w.duckdb' } }],
    ['warehouse.url must name a file: a warehouse in memory', { warehouse: { url: 'duckdb::memory:' } }],
    ['warehouse.url must name a file', { warehouse: { url: 'duckdb:' } }],
    ['warehouse.url must be snowflake://', { warehouse: { url: 'snowflake:x' } }],
    ['warehouse.load must be sealed or a cron line', { warehouse: { url: 'duckdb:w', load: 'hourly' } }],
    ['warehouse.columns.orders must be named by database and collection', { warehouse: { url: 'duckdb:w', columns: { orders: {} } } }],
    [
      'warehouse.columns.shop.orders.total must be "path.to.field TYPE"',
      { warehouse: { url: 'duckdb:w', columns: { 'shop.orders': { total: 'DECIMAL' } } } },
    ],
    ['verify.cron must be a cron line', { verify: { cron: 'daily' } }],
    ['verify.checks must name at least one of lake, warehouse and source', { verify: { cron: '0 3 * * *', checks: [] } }],
    ['dump.cron must be a cron line', { dump: { cron: 'hourly' } }],
    ['http.token must not be empty', { http: { token: '' } }],
    ['http.token must be text (put it in quotes)', { http: { token: 12_345 } }],
  ])('%s', (message, more) => {
    const error = failure(file(more));
    expect(error.kind).toBe(CONFIG_INVALID);
    expect(error.message).toContain(message);
  });

  it.each<[string, Record<string, unknown>]>([
    ['must not be off with a `warehouse`', { source: { uri: 'mongodb://h', fullDocument: 'off' }, warehouse: { url: 'duckdb:w' } }],
    ['has no {db}', { lake: { url: 'file:x', layout: 'hourly' } }],
    ['has no {db}', { source: { uri: 'mongodb://h', include: ['a.x', 'b.x'] }, lake: { url: 'file:x', layout: 'hourly' } }],
    ['is not the loopback', { http: { host: '0.0.0.0' } }],
    ['must not name the warehouse without', { verify: { cron: '0 3 * * *', checks: ['warehouse'] } }],
    ['`lake.writer` is for Azure', { lake: { url: 'file:x', writer: 'dfs' } }],
    ['files are one event each and are not compressed', { lake: { url: 'file:x', layout: 'per-event', compression: 'gzip' } }],
    ['needs a `warehouse`, whose bronze', { lake: { url: 'file:x', retention: { bronze: '400d' } } }],
    ['`lake.auth` is for Azure', { lake: { url: 'file:x', auth: { kind: 'azureCli' } } }],
    ['`warehouse.auth` is for Snowflake', { warehouse: { url: 'duckdb:w', auth: { kind: 'pat', user: 'u', token: 'token' } } }],
  ])('with keys that do not go together: %s', (message, more) => {
    const error = failure(file(more));
    expect(error.kind).toBe(CONFIG_CONFLICT);
    expect(error.message).toContain(message);
  });

  it('lets a part last as long as what its layout puts into one file, unless told otherwise', () => {
    const ageOf = (lake: Record<string, unknown>): number => parse(file({ lake: { url: 'file:x', ...lake } })).lake.roll.maxAgeMs;
    const layout = '{db}/{coll}/{yyyyMMdd}{part}.jsonl';
    expect(ageOf({})).toBe(3_600_000);
    expect(ageOf({ layout })).toBe(86_400_000);
    expect(ageOf({ layout, roll: { maxAge: '6h' } })).toBe(21_600_000);
  });

  it('may use hourly when all collections are of one database', () => {
    expect(
      parse(file({ source: { uri: 'mongodb://h', include: ['shop.a', 'shop.b*'] }, lake: { url: 'file:x', layout: 'hourly' } })).lake.layout,
    ).toMatch(/^\{coll\}/);
  });

  it.each(['- a', 'just text', '[1]'])('must hold keys: %s', (text) => expect(failure(text).message).toContain('must hold keys and values'));

  it.each([
    ['pipeline: "a', 'a sign is missing here'],
    ['pipeline: a\npipeline: b', 'this key is there twice'],
    ['pipeline: *a', 'an alias (`*name`) has no anchor'],
    ['a: 1\n---\nb: 2', 'more than one document'],
    ['a: 1\n\tb: 2', 'configuration:2:'],
    ['a: !secret x', 'this tag'],
    ['a:\n   - 1\n  - 2', 'configuration:'],
  ])('is not read at all when it is not YAML: %j', (text, message) => {
    const error = failure(text);
    expect(error.kind).toBe(CONFIG_SYNTAX);
    expect(error.message).toContain(message);
  });

  it('is refused when a number would silently become another', () => {
    expect(failure('pipeline: a\nsource: { uri: mongodb://h, match: { n: 9007199254740993 } }\nlake: { url: file:x }').message).toContain(
      '$numberLong',
    );
  });
});

describe('loadConfig', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sluice-config-'));
    await writeFile(join(folder, 'sluice.yaml'), 'pipeline: ${NAME}\nsource: { uri: "${file:uri.secret}" }\nlake: { url: "file:lake" }\n');
    await writeFile(join(folder, 'uri.secret'), 'mongodb://u:from-a-file@h\n');
    await writeFile(join(folder, '.env'), 'NAME=fromdotenv\nSLUICE_HTTP__PORT=7\n');
  });
  afterAll(() => rm(folder, { recursive: true }));

  it('reads sluice.yaml and the .env beside it', async () => {
    const secrets = new Secrets();
    const config = await loadConfig({ env: {}, cwd: folder, secrets });
    expect(config).toMatchObject({
      pipeline: 'fromdotenv',
      source: { uri: 'mongodb://u:from-a-file@h' },
      http: { port: 7 },
      file: join(folder, 'sluice.yaml'),
    });
    expect(config.lake.root).toBe(join(folder, 'lake'));
    expect(secrets.scrub('the from-a-file password')).toBe('the *** password');
  });

  it('lets the environment win over .env', async () => {
    expect((await loadConfig({ file: 'sluice.yaml', env: { NAME: 'env' }, cwd: folder })).pipeline).toBe('env');
  });

  it('finds the file through SLUICE_CONFIG', async () => {
    expect((await loadConfig({ env: { SLUICE_CONFIG: join(folder, 'sluice.yaml') }, cwd: '/' })).pipeline).toBe('fromdotenv');
  });

  it('says which file is not there', async () => {
    await expect(loadConfig({ file: 'none.yaml', env: {}, cwd: folder })).rejects.toMatchObject({
      kind: CONFIG_NOT_FOUND,
      message: expect.stringContaining(join(folder, 'none.yaml')),
    });
  });

  it('gives the problems as values to those who ask', async () => {
    const checked = await checkConfig({ env: { SLUICE_HTTP__PORT: '-1' }, cwd: folder });
    expect(checked.config).toBeNull();
    expect(checked.problems).toEqual([expect.objectContaining({ kind: 'invalid', key: 'http.port', variable: 'SLUICE_HTTP__PORT', line: null })]);
  });
});
