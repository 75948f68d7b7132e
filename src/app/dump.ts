/**
 * `sluice dump`, and the dumps of a run: at the times of `dump.cron`, and whenever somebody asks.
 */
import type { Clock } from '../core/clock.ts';
import { systemClock } from '../core/clock.ts';
import { SluiceError } from '../core/error.ts';
import { CONFIG_CONFLICT, DUMP_BUSY } from '../core/errors.ts';
import type { Lake } from '../core/lake.ts';
import { isLiteral, parseGlob } from '../core/namespace.ts';
import { hourName, hourOf } from '../core/time.ts';
import type { Config } from '../config/config.ts';
import type { Logger } from '../ops/log.ts';
import { hourFilePath } from '../pipeline/checkpoint.ts';
import { Dumper, type DumpOutcome } from '../pipeline/dump.ts';
import { maskOf, openLake } from './compose.ts';
import { atTimes } from './schedule.ts';
import type { CommandOptions, DumpArgs, DumpSummary } from './types.ts';

/** What a dump is without a `dump` in the configuration. */
const PLAIN = { collections: ['*.*'], layout: 'ndjson', content: 'documents', timeoutMs: 3_600_000, maxChanges: 1_000_000 } as const;
/** An hour is over for the lake some time after it is over on the clock. */
const HOUR_MS_MAX = 600_000;
const POLL_MS = 5_000;

interface DumpWith {
  readonly lake: Lake;
  readonly clock: Clock;
  readonly log: Logger;
}

/** On a pipeline that does not run here: the changes of hours that are sealed. */
export async function dumpPipeline(config: Config, args: DumpArgs, { log }: CommandOptions, signal: AbortSignal): Promise<DumpSummary> {
  await using lake = await openLake(config, { log });
  return await dumpWith(config, args, { lake, clock: systemClock, log }, signal);
}

/** @throws DUMP_BUSY, CONFIG_CONFLICT */
export async function dumpWith(config: Config, args: DumpArgs, { lake, clock, log }: DumpWith, signal: AbortSignal): Promise<DumpSummary> {
  const asked = { collections: args.collections, hour: args.hour, interim: true };
  const dumps = await dump(config, { lake, clock, log }, args, asked, signal);
  return { ok: dumps.every(({ outcome }) => outcome !== 'failed'), dumps };
}

type Form = Pick<DumpArgs, 'layout' | 'content'>;

async function dump(
  config: Config,
  { lake, clock, log }: DumpWith,
  form: Form,
  asked: Parameters<Dumper['run']>[0],
  signal: AbortSignal,
): Promise<readonly DumpOutcome[]> {
  const { MongoDocuments } = await import('../source/mongo/documents.ts');
  const { uri, include, exclude } = config.source;
  const { collections, timeoutMs, maxChanges } = config.dump ?? PLAIN;
  const { layout, content } = formOf(config, form);
  const mask = maskOf(config);
  await using reader = new MongoDocuments({ uri, include, exclude, json: config.lake.json, ...(mask && { mask }) });
  const databases = new Set(include.map((glob) => parseGlob(glob).db));
  const withDatabase = databases.size > 1 || [...databases].some((name) => !isLiteral(name));
  const options = { pipeline: config.pipeline, content, names: { layout, withDatabase }, collections, timeoutMs, changesMax: maxChanges };
  return await new Dumper(options, { lake, clock, log, reader }).run(asked, signal);
}

/** @throws CONFIG_CONFLICT */
function formOf(config: Config, asked: Form): { layout: 'ndjson' | 'document' | 'array'; content: 'documents' | 'changes' } {
  const configured = config.dump ?? PLAIN;
  // Of what is asked for one may follow from the other: a document is of changes, an array of documents.
  const fitting = asked.layout === 'document' ? 'changes' : asked.layout === 'array' ? 'documents' : configured.content;
  const content = asked.content ?? fitting;
  const layout = asked.layout ?? (content === configured.content ? configured.layout : 'ndjson');
  if ((layout === 'document' && content === 'documents') || (layout === 'array' && content === 'changes'))
    throw new SluiceError(CONFIG_CONFLICT, `layout ${layout} does not go with ${content}`, {
      next: '`document` is for changes, `array` for documents, `ndjson` for both.',
    });
  return { layout, content };
}

/** Dumps at the times of a cron line. A dump that fails is told, and never stops the capture. */
export class DumpLoop {
  readonly #config: Config;
  readonly #with: DumpWith;

  constructor(config: Config, using: DumpWith) {
    this.#config = config;
    this.#with = using;
  }

  async run(signal: AbortSignal): Promise<void> {
    if (this.#config.dump === null) return;
    await atTimes(this.#config.dump.cron, 'dump.cron', this.#with.clock, () => this.#scheduled(signal), signal);
  }

  async #scheduled(signal: AbortSignal): Promise<void> {
    const { log, clock, lake } = this.#with;
    try {
      const { content } = formOf(this.#config, { layout: null, content: null });
      if (content === 'changes') await this.#hourIsOver(hourName(hourOf(clock.now() / 1000) - 1), signal);
      const dumps = await dump(
        this.#config,
        { lake, clock, log },
        { layout: null, content: null },
        { collections: [], hour: null, interim: false },
        signal,
      );
      const failed = dumps.filter(({ outcome }) => outcome === 'failed').length;
      log[failed === 0 ? 'info' : 'error']({ dumps: dumps.length, failed }, 'the dumps of this time are done');
    } catch (error) {
      if (signal.aborted) return;
      if (SluiceError.is(error, DUMP_BUSY)) log.warn('the dumps of the time before are still running: this time is left out');
      else log.error({ err: error }, 'the dumps of this time failed; the next time comes');
    }
  }

  /** Changes of the hour before are whole a little after it. */
  async #hourIsOver(hour: string, signal: AbortSignal): Promise<void> {
    const { lake, clock, log } = this.#with;
    const untilMs = clock.now() + HOUR_MS_MAX;
    while (clock.now() < untilMs) {
      if ((await lake.stat(hourFilePath(this.#config.pipeline, hour))) !== null) return;
      await clock.sleep(POLL_MS, signal);
    }
    log.warn({ hour }, 'this hour is not complete yet: its changes are dumped the next time');
  }
}
