/** Every statement as Snowflake gets it, kept as files, and put to a parser of its SQL. */
import { describe, expect, it } from 'vitest';
import { goldenText, statementsOf } from '../../../test/contracts/warehouse-statements.ts';
import { syntaxError } from '../../../test/snowflake-sql.ts';
import { mergeRange } from '../sql/silver.ts';
import { sql } from '../sql/statement.ts';
import { checkLines, copyLines, createIncoming, createStage, emptyIncoming, insertLines, putFiles, removeFiles } from './bronze.ts';
import { snowflakeDialect as dialect } from './dialect.ts';

const files = statementsOf(dialect, {
  renamed: 'other.orders_then',
  begin: (catalog) => [sql`UPDATE ${catalog.control} SET last_batch = last_batch + 1`],
  insert: (catalog, tables, line) => [
    createIncoming('sluice'),
    emptyIncoming('sluice'),
    copyLines('sluice', '@sluice.incoming/0f', ['1.jsonl', "it's.jsonl"], 'zstd'),
    checkLines('sluice'),
    insertLines(dialect, catalog, tables, 8, [
      ['0f/1.jsonl', line.path],
      ['0f/2.jsonl', 'other.jsonl'],
    ]),
  ],
  fold: (catalog, tables, range, columns) => [mergeRange(dialect, catalog, tables, range, columns)],
});
/** Commands of the driver, which no parser of SQL knows. */
const stage = [createStage('sluice'), putFiles('/tmp/x/*', '@sluice.incoming/0f'), removeFiles('@sluice.incoming/0f')];

describe('the statements', () => {
  it.each([...Object.entries(files), ['stage', stage] as const])('of golden/%s.sql are as they were', async (name, statements) => {
    await expect(goldenText(statements)).toMatchFileSnapshot(`golden/${name}.sql`);
  });

  it.each(Object.entries(files))('of golden/%s.sql parse', (_name, statements) => {
    expect(statements.map(({ text }) => syntaxError(text)).filter((error) => error !== null)).toEqual([]);
  });
});
