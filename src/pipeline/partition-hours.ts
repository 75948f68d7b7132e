/**
 * Hours of a pipeline whose events come over a bus: each partition seals for itself, and the owner of the first one
 * publishes an hour for all.
 *
 * Invariant: an hour is published only when the durable checkpoints of all partitions have passed its end and name no part in
 * it. Then every part of it has its line in some partition's ledger, and none will come: what is published follows from
 * what is durable alone, so that any later owner of the first partition would publish the same bytes.
 *
 * A partition forgets a collection-hour only once the hour file is there: until then the count of its parts is needed.
 */
import { hasPassed, type Clock } from '../core/clock.ts';
import type { Lake } from '../core/lake.ts';
import { hoursPerPart, isSnapshotPath, partHour } from '../core/layout.ts';
import { isSealedLine, type SealedLine } from '../core/ledger.ts';
import { compareTimestamps, endOfHour, hourName, hourOf, parseHourName, type Hour } from '../core/time.ts';
import type { PipelineStats } from '../ops/stats.ts';
import { PRODUCER, hourFilePath, hourKey, partitionScope, type Checkpoint, type Scope } from './checkpoint.ts';
import type { Committer } from './committer.ts';
import { readLedger, type Ledger } from './ledger.ts';
import { publishCollectionHour, publishHour } from './publish.ts';
import { readCheckpoint } from './read-checkpoint.ts';

/** Which of how many. */
export interface PartitionOf {
  readonly index: number;
  readonly count: number;
}

/** Checkpoints of others are looked at no more often. */
const LOOK_MS = 1_000;

export class PartitionHours {
  readonly #of: PartitionOf;
  readonly #lake: Lake;
  readonly #committer: Committer;
  readonly #ledger: Ledger;
  readonly #clock: Clock;
  readonly #stats: PipelineStats;
  #lookedAtMs = 0;

  constructor(of: PartitionOf, lake: Lake, committer: Committer, ledger: Ledger, clock: Clock, stats: PipelineStats) {
    this.#of = of;
    this.#lake = lake;
    this.#committer = committer;
    this.#ledger = ledger;
    this.#clock = clock;
    this.#stats = stats;
  }

  /** Called when nothing is planned that is not durable. */
  async settle(signal: AbortSignal): Promise<void> {
    const { state } = this.#committer;
    const isFirst = this.#of.index === 0;
    const isOver = isFirst ? this.#isOver(state, state.nextHour) : state.hours.some(({ hour }) => this.#isOver(state, parseHourName(hour)!));
    if (!isOver || !hasPassed(LOOK_MS, this.#lookedAtMs, this.#clock.now())) return;
    this.#lookedAtMs = this.#clock.now();
    if (isFirst) await this.#publish(signal);
    else await this.#forget();
  }

  /** Is this hour over, and with it all that share its parts? */
  #isOver({ layout, watermark }: Checkpoint, hour: Hour): boolean {
    return compareTimestamps(watermark, endOfHour(partHour(layout, hour) + hoursPerPart(layout) - 1)) >= 0;
  }

  async #forget(): Promise<void> {
    const { state } = this.#committer;
    const names = new Set(state.hours.map(({ hour }) => hour).filter((hour) => this.#isOver(state, parseHourName(hour)!)));
    for (const name of names) if (await this.#isPublished(name)) this.#drop(name);
  }

  /** The file of the last hour is put last. */
  async #isPublished(name: string): Promise<boolean> {
    const { pipeline, layout } = this.#committer.state;
    const last = hourName(parseHourName(name)! + hoursPerPart(layout) - 1);
    return (await this.#lake.stat(hourFilePath(pipeline, last))) !== null;
  }

  #drop(name: string): void {
    const { state } = this.#committer;
    for (const { ns, hour } of state.hours) if (hour === name) this.#ledger.forget(hourKey(ns, hour));
    state.hours = state.hours.filter(({ hour }) => hour !== name);
  }

  async #publish(signal: AbortSignal): Promise<void> {
    const { state } = this.#committer;
    const all = await this.#all(signal);
    if (all === null) return;
    // Nobody may go back behind what is published, this partition neither.
    await this.#committer.save('publishing');
    const { partitions, producer } = all;
    const gaps = [...partitions, producer].flatMap((each) => each.gaps);
    while (partitions.every((each) => this.#isOver(each, state.nextHour))) {
      const first = partHour(state.layout, state.nextHour);
      const name = hourName(first);
      if (partitions.some((each) => each.parts.some((part) => part.hour <= name))) return;
      // A former owner may have published it and not lived to save that: by now the others may have forgotten their share.
      if (!(await this.#isPublished(name))) await this.#publishParts({ ...state, gaps }, partitions, name, signal);
      this.#drop(name);
      for (const end = first + hoursPerPart(state.layout); state.nextHour < end; this.#stats.hoursComplete += 1) state.nextHour += 1;
      await this.#committer.save('publishing');
    }
  }

  /** @param name of the hour by which the parts go */
  async #publishParts(about: Checkpoint, partitions: readonly Checkpoint[], name: string, signal: AbortSignal): Promise<void> {
    const records = partitions.flatMap((each) => each.hours).filter(({ hour }) => hour === name);
    const lines: SealedLine[] = [];
    if (records.length > 0) {
      const since = records.map((record) => record.since).toSorted()[0]!;
      // Files of snapshots belong to no hour.
      for await (const line of readLedger(this.#lake, about.pipeline, since, signal))
        if (isSealedLine(line) && line.hour === name && !isSnapshotPath(line.path)) lines.push(line);
    }
    const byCollection = Map.groupBy(records, (record) => hourKey(record.ns, name));
    const filesOf = Map.groupBy(lines, ({ db, coll }) => hourKey({ db, coll }, name));
    for (const [key, of] of byCollection) {
      const parts = of.reduce((sum, record) => sum + record.next, 0);
      const files = (filesOf.get(key) ?? []).toSorted((a, b) => (a.path < b.path ? -1 : 1));
      await publishCollectionHour(this.#lake, about, { ns: of[0]!.ns, hour: name, parts, files }, signal);
    }
    const collections = [...byCollection.values()].map((of) => of[0]!.ns);
    const end = parseHourName(name)! + hoursPerPart(about.layout);
    const begin = Math.max(parseHourName(name)!, hourOf(about.startedAt.t));
    for (let hour = begin; hour < end; hour += 1) await publishHour(this.#lake, about, { hour, collections }, signal);
  }

  /** Checkpoints of all, those of the others as they are durable; `null` when one has not come so far. */
  async #all(signal: AbortSignal): Promise<{ partitions: readonly Checkpoint[]; producer: Checkpoint } | null> {
    const { state } = this.#committer;
    const producer = await this.#read(PRODUCER, signal);
    const partitions = [state];
    for (let index = 1; index < this.#of.count; index += 1) {
      const other = await this.#read(partitionScope(index), signal);
      if (other === null || other.resume === null || !this.#isOver(other, state.nextHour)) return null;
      partitions.push(other);
    }
    return producer === null ? null : { partitions, producer };
  }

  async #read(scope: Scope, signal: AbortSignal): Promise<Checkpoint | null> {
    return await readCheckpoint(this.#lake, this.#committer.state.pipeline, scope, signal);
  }
}
