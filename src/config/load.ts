/**
 * Reads a configuration: file, `.env` beside it, environment, schema, rules across keys. Every problem is told at once.
 *
 * Order, later wins: defaults, file, `SLUICE_…` variables. The environment wins over `.env`.
 */
import { readFile } from 'node:fs/promises';
import { dirname, isAbsolute, relative, resolve } from 'node:path';
import { parseEnv } from 'node:util';
import type { z } from 'zod';
import { reasonOf, SluiceError, systemCode, type ErrorKind } from '../core/error.ts';
import { CONFIG_CONFLICT, CONFIG_INVALID, CONFIG_NOT_FOUND, CONFIG_SECRET, CONFIG_SYNTAX } from '../core/errors.ts';
import type { Config } from './config.ts';
import { ConfigDocument, type Problem } from './document.ts';
import { nearest } from './nearest.ts';
import { normalise } from './normal.ts';
import { applyOverrides, readOverrides, type Override } from './overrides.ts';
import { collectSecrets, Secrets } from './redact.ts';
import { knownKeys } from './reference.ts';
import { FileSchema } from './schema.ts';

export const DEFAULT_FILE = 'sluice.yaml';

export interface LoadOptions {
  /** Path of the file; else `SLUICE_CONFIG`, else `sluice.yaml` in `cwd`. */
  readonly file?: string;
  readonly env: NodeJS.ProcessEnv;
  readonly cwd: string;
  /** Told of every secret that is met, even when the configuration is not valid. */
  readonly secrets?: Secrets;
  /** Reads `vault/secret` from Azure Key Vault. @throws with the reason as its message */
  readonly readVaultSecret?: (reference: string) => Promise<string>;
}

export interface Checked {
  /** `null` when there are problems. */
  readonly config: Config | null;
  readonly problems: readonly Problem[];
  /** Name of the file for messages. */
  readonly shown: string;
}

/** @throws CONFIG_NOT_FOUND, CONFIG_SYNTAX, CONFIG_INVALID, CONFIG_SECRET, CONFIG_CONFLICT with every problem in the message */
export async function loadConfig(options: LoadOptions): Promise<Config> {
  return configOrThrow(await checkConfig(options));
}

/** Like {@link loadConfig}, with the problems as values. @throws CONFIG_NOT_FOUND */
export async function checkConfig(options: LoadOptions): Promise<Checked> {
  const file = resolve(options.cwd, options.file ?? options.env['SLUICE_CONFIG'] ?? DEFAULT_FILE);
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    const why = systemCode(error) === 'ENOENT' ? 'does not exist' : reasonOf(error);
    throw new SluiceError(CONFIG_NOT_FOUND, `${file} ${why}`, { cause: error });
  }
  const env = { ...(await readDotEnv(resolve(dirname(file), '.env'))), ...options.env };
  const vault = await readVault(text, env, options.readVaultSecret);
  return parseDocumentText(text, { file, env, folder: dirname(file), cwd: options.cwd, secrets: options.secrets ?? new Secrets(), vault });
}

type Vault = ReadonlyMap<string, string | Error>;

/** Every secret that the file refers to, each asked for once, all at a time. */
async function readVault(text: string, env: ParseFrom['env'], read: LoadOptions['readVaultSecret']): Promise<Vault> {
  const found = new Map<string, string | Error>();
  if (read === undefined) return found;
  const vault = (reference: string): string => {
    found.set(reference, '');
    return '';
  };
  const document = new ConfigDocument(text);
  if (document.syntaxProblems.length > 0) return found;
  document.interpolate({ env, folder: '/', onSecret: () => {}, vault }, isSetBy(readOverrides(env, Object.keys(FileSchema.shape))));
  const ask = async (reference: string): Promise<void> => {
    try {
      found.set(reference, await read(reference));
    } catch (error) {
      found.set(reference, error instanceof Error ? error : new Error(String(error)));
    }
  };
  await Promise.all([...found.keys()].map(ask));
  return found;
}

/** Says of a key whether an override sets it. */
function isSetBy(overrides: readonly Override[]): (path: readonly string[]) => boolean {
  return (path) => overrides.some((o) => o.path.every((key, depth) => path[depth] === key));
}

