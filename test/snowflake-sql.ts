/**
 * What can be said of SQL for Snowflake without Snowflake: that it parses, that its options are options, that it may run
 * twice, and that it never replaces a table. docs/snowflake.md says what is left to a real account.
 */
import { Dialect, parse } from '@polyglot-sql/sdk';

const NAME = String.raw`(?:"(?:[^"]|"")+"|\w+)`;
const QUALIFIED = String.raw`${NAME}(?:\.${NAME})*`;

/** What the parser of 0.12.1 does not know, although Snowflake documents it, each in the one form that is let pass. */
const BEYOND_THE_PARSER: readonly RegExp[] = [
  new RegExp(String.raw`^GRANT (?:SELECT|USAGE) ON (?:ALL|FUTURE) (?:TABLES|VIEWS|DYNAMIC TABLES|FUNCTIONS) IN SCHEMA ${QUALIFIED} TO ROLE ${NAME}$`),
  new RegExp(String.raw`^DROP (?:ALERT|EXTERNAL TABLE|DYNAMIC TABLE) IF EXISTS ${QUALIFIED}$`),
];

/** `null`, or what is wrong, also inside of what a task, an alert or a procedure runs. */
export function syntaxError(statement: string): string | null {
  if (BEYOND_THE_PARSER.some((form) => form.test(statement))) return null;
  return [known(statement), ...bodiesOf(statement).map(known)].map(parseError).find((error) => error !== null) ?? null;
}

function parseError(statement: string): string | null {
  const result = parse(statement, Dialect.Snowflake);
  return result.success ? null : `${result.error}: ${statement}`;
}

/** Written so that the parser takes it: `key` as a first column, and an external table without what is not a table's. */
function known(statement: string): string {
  if (!statement.startsWith('CREATE EXTERNAL TABLE')) return statement.replaceAll(/INSERT\s+\(key,/g, 'INSERT ("KEY",');
  return statement
    .replace('EXTERNAL ', '')
    .replaceAll(/ AS \(.*\)(?=,?$)/gm, '')
    .replace(/\n\)\n[\s\S]*$/, '\n)');
}

/** Statements inside of a statement: the parser takes what lies between `$$`, or behind AS, as it is. */
function bodiesOf(statement: string): string[] {
  const external = [...statement.matchAll(/ AS \((.*)\)(?=,?$)/gm)].map((match) => `SELECT ${match[1] ?? ''}`);
  if (statement.startsWith('CREATE EXTERNAL TABLE')) return external;
  const task = /^CREATE (?:TASK|DYNAMIC TABLE|PIPE) .*?\nAS\n(.*)$/s.exec(statement)?.[1];
  // `ALTER PIPE … REFRESH` and `ALTER EXTERNAL TABLE … REFRESH` are no SQL to it.
  if (task !== undefined) return task.endsWith(' REFRESH') ? [] : [task.trim()];
  const alert = /\n {2}IF \(EXISTS \((.*)\)\)\n {2}THEN (.*)$/s.exec(statement);
  if (alert !== null) return [alert[1] ?? '', alert[2] ?? ''];
  const procedure = /^CREATE OR REPLACE PROCEDURE .*?\$\$(.*)\$\$$/s.exec(statement)?.[1];
  return procedure === undefined ? [] : statementsIn(procedure);
}

/** What a procedure does to data; its variables become binds. */
function statementsIn(body: string): string[] {
  const pieces = body.slice(body.indexOf('\nBEGIN\n')).match(/(?:'(?:[^']|'')*'|[^;'])+/g) ?? [];
  return pieces
    .map((piece) => piece.replace(/^\s*(?:BEGIN\n|IF \(.*\) THEN\n|EXCEPTION\n)*\s*/, '').trim())
    .filter((piece) => /^(?:INSERT|UPDATE|DELETE|MERGE|CREATE|SELECT)\b/.test(piece))
    .map((piece) => piece.replace(/ INTO :\w+(?:, :\w+)*/, '').replaceAll(/(?<=[\s(,]):(\w+)/g, '?'));
}

