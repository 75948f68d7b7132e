/**
 * Asks for the answers at a terminal. An answer that does not hold is asked for again, with the reason.
 */
import { dirname, resolve } from 'node:path';
import { intro, isCancel, log, multiselect, password, select, spinner, text } from '@clack/prompts';
import type { Deployment } from '../../app/probe.ts';
import { SluiceError } from '../../core/error.ts';
import { INTERRUPTED } from '../../core/errors.ts';
import type { InitFlags } from '../commands/init.ts';
import type { Io } from '../io.ts';
import { asSluiceError } from '../print-error.ts';
import { countOf } from '../table.ts';
import { DEFAULTS, defaultUri, lakeOfFlags, resolveUri, warehouseOf, type Answers, type Start, type Target } from './answers.ts';
import { azureAnswer, folderAnswer, LAKE_VARIABLE, needsSecret, type LakeAnswer, type LoginKind } from './lake.ts';

export async function askAnswers(io: Io, flags: InitFlags, target: Target): Promise<Answers> {
  const { probeFile, probeSource } = await import('../../app/probe.ts');
  const folder = dirname(target.file);
  intro('A configuration for sluice');
  let deployment: Deployment | null = null;
  const typed: Typed = { last: null };
  const uri = await until(
    io,
    flags.uri,
    () => askUri(io, typed),
    async (written) => {
      deployment = await withSpinner('Connecting', () => probeSource(resolveUri(io, target, written), io.signal), describe);
      return written;
    },
  );
  const include = flags.include ?? (await askInclude(io, deployment));
  const pipeline =
    flags.pipeline ??
    (await answered(
      text({ message: 'What should this pipeline be called?', ...orElse(nameFor(include)), validate: invalidName, signal: io.signal }),
    ));
  const startAt = flags.startAt ?? (await askStart(io));
  const lake = flags.lake === undefined && flags.lakeAuth === undefined ? await askLake(io, folder) : await lakeOfFlags(io, flags, folder);
  const warehouse = await until(
    io,
    flags.warehouse,
    () => askWarehouse(io),
    async (written) => {
      const path = warehouseOf(written);
      if (path !== null) await probeFile(resolve(folder, path));
      return path;
    },
  );
  return { pipeline, uri, include, startAt, lake, warehouse };
}

/** A flag that does not hold ends the command: nobody is there to mend it. */
async function until<T>(io: Io, flag: string | undefined, ask: () => Promise<string>, test: (written: string) => Promise<T>): Promise<T> {
  if (flag !== undefined) return test(flag);
  for (;;) {
    try {
      return await test(await ask());
    } catch (error) {
      if (io.signal.aborted || SluiceError.is(error, INTERRUPTED)) throw error;
      const { message, next } = asSluiceError(error);
      log.error(io.secrets.scrub(`${message}\n${next}`));
    }
  }
}

/** Shown until something is typed: what is pasted takes its place. */
function orElse(value: string): { readonly placeholder: string; readonly defaultValue: string } {
  return { placeholder: value, defaultValue: value };
}

/** A mistake is mended, not typed anew. A password that was asked for apart is not in it. */
interface Typed {
  last: string | null;
}

async function askUri(io: Io, typed: Typed): Promise<string> {
  const suggested = typed.last === null ? orElse(defaultUri(io)) : { initialValue: typed.last };
  const written = await answered(
    text({ message: 'Connection string of MongoDB (${NAME} for one in the environment)?', ...suggested, signal: io.signal }),
  );
  typed.last = written;
  // A user without a password: it is asked for apart, so that it does not stay on the screen.
  const m = /^(mongodb(?:\+srv)?:\/\/[^:@/]+)@(.*)$/s.exec(written);
  if (m === null || /authMechanism=/i.test(written)) return written;
  const secret = await answered(password({ message: 'Password?', signal: io.signal }));
  io.secrets.add(secret);
  return secret === '' ? written : `${m[1]}:${encodeURIComponent(secret)}@${m[2]}`;
}

async function askInclude(io: Io, deployment: Deployment | null): Promise<readonly string[]> {
  const databases = deployment?.databases ?? [];
  if (databases.length === 0) return DEFAULTS.include;
  const options = databases.map(({ name, collections }) => ({ value: name, label: name, hint: countOf(collections, 'collection') }));
  const chosen = await answered(
    multiselect({ message: 'Which databases?', options, initialValues: databases.map(({ name }) => name), required: true, signal: io.signal }),
  );
  return chosen.length === databases.length && databases.length > 1 ? DEFAULTS.include : chosen.map((name) => `${name}.*`);
}

