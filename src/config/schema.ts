/**
 * The configuration file as people write it: every key with its type, its default and what it does.
 *
 * docs/config.md, the JSON schema for editors and the list of known keys are all made from here. Parsing turns sizes
 * into bytes and durations into milliseconds; what spans several keys is checked in normal.ts.
 */
import { z } from 'zod';
import { formatBytes, formatDuration, isCron, parseBytes, parseDuration } from './units.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const MIB = 2 ** 20;

/** A value that is written as text and becomes something else; `shape` says in docs/config.md what to write. */
function written<T>(shape: string, expected: string, read: (value: string | number) => T | null) {
  return z
    .union([z.string(), z.number()], { error: `must be ${expected}` })
    .transform((value, ctx): T => {
      const result = read(value);
      if (result !== null) return result;
      ctx.addIssue({ code: 'custom', message: `must be ${expected}` });
      return z.NEVER;
    })
    .meta({ shape });
}

function size(min: number, max: number) {
  return written('size', `a size between ${formatBytes(min)} and ${formatBytes(max)}, such as 256MiB or 4 MB`, (value) => {
    const bytes = parseBytes(value);
    return bytes !== null && bytes >= min && bytes <= max ? bytes : null;
  });
}

function duration(minMs: number, maxMs: number) {
  return written(
    'duration',
    `a time with its unit between ${formatDuration(minMs)} and ${formatDuration(maxMs)}, such as 500ms, 30s, 1h or 90d`,
    (value) => {
      const ms = parseDuration(value);
      return ms !== null && ms >= minMs && ms <= maxMs ? ms : null;
    },
  );
}

function integer(min: number, max: number) {
  return written('number', `a whole number between ${min} and ${max}`, (value) => {
    const n = typeof value === 'number' ? value : /^\d+$/.test(value.trim()) ? Number(value) : Number.NaN;
    return Number.isInteger(n) && n >= min && n <= max ? n : null;
  });
}

/** Text comes from the environment. */
function yesOrNo() {
  return z
    .union([z.boolean(), z.enum(['true', 'false'])], { error: 'must be true or false' })
    .transform((value) => value === true || value === 'true')
    .meta({ shape: '`true`, `false`' });
}

const text = () => z.string({ error: (issue) => (issue.input === undefined ? undefined : 'must be text (put it in quotes)') });
const filled = () => text().min(1, { error: 'must not be empty' });
const secret = () => filled().meta({ shape: 'secret' });

/** `off` may be written as `false`, which is what older YAML makes of `off`. */
function withOff<const T extends readonly string[]>(values: T) {
  return z.preprocess((value) => (value === false || value === 'false' ? 'off' : value), z.enum(['off', ...values]));
}

const glob = () =>
  filled().refine((value) => /^[^\s/\\"$.]+(\.[^\s"$\0][^\0]*)?$/.test(value), {
    error: 'must be a namespace such as "shop.orders" or "shop.*" (database, dot, collection; `*` and `?` stand for anything)',
  });
/** A single glob may stand for a list of one. */
const globs = () =>
  z.preprocess((value) => (typeof value === 'string' ? [value] : value), z.array(glob()).max(1000)).meta({ shape: 'list of globs' });

const cron = () => filled().refine(isCron, { error: 'must be a cron line of five fields, such as "0 * * * *"' });

const document = () => z.record(z.string(), z.unknown(), { error: 'must be a document (keys and values)' });

