import { Option, type Command } from 'commander';
import type { RenderArgs } from '../../app/render.ts';
import { SluiceError } from '../../core/error.ts';
import { INTERRUPTED, USAGE } from '../../core/errors.ts';
import { wholeNumber } from '../args.ts';
import { globalsOf, loadConfigFor, printJson, type Io } from '../io.ts';
import { countOf } from '../table.ts';
import { showDifferences, write } from './rendered.ts';

const EVENTS_PER_DAY = 1_000_000;
const EVENTS_PER_DAY_MAX = 1_000_000_000_000;

interface RenderFlags {
  readonly out?: string;
  readonly mode: RenderArgs['mode'];
  readonly lake?: string;
  readonly tenant?: string;
  readonly queue?: string;
  readonly mail: readonly string[];
  readonly eventsPerDay: number;
  readonly apply: boolean;
  readonly destroy: boolean;
  readonly diff: boolean;
  readonly yes: boolean;
}

export function renderSnowflakeCommand(render: Command, io: Io): void {
  render
    .command('snowflake')
    .summary('roles, warehouse, stage, tables, tasks, pipes and alerts as SQL')
    .description(
      'Writes numbered SQL files to review. With --apply they are run, with --destroy what they made is dropped (tables with data stay). docs/snowflake.md says what each mode promises.',
    )
    .argument('[collections...]', 'collections by name; those that `source.include` names when left out')
    .option('--out <dir>', 'folder for the files (default: rendered/snowflake)')
    .addOption(new Option('--mode <mode>', 'who loads and who merges').choices(['copy', 'task', 'pipe', 'dynamic', 'external']).default('copy'))
    .option('--lake <url>', 'the lake as Snowflake sees it: abfss://container@account.dfs.core.windows.net/prefix')
    .option('--tenant <id>', 'Entra tenant of the storage account')
    .option('--queue <url>', 'storage queue with the events of the container, for --mode pipe')
    .option('--mail <address>', 'who is told by alerts; may be given more than once', (one: string, all: readonly string[]) => [...all, one], [])
    .option('--events-per-day <count>', 'sizes the warehouse', wholeNumber(1, EVENTS_PER_DAY_MAX), EVENTS_PER_DAY)
    .option('--diff', 'show what differs from the files in the folder, and write nothing', false)
    .option('--apply', 'write the files, then run them on the account', false)
    .option('--destroy', 'drop what the files made; asks first', false)
    .option('--yes', 'do not ask', false)
    .action(async (collections: string[], flags: RenderFlags, command: Command) => renderSnowflake(io, command, collections, flags));
}

async function renderSnowflake(io: Io, command: Command, collections: readonly string[], flags: RenderFlags): Promise<void> {
  if ([flags.apply, flags.destroy, flags.diff].filter(Boolean).length > 1) {
    throw new SluiceError(USAGE, '--apply, --destroy and --diff exclude each other', { next: 'Give one of them.' });
  }
  const config = await loadConfigFor(io, command);
  const { asText, chosenFiles, renderFiles, runRendered } = await import('../../app/render.ts');
  const { mode, mail, eventsPerDay, lake = null, tenant = null, queue = null } = flags;
  const files = await renderFiles(config, { mode, mail, eventsPerDay, lake, tenant, queue, collections });
  const texts = await asText(files);
  const where = { folder: flags.out ?? 'rendered/snowflake', ours: /^\d\d_\w+\.sql$/ };
  if (flags.diff) return showDifferences(io, command, texts, where);
  if (flags.destroy && !flags.yes) await confirmDestroy(io, config.warehouse?.kind === 'snowflake' ? config.warehouse.url : '');
  const { json } = globalsOf(command);
  const written = flags.destroy ? [] : await write(io, texts, where);
  const how = flags.destroy ? 'destroy' : 'apply';
  const onStatement = (file: string, statement: string): void => void (json || io.stderr.write(`${file}: ${statement.split('\n')[0]}\n`));
  const statements = flags.apply || flags.destroy ? await runRendered(config, chosenFiles(files, how), onStatement, io.signal) : 0;
  if (json) return printJson(io, { files: written, statements });
  for (const path of written) io.stdout.write(`${path}\n`);
  if (statements > 0) io.stdout.write(`${countOf(statements, 'statement')} run.\n`);
  else io.stdout.write('Read them, then run them in order, or use --apply.\n');
}

async function confirmDestroy(io: Io, url: string): Promise<void> {
  const where = url.split('?')[0];
  if (!io.stdin.isTTY || !io.stdout.isTTY)
    throw new SluiceError(USAGE, `--destroy drops objects in ${where}`, { next: 'Add --yes if that is what you want.' });
  const { confirm, isCancel } = await import('@clack/prompts');
  const answer = await confirm({
    message: `Drop tasks, pipes, streams, the stage, integrations and the warehouse of ${where}? Tables with data stay.`,
    initialValue: false,
  });
  if (isCancel(answer) || !answer) throw new SluiceError(INTERRUPTED, 'nothing was dropped');
}