async function askStart(io: Io): Promise<Start> {
  const options: { readonly value: Start; readonly label: string; readonly hint: string }[] = [
    { value: 'now', label: 'with what changes from now on', hint: '`sluice snapshot` brings the rest in later' },
    { value: 'snapshot', label: 'with what is there', hint: 'reads every collection whole, beside the changes' },
  ];
  return await answered(select<Start>({ message: 'What should it begin with?', options, signal: io.signal }));
}

async function askLake(io: Io, folder: string): Promise<LakeAnswer> {
  const { signal } = io;
  const options = [
    { value: 'folder', label: 'a folder on this machine' },
    { value: 'azure', label: 'Azure Data Lake Storage, or append blobs' },
  ];
  const place = await answered(select({ message: 'Where should the files go?', options, signal }));
  if (place === 'folder') {
    const ask = (): Promise<string> => answered(text({ message: 'Folder for the files?', ...orElse(DEFAULTS.lake), signal }));
    return await until(io, undefined, ask, (written) => folderAnswer(written, folder));
  }
  const message = 'URL (abfss://container@account.dfs.core.windows.net/prefix, or https://account.blob.core.windows.net/container/prefix)?';
  return await until(
    io,
    undefined,
    () => answered(text({ message, signal })),
    async (written) => {
      const kind = await answered(select<LoginKind>({ message: 'How does sluice log in?', options: [...WAYS], signal }));
      const isKnown = io.env[LAKE_VARIABLE] !== undefined;
      const secret = needsSecret(kind) && !isKnown ? await answered(password({ message: 'Key, connection string or token?', signal })) : null;
      return await withSpinner(
        'Asking the account',
        () => azureAnswer(io, written, kind, secret),
        () => 'The account answers',
      );
    },
  );
}

const WAYS: readonly { readonly value: LoginKind; readonly label: string }[] = [
  { value: 'default', label: 'as this machine or its user does: environment, identity, Azure CLI' },
  { value: 'managedIdentity', label: 'managed identity' },
  { value: 'workloadIdentity', label: 'workload identity, in Kubernetes' },
  { value: 'azureCli', label: 'Azure CLI' },
  { value: 'accountKey', label: 'account key' },
  { value: 'connectionString', label: 'connection string' },
  { value: 'sas', label: 'SAS token' },
];

async function askWarehouse(io: Io): Promise<string> {
  const kind = await answered(
    select({
      message: 'Load the files into a warehouse?',
      options: [
        { value: 'duckdb', label: 'DuckDB, a file on this machine' },
        { value: 'none', label: 'no, only the files', hint: 'Snowflake: docs/snowflake.md says what to add later' },
      ],
      signal: io.signal,
    }),
  );
  return kind === 'none' ? 'none' : answered(text({ message: 'DuckDB file?', ...orElse(DEFAULTS.warehouse), signal: io.signal }));
}

async function answered<T>(asked: Promise<T>): Promise<Exclude<T, symbol>> {
  const answer = await asked;
  if (isCancel(answer)) throw new SluiceError(INTERRUPTED, 'nothing was written', { next: 'Run `sluice init` again when you want to.' });
  return answer as Exclude<T, symbol>;
}

async function withSpinner<T>(message: string, work: () => Promise<T>, describeResult: (result: T) => string): Promise<T> {
  const shown = spinner();
  shown.start(message);
  try {
    const result = await work();
    shown.stop(describeResult(result));
    return result;
  } catch (error) {
    shown.error('That did not work');
    throw error;
  }
}

function describe({ version, replicaSet, databases }: Deployment): string {
  return `MongoDB ${version}, ${replicaSet === null ? 'sharded cluster' : `replica set ${replicaSet}`}, ${countOf(databases.length, 'database')}`;
}

function nameFor(include: readonly string[]): string {
  const database = /^([a-zA-Z0-9][a-zA-Z0-9_-]{0,62})\.\*$/.exec(include[0] ?? '')?.[1];
  return include.length === 1 && database !== undefined ? database : DEFAULTS.pipeline;
}

function invalidName(name: string | undefined): string | undefined {
  // Nothing at all is the name that is suggested.
  if (name === undefined || name === '') return undefined;
  return /^[a-zA-Z0-9][a-zA-Z0-9_-]{0,62}$/.test(name) ? undefined : 'Letters, digits, - and _, beginning with a letter or digit.';
}
