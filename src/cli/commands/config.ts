import type { Command } from 'commander';
import { globalsOf, printJson, readVaultSecret, type Io } from '../io.ts';

export function configCommand(program: Command, io: Io): void {
  const config = program
    .command('config')
    .summary('check the configuration, or print its schema')
    .description('The configuration file: docs/config.md lists every key.');
  config
    .command('schema')
    .description('Prints the JSON schema of the configuration file, for editors.')
    .action(async () => {
      const { configJsonSchema } = await import('../../config/reference.ts');
      io.stdout.write(`${JSON.stringify(configJsonSchema(), null, 2)}\n`);
    });
  config
    .command('check')
    .description(
      'Reads the configuration without running anything, and tells every problem with its line. With --json also the configuration in its normal form, without secrets.',
    )
    .action(async (_flags: unknown, command: Command) => {
      const { json, config: file } = globalsOf(command);
      const { checkConfig, configOrThrow } = await import('../../config/load.ts');
      const { redactConfig } = await import('../../config/redact.ts');
      const checked = await checkConfig({ ...(file === undefined ? {} : { file }), env: io.env, cwd: io.cwd, secrets: io.secrets, readVaultSecret });
      if (json && checked.config === null) {
        printJson(io, { ok: false, problems: checked.problems });
        io.exitCode = 2;
        return;
      }
      const valid = configOrThrow(checked);
      if (json) printJson(io, { ok: true, config: redactConfig(valid) });
      else io.stdout.write(`✓ ${checked.shown} is valid: pipeline ${valid.pipeline}, lake ${io.secrets.scrub(valid.lake.url)}\n`);
    });
}