const Source = z.strictObject({
  uri: filled()
    .refine((value) => /^mongodb(\+srv)?:\/\/./.test(value), { error: 'must begin with mongodb:// or mongodb+srv://' })
    .meta({ shape: 'secret' })
    .describe('Connection string of the replica set or sharded cluster. Best kept out of the file: `${MONGODB_URI}`.'),
  include: globs()
    .prefault(['*.*'])
    .describe('Collections to capture, as globs over `database.collection`. A database alone means all of its collections.'),
  exclude: globs().prefault([]).describe('Collections to leave out, as globs; wins over `include`.'),
  match: document()
    .default({})
    .describe('A further `$match` that the server applies to the change stream. Extended JSON (`{ $oid: "…" }`) is allowed.'),
  fullDocument: withOff(['updateLookup', 'whenAvailable', 'required'])
    .prefault('updateLookup')
    .describe(
      'The document after an update: `updateLookup` reads it at that moment, `whenAvailable` and `required` take the post-image (see `sluice enable-images`). `off` (or `false`) cannot feed a warehouse.',
    ),
  fullDocumentBeforeChange: withOff(['whenAvailable', 'required'])
    .prefault('off')
    .describe('The document before a change, from its pre-image (see `sluice enable-images`).'),
  startAt: z
    .union([filled(), document()], { error: 'must be now, a time such as 2026-11-21T00:00:00Z, { token: { _data: "82…" } } or snapshot' })
    .optional()
    .meta({ shape: 'now, time, { token } or snapshot', shownDefault: '`now`' })
    .describe(
      'Where the very first run begins: `now`, a time (ISO 8601 with its zone, inclusive), `{ token: <whole resume token> }`, or `snapshot`: now, with all that is there, read whole beside the stream. Later runs go on where the last one stopped.',
    ),
  onHistoryLost: z
    .enum(['fail', 'repair'])
    .default('fail')
    .describe(
      'What to do when the oplog no longer reaches back: `fail` stops with the gap recorded, `repair` records it too, goes on, and reads every collection whole, so that silver is as the source is.',
    ),
  snapshot: z
    .strictObject({
      parallel: z.int().min(1).max(32).default(4).describe('Ranges of collections that are read at one time.'),
      maxBytesPerSecond: size(64 * 1024, 2 ** 40)
        .optional()
        .meta({ shownDefault: 'as much as goes' })
        .describe('What all of them together may read from the server in a second.'),
    })
    .prefault({})
    .describe('How collections are read whole: with `startAt: snapshot`, `onHistoryLost: repair` and `sluice snapshot`.'),
  exhaust: yesOrNo()
    .prefault(true)
    .describe(
      'Lets the server send changes without being asked for each batch, on a connection of its own. `false` asks for each: slower, for proxies that do not pass this on.',
    ),
  unavailableAfter: duration(1000, DAY_MS)
    .prefault('1m')
    .describe('How long the server may be away before it is logged as an error. sluice keeps trying for ever.'),
  mask: z
    .record(
      filled(),
      z.union([z.enum(['hash', 'drop', 'truncate']), z.strictObject({ truncate: integer(0, 10_000) }), z.strictObject({ rename: filled() })], {
        error: 'must be hash, drop, truncate, { truncate: 8 } or { rename: newName }',
      }),
    )
    .default({})
    .describe(
      'Fields to change before anything is written, such as `{ "customers.email": hash, "*.ssn": drop }`: collection (with or without its database) and path to `hash` (keyed), `drop`, `truncate` (to 3 characters, or `{ truncate: 8 }`) or `{ rename: newName }`. `*` stands for anything within a name, `**` for any number of names (docs/masking.md).',
    ),
  maskKey: secret()
    .optional()
    .describe(
      'Secret of the mask: makes its hashes, and encrypts the resume token, which holds a key. Needed with `mask`; keep it for the life of the lake.',
    ),
});

const accountKey = { account: filled().describe('Storage account.'), key: secret().describe('Account key.') };
/** Identities of Microsoft Entra, the same wherever Azure asks who we are. */
const EntraAuth = [
  z.strictObject({ kind: z.literal('managedIdentity'), clientId: filled().optional().describe('Client id of a user-assigned identity.') }),
  z.strictObject({
    kind: z.literal('workloadIdentity'),
    clientId: filled().optional(),
    tenantId: filled().optional(),
    tokenFile: filled().optional(),
  }),
  z.strictObject({
    kind: z.literal('servicePrincipal'),
    tenantId: filled(),
    clientId: filled(),
    clientSecret: secret().optional(),
    certificateFile: filled().optional().describe('PEM file with certificate and private key, in place of a secret.'),
  }),
  z.strictObject({ kind: z.literal('azureCli') }),
] as const;
const LakeAuth = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('default') }),
  z.strictObject({ kind: z.literal('accountKey'), ...accountKey }),
  z.strictObject({ kind: z.literal('connectionString'), value: secret().describe('Connection string.') }),
  z.strictObject({ kind: z.literal('sas'), token: secret().describe('SAS token.') }),
  ...EntraAuth,
]);

