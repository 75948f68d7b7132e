import type { Command } from 'commander';
import type { Check } from '../../app/types.ts';
import { globalsOf, loadConfigFor, logFor, printJson, type Io, type Terminal } from '../io.ts';
import { mark } from './verify.ts';

export function doctorCommand(program: Command, io: Io): void {
  program
    .command('doctor')
    .summary('check everything that the configuration names')
    .description(
      'Tries the source and the lake as the pipeline would use them, and looks at the warehouse, where it changes nothing; says for each failure what to do. Exit 1 if any check fails.',
    )
    .action(async (_flags: unknown, command: Command) => {
      const config = await loadConfigFor(io, command);
      const log = await logFor(io, command, 'warn');
      const { runDoctor } = await import('../../app/doctor.ts');
      // Details hold what servers and drivers say: as scrubbed as an error.
      const checks = io.secrets.scrubValue(await runDoctor(config, { log }, io.signal)) as readonly Check[];
      const ok = checks.every((check) => check.outcome !== 'failed');
      io.exitCode = ok ? 0 : 1;
      if (globalsOf(command).json) printJson(io, { ok, checks });
      else io.stdout.write(renderChecks(checks, io.stdout));
    });
}

export function renderChecks(checks: readonly Check[], to: Terminal): string {
  const lines: string[] = [];
  let area = '';
  for (const check of checks) {
    if (check.area !== area) lines.push(check.area);
    ({ area } = check);
    lines.push(`  ${mark(check.outcome, to)} ${check.name}: ${check.detail}`);
    if (check.fix !== null) lines.push(`      → ${check.fix}`);
  }
  const failures = checks.filter((check) => check.outcome === 'failed').length;
  lines.push(failures === 0 ? 'Everything is fine.' : `${failures} of ${checks.length} checks failed: see the lines marked ✗.`);
  return lines.map((line) => `${line}\n`).join('');
}
