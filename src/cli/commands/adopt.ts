import type { Command } from 'commander';
import { LAKE_OWNED } from '../../core/errors.ts';
import { globalsOf, loadConfigFor, logFor, printJson, type Io } from '../io.ts';
import { countOf } from '../table.ts';

interface AdoptFlags {
  readonly from: string;
  readonly takeOver: boolean;
}

export function adoptCommand(program: Command, io: Io): void {
  program
    .command('adopt')
    .summary('take into the lake what a Spark job has made of Capture files')
    .description(
      'For backlogs that are too large for `sluice reshape` on one machine: the job of `sluice render spark` decodes and sorts them into a staging folder, this command holds every line against what the job says of it and copies them into `lake.url`, each event exactly once. It may run again, and on several machines at once: they share the partitions. `sluice reshape` goes on from there.',
    )
    .requiredOption('--from <url>', 'the staging folder of the job: file:./folder, abfss://… or https://…, with the logins of `lake.auth`')
    .option('--take-over', 'break the leases of a process that is gone (no effect on a local lake)', false)
    .action(async ({ from, takeOver }: AdoptFlags, command: Command) => {
      const config = await loadConfigFor(io, command);
      const log = await logFor(io, command, 'warn');
      const { adopt } = await import('../../app/adopt.ts');
      const result = await adopt(config, { from, takeOver }, { log }, io.signal);
      const { events, partsSealed, hoursComplete, deadLetters, partitionsOwnedByOthers: left } = result;
      // Not done: whoever would now remove what was staged must not.
      if (left.length > 0) io.exitCode = LAKE_OWNED.exit;
      if (globalsOf(command).json) return printJson(io, result);
      io.stdout.write(`${countOf(events, 'event')}; ${countOf(partsSealed, 'file')} sealed, ${countOf(hoursComplete, 'hour')} complete.\n`);
      if (deadLetters > 0) io.stdout.write(`${countOf(deadLetters, 'message')} could not be read: sluice dead-letters list\n`);
      if (left.length > 0)
        io.stdout.write(
          `Not done, because another process owns it: partition ${left.join(', ')}. Run it again when that has ended; hours are published then.\n`,
        );
    });
}
