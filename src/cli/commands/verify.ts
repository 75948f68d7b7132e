import { styleText } from 'node:util';
import type { Command } from 'commander';
import type { VerifyReport } from '../../app/types.ts';
import { globalsOf, loadConfigFor, logFor, printJson, type Io, type Terminal } from '../io.ts';
import { askOwnerOr } from '../owner.ts';

interface VerifyFlags {
  readonly lake: boolean;
  readonly warehouse: boolean;
  readonly source: boolean;
}

export function verifyCommand(program: Command, io: Io): void {
  program
    .command('verify')
    .summary('prove that nothing is missing and nothing is there twice')
    .description(
      'Compares what the lake, the warehouse and the source hold, and writes a report. Changes nothing. Exit 1 if anything is off. Without a flag, the lake and the warehouse.',
    )
    .option('--lake', 'files against the ledger: bytes, hashes, rows, order', false)
    .option('--warehouse', 'bronze line by line against the sealed files, silver against bronze', false)
    .option('--source', 'the lake against the change stream of the last hour, silver against the documents in MongoDB: reads all of them', false)
    .action(async (flags: VerifyFlags, command: Command) => {
      const config = await loadConfigFor(io, command);
      const log = await logFor(io, command, 'warn');
      const args = { lake: flags.lake, warehouse: flags.warehouse, source: flags.source };
      const report = await askOwnerOr<VerifyReport>(io, config, '/api/verify', args, async () => {
        const { verifyPipeline } = await import('../../app/verify.ts');
        return await verifyPipeline(config, args, { log }, io.signal);
      });
      io.exitCode = report.ok ? 0 : 1;
      if (globalsOf(command).json) printJson(io, report);
      else io.stdout.write(renderReport(report, io.stdout));
    });
}

const MARKS = { ok: ['✓', 'green'], failed: ['✗', 'red'], skipped: ['-', 'gray'] } as const;

/** A mark with its colour on a terminal. */
export function mark(outcome: keyof typeof MARKS, to: Terminal): string {
  const [sign, colour] = MARKS[outcome];
  return to.isTTY ? styleText(colour, sign) : sign;
}

export function renderReport(report: VerifyReport, to: Terminal): string {
  const lines = report.checks.flatMap((check) => [
    `${mark(check.outcome, to)} ${check.name}: ${check.detail}`,
    ...check.findings.map((finding) => `    ${finding}`),
  ]);
  return [...lines, report.ok ? 'Everything agrees.' : 'Something is off: see the lines marked ✗.'].map((line) => `${line}\n`).join('');
}
