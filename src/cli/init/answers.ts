/**
 * The answers that a configuration is made of, each tried the moment it is known.
 */
import { dirname, resolve } from 'node:path';
import { interpolate } from '../../config/interpolate.ts';
import { SluiceError } from '../../core/error.ts';
import { CONFIG_SECRET, USAGE } from '../../core/errors.ts';
import type { InitFlags } from '../commands/init.ts';
import type { Io } from '../io.ts';
import { azureAnswer, folderAnswer, isAzureUrl, stripScheme, type LakeAnswer } from './lake.ts';

export const STARTS = ['now', 'snapshot'] as const;
export type Start = (typeof STARTS)[number];

export interface Answers {
  readonly pipeline: string;
  /** As it is to be written: a connection string, or `${NAME}`. */
  readonly uri: string;
  readonly include: readonly string[];
  readonly startAt: Start;
  /** A folder is relative to the file or absolute. */
  readonly lake: LakeAnswer;
  /** DuckDB file, or `null` for none. */
  readonly warehouse: string | null;
}

/** Where the configuration goes. */
export interface Target {
  /** Absolute. */
  readonly file: string;
  readonly force: boolean;
}

export const DEFAULTS = {
  pipeline: 'main',
  uri: 'mongodb://localhost:27017',
  include: ['*.*'],
  startAt: 'now',
  lake: './lake',
  warehouse: './warehouse.duckdb',
} as const;

/** `MONGODB_URI` in the environment is what people mean when they give nothing. */
export function defaultUri(io: Io): string {
  return io.env['MONGODB_URI'] === undefined ? DEFAULTS.uri : '${MONGODB_URI}';
}

/** The connection string that an answer stands for. @throws CONFIG_SECRET when it refers to something that is not there */
export function resolveUri(io: Io, target: Target, written: string): string {
  const result = interpolate(written, {
    env: io.env,
    folder: dirname(target.file),
    vault: () => undefined,
    onSecret: (value) => io.secrets.add(value),
  });
  const { missing } = result;
  if (missing.length > 0) throw new SluiceError(CONFIG_SECRET, `the connection string ${missing.join('; ')}`);
  io.secrets.addUri(result.text);
  return result.text;
}

/** `none`, `no` and nothing at all mean that there is no warehouse. */
export function warehouseOf(written: string): string | null {
  return ['', 'none', 'no'].includes(written.trim().toLowerCase()) ? null : stripScheme(written, 'duckdb:');
}

/** @throws USAGE, or what is wrong with the folder or the account */
export async function lakeOfFlags(io: Io, flags: InitFlags, folder: string): Promise<LakeAnswer> {
  const { lake = DEFAULTS.lake, lakeAuth } = flags;
  if (isAzureUrl(lake)) return await azureAnswer(io, lake, lakeAuth ?? 'default', null);
  if (lakeAuth !== undefined) throw new SluiceError(USAGE, '--lake-auth is for a lake on Azure', { next: 'Give its URL with --lake.' });
  return await folderAnswer(lake, folder);
}

/** Without questions: flags and defaults. @throws SluiceError for the first answer that does not hold */
export async function takeAnswers(io: Io, flags: InitFlags, target: Target): Promise<Answers> {
  const { probeFile, probeSource } = await import('../../app/probe.ts');
  const folder = dirname(target.file);
  const answers: Omit<Answers, 'lake'> = {
    pipeline: flags.pipeline ?? DEFAULTS.pipeline,
    uri: flags.uri ?? defaultUri(io),
    include: flags.include ?? DEFAULTS.include,
    startAt: flags.startAt ?? DEFAULTS.startAt,
    warehouse: warehouseOf(flags.warehouse ?? DEFAULTS.warehouse),
  };
  await probeSource(resolveUri(io, target, answers.uri), io.signal);
  const lake = await lakeOfFlags(io, flags, folder);
  if (answers.warehouse !== null) await probeFile(resolve(folder, answers.warehouse));
  return { ...answers, lake };
}
