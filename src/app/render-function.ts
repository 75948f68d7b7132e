/**
 * `sluice render function`: from a configuration and what shall ring to a Function app.
 */
import type { Config } from '../config/config.ts';
import { SluiceError } from '../core/error.ts';
import { CONFIG_CONFLICT, USAGE } from '../core/errors.ts';
import type { FunctionPlan } from '../render/function.ts';
import type { TextFile } from '../render/text-file.ts';
import { hubOf } from './render-bus.ts';

export interface FunctionArgs {
  readonly timers: readonly { readonly schedule: string; readonly command: readonly string[] }[];
  readonly eventHub: readonly string[] | null;
  readonly blobs: readonly { readonly container: string; readonly command: readonly string[] }[];
  readonly timeLimitSeconds: number;
}

/** @throws CONFIG_CONFLICT, USAGE */
export async function functionFiles(config: Config, { timers, eventHub, blobs, timeLimitSeconds }: FunctionArgs): Promise<readonly TextFile[]> {
  const { renderFunction } = await import('../render/function.ts');
  if (config.lake.kind === 'local') {
    throw new SluiceError(CONFIG_CONFLICT, 'the lake is a local folder, and a function has no disk of its own', {
      next: 'Use a lake on Azure: `lake.url: abfss://container@account.dfs.core.windows.net/prefix`.',
    });
  }
  const functions: FunctionPlan['functions'][number][] = [
    ...timers.map(({ schedule, command }, i) => ({ name: nameOf('timer', i, command), kind: 'timer' as const, schedule, command })),
    ...(eventHub === null ? [] : [{ name: nameOf('hub', 0, eventHub), kind: 'eventHub' as const, ...bellOf(config), command: eventHub }]),
    ...blobs.map(({ container, command }, i) => ({ name: nameOf('blob', i, command), kind: 'blob' as const, path: `${container}/{name}`, command })),
  ];
  if (functions.length === 0)
    throw new SluiceError(USAGE, 'the function has no trigger', {
      next: 'Give --timer, --event-hub or --blob: sluice render function --timer "0 10 * * * * load".',
    });
  return renderFunction({ pipeline: config.pipeline, timeLimitSeconds, functions });
}

/** Letters and digits, begins with a letter, and no other has it. */
function nameOf(kind: string, index: number, [first = '']: readonly string[]): string {
  return `${kind}${index + 1}_${first.replaceAll(/\W/g, '_')}`;
}

/** A group of its own: the trigger keeps its own place in the hub, and sluice keeps its. */
function bellOf({ bus }: Config): { readonly hub: string; readonly group: string } {
  if (bus === null)
    throw new SluiceError(CONFIG_CONFLICT, 'the configuration has no `bus`', { next: 'Set `bus.url: eventhubs://…`, or leave --event-hub out.' });
  return { hub: hubOf(bus).hub, group: `${bus.group}-bell` };
}
