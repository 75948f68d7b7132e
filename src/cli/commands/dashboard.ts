import type { Command } from 'commander';
import { SluiceError } from '../../core/error.ts';
import { OWNER_UNREACHABLE } from '../../core/errors.ts';
import { globalsOf, loadConfigFor, printJson, type Io } from '../io.ts';
import { whoAnswers } from '../owner.ts';

export function dashboardCommand(program: Command, io: Io): void {
  program
    .command('dashboard')
    .summary('where the dashboard of the running process is')
    .description(
      'Prints the address of the dashboard that the running process serves. With --token it carries the token, so that the page can act without asking for it: whoever has this address can seal, pause and query.',
    )
    .option('--token', 'with the token of this run, after a `#` that browsers keep to themselves', false)
    .addHelpText('after', '\nExample:\n  sluice dashboard --token      open what it prints in a browser\n')
    .action(async (flags: { readonly token: boolean }, command: Command) => {
      const config = await loadConfigFor(io, command);
      const owner = await whoAnswers(io, config);
      if (owner === null) throw new SluiceError(OWNER_UNREACHABLE, `nothing runs the pipeline ${config.pipeline} on this machine`);
      const url = flags.token ? `${owner.url}/#token=${encodeURIComponent(owner.token)}` : `${owner.url}/`;
      if (globalsOf(command).json) printJson(io, { url, pid: owner.pid });
      else io.stdout.write(`${url}\n`);
    });
}
