import { Argument, type Command } from 'commander';
import { completionScript, SHELLS, type Shell } from '../completion.ts';
import { globalsOf, printJson, type Io } from '../io.ts';

export function completionCommand(program: Command, io: Io): void {
  program
    .command('completion')
    .summary('print a completion script for your shell')
    .description(
      'Prints a completion script. bash: `source <(sluice completion bash)`; zsh: `sluice completion zsh > "${fpath[1]}/_sluice"`; fish: `sluice completion fish | source`.',
    )
    .addArgument(new Argument('<shell>', 'for which shell').choices(SHELLS))
    .action((shell: Shell, _flags: unknown, command: Command) => {
      const script = completionScript(program, shell);
      if (globalsOf(command).json) printJson(io, { shell, script });
      else io.stdout.write(script);
    });
}