const Lake = z.strictObject({
  url: filled().describe(
    'Where the files go: `file:./lake` (relative to this file) or `file:/data/lake`; on Azure `abfss://container@account.dfs.core.windows.net/prefix` or `https://account.blob.core.windows.net/container/prefix`, emulators as `http://127.0.0.1:10000/account/container/prefix` (docs/azure.md).',
  ),
  writer: z
    .enum(['dfs', 'append-blob'])
    .optional()
    .describe('Azure only: how parts grow, as files of ADLS Gen2 or as append blobs. The default follows the URL.'),
  auth: LakeAuth.default({ kind: 'default' }).describe(
    'Azure only: `default`, `accountKey`, `connectionString`, `sas`, `managedIdentity`, `workloadIdentity`, `servicePrincipal` or `azureCli`.',
  ),
  layout: filled()
    .default('hive')
    .describe(
      'Path of a file: `hive`, `hourly`, `per-event`, or a template of `{db}`, `{coll}`, `{yyyy}`, `{MM}`, `{dd}`, `{HH}`, `{yyyyMMdd}` and `{part}`; without `{HH}` files are of a day.',
    ),
  json: z
    .enum(['relaxed', 'canonical'])
    .default('relaxed')
    .describe('Extended JSON of the lines: `relaxed` reads well, `canonical` goes back to the same BSON byte for byte.'),
  compression: z.enum(['none', 'gzip', 'zstd']).default('none').describe('Compression of the files; `.gz` or `.zst` is added to their names.'),
  roll: z
    .strictObject({
      maxBytes: size(1024, 2 ** 40)
        .prefault('256MiB')
        .describe('A part ends when it has this size.'),
      maxAge: duration(100, DAY_MS)
        .optional()
        .meta({ shownDefault: '`1h`, `24h` for files of a day' })
        .describe('A part ends after this time, and with its hour (its day, for files of a day) in any case.'),
    })
    .prefault({})
    .describe('When a new part of the same hour begins.'),
  flush: z
    .strictObject({
      maxBytes: size(1024, 64 * MIB)
        .prefault('4MiB')
        .describe('Lines are made durable when this much has come together.'),
      maxAge: duration(0, 60_000)
        .optional()
        .meta({ shownDefault: '`0s` on a local disk, `5s` on Azure' })
        .describe('Lines wait no longer than this; `0s`: as soon as the last flush is done.'),
    })
    .prefault({})
    .describe('When lines become durable.'),
  maxOpenParts: integer(1, 100_000).prefault(2000).describe('Open parts at one time; beyond it the least recently used is closed.'),
  maxLineBytes: size(64 * 1024, 512 * MIB)
    .prefault('100MiB')
    .describe('A longer line is replaced by a stub with the key and the size, and counted.'),
  retention: z
    .strictObject({
      hours: duration(HOUR_MS, 36_500 * DAY_MS)
        .optional()
        .describe('Hour files are kept this long after their hour. What the warehouse has not loaded stays.'),
      dumps: duration(HOUR_MS, 36_500 * DAY_MS)
        .optional()
        .describe('Dumps are kept this long after their hour.'),
      claims: duration(DAY_MS, 36_500 * DAY_MS)
        .optional()
        .describe('Lines that were too large for the bus are kept this long after their day.'),
      deadLetters: duration(DAY_MS, 36_500 * DAY_MS)
        .optional()
        .describe('Messages of the bus that could not be read are kept this long after the day on which they were sent.'),
      bronze: duration(HOUR_MS, 36_500 * DAY_MS)
        .optional()
        .describe(
          'Rows of bronze are kept this long after their hour; of older ones those stay that silver and later moments stand on. Needs a `warehouse`.',
        ),
    })
    .optional()
    .describe('How long files are kept; unset: for ever.'),
});

