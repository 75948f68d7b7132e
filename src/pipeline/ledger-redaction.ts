/**
 * Positions hold the key of their document, and the ledger tells the first and the last position of every file. Of files that an erasure
 * has replaced these become zeros, of the same length: whoever remembers how far it has read of a ledger finds the next line where it was.
 *
 * A ledger file that an owner has open is left alone: another one must not write to it. It is another file tomorrow.
 */
import { SluiceError } from '../core/error.ts';
import { LAKE_CONFLICT } from '../core/errors.ts';
import type { Lake, LakeFile, LakePath } from '../core/lake.ts';
import { readLedgerLine, isSealedLine, type SealedLine } from '../core/ledger.ts';
import { failpoint } from '../ops/failpoint.ts';
import { MAINTENANCE, checkpointPath, ledgerFolder, type Scope } from './checkpoint.ts';
import { readCheckpoint } from './read-checkpoint.ts';
import { readFile } from './read-file.ts';
import type { WholePipeline } from './whole.ts';

/** @param files that an erasure has written @returns what could not be done, for people */
export async function redactLedger(lake: Lake, about: WholePipeline, files: readonly SealedLine[], signal: AbortSignal): Promise<string[]> {
  const paths = new Set(files.flatMap(({ supersedes = [] }) => supersedes));
  if (paths.size === 0) return [];
  const ledgers: LakeFile[] = [];
  for await (const file of lake.list(ledgerFolder(about.pipeline), signal)) ledgers.push(file);
  const maintained = (await readCheckpoint(lake, about.pipeline, MAINTENANCE, signal))?.ledger?.path;
  const open = new Set([...about.ledgers.map(({ path }) => path), ...(maintained === undefined ? [] : [maintained])]);
  const left: string[] = [];
  for (const file of ledgers) {
    const text = (await readFile(lake, file.path, signal)).toString('utf8');
    const redacted = redact(text, paths);
    if (redacted === text) continue;
    const mayPut = !open.has(file.path) || lake.appendsAfterPut !== false;
    if (!mayPut || !(await replaced(lake, about, file, redacted, signal)))
      left.push(
        `${file.path}: it is being written; until the next day's file, or a stop, it keeps the first and last position of files that are gone`,
      );
  }
  return left;
}

async function replaced(lake: Lake, about: WholePipeline, file: LakeFile, text: string, signal: AbortSignal): Promise<boolean> {
  const put = async (): Promise<boolean> => {
    failpoint('erase.before-ledger');
    try {
      await lake.put(file.path, Buffer.from(text), file);
    } catch (error) {
      // Somebody has it open after all, or was killed while he had.
      if (!SluiceError.is(error, LAKE_CONFLICT)) throw error;
      return false;
    }
    failpoint('erase.after-ledger');
    return true;
  };
  if (!about.ledgers.some(({ path }) => path === file.path)) return await put();
  const owner = await lake.own(checkpointPath(about.pipeline, scopeOf(about.pipeline, file.path)), { takeOver: false }, signal);
  if (owner === null) return false;
  await using _owner = owner;
  // It may have gone on until it ended.
  const now = await lake.stat(file.path);
  return now?.etag === file.etag && now.size === file.size ? await put() : false;
}

function scopeOf(pipeline: string, path: LakePath): Scope {
  const below = path.slice(ledgerFolder(pipeline).length + 1);
  return below.includes('/') ? below.slice(0, below.indexOf('/')) : null;
}

function redact(text: string, paths: ReadonlySet<LakePath>): string {
  return text
    .split('\n')
    .map((each) => {
      const line = each === '' ? null : readLedgerLine(each);
      if (line === null || !isSealedLine(line) || !paths.has(line.path)) return each;
      return [line.first, line.last].reduce<string>(
        (all, position) => (position === null ? all : all.replaceAll(`"${position}"`, `"${'0'.repeat(position.length)}"`)),
        each,
      );
    })
    .join('\n');
}
