/**
 * Writes `sluice.yaml`, and `.env` when there is a password.
 *
 * Invariants: a password is written to `.env` alone (by way of a draft beside it), readable by its user alone, and nothing that
 * exists is lost without `--force`: not a configuration, and never a line of a `.env`. Whatever happens in the middle, each of the
 * two is whole, as it was or as it is to be, and a `sluice.yaml` that is there has the `.env` that it needs.
 */
import { randomUUID } from 'node:crypto';
import { open, readFile, realpath, rename, rm, stat } from 'node:fs/promises';
import { dirname, join, relative, resolve } from 'node:path';
import { parseEnv } from 'node:util';
import { parseConfig } from '../../config/load.ts';
import { redactUri } from '../../config/redact.ts';
import { reasonOf, SluiceError, systemCode } from '../../core/error.ts';
import { LAKE_NOT_WRITABLE, USAGE } from '../../core/errors.ts';
import { putInPlace } from '../../core/link-in-place.ts';
import type { Io } from '../io.ts';
import type { Answers, Target } from './answers.ts';
import { LAKE_VARIABLE, type LakeAnswer } from './lake.ts';

const VARIABLE = 'MONGODB_URI';

/** @throws USAGE when the file is there already and may not be written over */
export async function prepare(io: Io, config: string, force: boolean): Promise<Target> {
  const target = { file: resolve(io.cwd, config), force };
  await assertMayWrite(target);
  return target;
}

async function assertMayWrite({ file, force }: Target): Promise<void> {
  const exists = await stat(file).then(
    () => true,
    () => false,
  );
  if (exists && !force) throw existsAlready(file);
}

function existsAlready(file: string): SluiceError {
  return new SluiceError(USAGE, `${file} exists already`, { next: 'Add --force to write over it, or name another file with --config.' });
}

/** @returns the files that were written, relative to the working folder */
export async function writeConfiguration(io: Io, target: Target, answers: Answers): Promise<string[]> {
  const folder = dirname(target.file);
  const { lake } = answers;
  const isSecret = redactUri(answers.uri) !== answers.uri;
  const secrets = {
    ...(isSecret && { [VARIABLE]: answers.uri }),
    ...(lake.is === 'azure' && lake.secretToKeep !== null && { [LAKE_VARIABLE]: lake.secretToKeep }),
  };
  const text = configurationText({ ...answers, uri: isSecret ? `\${${VARIABLE}}` : answers.uri });
  // What is written must be what `run` accepts: a name that is refused later would be asked for too late.
  parseConfig(text, { folder, env: { ...io.env, ...secrets } });
  try {
    // Somebody may have made one while the questions were answered: then `.env` stays as it is, too.
    await assertMayWrite(target);
    const env = join(folder, '.env');
    const isEnvWritten = await keepSecrets(env, secrets);
    await putConfiguration(target, text);
    return [target.file, ...(isEnvWritten ? [env] : [])].map((file) => relative(io.cwd, file) || file);
  } catch (error) {
    if (error instanceof SluiceError) throw error;
    throw new SluiceError(LAKE_NOT_WRITABLE, `${target.file}: ${reasonOf(error)}`, {
      cause: error,
      next: 'Choose a folder that you may write to, with --config.',
    });
  }
}

async function putConfiguration({ file, force }: Target, text: string): Promise<void> {
  const there = force ? await standing(file) : null;
  if (!(await putWhole(there?.path ?? file, text, { mode: there?.mode ?? 0o666, replace: force }))) throw existsAlready(file);
}

/** @returns whether `.env` has been written: it may have all of them already */
async function keepSecrets(file: string, secrets: Readonly<Record<string, string>>, mayTryAgain = true): Promise<boolean> {
  if (Object.keys(secrets).length === 0) return false;
  const there = await standing(file);
  const before = there === null ? '' : await readFile(there.path, 'utf8');
  const text = withVariables(file, before, secrets);
  if (text === before) return false;
  const isPut = await putWhole(there?.path ?? file, text, { mode: 0o600, replace: there !== null });
  if (isPut) return true;
  // Another `init` was first, and what it has put there counts. A link that leads nowhere is met again.
  if (!mayTryAgain) throw new Error(`${file} cannot be read, and is there`);
  return await keepSecrets(file, secrets, false);
}