const Bus = z.strictObject({
  url: filled()
    .refine((value) => /^(eventhubs|kafka|kafka\+ssl):\/\/[^/]+\/[^/]+$/.test(value), {
      error: 'must be eventhubs://namespace.servicebus.windows.net/hub, kafka://host:9092/topic or kafka+ssl://host:9093/topic',
    })
    .describe('Event Hub or Kafka topic.'),
  auth: z
    .discriminatedUnion('kind', [
      z.strictObject({ kind: z.literal('default') }),
      z.strictObject({ kind: z.literal('none') }),
      z.strictObject({ kind: z.literal('connectionString'), value: secret() }),
      z.strictObject({ kind: z.literal('plain'), user: filled(), password: secret() }),
      ...EntraAuth,
    ])
    .default({ kind: 'default' })
    .describe(
      '`default` (Entra ID on Event Hubs, none on Kafka), `managedIdentity`, `workloadIdentity`, `servicePrincipal`, `azureCli`, `connectionString`, `plain` or `none`.',
    ),
  group: filled().default('sluice').describe('Consumer group.'),
  partitionBy: z.enum(['collection', 'document']).default('collection').describe('What shares a partition: a collection, or a document.'),
  format: z
    .enum(['sluice', 'detect', 'changeEvents', 'debezium'])
    .default('sluice')
    .describe(
      'Who writes to the topic: `sluice run --role produce`, or another program (`changeEvents`: Atlas Stream Processing, MongoDB Kafka connector).',
    ),
  onBadMessage: z.enum(['deadLetter', 'stop']).default('deadLetter').describe('What to do with a message that cannot be read.'),
  maxMessageBytes: size(16 * 1024, 64 * MIB)
    .prefault('900KB')
    .describe('A larger event is put into the lake and the message says where.'),
});

const Warehouse = z.strictObject({
  url: filled().describe(
    '`duckdb:./warehouse.duckdb` (relative to this file), or `snowflake://account/database?warehouse=…&role=…` (docs/snowflake.md).',
  ),
  auth: z
    .discriminatedUnion('kind', [
      z.strictObject({ kind: z.literal('keyPair'), user: filled(), privateKeyFile: filled(), passphrase: secret().optional() }),
      z.strictObject({ kind: z.literal('oauth'), user: filled().optional(), token: secret() }),
      z.strictObject({ kind: z.literal('pat'), user: filled(), token: secret() }),
    ])
    .optional()
    .describe('Snowflake only: `keyPair`, `oauth` or `pat`.'),
  deletes: z
    .enum(['soft', 'hard'])
    .default('soft')
    .describe('Deleted documents in silver: `soft` keeps the row with `is_current = false`, `hard` removes it.'),
  columns: z
    .record(
      filled().refine((value) => /^[^.]+\../.test(value), { error: 'must be named by database and collection, such as shop.orders' }),
      z.record(
        filled(),
        filled().refine((value) => /^\S+\s+\S/.test(value), { error: 'must be "path.to.field TYPE", such as "fullDocument.total DECIMAL(18,2)"' }),
      ),
    )
    .default({})
    .describe('Typed columns in silver, per collection: `shop.orders: { total: "fullDocument.total DECIMAL(18,2)" }`.'),
  load: filled()
    .refine((value) => value === 'sealed' || isCron(value), { error: 'must be sealed or a cron line of five fields, such as "10 * * * *"' })
    .default('sealed')
    .describe('When files are loaded: `sealed` (as they seal), or at the times of a cron line, in UTC.'),
  sourceCounts: duration(60_000, 30 * DAY_MS)
    .prefault('1h')
    .describe('How often MongoDB is asked how many documents each collection has, for `sluice collections`; at most once an hour with Snowflake.'),
  memoryLimit: size(128 * MIB, 2 ** 42)
    .prefault('2GiB')
    .describe(
      'Memory that DuckDB may use. 512 MiB do for any usual collection, the least is for documents of a kilobyte or two; a line of 100 MiB takes 2 GiB.',
    ),
});

