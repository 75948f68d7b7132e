/**
 * A producer may run on another machine than whoever wants a collection read whole: the question is a file on the lake, and so is the answer.
 *
 * Invariants: there is one question at a time, put and answered by compare-and-swap, so that nobody answers another one than is there; the
 * answer comes once a durable checkpoint says what is to be read. A producer that was killed before it has answered is asked
 * again by the file that is still there: what it had taken up is under way then.
 */
import { randomUUID } from 'node:crypto';
import { hasPassed, type Clock } from '../core/clock.ts';
import { reasonOf, SluiceError } from '../core/error.ts';
import { LAKE_CONFLICT, SNAPSHOT_REFUSED, SNAPSHOT_UNANSWERED } from '../core/errors.ts';
import type { Lake, LakeFile, LakePath } from '../core/lake.ts';
import { NamespaceFilter, type Namespace } from '../core/namespace.ts';
import type { SnapshotsAsked } from '../core/snapshot.ts';
import { readFile } from './read-file.ts';

interface Question {
  readonly v: 1;
  readonly id: string;
  /** Globs; empty: all. */
  readonly collections: readonly string[];
  /** ISO 8601. */
  readonly askedAt: string;
  readonly answer?: SnapshotsAsked | { readonly failed: string };
}

const POLL_MS = 500;
/** A producer looks every two seconds; a lake or a source that is away for a moment costs more. */
const ANSWER_MS_MAX = 60_000;

export const questionPath = (pipeline: string): LakePath => `_sluice/${pipeline}/bus/producer/snapshot.json`;

/** By globs; all when there are none. */
export function chosenBy(collections: readonly string[]): (ns: Namespace) => boolean {
  const filter = new NamespaceFilter(collections.length === 0 ? ['*.*'] : collections, []);
  return (ns) => filter.matches(ns);
}

/** @throws SNAPSHOT_REFUSED, SNAPSHOT_UNANSWERED */
export async function askProducer(
  lake: Lake,
  pipeline: string,
  collections: readonly string[],
  clock: Clock,
  signal: AbortSignal,
): Promise<SnapshotsAsked> {
  const path = questionPath(pipeline);
  const sinceMs = clock.now();
  const mine: Question = { v: 1, id: randomUUID(), collections, askedAt: new Date(sinceMs).toISOString() };
  try {
    for (let put = false; !hasPassed(ANSWER_MS_MAX, sinceMs, clock.now()); await clock.sleep(POLL_MS, signal)) {
      const there = await read(lake, path, signal);
      if (there?.question.id === mine.id) {
        const { answer } = there.question;
        if (answer === undefined) continue;
        if ('failed' in answer) throw new SluiceError(SNAPSHOT_REFUSED, answer.failed);
        return answer;
      }
      // Somebody else has waited too long, and has put his own in its place.
      if (put) break;
      put = (there === null || isOver(there.question, clock.now())) && (await swap(lake, path, mine, there?.file ?? 'absent'));
    }
  } finally {
    const there = await read(lake, path, new AbortController().signal);
    if (there?.question.id === mine.id) await lake.remove(path);
  }
  throw new SluiceError(SNAPSHOT_UNANSWERED, `no answer within ${ANSWER_MS_MAX / 1000} s`);
}

/** Nobody waits for it any more. */
function isOver({ answer, askedAt }: Question, nowMs: number): boolean {
  return answer !== undefined || hasPassed(2 * ANSWER_MS_MAX, Date.parse(askedAt), nowMs);
}

/** Of a producer, now and then: answers the question that is there, if there is one that nobody has answered. */
export class SnapshotAnswers {
  readonly #lake: Lake;
  readonly #path: LakePath;
  #answered: string | null = null;

  constructor(lake: Lake, pipeline: string) {
    this.#lake = lake;
    this.#path = questionPath(pipeline);
  }

  async look(request: (collections: readonly string[]) => Promise<SnapshotsAsked>, signal: AbortSignal): Promise<void> {
    const file = await this.#lake.stat(this.#path);
    if (file === null || file.etag === this.#answered) return;
    const there = await read(this.#lake, this.#path, signal);
    if (there === null) return;
    const { question } = there;
    if (question.answer === undefined) {
      const answer = await request(question.collections).catch((error: unknown) => failure(error, signal));
      // Who has gone meanwhile has taken the question along.
      await swap(this.#lake, this.#path, { ...question, answer }, there.file);
    }
    this.#answered = (await this.#lake.stat(this.#path))?.etag ?? null;
  }
}

function failure(error: unknown, signal: AbortSignal): { readonly failed: string } {
  // A stop says nothing of the question: the next producer answers it.
  signal.throwIfAborted();
  return { failed: reasonOf(error).replace(`${SNAPSHOT_REFUSED.title}: `, '') };
}

async function read(lake: Lake, path: LakePath, signal: AbortSignal): Promise<{ file: LakeFile; question: Question } | null> {
  const file = await lake.stat(path);
  if (file === null) return null;
  try {
    return { file, question: JSON.parse((await readFile(lake, path, signal)).toString('utf8')) as Question };
  } catch (error) {
    // It has gone, or another one stands there by now.
    if ((await lake.stat(path))?.etag !== file.etag) return null;
    throw error;
  }
}

/** @returns false: it is not what was there any more */
async function swap(lake: Lake, path: LakePath, question: Question, over: LakeFile | 'absent'): Promise<boolean> {
  try {
    await lake.put(path, Buffer.from(`${JSON.stringify(question)}\n`), over);
    return true;
  } catch (error) {
    if (!SluiceError.is(error, LAKE_CONFLICT)) throw error;
    return false;
  }
}
