import { Option, type Command } from 'commander';
import { ROLES, type Progress, type Role } from '../../app/types.ts';
import type { Control } from '../../app/control.ts';
import type { Logger } from '../../ops/log.ts';
import { seconds } from '../args.ts';
import { globalsOf, loadConfigFor, logFor, printJson, type Io } from '../io.ts';
import { ProgressLine } from '../progress.ts';
import { serveRun } from '../serve.ts';
import { countOf, formatCount } from '../table.ts';

interface RunFlags {
  readonly role: Role;
  /** ms */
  readonly untilIdle?: number;
  readonly wait: boolean;
  readonly takeOver: boolean;
  readonly acceptGap: boolean;
}

export function runCommand(program: Command, io: Io): void {
  program
    .command('run')
    .summary('carry changes into the lake and the warehouse, until stopped')
    .description(
      'The main job: reads the change stream, writes the lake, loads the warehouse. Runs until it is stopped (Ctrl-C or SIGTERM; a second one ends it at once). Stands by while another process owns the pipeline.',
    )
    .addOption(new Option('--role <role>', 'what this process does; with a `bus`, several processes share the work').choices(ROLES).default('all'))
    .option('--until-idle <seconds>', 'when nothing has come for so long, seal, load and merge everything, and exit 0', seconds)
    .option('--no-wait', 'exit 75 when another process owns the pipeline, instead of standing by')
    .option('--take-over', 'break the lease of the present owner (no effect on a local lake)', false)
    .option('--accept-gap', 'go on after a gap in the history, which stays recorded', false)
    .action(async (flags: RunFlags, command: Command) => {
      const config = await loadConfigFor(io, command);
      const { json } = globalsOf(command);
      const line = io.stderr.isTTY && !json ? new ProgressLine(io.stderr) : null;
      const log = await logFor(io, command, 'info', line?.log);
      const { runPipeline } = await import('../../app/run.ts');
      const dumps = dumpOnSignal(log, io.signal);
      let result: Progress;
      try {
        result = await runPipeline(
          config,
          {
            role: flags.role,
            untilIdleMs: flags.untilIdle ?? null,
            wait: flags.wait,
            takeOver: flags.takeOver,
            acceptGap: flags.acceptGap,
            progress: line === null ? null : (progress) => line.show(progress),
            serve: async (control) => {
              dumps.control = control;
              return await serveRun(io, config, flags.role, log)(control);
            },
            log,
          },
          io.signal,
        );
      } finally {
        line?.end();
        dumps.release();
      }
      if (json) printJson(io, result);
      else io.stdout.write(`${summary(result)}\n`);
    });
}

interface DumpOnSignal {
  /** Who is asked; `null` until the run has begun. */
  control: Control | null;
  release(): void;
}

/** SIGUSR1 asks for a dump now. Signals that come while one is made ask for one more after it, however many they are. */
function dumpOnSignal(log: Logger, stop: AbortSignal): DumpOnSignal {
  const dumps: DumpOnSignal = { control: null, release: () => void process.off('SIGUSR1', onSignal) };
  let asked = false;
  let running = false;
  const onSignal = (): void => {
    asked = true;
    if (!running) void dumpAll();
  };
  const dumpAll = async (): Promise<void> => {
    running = true;
    while (asked && !stop.aborted) {
      asked = false;
      if (dumps.control === null) log.warn('SIGUSR1 before the run has begun: nothing is dumped');
      else await dumpNow(dumps.control, log, stop);
    }
    running = false;
  };
  process.on('SIGUSR1', onSignal);
  return dumps;
}

async function dumpNow(control: Control, log: Logger, stop: AbortSignal): Promise<void> {
  try {
    const { dumps } = await control.dump({ collections: [], hour: null, layout: null, content: null }, stop);
    log.info({ dumps: dumps.length, failed: dumps.filter(({ outcome }) => outcome === 'failed').length }, 'dumped, as SIGUSR1 asked');
  } catch (error) {
    log.error({ err: error }, 'the dump that SIGUSR1 asked for failed');
  }
}

function summary({ events, partsSealed, rowsLoaded, rowsMerged }: Progress): string {
  return `Stopped: ${countOf(events, 'event')} written, ${countOf(partsSealed, 'file')} sealed, ${countOf(rowsLoaded, 'row')} loaded, ${formatCount(rowsMerged)} merged.`;
}
