/**
 * `sluice dead-letters`: messages that could not be read, as they were put aside on the lake.
 */
import { systemClock } from '../core/clock.ts';
import type { BusMessage } from '../core/bus.ts';
import { SluiceError } from '../core/error.ts';
import { DEAD_LETTER_NONE } from '../core/errors.ts';
import type { Lake } from '../core/lake.ts';
import { MessageBatch } from '../core/message-batch.ts';
import type { Config } from '../config/config.ts';
import { REPLAYED } from '../pipeline/bus-message.ts';
import { listDeadLetters, readDeadLetter, type DeadLetter } from '../pipeline/dead-letters.ts';
import { openBus, openLake } from './compose.ts';
import type { CommandOptions, DeadLetterReport, DeadLettersReport, ReplaySummary } from './types.ts';

export async function deadLettersOf(config: Config, options: CommandOptions, signal: AbortSignal): Promise<DeadLettersReport> {
  await using lake = await openLake(config, options);
  return await listWith(lake, config.pipeline, Infinity, signal);
}

/** @param most the newest of them, and how many there are */
export async function listWith(lake: Lake, pipeline: string, most: number, signal: AbortSignal): Promise<DeadLettersReport> {
  const all = await listDeadLetters(lake, pipeline, signal);
  const letters: DeadLetterReport[] = [];
  let gone = 0;
  for (const { name, path } of all.slice(Math.max(0, all.length - most))) {
    const letter = await readDeadLetter(lake, path, signal);
    if (letter === null) gone += 1;
    else letters.push(reportOf(name, letter));
  }
  return { letters, total: all.length - gone };
}

/** @throws DEAD_LETTER_NONE */
export async function deadLetterOf(config: Config, name: string, options: CommandOptions, signal: AbortSignal): Promise<DeadLetter> {
  await using lake = await openLake(config, options);
  return await readWith(lake, config.pipeline, name, signal);
}

/** @throws DEAD_LETTER_NONE */
export async function readWith(lake: Lake, pipeline: string, name: string, signal: AbortSignal): Promise<DeadLetter> {
  const found = (await listDeadLetters(lake, pipeline, signal)).find((letter) => letter.name === name);
  const letter = found === undefined ? null : await readDeadLetter(lake, found.path, signal);
  if (letter === null) throw new SluiceError(DEAD_LETTER_NONE, name);
  return letter;
}

/** @throws DEAD_LETTER_NONE */
export async function replayDeadLetters(
  config: Config,
  names: readonly string[],
  options: CommandOptions,
  signal: AbortSignal,
): Promise<ReplaySummary> {
  await using lake = await openLake(config, options);
  return await replayWith(config, lake, names, options, signal);
}

/**
 * Sends them to their partitions again, oldest first, and removes each once it is there: cut short, one of them may go twice.
 * @param names empty: all. @throws DEAD_LETTER_NONE
 */
export async function replayWith(
  config: Config,
  lake: Lake,
  names: readonly string[],
  { log }: CommandOptions,
  signal: AbortSignal,
): Promise<ReplaySummary> {
  const all = await listDeadLetters(lake, config.pipeline, signal);
  const unknown = names.find((name) => !all.some((letter) => letter.name === name));
  if (unknown !== undefined) throw new SluiceError(DEAD_LETTER_NONE, unknown);
  await using bus = await openBus(config, systemClock, log);
  const replayed: string[] = [];
  for (const { name, path } of all) {
    if (names.length > 0 && !names.includes(name)) continue;
    const letter = await readDeadLetter(lake, path, signal);
    // Somebody else has replayed it, or it was removed.
    if (letter === null) continue;
    await bus.send(letter.partition, MessageBatch.of([messageOf(letter)]), signal);
    await lake.remove(path);
    replayed.push(name);
  }
  return { replayed };
}

function reportOf(name: string, { at, reason, detail, value }: DeadLetter): DeadLetterReport {
  return { name, at, reason, detail, bytes: value === null ? 0 : Buffer.byteLength(value, 'base64') };
}

function messageOf({ key, headers, value }: DeadLetter): BusMessage {
  const text = (base64: string | null): string => Buffer.from(base64 ?? '', 'base64').toString('utf8');
  return {
    key: text(key),
    value: Buffer.from(value ?? '', 'base64'),
    headers: { ...Object.fromEntries(headers.map(([name, bytes]) => [name, text(bytes)])), [REPLAYED]: 'true' },
  };
}
