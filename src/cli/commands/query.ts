import type { Command } from 'commander';
import type { QueryResult } from '../../core/warehouse.ts';
import { isoTime, wholeNumber } from '../args.ts';
import { globalsOf, loadConfigFor, logFor, type Io } from '../io.ts';
import { askOwnerOr } from '../owner.ts';
import { countOf, formatCount, renderTable } from '../table.ts';

/** More scrolls past anybody. */
const ROWS_ON_TERMINAL = 1000;
const ROWS_MAX = 1_000_000;
const EXAMPLES = `Examples:
  sluice query "select * from gold.shop__orders where total > 100"
  sluice query --as-of 2026-11-21T07:45:00Z "select key, doc from shop__orders"
`;

export function queryCommand(program: Command, io: Io): void {
  program
    .command('query')
    .summary('read the warehouse with SQL')
    .description('Runs one statement that reads. A table on a terminal; one JSON object a row with --json or in a pipe.')
    .argument('<sql>', 'the statement, in quotes')
    .option('--limit <rows>', `rows at most; ${ROWS_ON_TERMINAL} on a terminal, ${ROWS_MAX} otherwise, unless it is given`, wholeNumber(1, ROWS_MAX))
    .option(
      '--as-of <time>',
      'collections as they were then: a table that is named without its schema (`from shop__orders`) has the documents of that time (key, doc, …)',
      isoTime,
    )
    .addHelpText('after', `\n${EXAMPLES}`)
    .action(async (sql: string, flags: { readonly limit?: number; readonly asOf?: string }, command: Command) => {
      const config = await loadConfigFor(io, command);
      const log = await logFor(io, command, 'warn');
      const table = io.stdout.isTTY && !globalsOf(command).json;
      const args = { sql, limit: flags.limit ?? (table ? ROWS_ON_TERMINAL : ROWS_MAX), asOf: flags.asOf ?? null };
      const result = await askOwnerOr<QueryResult>(io, config, '/api/query', args, async () => {
        const { queryWarehouse } = await import('../../app/query.ts');
        return await queryWarehouse(config, args, { log }, io.signal);
      });
      io.stdout.write(table ? renderTable(result.columns, result.rows, io.stdout) : jsonLines(result));
      if (table) io.stdout.write(`${countOf(result.rows.length, 'row')}\n`);
      if (result.truncated) io.stderr.write(`There are more rows than ${formatCount(args.limit)}; use --limit.\n`);
    });
}

/** Two columns of one name would be one key: the second gets a number. */
export function jsonLines({ columns, rows }: QueryResult): string {
  const names: string[] = [];
  for (const column of columns) {
    let name = column;
    for (let n = 2; names.includes(name); n += 1) name = `${column}_${n}`;
    names.push(name);
  }
  return rows.map((row) => `${JSON.stringify(Object.fromEntries(names.map((name, at) => [name, row[at] ?? null])))}\n`).join('');
}