const Dump = z.strictObject({
  cron: cron().describe('When dumps are taken, in UTC.'),
  collections: globs().prefault(['*.*']).describe('Collections to dump, as globs, among those that are captured.'),
  layout: z
    .enum(['ndjson', 'document', 'array'])
    .default('ndjson')
    .describe(
      'Form of the files: `ndjson` (`coll/YYYY-MM-DD-HH/coll.ndjson`, changes `coll.changes.ndjson`), `document` (changes as one JSON document `coll/YYYY-MM-DD-HH.json`) or `array` (documents as one JSON array `coll/YYYY-MM-DD-HH/<uuid>.json`).',
    ),
  content: z
    .enum(['documents', 'changes'])
    .optional()
    .meta({ shownDefault: '`changes` with `layout: document`, else `documents`' })
    .describe('What is dumped: the `documents` of a collection, or the `changes` of each hour.'),
  timeout: duration(1000, 7 * DAY_MS)
    .prefault('1h')
    .describe('A collection that takes longer is given up, and what there is of its file is removed.'),
  maxChanges: integer(1, 100_000_000).prefault(1_000_000).describe('Changes in one file at most; more go to `.part-0001` and so on.'),
});

const Verify = z.strictObject({
  cron: cron().describe('When the pipeline is verified, in UTC.'),
  checks: z
    .array(z.enum(['lake', 'warehouse', 'source']))
    .min(1, { error: 'must name at least one of lake, warehouse and source' })
    .optional()
    .meta({ shownDefault: 'all that there is' })
    .describe('What is verified: the `lake` against its ledger, the `warehouse` against the lake, both against the `source`.'),
  window: duration(60_000, 7 * DAY_MS)
    .prefault('1h')
    .describe('How far back the change stream is read again, for `source`.'),
});

const Http = z.strictObject({
  port: integer(0, 65_535).prefault(8080).describe('Port; when it is taken the next free one is used and logged. 0: any.'),
  host: filled().default('127.0.0.1').describe('Address to listen on. Any but the loopback needs `http.token`.'),
  token: secret().optional().describe('Bearer token for what changes something. Unset: each run makes its own.'),
});

const Checkpoint = z.strictObject({
  interval: duration(0, 60_000).prefault('1s').describe('The position is saved at most this often while events come.'),
});

export const FileSchema = z.strictObject({
  pipeline: text()
    .refine((value) => /^[a-zA-Z0-9][a-zA-Z0-9_-]{0,62}$/.test(value), {
      error: 'must be 1 to 63 letters, digits, - or _, and begin with a letter or digit',
    })
    .describe('Name of this pipeline; a folder below `_sluice/` in the lake.'),
  source: Source.describe('The MongoDB deployment to read.'),
  lake: Lake.describe('Where the event files go. One lake prefix belongs to one pipeline.'),
  checkpoint: Checkpoint.prefault({}).describe('How often the position is saved.'),
  bus: Bus.optional().describe('Event Hubs or Kafka between reading and writing (docs/event-hubs.md).'),
  warehouse: Warehouse.optional().describe('Where sealed files are loaded.'),
  dump: Dump.optional().describe('Scheduled full dumps.'),
  verify: Verify.optional().describe('Scheduled verification, beside `sluice run`.'),
  http: Http.prefault({}).describe('Health, metrics and control.'),
});

/** A file that fits the schema: sizes in bytes, durations in milliseconds, single-key defaults filled. */
export type FileConfig = z.output<typeof FileSchema>;