/** Options by the kind of the object, as Snowflake's reference lists them. A misspelt one parses, and is refused there. */
const OPTIONS: Readonly<Record<string, string>> = {
  ROLE: 'COMMENT',
  USER: 'TYPE DEFAULT_ROLE DEFAULT_WAREHOUSE COMMENT RSA_PUBLIC_KEY',
  WAREHOUSE: 'WAREHOUSE_SIZE AUTO_SUSPEND AUTO_RESUME INITIALLY_SUSPENDED STATEMENT_TIMEOUT_IN_SECONDS COMMENT',
  'STORAGE INTEGRATION': 'TYPE STORAGE_PROVIDER ENABLED AZURE_TENANT_ID STORAGE_ALLOWED_LOCATIONS',
  'NOTIFICATION INTEGRATION': 'ENABLED TYPE NOTIFICATION_PROVIDER AZURE_STORAGE_QUEUE_PRIMARY_URI AZURE_TENANT_ID ALLOWED_RECIPIENTS',
  'FILE FORMAT':
    'TYPE COMPRESSION RECORD_DELIMITER FIELD_DELIMITER ESCAPE ESCAPE_UNENCLOSED_FIELD FIELD_OPTIONALLY_ENCLOSED_BY TRIM_SPACE EMPTY_FIELD_AS_NULL NULL_IF SKIP_BLANK_LINES ENCODING',
  STAGE: 'URL STORAGE_INTEGRATION FILE_FORMAT FORMAT_NAME COMMENT',
  TASK: 'WAREHOUSE SCHEDULE ALLOW_OVERLAPPING_EXECUTION USER_TASK_TIMEOUT_MS SUSPEND_TASK_AFTER_NUM_FAILURES COMMENT',
  STREAM: 'APPEND_ONLY',
  PIPE: 'AUTO_INGEST INTEGRATION PATTERN FILE_FORMAT FORMAT_NAME',
  'EXTERNAL TABLE': 'LOCATION AUTO_REFRESH REFRESH_ON_CREATE PATTERN FILE_FORMAT FORMAT_NAME',
  'DYNAMIC TABLE': 'TARGET_LAG WAREHOUSE REFRESH_MODE INITIALIZE',
  ALERT: 'WAREHOUSE SCHEDULE',
};
const KINDS = Object.keys(OPTIONS).toSorted((a, b) => b.length - a.length);

/** Options of a statement that Snowflake does not have. */
export function unknownOptions(statement: string): readonly string[] {
  const kind = KINDS.find((one) => new RegExp(`^(?:CREATE(?: OR REPLACE)?|ALTER) ${one}\\b`).test(statement));
  if (kind === undefined) return [];
  const known = new Set(OPTIONS[kind]?.split(' '));
  // What a task, an alert, a dynamic table or a pipe runs has options of its own.
  const body = /\n(?:AS|WHEN)\n|\n {2}IF \(/.exec(statement);
  const head = kind === 'PIPE' || body === null ? statement : statement.slice(0, body.index);
  const texts = head.replaceAll(/'(?:[^'\\]|''|\\.)*'/g, "''").replaceAll(/\([^()]*\bAS \((?:[^()]|\([^()]*\))*\)[^()]*\)/g, '');
  return [...texts.matchAll(/\b([A-Z][A-Z_]+) =(?!>)/g)].map((match) => match[1] ?? '').filter((name) => !known.has(name));
}

const TWICE =
  /^(?:USE |GRANT |DESCRIBE |ALTER |MERGE INTO |INSERT INTO \S+ SELECT [^;]* WHERE NOT EXISTS|CREATE OR REPLACE (?:VIEW|FUNCTION|PROCEDURE) |CREATE [A-Z ]*?IF NOT EXISTS |DROP [A-Z ]*?IF EXISTS |UPDATE \S+ SET (\w+) = (\d+) WHERE \1 < \2$)/s;

/** May it run again and change nothing? */
export function mayRunTwice(statement: string): boolean {
  return TWICE.test(statement);
}

/** Does it put something new in the place of a table that may hold data, or take it away? */
export function harmsData(statement: string): boolean {
  const bare = statement.replaceAll(/CREATE OR REPLACE TEMPORARY TABLE/g, '');
  return /CREATE OR REPLACE (?:TRANSIENT )?(?:TABLE|SCHEMA|DATABASE|STAGE|STREAM)|DROP (?:TABLE|SCHEMA|DATABASE)|TRUNCATE/i.test(bare);
}
