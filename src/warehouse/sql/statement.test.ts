import { describe, expect, it } from 'vitest';
import { sql, text } from './statement.ts';

describe('a statement', () => {
  it('takes values as binds, whatever they hold', () => {
    expect(sql`SELECT ${"'; drop table x"}, ${1}, ${null}`).toEqual({ text: 'SELECT ?, ?, ?', values: ["'; drop table x", 1, null] });
  });

  it('splices statements with their values, in order', () => {
    const inner = sql`a = ${1} AND b = ${2}`;
    expect(sql`SELECT ${0} FROM ${text('t')} WHERE ${inner} AND c IN (${[sql`${3}`, sql`${4}`]})`).toEqual({
      text: 'SELECT ? FROM t WHERE a = ? AND b = ? AND c IN (?, ?)',
      values: [0, 1, 2, 3, 4],
    });
  });

  it('indents what is spliced in like the place that it stands in', () => {
    const inner = sql`
      SELECT 1
      FROM x`;
    const outer = sql`
      SELECT * FROM (
        ${inner}
      )`;
    expect(outer.text).toBe('SELECT * FROM (\n  SELECT 1\n  FROM x\n)');
  });
});
