import type { Command } from 'commander';
import { loadConfigFor, type Io } from '../io.ts';
import { DEFAULT_PATTERN } from './reshape.ts';
import { deliver, outOptions, type OutFlags } from './rendered.ts';

interface SparkFlags extends OutFlags {
  readonly from: string;
  readonly staging: string;
  readonly claims?: string;
  readonly pattern: string;
}

export function renderSparkCommand(render: Command, io: Io): void {
  const command = render
    .command('spark')
    .summary('a PySpark job for Capture files that are too many for one machine')
    .description(
      'Writes a PySpark job that decodes and sorts Capture files of Event Hubs into a staging folder, and the commands that submit it and then `sluice adopt` what it has staged. docs/rendered.md.',
    )
    .requiredOption('--from <url>', 'where the Capture files are: abfss://…, https://… or file:./folder')
    .requiredOption('--staging <url>', 'a folder that the job writes over, on a storage that Spark and sluice reach')
    .option('--claims <url>', 'the lake of the producer, where lines are that were too large for the hub; left out: `lake.url`')
    .option('--pattern <format>', 'how Capture names its files', DEFAULT_PATTERN);
  outOptions(command, 'rendered/spark')
    .addHelpText(
      'after',
      '\nExample:\n  sluice render spark --from abfss://capture@acme.dfs.core.windows.net --staging abfss://staging@acme.dfs.core.windows.net/shop\n',
    )
    .action(async (flags: SparkFlags, own: Command) => {
      const config = await loadConfigFor(io, own);
      const { from, staging, pattern, claims = null } = flags;
      const { sparkFiles } = await import('../../app/render-spark.ts');
      const files = await sparkFiles(config, { from, staging, claims, pattern });
      const where = { folder: flags.out ?? 'rendered/spark', ours: /^(sluice_reshape\.py|submit\.sh)$/ };
      await deliver(io, own, files, where, flags.diff, 'Read them, then run submit.sh; its head says what it needs.');
    });
}
