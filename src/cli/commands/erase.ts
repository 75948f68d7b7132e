import { userInfo } from 'node:os';
import type { Command } from 'commander';
import type { EraseArgs, EraseSummary, ErasuresReport } from '../../app/types.ts';
import { SluiceError } from '../../core/error.ts';
import { ERASE_CONFIRM, ERASE_NONE, ERASE_UNFINISHED } from '../../core/errors.ts';
import { globalsOf, loadConfigFor, logFor, printJson, type Io } from '../io.ts';
import { askOwnerOr } from '../owner.ts';
import { countOf, renderTable } from '../table.ts';

interface EraseFlags {
  readonly key?: readonly string[];
  readonly where?: readonly string[];
  readonly by?: string;
  readonly reason?: string;
  readonly dryRun: boolean;
  readonly yes: boolean;
  readonly finish: boolean;
  readonly list: boolean;
}

const LEFT_SHOWN = 20;

export function eraseCommand(program: Command, io: Io): void {
  const more = (value: string, before: readonly string[] = []): string[] => [...before, value];
  program
    .command('erase')
    .summary("take a subject's documents out of the lake and the warehouse")
    .description(
      'Takes documents, with every version and every change of them, out of all that the pipeline has written: files of hours, snapshots, dumps, dead letters, bronze and silver. Files are written anew without these lines, and say how many are gone; a record stays, which tells who asked and when, and not whose documents they were. Hours that are not over yet follow once they are: by the running pipeline, or with --finish. It does not touch MongoDB: delete them there first. It cannot be undone.',
    )
    .argument('[collections...]', 'collections, as globs over database.collection')
    .option('--key <id>', 'document with this `_id`: text, number, ObjectId, UUID or Extended JSON; may be given several times', more)
    .option('--where <path=value>', 'documents of which any version has this value at this path; several must hold together', more)
    .option('--by <who>', 'who asks, for the record; the user of this machine when left out')
    .option('--reason <text>', 'why, for the record: a number of your own, never the name of the subject')
    .option('--dry-run', 'say what would go, and take nothing', false)
    .option('--yes', 'really do it', false)
    .option('--finish', 'go on with what was cut short or had to wait', false)
    .option('--list', 'show the records of all erasures', false)
    .action(async (collections: string[], flags: EraseFlags, command: Command) => {
      const config = await loadConfigFor(io, command);
      const log = await logFor(io, command, 'warn');
      const { json } = globalsOf(command);
      if (flags.list) {
        const { erasuresOf } = await import('../../app/erase.ts');
        const report = await erasuresOf(config, { log }, io.signal);
        if (json) printJson(io, report);
        else io.stdout.write(listText(report, io));
        return;
      }
      const args = argsOf(collections, flags);
      const result = await askOwnerOr<EraseSummary>(io, config, '/api/erase', args, async () => {
        const { erasePipeline } = await import('../../app/erase.ts');
        return await erasePipeline(config, args, { log }, io.signal);
      });
      const { shown } = await import('../../app/erase.ts');
      if (json) printJson(io, { ...result, erasures: result.erasures.map(shown) });
      else io.stdout.write(textOf(result));
      const left = result.erasures.flatMap((record) => record.left);
      if (left.length > 0 && json) io.exitCode = 1;
      else if (left.length > 0) throw new SluiceError(ERASE_UNFINISHED, `${countOf(left.length, 'place')} named above`);
    });
}

/** @throws ERASE_NONE, ERASE_CONFIRM */
function argsOf(collections: readonly string[], { key = [], where = [], by, reason, dryRun, yes, finish }: EraseFlags): EraseArgs {
  if (finish && (key.length > 0 || where.length > 0)) throw new SluiceError(ERASE_NONE, '`--finish` takes neither `--key` nor `--where`');
  if (!finish && key.length === 0 && where.length === 0) throw new SluiceError(ERASE_NONE);
  if (key.length > 0 && where.length > 0) throw new SluiceError(ERASE_NONE, 'both `--key` and `--where` are given');
  if (!finish && collections.length === 0)
    throw new SluiceError(ERASE_NONE, 'no collection is named', { next: 'Name the collections, such as shop.customers.' });
  if (!finish && !dryRun && !yes) throw new SluiceError(ERASE_CONFIRM);
  const request = finish ? null : { collections, keys: key, where, by: by ?? userInfo().username, reason: reason ?? null };
  return { request, dryRun };
}

function textOf({ dryRun, would, erasures }: EraseSummary): string {
  if (dryRun && would.length === 0) return 'Nothing would be erased: no such document is in the lake or in the warehouse.\n';
  if (dryRun) return would.map(wouldText).join('');
  if (erasures.length === 0) return 'Nothing is left to be erased.\n';
  const lines: string[] = [];
  for (const { id, rows, files, dumps, deadLetters, claims, warehouseRows, left, endedAt } of erasures) {
    lines.push(
      `Erasure ${id}: ${countOf(rows, 'line')} out of ${countOf(files, 'file')}, which were written anew; ${countOf(warehouseRows, 'row')} of bronze.`,
    );
    if (dumps + deadLetters + claims > 0)
      lines.push(
        `Also ${countOf(dumps, 'file')} of dumps written anew, ${countOf(deadLetters, 'dead letter')} and ${countOf(claims, 'claim')} removed.`,
      );
    lines.push(endedAt === null ? 'Not all of it is done:' : 'Done. The record says so: `sluice erase --list`.');
    lines.push(...left.slice(0, LEFT_SHOWN).map((what) => `  ${what}`));
    if (left.length > LEFT_SHOWN) lines.push(`  and ${left.length - LEFT_SHOWN} more`);
  }
  return `${lines.join('\n')}\n`;
}

function wouldText({ namespace, documents, files, rows, rowsWaiting, warehouseRows }: EraseSummary['would'][number]): string {
  const later = rowsWaiting === 0 ? '' : `, and ${countOf(rowsWaiting, 'line')} once their hours are over`;
  return `${namespace}: ${countOf(documents, 'document')}, ${countOf(rows, 'line')} in ${countOf(files, 'file')}${later}; ${countOf(warehouseRows, 'row')} of bronze would go.\n`;
}

function listText({ erasures }: ErasuresReport, io: Io): string {
  if (erasures.length === 0) return 'Nothing was ever erased.\n';
  const rows = erasures.map(({ id, askedAt, by, reason, collections, how, rows: lines, files, warehouseRows, endedAt, left }) => [
    id,
    askedAt,
    by,
    reason ?? '',
    collections.join(', '),
    how,
    String(lines),
    String(files),
    String(warehouseRows),
    endedAt ?? `${countOf(left.length, 'place')} left`,
  ]);
  return renderTable(['id', 'asked', 'by', 'reason', 'collections', 'how', 'lines', 'files', 'bronze', 'done'], rows, io.stdout);
}
