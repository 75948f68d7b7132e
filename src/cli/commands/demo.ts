import { Option, type Command } from 'commander';
import { seconds } from '../args.ts';
import { globalsOf, logFor, printJson, type Io } from '../io.ts';
import { ProgressLine } from '../progress.ts';
import { serveRun } from '../serve.ts';
import { renderReport } from './verify.ts';

const SECONDS_DEFAULT = 20;

interface DemoFlags {
  readonly keep: boolean;
  /** ms */
  readonly seconds: number;
  readonly bus: boolean;
  readonly azureFake: boolean;
}

export function demoCommand(program: Command, io: Io): void {
  program
    .command('demo')
    .summary('see it work, with a MongoDB and a small shop of its own')
    .description(
      'Starts a MongoDB replica set, a small shop that writes to it, and the pipeline with a local lake and DuckDB; shows progress, then proves that source and silver agree, and says where to look. Needs no configuration.',
    )
    .option('--keep', 'leave MongoDB’s data in place, too', false)
    .addOption(
      new Option('--seconds <count>', 'how long the shop is open').argParser(seconds).default(SECONDS_DEFAULT * 1000, String(SECONDS_DEFAULT)),
    )
    .option('--bus', 'through a Kafka broker of its own; in a checkout alone, needs Java 17', false)
    .option('--azure-fake', 'with the lake in a fake of Azure storage; in a checkout alone', false)
    .action(async (flags: DemoFlags, command: Command) => {
      const { json } = globalsOf(command);
      const line = io.stderr.isTTY && !json ? new ProgressLine(io.stderr) : null;
      const log = await logFor(io, command, 'warn', line?.log);
      const { runDemo } = await import('../../app/demo/demo.ts');
      const result = await runDemo(
        {
          durationMs: flags.seconds,
          keep: flags.keep,
          azureFake: flags.azureFake,
          bus: flags.bus,
          env: io.env,
          say: (text) => {
            line?.end();
            io.stderr.write(`${text}\n`);
          },
          serve: (config) =>
            serveRun(io, config, 'all', log, (url) => {
              line?.end();
              io.stderr.write(`Dashboard, while it runs: ${url}/\n`);
            }),
          progress: line === null ? null : (progress) => line.show(progress),
          log,
        },
        io.signal,
      );
      line?.end();
      io.exitCode = result.report.ok ? 0 : 1;
      if (json) printJson(io, result);
      else io.stdout.write(`${renderReport(result.report, io.stdout)}\n${result.look.map((text) => `${text}\n`).join('')}`);
    });
}
