/**
 * Events of sealed files that were chosen out of the ledger some time ago, while others replace and remove files.
 *
 * Invariant: each line that was chosen is given once and in order, out of its file or out of the one that a compaction has put in its place,
 * also when the file goes in the middle of its reading. What an erasure has changed or retention has taken since is told as such;
 * only what nobody has taken away on purpose is missing.
 */
import { SluiceError } from '../core/error.ts';
import { LAKE_DAMAGED } from '../core/errors.ts';
import type { Lake, LakePath } from '../core/lake.ts';
import { isSealedLine, type SealedLine } from '../core/ledger.ts';
import { sealedEvents } from './event-files.ts';
import { isGone, readHorizon } from './horizon.ts';
import { readLedger } from './ledger.ts';
import { erasedPaths, Replaced } from './replaced.ts';

/** Of a file that was sealed when it was chosen, or has been since. */
type Chosen = Pick<SealedLine, 'path' | 'db' | 'coll' | 'hour' | 'rows' | 'eventBytes'>;

/** What was chosen is not there any more as it was: whoever has chosen may choose again. */
export class TakenAway extends Error {
  constructor(path: LakePath, by: 'an erasure' | 'retention') {
    super(`${path} was ${by === 'retention' ? 'removed by retention' : 'changed by an erasure'} since it began`);
  }
}

export class PlannedFiles {
  readonly #lake: Lake;
  readonly #pipeline: string;
  #replaced: Replaced;

  constructor(lake: Lake, pipeline: string) {
    this.#lake = lake;
    this.#pipeline = pipeline;
    this.#replaced = Replaced.of(lake, []);
  }

  /**
   * Each with its newline. The buffer is valid until the next step.
   * @throws TakenAway; LAKE_DAMAGED when the file is missing
   */
  async *events(line: Chosen, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    let given = 0;
    for (let at = line.path; ;) {
      try {
        let row = 0;
        const events = at === line.path ? sealedEvents(this.#lake, line, signal) : this.#replaced.lines(line, signal);
        for await (const event of events) {
          row += 1;
          if (row <= given) continue;
          given = row;
          yield event;
        }
        return;
      } catch (error) {
        if (!SluiceError.is(error, LAKE_DAMAGED)) throw error;
        const now = await this.#whereItIs(line, at, signal);
        if (now === at) throw error;
        at = now;
      }
    }
  }

  /** @param not where it was looked for, in vain */
  async #whereItIs(line: Chosen, not: LakePath, signal: AbortSignal): Promise<LakePath> {
    const known = this.#replaced.fileOf(line.path);
    if (known !== not) return known;
    const lines: SealedLine[] = [];
    for await (const each of readLedger(this.#lake, this.#pipeline, '', signal)) if (isSealedLine(each)) lines.push(each);
    if (erasedPaths(lines).has(line.path)) throw new TakenAway(line.path, 'an erasure');
    if (isGone(line, await readHorizon(this.#lake, this.#pipeline, signal))) throw new TakenAway(line.path, 'retention');
    this.#replaced = Replaced.of(this.#lake, lines);
    return this.#replaced.fileOf(line.path);
  }
}