export interface ParseOptions {
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Folder that relative paths start from. */
  readonly folder: string;
  readonly secrets?: Secrets;
}

/** A configuration from a text. @throws as {@link loadConfig} does */
export function parseConfig(text: string, options: ParseOptions): Config {
  const { env = {}, folder, secrets = new Secrets() } = options;
  return configOrThrow(parseDocumentText(text, { file: null, env, folder, cwd: folder, secrets, vault: new Map() }));
}

async function readDotEnv(file: string): Promise<Record<string, string | undefined>> {
  try {
    return { ...parseEnv(await readFile(file, 'utf8')) };
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return {};
    throw new SluiceError(CONFIG_NOT_FOUND, `${file} ${reasonOf(error)}`, { cause: error, next: 'Make the .env file readable, or remove it.' });
  }
}

interface ParseFrom {
  readonly file: string | null;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly folder: string;
  readonly cwd: string;
  readonly secrets: Secrets;
  readonly vault: Vault;
}

function parseDocumentText(text: string, from: ParseFrom): Checked {
  const shown = from.file === null ? 'configuration' : shortest(from.file, from.cwd);
  const done = (problems: readonly Problem[], config: Config | null = null): Checked => ({
    config: problems.length === 0 ? config : null,
    // A key may hold a secret too, when somebody put it in the wrong place.
    problems: problems
      .toSorted((a, b) => (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0))
      .map((p) => ({ ...p, key: from.secrets.scrub(p.key), message: from.secrets.scrub(p.message) })),
    shown,
  });
  const document = new ConfigDocument(text);
  if (document.syntaxProblems.length > 0) return done(document.syntaxProblems);
  const overrides = readOverrides(from.env, Object.keys(FileSchema.shape));
  const onSecret = (value: string): void => from.secrets.add(value);
  const problems = document.interpolate(
    { env: from.env, folder: from.folder, onSecret, vault: (reference) => from.vault.get(reference) },
    isSetBy(overrides),
  );
  problems.push(...document.unsafeIntegers());
  const read = document.toRecord();
  if ('problem' in read) return done([...problems, read.problem]);
  const { record } = read;
  applyOverrides(record, overrides);
  collectSecrets(record, from.secrets);
  const parsed = FileSchema.safeParse(withoutNulls(record, []));
  if (!parsed.success) {
    // What is missing in the environment has been said; that the empty text in its place is not valid need not be.
    const said = new Set(problems.map((p) => p.key));
    for (const problem of parsed.error.issues.flatMap((issue) => fromIssue(issue, record))) {
      if (!said.has(problem.path.join('.'))) problems.push(locate(problem, document, overrides));
    }
    return done(problems);
  }
  const { config, findings } = normalise(parsed.data, from.file, from.folder);
  const said = new Set(problems.map((p) => p.key));
  for (const finding of findings) if (!said.has(finding.path.join('.'))) problems.push(locate(finding, document, overrides));
  return done(problems, config);
}

function shortest(file: string, cwd: string): string {
  const short = relative(cwd, file);
  return short.startsWith('..') || isAbsolute(short) ? file : short;
}

/** A key with nothing behind it is a key that is not set; inside the user's own documents null means null. */
function withoutNulls(value: unknown, path: readonly string[]): unknown {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return value;
  if (path[0] === 'source' && (path[1] === 'match' || path[1] === 'startAt')) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, item]) => item !== null)
      .map(([key, item]) => [key, withoutNulls(item, [...path, key])]),
  );
}

interface Located {
  readonly kind: Problem['kind'];
  readonly path: readonly string[];
  readonly message: string;
  /** The last of `path` is a key that should not be there: its own place is meant, not that of its value. */
  readonly atKey?: boolean;
}

