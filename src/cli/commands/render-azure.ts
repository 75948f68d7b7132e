import type { Command } from 'commander';
import { SluiceError } from '../../core/error.ts';
import { USAGE } from '../../core/errors.ts';
import { wholeNumber } from '../args.ts';
import { loadConfigFor, type Io } from '../io.ts';
import { deliver, outOptions, type OutFlags } from './rendered.ts';

interface TerraformFlags extends OutFlags {
  readonly partitions: number;
}

export function renderTerraformCommand(render: Command, io: Io): void {
  const command = render
    .command('terraform')
    .summary('account, container, identity and rights, Event Hubs, Snowflake objects')
    .description(
      'Writes Terraform for what the configuration names: the storage account of `lake.url`, the identity that sluice runs as with its rights, the hub of `bus.url`, and what an administrator makes in Snowflake. docs/rendered.md.',
    );
  outOptions(command, 'rendered/terraform')
    .option('--partitions <count>', 'partitions of the hub, for ever', wholeNumber(1, 32), 4)
    .addHelpText('after', '\nExample:\n  sluice render terraform --out infra/sluice\n')
    .action(async (flags: TerraformFlags, command: Command) => {
      const config = await loadConfigFor(io, command);
      const { terraformFiles } = await import('../../app/render-azure.ts');
      const files = await terraformFiles(config, { partitions: flags.partitions });
      const where = { folder: flags.out ?? 'rendered/terraform', ours: /^(versions|variables|identity|lake|eventhubs|snowflake|outputs)\.tf$/ };
      await deliver(
        io,
        command,
        files,
        where,
        flags.diff,
        'Read them, then: terraform init && terraform plan. Variables without a default are asked for.',
      );
    });
}

interface AdfFlags extends OutFlags {
  readonly minute: number;
  readonly lake?: string;
  readonly capture?: string;
  readonly to?: string;
}

export function renderAdfCommand(render: Command, io: Io): void {
  const command = render
    .command('adf')
    .summary('a Data Factory pipeline that loads and merges in Snowflake every hour')
    .description(
      'Writes an ARM template with linked services, a pipeline (discover, look up, for each collection copy and merge, look at the health) and an hourly trigger, and the commands that deploy it. It calls the procedures of `sluice render snowflake --mode task`. docs/rendered.md.',
    )
    .argument('[collections...]', 'collections by name; those that `source.include` names when left out');
  outOptions(command, 'rendered/adf')
    .option('--minute <minute>', 'minute of the hour at which it runs', wholeNumber(0, 59), 12)
    .option('--lake <url>', 'the lake as Snowflake sees it, if `lake.url` is a folder')
    .option('--capture <url>', 'a data flow over Capture files there, too: files to look into, not a lake')
    .option('--to <url>', 'where the data flow writes to, with `--capture`')
    .addHelpText('after', '\nExample:\n  sluice render adf shop.orders shop.customers\n')
    .action(async (collections: string[], flags: AdfFlags, command: Command) => {
      const config = await loadConfigFor(io, command);
      const { adfFiles } = await import('../../app/render-azure.ts');
      const { minute, lake = null, capture, to } = flags;
      if ((capture === undefined) !== (to === undefined))
        throw new SluiceError(USAGE, '--capture and --to go together', { next: 'Give both, or neither.' });
      const dataFlow = capture === undefined || to === undefined ? null : { capture, to };
      const files = await adfFiles(config, { collections, minute, lake, dataFlow });
      const where = {
        folder: flags.out ?? 'rendered/adf',
        ours: /^(adf(\.parameters)?\.json|deploy\.sh|capture-flow\.json|deploy-capture-flow\.sh)$/,
      };
      await deliver(io, command, files, where, flags.diff, 'Read them, then run the scripts; their heads say what they need.');
    });
}
