import type { Command } from 'commander';
import type { HourRange, LoadSummary, MergeSummary } from '../../app/types.ts';
import { systemClock } from '../../core/clock.ts';
import { SluiceError } from '../../core/error.ts';
import { USAGE } from '../../core/errors.ts';
import type { Hour } from '../../core/time.ts';
import { hour, recentHours, wholeNumber } from '../args.ts';
import { globalsOf, loadConfigFor, logFor, printJson, type Io } from '../io.ts';
import { askOwnerOr } from '../owner.ts';
import { countOf, renderTable } from '../table.ts';

const RECENT_HOURS_MAX = 24 * 366;

interface LoadFlags {
  readonly hour?: Hour;
  readonly recent?: number;
  readonly from?: Hour;
  readonly to?: Hour;
}

/** @throws USAGE when the flags name more than one range, or half of one */
export function hoursOf(flags: LoadFlags, nowMs: number): HourRange | null {
  const span = flags.from !== undefined || flags.to !== undefined;
  if ([flags.hour !== undefined, flags.recent !== undefined, span].filter(Boolean).length > 1) {
    throw new SluiceError(USAGE, '--hour, --recent and --from/--to say the same thing in different ways', { next: 'Give one of them.' });
  }
  if (flags.hour !== undefined) return { from: flags.hour, to: flags.hour };
  if (flags.recent !== undefined) return recentHours(flags.recent, nowMs);
  if (!span) return null;
  const { from = 0, to = recentHours(1, nowMs).to } = flags;
  if (from > to) throw new SluiceError(USAGE, '--from lies after --to', { next: 'Give the earlier hour as --from.' });
  return { from, to };
}

export function loadCommand(program: Command, io: Io): void {
  program
    .command('load')
    .summary('load sealed files into bronze')
    .description(
      'Loads sealed files of the lake into the warehouse, each exactly once: what is loaded already is skipped. Without a range, everything that is missing.',
    )
    .option('--hour <hour>', 'files of this hour alone: 20261121-07 or 2026-11-21T07 (UTC)', hour)
    .option('--recent <count>', 'files of the last so many hours, the present one included', wholeNumber(1, RECENT_HOURS_MAX))
    .option('--from <hour>', 'files from this hour on', hour)
    .option('--to <hour>', 'files up to and including this hour', hour)
    .action(async (flags: LoadFlags, command: Command) => {
      const args = { hours: hoursOf(flags, systemClock.now()) };
      const config = await loadConfigFor(io, command);
      const log = await logFor(io, command, 'warn');
      const result = await askOwnerOr<LoadSummary>(io, config, '/api/load', args, async () => {
        const { loadSealed } = await import('../../app/load.ts');
        return await loadSealed(config, args, { log }, io.signal);
      });
      if (result.rejected.length > 0) io.exitCode = 1;
      if (globalsOf(command).json) return printJson(io, result);
      io.stdout.write(`${countOf(result.files, 'file')}, ${countOf(result.rows, 'row')} loaded.\n`);
      for (const { path, reason } of result.rejected) io.stdout.write(`✗ ${path}: ${reason}\n`);
    });
}

export function mergeCommand(program: Command, io: Io): void {
  program
    .command('merge')
    .summary('fold bronze into silver')
    .description('Merges what has been loaded and not merged yet into silver: one row per document.')
    .argument('[collections...]', 'collections, as globs over database.collection; all when left out')
    .option('--rebuild', 'fold all of bronze anew', false)
    .action(async (collections: string[], flags: { readonly rebuild: boolean }, command: Command) => {
      const args = { collections, rebuild: flags.rebuild };
      const config = await loadConfigFor(io, command);
      const log = await logFor(io, command, 'warn');
      const result = await askOwnerOr<MergeSummary>(io, config, '/api/merge', args, async () => {
        const { mergeCollections } = await import('../../app/load.ts');
        return await mergeCollections(config, args, { log }, io.signal);
      });
      if (globalsOf(command).json) return printJson(io, result);
      if (result.collections.length === 0) io.stdout.write('Nothing to merge.\n');
      else
        io.stdout.write(
          renderTable(
            ['collection', 'rows merged'],
            result.collections.map((row) => [row.namespace, row.rows]),
            io.stdout,
          ),
        );
    });
}
