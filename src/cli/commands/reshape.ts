import { Option, type Command } from 'commander';
import type { ReshapeArgs } from '../../app/types.ts';
import { SluiceError } from '../../core/error.ts';
import { USAGE } from '../../core/errors.ts';
import { seconds } from '../args.ts';
import { globalsOf, loadConfigFor, logFor, printJson, type Io } from '../io.ts';
import { countOf } from '../table.ts';

export const DEFAULT_PATTERN = '{Namespace}/{EventHub}/{PartitionId}/{Year}/{Month}/{Day}/{Hour}/{Minute}/{Second}';

interface ReshapeFlags {
  readonly from: string;
  readonly pattern: string;
  readonly claims?: string;
  readonly then: ReshapeArgs['readFiles'];
  readonly moveTo?: string;
  readonly watch?: number | true;
  readonly takeOver: boolean;
  readonly acceptGap: boolean;
}

const WATCH_MS = 60_000;

export function reshapeCommand(program: Command, io: Io): void {
  program
    .command('reshape')
    .summary("bring Capture files of Event Hubs into the lake's layout")
    .description(
      'Reads what Event Hubs Capture has written (Avro or Parquet) of a hub that `sluice run --role produce` publishes to, and writes it into `lake.url`, each event exactly once: where it stopped it goes on. The lake is one of its own.',
    )
    .requiredOption('--from <url>', 'where the Capture files are: file:./folder, abfss://… or https://…, with the logins of `lake.auth`')
    .option('--pattern <format>', 'how Capture names its files', DEFAULT_PATTERN)
    .option('--claims <url>', 'the lake of the producer, where lines are that were too large for the hub; left out: `lake.url`')
    .addOption(new Option('--then <what>', 'what becomes of files that are in the lake').choices(['keep', 'delete', 'move']).default('keep'))
    .option('--move-to <folder>', 'with `--then move`: a folder beside them')
    .option('--watch [seconds]', 'go on for ever, looking for new files every minute or as often as said', seconds)
    .option('--take-over', 'break the leases of a process that is gone (no effect on a local lake)', false)
    .option('--accept-gap', 'go on after a recorded gap: files that are missing', false)
    .addHelpText('after', '\nExample:\n  sluice reshape --from abfss://capture@account.dfs.core.windows.net --then delete\n')
    .action(async (flags: ReshapeFlags, command: Command) => {
      if ((flags.then === 'move') !== (flags.moveTo !== undefined))
        throw new SluiceError(USAGE, '`--then move` and `--move-to` go together', { next: 'Give both, or neither.' });
      const config = await loadConfigFor(io, command);
      const log = await logFor(io, command, flags.watch === undefined ? 'warn' : 'info');
      const { from, pattern, then, takeOver, acceptGap } = flags;
      const watchMs = flags.watch === undefined ? null : flags.watch === true ? WATCH_MS : flags.watch;
      const moveTo = (flags.moveTo ?? '').replace(/^\/+|\/+$/g, '');
      const { reshape } = await import('../../app/reshape.ts');
      const args = { from, pattern, claims: flags.claims ?? null, readFiles: then, moveTo, watchMs, takeOver, acceptGap };
      const result = await reshape(config, args, { log }, io.signal);
      if (globalsOf(command).json) return printJson(io, result);
      const { events, partsSealed, hoursComplete, filesDone } = result;
      io.stdout.write(`${countOf(events, 'event')}; ${countOf(partsSealed, 'file')} sealed, ${countOf(hoursComplete, 'hour')} complete.\n`);
      if (then !== 'keep') io.stdout.write(`${countOf(filesDone, 'Capture file')} ${then === 'move' ? 'moved' : 'deleted'}.\n`);
    });
}
