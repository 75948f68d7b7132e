import type { Command } from 'commander';
import type { CompactSummary, QueryArgs } from '../../app/types.ts';
import { SluiceError } from '../../core/error.ts';
import { COMPACT_FAILED } from '../../core/errors.ts';
import type { QueryResult } from '../../core/warehouse.ts';
import type { Hour } from '../../core/time.ts';
import { hour } from '../args.ts';
import { globalsOf, loadConfigFor, logFor, printJson, type Io } from '../io.ts';
import { askOwnerOr } from '../owner.ts';
import { countOf, formatSize } from '../table.ts';
import { hoursOf } from './load.ts';

const HOURS_SHOWN = 10;

interface CompactFlags {
  readonly from?: Hour;
  readonly to?: Hour;
  readonly takeOver: boolean;
}

export function compactCommand(program: Command, io: Io): void {
  program
    .command('compact')
    .summary('turn the files of hours that are over into Parquet')
    .description(
      'Puts one Parquet file (zstd; columns of the envelope and the line itself) in the place of the sealed files of each collection and hour that is over, and removes those. Loader and `verify` read both. Works beside a running pipeline, and goes on where it was cut short.',
    )
    .argument('[collections...]', 'collections, as globs over database.collection; all when left out')
    .option('--from <hour>', 'hours from this one on: 20261121-07 or 2026-11-21T07 (UTC)', hour)
    .option('--to <hour>', 'hours up to and including this one', hour)
    .option('--take-over', 'break the lease of a compaction that is gone (no effect on a local lake)', false)
    .addHelpText('after', '\nExample:\n  sluice compact "shop.*" --to 2026-11-20T23\n')
    .action(async (collections: string[], flags: CompactFlags, command: Command) => {
      const range = hoursOf(flags, Date.now());
      const config = await loadConfigFor(io, command);
      const log = await logFor(io, command, 'warn');
      const query = async (args: QueryArgs): Promise<QueryResult> =>
        await askOwnerOr<QueryResult>(io, config, '/api/query', args, async () => {
          const { queryWarehouse } = await import('../../app/query.ts');
          return await queryWarehouse(config, args, { log }, io.signal);
        });
      const { compactPipeline } = await import('../../app/compact.ts');
      const { json } = globalsOf(command);
      const onProgress = ({ hours, hoursTotal }: { hours: number; hoursTotal: number }): void =>
        void (
          io.stderr.isTTY &&
          !json &&
          io.stderr.write(`\r\u001b[2K${hours} of ${countOf(hoursTotal, 'hour')}${hours === hoursTotal ? '\n' : ''}`)
        );
      const args = { collections, hours: range, takeOver: flags.takeOver };
      const result = await compactPipeline(config, args, { log, query, onProgress }, io.signal);
      const { failed } = result;
      if (json) printJson(io, result);
      else io.stdout.write(textOf(result));
      if (failed.length > 0 && json) io.exitCode = 1;
      else if (failed.length > 0) throw new SluiceError(COMPACT_FAILED, failed.map(({ hour: name, reason }) => `${name}: ${reason}`).join('; '));
    });
}

function textOf(result: CompactSummary): string {
  const { hours, files, replaced, rows, bytesBefore, bytesAfter, waiting } = result;
  const lines: string[] = [];
  if (hours === 0)
    lines.push(waiting.length > 0 ? 'Nothing was compacted.' : 'Nothing to compact: no hour that is over has files that are not Parquet.');
  else {
    lines.push(
      `${countOf(replaced, 'file')} of ${countOf(hours, 'collection-hour')} became ${countOf(files, 'Parquet file')}, ${countOf(rows, 'row')}.`,
    );
    if (bytesBefore > 0) lines.push(`${formatSize(bytesBefore)} became ${formatSize(bytesAfter)}.`);
  }
  if (waiting.length > 0) {
    lines.push(
      `${countOf(waiting.length, 'collection-hour')} not compacted: the warehouse has not loaded all of their files yet; \`sluice load\` does it:`,
    );
    lines.push(...waiting.slice(0, HOURS_SHOWN).map((name) => `  ${name}`));
    if (waiting.length > HOURS_SHOWN) lines.push(`  and ${waiting.length - HOURS_SHOWN} more`);
  }
  return `${lines.join('\n')}\n`;
}
