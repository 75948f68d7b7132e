import { describe, expect, it } from 'vitest';
import { harmsData, mayRunTwice, syntaxError, unknownOptions } from '../../../../test/snowflake-sql.ts';
import { parseColumns } from '../../sql/columns.ts';
import { sql } from '../../sql/statement.ts';
import { inline, MODES, planCollection, type Mode, type Plan, type PlannedCollection } from './plan.ts';
import { fileText, renderSnowflake } from './render.ts';

const columns = parseColumns({ 'shop.orders': { total: 'fullDocument.total DECIMAL(18,2)' } });
const collections: PlannedCollection[] = [];
for (const coll of ['orders', 'a"b.c $é 🐟']) {
  const ns = { db: 'shop', coll };
  collections.push(planCollection(ns, columns.get(`shop.${coll}`) ?? [], `shop/${encodeURIComponent(coll)}/`, collections));
}
const planOf = (mode: Mode): Plan => ({
  pipeline: 'shop',
  mode,
  database: 'ANALYTICS',
  warehouse: 'SLUICE_WH',
  loader: 'SLUICE_LOADER',
  reader: 'SLUICE_READER',
  user: 'SLUICE',
  lake: mode === 'copy' ? null : { account: 'acme', container: 'lake', prefix: 'prod/' },
  compression: mode === 'pipe' ? 'zstd' : 'none',
  tenant: '00000000-0000-0000-0000-000000000000',
  queue: mode === 'pipe' ? 'https://acme.queue.core.windows.net/events' : null,
  mail: mode === 'pipe' ? ['oncall@example.com'] : [],
  eventsPerDay: mode === 'dynamic' ? 80_000_000 : 1_000_000,
  collections,
});

describe.each(MODES)('what is rendered for mode %s', (mode) => {
  const files = renderSnowflake(planOf(mode));
  const statements = files.flatMap((file) => file.statements);

  it('is as it was', async () => {
    const written = files.map((file) => `-- ==== ${file.name}\n${fileText(file)}`).join('\n');
    await expect(written).toMatchFileSnapshot(`golden/${mode}.sql`);
  });

  it('is SQL that parses', () => {
    expect(statements.map(syntaxError).filter((error) => error !== null)).toEqual([]);
  });

  it('has no option that Snowflake does not have', () => {
    expect(statements.flatMap(unknownOptions)).toEqual([]);
  });

  it('may run twice, and takes no data away', () => {
    expect(statements.filter((statement) => !mayRunTwice(statement))).toEqual([]);
    expect(statements.filter(harmsData)).toEqual([]);
  });

  it('drops everything that it made but what holds data', () => {
    const made = files.filter((file) => !file.name.startsWith('99')).flatMap((file) => file.statements);
    const dropped = files
      .filter((file) => file.name.startsWith('99'))
      .flatMap((file) => file.statements)
      .join('\n');
    const kinds =
      /^CREATE (TASK|PIPE|STREAM|ALERT|STAGE|FILE FORMAT|STORAGE INTEGRATION|NOTIFICATION INTEGRATION|WAREHOUSE|EXTERNAL TABLE|DYNAMIC TABLE) IF NOT EXISTS (\S+(?: \S+)*?)(?=\s+[A-Z(]|\n)/;
    for (const statement of made) {
      const match = kinds.exec(statement);
      if (match !== null) expect(dropped).toContain(` IF EXISTS ${match[2]}`);
    }
  });

  it('starts what comes after before what comes before, and nothing else starts by itself', () => {
    const started = files.find((file) => file.name === '11_start.sql')?.statements.join('\n') ?? '';
    const tasks = statements.flatMap((statement) => /^CREATE TASK IF NOT EXISTS (.+)$/m.exec(statement)?.[1] ?? []);
    for (const task of tasks) expect(started).toContain(`ALTER TASK IF EXISTS ${task} RESUME`);
  });
});

describe('a value in a file', () => {
  it('stands where its mark was, and nowhere else', () => {
    const statement = sql`SELECT ${"it's ?"}, '?', "?", $$ a ? b : c $$, ${null}, ${7}, ${true}`;
    expect(inline(statement)).toBe(`SELECT 'it''s ?', '?', "?", $$ a ? b : c $$, NULL, 7, TRUE`);
  });
});

describe('the gate', () => {
  it.each([
    'CREATE OR REPLACE PROCEDURE a.b()\nAS\n$$\nDECLARE\n  a NUMBER;\nBEGIN\n  UPDATE x SET WHERE z = 1;\nEND;\n$$',
    'CREATE TASK IF NOT EXISTS a.b\n  WAREHOUSE = w\nAS\n  INSERT INTO x SELCT 1 FROM FROM y',
    'MERGE INTO a USNG b ON a.x = b.x WHEN MATCHED THEN DELETE',
    'SELECT FROM WHERE',
  ])('refuses %s', (statement) => expect(syntaxError(statement)).not.toBeNull());

  it('knows the options of an object', () => {
    expect(unknownOptions("CREATE TASK IF NOT EXISTS a.b\n  WARHOUSE = w\n  SCHEDULE = '1 MINUTE'\nAS\n  SELECT 1")).toEqual(['WARHOUSE']);
  });

  it('sees what may not run twice, and what takes data away', () => {
    expect(['CREATE TABLE a (b INT)', 'CREATE TASK IF NOT EXIST a.b WAREHOUSE = w AS SELECT 1'].map(mayRunTwice)).toEqual([false, false]);
    expect(['CREATE OR REPLACE TABLE a (b INT)', 'DROP TABLE IF EXISTS a', 'TRUNCATE TABLE a'].map(harmsData)).toEqual([true, true, true]);
  });
});
