/**
 * `sluice init` and `sluice enable-images`: tries an answer the moment it is given.
 */
import { constants } from 'node:fs';
import { access, lstat, mkdtemp, rmdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { reasonOf, SluiceError, systemCode } from '../core/error.ts';
import { CONFIG_INVALID, LAKE_NOT_WRITABLE } from '../core/errors.ts';
import type { Namespace } from '../core/namespace.ts';
import type { Config } from '../config/config.ts';
import { PIPELINE_FILE } from '../pipeline/checkpoint.ts';

const ACCOUNT_PATIENCE_MS = 10_000;

export interface Deployment {
  readonly version: string;
  readonly replicaSet: string | null;
  readonly databases: readonly { readonly name: string; readonly collections: number }[];
}

/** @throws SluiceError that says what is wrong with the server or the URI */
export async function probeSource(uri: string, signal: AbortSignal): Promise<Deployment> {
  const { inspectDeployment } = await import('../source/mongo/inspect.ts');
  const { version, replicaSet, databases } = await inspectDeployment(uri, signal);
  return { version: version.text, replicaSet, databases };
}

/**
 * A folder that can be written, or be made. Nothing is made that has a name which somebody else may use at this moment: what is
 * missing is tried by the lowest folder that is there. @throws LAKE_NOT_WRITABLE
 */
export async function probeFolder(folder: string): Promise<void> {
  try {
    await rmdir(await mkdtemp(join(await lowestThere(folder), '.sluice-init-')));
  } catch (error) {
    throw new SluiceError(LAKE_NOT_WRITABLE, `${folder}: ${reasonOf(error)}`, {
      cause: error,
      next: 'Choose another folder, or give yourself write access to this one.',
    });
  }
}

/** The path, or what is nearest above it. A link that leads nowhere is there, too: no folder can be made in its place. */
async function lowestThere(path: string): Promise<string> {
  try {
    await lstat(path);
    return path;
  } catch (error) {
    if (systemCode(error) !== 'ENOENT' || dirname(path) === path) throw error;
    return await lowestThere(dirname(path));
  }
}

/** Name of the account in the URL of a lake. @throws CONFIG_INVALID */
export async function accountOf(url: string): Promise<string> {
  const { parseAzureUrl } = await import('../lake/azure/location.ts');
  const { account } = parseAzureUrl(url, null);
  if (account === '') throw new SluiceError(CONFIG_INVALID, 'the host of the lake does not tell the name of its account');
  return account;
}

/** A storage account that listens to this login. @throws SluiceError that says what is wrong with the URL, the login or the account */
export async function probeAccount(url: string, auth: Config['lake']['auth']): Promise<void> {
  const { inspectAccount } = await import('../lake/azure/inspect.ts');
  const wrong = (await inspectAccount({ url, writer: null, auth })).find(({ error }) => error !== null);
  if (wrong !== undefined) throw wrong.error;
  // Not every login may ask about the account; what every lake is asked first tells whether it may read there.
  const { openAzureLake } = await import('../lake/azure/open.ts');
  await using lake = await openAzureLake({ url, writer: null, auth, patienceMs: ACCOUNT_PATIENCE_MS });
  await lake.stat(PIPELINE_FILE);
}

/** A file that can be written, or made. @throws LAKE_NOT_WRITABLE */
export async function probeFile(file: string): Promise<void> {
  await probeFolder(dirname(file));
  try {
    if ((await stat(file)).isDirectory()) throw new SluiceError(LAKE_NOT_WRITABLE, `${file} is a folder`, { next: 'Choose the name of a file.' });
    await access(file, constants.R_OK | constants.W_OK);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return;
    throw error instanceof SluiceError
      ? error
      : new SluiceError(LAKE_NOT_WRITABLE, `${file}: ${reasonOf(error)}`, { cause: error, next: 'Choose another file.' });
  }
}

export interface ImagesState {
  readonly on: readonly string[];
  readonly off: readonly Namespace[];
  readonly impossible: readonly { readonly namespace: string; readonly type: string }[];
}

/** Which of the collections that the configuration includes keep pre- and post-images. */
export async function readImages(config: Config, signal: AbortSignal): Promise<ImagesState> {
  const { readImages: read } = await import('../source/mongo/images.ts');
  return await read(config.source, signal);
}

/** @param done told each collection when it is done */
export async function enableImages(
  config: Config,
  namespaces: readonly Namespace[],
  done: (namespace: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const { enableImages: enable } = await import('../source/mongo/images.ts');
  await enable(config.source.uri, namespaces, done, signal);
}
