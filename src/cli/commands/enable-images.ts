import type { Command } from 'commander';
import { SluiceError } from '../../core/error.ts';
import { INTERRUPTED, USAGE } from '../../core/errors.ts';
import { formatNamespace } from '../../core/namespace.ts';
import { globalsOf, loadConfigFor, printJson, type Io } from '../io.ts';

export function enableImagesCommand(program: Command, io: Io): void {
  program
    .command('enable-images')
    .summary('turn on pre- and post-images')
    .description(
      'Turns pre- and post-images on for every collection that the configuration includes (collMod, needs dbAdmin). They let `fullDocument` and `fullDocumentBeforeChange` be `whenAvailable` or `required`; they cost the server space and write speed.',
    )
    .option('-y, --yes', 'do not ask', false)
    .action(async (flags: { readonly yes: boolean }, command: Command) => {
      const config = await loadConfigFor(io, command);
      const { json } = globalsOf(command);
      const { enableImages, readImages } = await import('../../app/probe.ts');
      const { on, off, impossible } = await readImages(config, io.signal);
      const say = (text: string): void => void (json || io.stdout.write(`${text}\n`));
      for (const name of on) say(`- ${name}: on already`);
      for (const { namespace, type } of impossible) say(`- ${namespace}: a ${type}, which cannot have images`);
      const enabled: string[] = [];
      if (off.length > 0) {
        if (!flags.yes) await confirm(io, off.map(formatNamespace));
        await enableImages(
          config,
          off,
          (name) => {
            enabled.push(name);
            say(`✓ ${name}: turned on`);
          },
          io.signal,
        );
      }
      if (json) printJson(io, { enabled, already: on, impossible });
      else if (off.length === 0) say(on.length === 0 ? 'No collection matches `source.include` yet.' : 'Nothing to do.');
    });
}

async function confirm(io: Io, names: readonly string[]): Promise<void> {
  if (!io.stdin.isTTY || !io.stdout.isTTY)
    throw new SluiceError(USAGE, 'there is no terminal to ask at', { next: `Add --yes to turn images on for ${names.join(', ')}.` });
  const { confirm: ask, isCancel } = await import('@clack/prompts');
  const answer = await ask({ message: `Turn pre- and post-images on for ${names.join(', ')}?`, signal: io.signal });
  if (isCancel(answer) || !answer) throw new SluiceError(INTERRUPTED, 'nothing was changed', { next: 'Run it again when you want to.' });
}