/** The file that a name leads to, through links, and who may do what with it; `null`: there is none. */
async function standing(file: string): Promise<{ readonly path: string; readonly mode: number } | null> {
  try {
    const path = await realpath(file);
    return { path, mode: (await stat(path)).mode & 0o777 };
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return null;
    throw error;
  }
}

/**
 * In one step: a process that is killed, or a disk that is full, leaves what was there.
 * @returns `false`: something has the name that may not be replaced
 */
async function putWhole(path: string, text: string, how: { readonly mode: number; readonly replace: boolean }): Promise<boolean> {
  const draft = `${path}.new-${randomUUID()}`;
  try {
    const file = await open(draft, 'wx', how.mode);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    if (!how.replace) return await putInPlace(draft, path);
    await rename(draft, path);
    return true;
  } finally {
    await rm(draft, { force: true });
  }
}

/** What is in a `.env`, with the secrets in it. @throws USAGE when it has another value for one of them */
function withVariables(file: string, before: string, secrets: Readonly<Record<string, string>>): string {
  const existing = parseEnv(before);
  let text = before;
  for (const [name, value] of Object.entries(secrets)) {
    if (existing[name] === value) continue;
    if (existing[name] !== undefined) {
      const next = name === VARIABLE ? `Remove that line, or use it: --uri '\${${name}}'.` : 'Remove that line.';
      throw new SluiceError(USAGE, `${file} has another ${name} already`, { next });
    }
    text = `${text}${text === '' || text.endsWith('\n') ? '' : '\n'}${name}=${quoted(name, value)}\n`;
  }
  return text;
}

/** For `.env`: a value may hold any sign but the quote around it. */
function quoted(name: string, value: string): string {
  const quote = ["'", '"', '`'].find((sign) => !value.includes(sign));
  if (quote === undefined || value.includes('\n'))
    throw new SluiceError(USAGE, `${name} cannot be written to .env`, { next: 'Percent-encode the quotes in it, or put it into the environment.' });
  return `${quote}${value}${quote}`;
}

export function configurationText({ pipeline, uri, include, startAt, lake, warehouse }: Answers): string {
  const list = include.map((glob) => JSON.stringify(glob)).join(', ');
  return `# sluice. All keys: docs/config.md. Check this file: sluice config check
# For completion in an editor: sluice config schema > sluice.schema.json, and
# yaml-language-server: $schema=./sluice.schema.json
pipeline: ${JSON.stringify(pipeline)}

source:
  # \${NAME} comes from the environment or from .env beside this file.
  uri: ${JSON.stringify(uri)}
  # Globs over database.collection; exclude wins.
  include: [${list}]
  exclude: []
  # The document after an update: updateLookup | whenAvailable | required | off
  fullDocument: updateLookup
  # Where the very first run begins: now (what changes from then on) | snapshot (what is there, and then what changes) | 2026-11-21T00:00:00Z
  startAt: ${startAt}

lake:
${lakeText(lake)}
  # db/collection/year=…/month=…/day=…/hour=…/events-YYYYMMDD-HH.jsonl; or hourly, or a template
  layout: hive
  # none | gzip | zstd
  compression: none
  # A part of an hour ends when it has this size or age.
  roll: { maxBytes: 256MiB, maxAge: 1h }

${
  warehouse === null
    ? '# warehouse:\n#   url: duckdb:./warehouse.duckdb\n'
    : `warehouse:\n  url: ${JSON.stringify(`duckdb:${warehouse}`)}\n  # Deleted documents: soft keeps the row with is_current = false, hard removes it.\n  deletes: soft\n`
}
http:
  port: 8080
  host: 127.0.0.1
`;
}

function lakeText(lake: LakeAnswer): string {
  if (lake.is === 'folder') return `  # Relative to this file.\n  url: ${JSON.stringify(`file:${lake.path}`)}`;
  const auth = Object.entries(lake.auth).map(([key, value]) => `${key}: ${JSON.stringify(value)}`);
  return `  url: ${JSON.stringify(lake.url)}\n  # docs/azure.md: rights, and the other ways to log in\n  auth: { ${auth.join(', ')} }`;
}
