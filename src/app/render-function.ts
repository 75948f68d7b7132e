/**
 * `sluice render function`: from a configuration and what shall ring to a Function app.
 */
import type { Config } from '../config/config.ts';
import { SluiceError } from '../core/error.ts';
import { CONFIG_CONFLICT, USAGE } from '../core/errors.ts';
import type { FunctionPlan } from '../render/function.ts';
import type { TextFile } from '../render/text-file.ts';
import { azureLake } from './render.ts';
import { hubOf } from './render-bus.ts';

/** What such apps are made for, as a rule. */
export const TEMPLATES = ['dump', 'export', 'lake', 'capture'] as const;
export type FunctionTemplate = (typeof TEMPLATES)[number];

export interface FunctionArgs {
  readonly templates: readonly FunctionTemplate[];
  /** Where the Capture files are, for the template `capture`. */
  readonly capture: string | null;
  readonly timers: readonly { readonly schedule: string; readonly command: readonly string[] }[];
  readonly eventHub: readonly string[] | null;
  readonly blobs: readonly { readonly container: string; readonly command: readonly string[] }[];
  readonly timeLimitSeconds: number;
}

/** @throws CONFIG_CONFLICT, USAGE */
export async function functionFiles(config: Config, args: FunctionArgs): Promise<readonly TextFile[]> {
  const { renderFunction } = await import('../render/function.ts');
  if (config.lake.kind === 'local') {
    throw new SluiceError(CONFIG_CONFLICT, 'the lake is a local folder, and a function has no disk of its own', {
      next: 'Use a lake on Azure: `lake.url: abfss://container@account.dfs.core.windows.net/prefix`.',
    });
  }
  const { timers, eventHub, blobs } = withTemplates(args);
  const functions: FunctionPlan['functions'][number][] = [
    ...timers.map(({ schedule, command }, i) => ({ name: nameOf('timer', i, command), kind: 'timer' as const, schedule, command })),
    ...(eventHub === null ? [] : [{ name: nameOf('hub', 0, eventHub), kind: 'eventHub' as const, ...bellOf(config), command: eventHub }]),
    ...blobs.map(({ container, command }, i) => ({ name: nameOf('blob', i, command), kind: 'blob' as const, path: `${container}/{name}`, command })),
  ];
  if (functions.length === 0)
    throw new SluiceError(USAGE, 'the function has no trigger', {
      next: 'Give --template, --timer, --event-hub or --blob: sluice render function --timer "0 10 * * * * load".',
    });
  return renderFunction({ pipeline: config.pipeline, timeLimitSeconds: args.timeLimitSeconds, functions });
}

type Bells = Pick<FunctionArgs, 'timers' | 'eventHub' | 'blobs'>;

/** @throws USAGE */
function withTemplates({ templates, capture, ...given }: FunctionArgs): Bells {
  const has = (name: FunctionTemplate): boolean => templates.includes(name);
  if (has('capture') !== (capture !== null))
    throw new SluiceError(USAGE, '`--template capture` and `--capture` go together', {
      next: 'Say where the files are: --template capture --capture abfss://capture@account.dfs.core.windows.net.',
    });
  if (has('lake') && given.eventHub !== null)
    throw new SluiceError(USAGE, '`--template lake` and `--event-hub` are both about the hub', { next: 'Give one of them.' });
  return {
    timers: [
      // A collection is dumped once an hour, whatever the form: where there is an export, its hour is left to it.
      ...(has('dump') ? [{ schedule: has('export') ? '0 5 0-1,3-23 * * *' : '0 5 * * * *', command: ['dump'] }] : []),
      ...(has('export') ? [{ schedule: '0 30 2 * * *', command: ['dump', '--content', 'documents', '--layout', 'array'] }] : []),
      ...given.timers,
    ],
    eventHub: has('lake') ? ['run', '--role', 'consume', '--until-idle', '20', '--no-wait'] : given.eventHub,
    blobs: [...(capture === null ? [] : [{ container: azureLake(capture)!.container, command: ['reshape', '--from', capture] }]), ...given.blobs],
  };
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