function locate(problem: Located, document: ConfigDocument, overrides: readonly Override[]): Problem {
  const { kind, path, message } = problem;
  const covers = (o: Override): boolean => o.path.every((key, depth) => path[depth] === key);
  // A wrong name on the way to an override's key is the variable's fault, unless the file has it as well.
  const below = (o: Override): boolean => problem.atKey === true && path.every((key, depth) => o.path[depth] === key) && !document.has(path);
  const variable = overrides.find((o) => covers(o) || below(o))?.variable ?? null;
  const place = variable !== null ? null : problem.atKey === true ? document.placeOf(path.slice(0, -1), path.at(-1)) : document.placeOf(path);
  return { kind, key: path.join('.'), message, line: place?.line ?? null, column: place?.column ?? null, variable };
}

/** zod's words are for programmers: here they become ours. Never a value: it may be a secret. */
function fromIssue(issue: z.core.$ZodIssue, record: Record<string, unknown>): Located[] {
  const path = issue.path.map(String);
  const at = (message: string): Located[] => [{ kind: 'invalid', path, message }];
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key) => ({ kind: 'invalid', path: [...path, key], message: unknownKey(path, key), atKey: true }));
    case 'invalid_type':
      if (valueAt(record, path) === undefined || valueAt(record, path) === null) return at('is missing');
      if (/^(object|record)$/.test(issue.expected))
        return at(issue.message.startsWith('must ') ? issue.message : 'must be a document (keys and values)');
      return at(issue.expected === 'array' ? 'must be a list' : issue.message);
    case 'invalid_value':
      return at(oneOf(issue.values.map(String), valueAt(record, path)));
    case 'invalid_union':
      if (issue.discriminator !== undefined && 'options' in issue) return at(oneOf((issue.options as unknown[]).map(String), valueAt(record, path)));
      return at(valueAt(record, path) === undefined ? 'is missing' : issue.message);
    case 'too_big':
      return at(`must not have more than ${issue.maximum} entries`);
    case 'invalid_key':
      return at(issue.issues[0]?.message ?? issue.message);
    default:
      return at(issue.message);
  }
}

function valueAt(record: unknown, path: readonly string[]): unknown {
  let at = record;
  for (const key of path) at = at !== null && typeof at === 'object' && Object.hasOwn(at, key) ? (at as Record<string, unknown>)[key] : undefined;
  return at;
}

function oneOf(values: readonly string[], value: unknown): string {
  if (value === undefined) return `is missing: one of ${values.join(', ')}`;
  const close = typeof value === 'string' ? nearest(value, values) : null;
  return `must be one of ${values.join(', ')}${close === null ? '' : `; did you mean ${close}?`}`;
}

function unknownKey(path: readonly string[], key: string): string {
  const here = knownKeys(path);
  const close = nearest(key, here);
  if (close !== null) return `is not a key here; did you mean \`${close}\`?`;
  // The right name in the wrong place is as common as a wrong name.
  const elsewhere = knownKeys(null).filter((known) => known.split('.').at(-1) === key);
  if (elsewhere.length > 0) return `is not a key here; did you mean \`${elsewhere[0]}\`?`;
  return `is not a key here${here.length > 0 ? `; the keys are ${here.join(', ')}` : ''}`;
}

const KINDS: readonly (readonly [Problem['kind'], ErrorKind])[] = [
  ['syntax', CONFIG_SYNTAX],
  ['invalid', CONFIG_INVALID],
  ['secret', CONFIG_SECRET],
  ['conflict', CONFIG_CONFLICT],
];

/** One line for a problem: where it stands, the key, what is wrong. */
export function formatProblem(problem: Problem, shown: string): string {
  const { line, column, key, message, variable } = problem;
  const place = variable !== null ? variable : line === null ? shown : `${shown}:${line}:${column ?? 1}`;
  return `${place}: ${key === '' ? '' : `${key} `}${message}`;
}

/** @throws as {@link loadConfig} does */
export function configOrThrow(checked: Checked): Config {
  const { config, problems, shown } = checked;
  if (config !== null) return config;
  // The most basic kind names the error; all the problems are in the text.
  const kind = KINDS.find(([name]) => problems.some((p) => p.kind === name))?.[1] ?? CONFIG_INVALID;
  const lines = problems.map((problem) => formatProblem(problem, shown));
  throw new SluiceError(kind, lines.length === 1 ? lines[0] : `${lines.length} problems\n${lines.map((line) => `  ${line}`).join('\n')}`);
}
