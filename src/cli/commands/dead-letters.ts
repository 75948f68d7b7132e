import type { Command } from 'commander';
import { globalsOf, loadConfigFor, logFor, printJson, type Io } from '../io.ts';
import { countOf, formatCount, renderTable } from '../table.ts';

export function deadLettersCommand(program: Command, io: Io): void {
  const letters = program
    .command('dead-letters')
    .summary('messages of the bus that could not be read')
    .description(
      'Messages that could not be read are put aside on the lake with the reason, and reading goes on. These commands list them, show one, and send them to the topic again.',
    );
  letters
    .command('list')
    .summary('all of them, with the reason')
    .description('Lists the messages that were put aside, oldest first.')
    .action(async (_flags: unknown, command: Command) => {
      const config = await loadConfigFor(io, command);
      const log = await logFor(io, command, 'warn');
      const { deadLettersOf } = await import('../../app/dead-letters.ts');
      const report = await deadLettersOf(config, { log }, io.signal);
      if (globalsOf(command).json) return printJson(io, report);
      const rows = report.letters.map(({ name, at, bytes, reason, detail }) => [name, at, formatCount(bytes), reason, detail]);
      io.stdout.write(rows.length === 0 ? 'no dead letters\n' : renderTable(['name', 'sent', 'bytes', 'reason', 'detail'], rows, io.stdout));
    });
  letters
    .command('show')
    .summary('one of them, with its bytes')
    .description('Shows the reason, the headers and the value of one message.')
    .argument('<name>', 'as `sluice dead-letters list` shows it')
    .action(async (name: string, _flags: unknown, command: Command) => {
      const config = await loadConfigFor(io, command);
      const log = await logFor(io, command, 'warn');
      const { deadLetterOf } = await import('../../app/dead-letters.ts');
      const letter = await deadLetterOf(config, name, { log }, io.signal);
      if (globalsOf(command).json) return printJson(io, letter);
      const text = (base64: string | null): string => (base64 === null ? '(none)' : Buffer.from(base64, 'base64').toString('utf8'));
      const { topic, partition, offset, at, reason, detail } = letter;
      io.stdout.write(`${topic}, partition ${partition}, offset ${offset}, sent ${at}\n${reason}  ${detail}\n\nkey: ${text(letter.key)}\n`);
      for (const [header, value] of letter.headers) io.stdout.write(`${header}: ${text(value)}\n`);
      io.stdout.write(`\n${text(letter.value)}\n`);
    });
  letters
    .command('replay')
    .summary('send them to the topic again')
    .description(
      'Sends these messages to their partitions again, oldest first, and removes them from the lake: once `bus.format` is right, for instance. One whose time its partition has passed comes back with the reason SLC-1609.',
    )
    .argument('[names...]', 'as `sluice dead-letters list` shows them; all when left out')
    .action(async (names: string[], _flags: unknown, command: Command) => {
      const config = await loadConfigFor(io, command);
      const log = await logFor(io, command, 'warn');
      const { replayDeadLetters } = await import('../../app/dead-letters.ts');
      const summary = await replayDeadLetters(config, names, { log }, io.signal);
      if (globalsOf(command).json) return printJson(io, summary);
      io.stdout.write(`${countOf(summary.replayed.length, 'message')} sent again.\n`);
    });
}
