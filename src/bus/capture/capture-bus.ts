/**
 * Capture files as a bus to read from: partitions, offsets that are sequence numbers, and nothing newer than the last file.
 *
 * So that all of the consuming side holds for them as it does for a broker: checkpoints and epochs per partition, dropping of what
 * comes twice, watermarks, hours (pipeline/consume.ts). What a file holds is decided by its sequence numbers alone.
 * Invariant: sequence numbers of a partition rise without a hole from file to file; a hole is history that is gone, and told.
 */
import type { Bus, BusMembership, BusRead, BusReader, BusRecord, OffsetRange } from '../../core/bus.ts';
import type { Clock } from '../../core/clock.ts';
import { SluiceError, reasonOf } from '../../core/error.ts';
import { BUS_OFFSET_GONE, CAPTURE_BROKEN } from '../../core/errors.ts';
import type { Lake, LakePath } from '../../core/lake.ts';
import type { MessageBatch } from '../../core/message-batch.ts';
import { readRange } from '../../core/read-range.ts';
import { readAvro, type CaptureRecord } from './avro.ts';
import { captureFiles, patternRegex, type CaptureFile } from './files.ts';
import { readCaptureParquet } from './parquet.ts';

export interface CaptureBusOptions {
  /** Where the files are. */
  readonly files: Lake;
  readonly pattern: string;
  /** Where lines are that were too large for the hub. */
  readonly claims: Lake;
  /** How long to wait before looking for new files. */
  readonly pollMs: number;
  /** Number of the next message of a partition that the lake does not have. */
  readonly cursor: (partition: number) => Promise<bigint>;
  readonly clock: Clock;
}

/** What one read gives, about. */
const READ_BYTES = 4 * 1024 ** 2;
/** Where a partition begins that nobody has read yet: what was never captured is not lost. */
const BEGINNING = 0n;

export class CaptureBus implements Bus {
  readonly description: string;
  readonly #options: CaptureBusOptions;
  readonly #pattern: RegExp;
  /** First sequence number by path; `null`: the file has no message. */
  readonly #first = new Map<LakePath, bigint | null>();
  /** Number after the last message, of files that were read to their end. */
  readonly #ends = new Map<LakePath, bigint>();
  /** What the lake wants next and no file has, by partition: the checkpoint may be a little behind. */
  readonly #missing = new Map<number, bigint>();
  /** Of the topic, once it is known: partitions without a file count, since an hour is over when it is over in all of them. */
  count: number | null = null;
  /** Called when all partitions have been read to the end of the last file, and all that was read is taken. */
  onExhausted: () => void = () => {};
  readonly #exhausted = new Set<number>();

  constructor(options: CaptureBusOptions) {
    this.#options = options;
    this.#pattern = patternRegex(options.pattern);
    this.description = `Capture files in ${options.files.description}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  /** By partition, oldest first. */
  async list(signal: AbortSignal): Promise<Map<number, CaptureFile[]>> {
    return await captureFiles(this.#options.files, this.#pattern, signal);
  }

  /** The oldest message of each partition that has one. */
  async firstRecords(signal: AbortSignal): Promise<BusRecord[]> {
    const first: BusRecord[] = [];
    for (const files of (await this.list(signal)).values()) {
      const found = await this.#firstRecord(files, signal);
      if (found !== null) first.push(found);
    }
    return first;
  }

  async #firstRecord(files: readonly CaptureFile[], signal: AbortSignal): Promise<BusRecord | null> {
    for (const file of files) for await (const [record] of this.records(file, signal)) if (record !== undefined) return record;
    return null;
  }

  /** Files of a partition with nothing at or after `cursor`, and with a later file or a known end to tell. */
  async passed(partition: number, cursor: bigint, signal: AbortSignal): Promise<CaptureFile[]> {
    const passed: CaptureFile[] = [];
    let waiting: CaptureFile[] = [];
    for (const file of (await this.list(signal)).get(partition) ?? []) {
      const first = await this.firstOf(file, signal);
      if (first !== null && first <= cursor && first !== BEGINNING) passed.push(...waiting.splice(0));
      waiting.push(file);
      const end = this.#ends.get(file.path);
      if (end !== undefined && end <= cursor) passed.push(...waiting.splice(0));
      if (first !== null && first > cursor) waiting = [];
    }
    return passed;
  }

  /** No file has this message of a partition, and later ones have others. */
  noteMissing(partition: number, offset: bigint): void {
    this.#missing.set(partition, offset);
  }

  noteExhausted(partition: number, isExhausted: boolean): void {
    if (!isExhausted) this.#exhausted.delete(partition);
    else if (this.#exhausted.add(partition).size === this.count) this.onExhausted();
  }

  /** A file was read to its end. */
  noteEnd(path: LakePath, next: bigint): void {
    this.#ends.set(path, next);
  }

  async partitions(signal: AbortSignal): Promise<number> {
    return this.count ?? Math.max(-1, ...(await this.list(signal)).keys()) + 1;
  }

  /** The first is that from which on there is no hole before the newest. */
  async ranges(signal: AbortSignal): Promise<readonly OffsetRange[]> {
    const all = await this.list(signal);
    const ranges: OffsetRange[] = [];
    for (let index = 0; index < (await this.partitions(signal)); index += 1) {
      const cursor = this.#missing.get(index) ?? (await this.#options.cursor(index));
      let first: bigint | null = null;
      for (const file of all.get(index) ?? []) {
        const begins = await this.firstOf(file, signal);
        if (begins !== null && (first === null || begins >= cursor)) first = begins;
        if (begins !== null && begins >= cursor) break;
      }
      ranges.push({ first: first ?? cursor, next: first ?? cursor });
    }
    return ranges;
  }

  async firstOf(file: CaptureFile, signal: AbortSignal): Promise<bigint | null> {
    const known = this.#first.get(file.path);
    if (known !== undefined) return known;
    let first: bigint | null = null;
    for await (const records of this.records(file, signal)) {
      if (records[0] === undefined) continue;
      first = records[0].offset;
      break;
    }
    this.#first.set(file.path, first);
    return first;
  }

  /** @throws CAPTURE_BROKEN */
  async *records({ path }: CaptureFile, signal: AbortSignal): AsyncGenerator<readonly BusRecord[]> {
    try {
      for await (const block of this.#decoded(path, signal)) {
        const hasClaims = block.some(({ properties }) => properties.has('claim'));
        yield hasClaims ? await Promise.all(block.map((record) => this.#withClaim(record, signal))) : block.map(recordOf);
      }
    } catch (cause) {
      signal.throwIfAborted();
      if (cause instanceof SluiceError) throw cause;
      throw new SluiceError(CAPTURE_BROKEN, `${path}: ${reasonOf(cause)}`, { cause });
    }
  }

  async *#decoded(path: LakePath, signal: AbortSignal): AsyncGenerator<readonly CaptureRecord[]> {
    const { files } = this.#options;
    if (!/\.parquet$/i.test(path)) return yield* readAvro(files.read(path, 0, signal));
    const size = (await files.stat(path))?.size ?? 0;
    yield* readCaptureParquet({ byteLength: size, slice: async (from, to) => await readRange(files, path, from, to ?? size, signal) });
  }

  /** A line that was too large for the hub is put back. */
  async #withClaim(record: CaptureRecord, signal: AbortSignal): Promise<BusRecord> {
    const { properties } = record;
    const claim = properties.get('claim');
    if (claim === undefined) return recordOf(record);
    const chunks: Uint8Array[] = [];
    for await (const chunk of this.#options.claims.read(claim, 0, signal)) chunks.push(chunk);
    const rest = new Map(properties);
    rest.delete('claim');
    return recordOf({ ...record, body: Buffer.concat(chunks), properties: rest });
  }

  partitionOf(): number {
    throw new Error('nothing is sent to Capture files');
  }

  async send(_partition: number, _messages: MessageBatch): Promise<void> {
    throw new Error('nothing is sent to Capture files');
  }

  reader(partition: number): BusReader {
    return new CaptureReader(this, partition, this.#options);
  }

  /** All partitions are ours to try: the lock or lease on a partition's checkpoint decides. */
  async join(_group: string, onAssigned: (partitions: readonly number[]) => void, signal: AbortSignal): Promise<BusMembership> {
    onAssigned(Array.from({ length: await this.partitions(signal) }, (_, index) => index));
    return { commit: () => {}, [Symbol.asyncDispose]: async () => {} };
  }
}

function recordOf({ sequence, enqueued, body, properties }: CaptureRecord): BusRecord {
  return {
    offset: sequence,
    get timeMs() {
      return timeOf(enqueued.toString('latin1'));
    },
    key: null,
    value: body,
    header: (name) => properties.get(name) ?? null,
    headers: () => [...properties].map(([name, value]) => [name, Buffer.from(value)]),
  };
}

/** ISO 8601, or as Americans write it: both in UTC, said or not. 0: neither. */
function timeOf(text: string): number {
  const isIso = /^\d{4}-/.test(text);
  const hasZone = /Z$|[+-]\d\d:?\d\d$/.test(text);
  return Date.parse(hasZone ? text : isIso ? `${text}Z` : `${text} UTC`) || 0;
}

class CaptureReader implements BusReader {
  readonly #bus: CaptureBus;
  readonly #partition: number;
  readonly #options: CaptureBusOptions;
  /** Where the reading is: the next record of it is at `#next` or later. */
  #records: AsyncGenerator<readonly BusRecord[]> | null = null;
  /** What is left of the block that was read last. */
  #block: readonly BusRecord[] = [];
  #path: LakePath | null = null;
  #next = -1n;
  /** As they were listed last. */
  #files: readonly CaptureFile[] = [];
  /** What was looked for in all files, and not found yet. */
  #searched = -1n;

  constructor(bus: CaptureBus, partition: number, options: CaptureBusOptions) {
    this.#bus = bus;
    this.#partition = partition;
    this.#options = options;
  }

  async read(offset: bigint, signal: AbortSignal): Promise<BusRead> {
    if (offset !== this.#next) await this.#leave();
    this.#next = offset;
    for (;;) {
      signal.throwIfAborted();
      if (this.#records === null && !(await this.#enter(offset, signal))) {
        this.#bus.noteExhausted(this.#partition, true);
        await this.#options.clock.sleep(this.#options.pollMs, signal).catch(() => {});
        return { records: [], next: offset };
      }
      if (this.#block.length === 0) {
        const { done, value } = await this.#records!.next();
        if (done === true) {
          this.#bus.noteEnd(this.#path!, this.#next);
          this.#records = null;
        } else this.#block = value.filter((record) => record.offset >= offset);
        continue;
      }
      this.#bus.noteExhausted(this.#partition, false);
      const records = this.#some();
      this.#searched = -1n;
      this.#next = records.at(-1)!.offset + 1n;
      return { records, next: this.#next };
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#leave();
  }

  /** A block may be as large as its file. */
  #some(): readonly BusRecord[] {
    let count = 0;
    for (let bytes = 0; count < this.#block.length && bytes < READ_BYTES; count += 1) bytes += this.#block[count]!.value?.length ?? 0;
    const records = this.#block.slice(0, count);
    this.#block = this.#block.slice(count);
    return records;
  }

  async #leave(): Promise<void> {
    await this.#records?.return(undefined);
    this.#records = null;
    this.#block = [];
    this.#path = null;
  }

  /** Opens the file that `offset` is in, or that comes after the one that was read. @throws BUS_OFFSET_GONE */
  async #enter(offset: bigint, signal: AbortSignal): Promise<boolean> {
    let found = (await this.#following(signal)) ?? (await this.#listed(offset, signal));
    if (found === null) return false;
    const first = (await this.#bus.firstOf(found, signal))!;
    const isBehind = first > offset && offset !== BEGINNING;
    if (isBehind) found = await this.#holding(offset, signal);
    if (found === null) {
      this.#bus.noteMissing(this.#partition, offset);
      throw new SluiceError(BUS_OFFSET_GONE, `${this.#bus.description}, partition ${this.#partition}: ${offset} is in no file, the next is ${first}`);
    }
    this.#records = this.#bus.records(found, signal);
    this.#path = found.path;
    return true;
  }

  /**
   * A file that repeats what older ones hold may have led us past the one that has `offset`: once, all are looked at, for that which
   * begins last before it.
   */
  async #holding(offset: bigint, signal: AbortSignal): Promise<CaptureFile | null> {
    if (this.#searched === offset) return null;
    this.#searched = offset;
    let found: CaptureFile | null = null;
    let latest = -1n;
    for (const file of this.#files) {
      const first = await this.#bus.firstOf(file, signal);
      if (first === null || first > offset || first < latest) continue;
      [found, latest] = [file, first];
    }
    return found?.path === this.#path ? null : found;
  }

  /** The next file of those that were listed. */
  async #following(signal: AbortSignal): Promise<CaptureFile | null> {
    if (this.#path === null) return null;
    for (const file of this.#files.slice(this.#files.findIndex(({ path }) => path === this.#path) + 1)) {
      if ((await this.#bus.firstOf(file, signal)) !== null) return file;
    }
    return null;
  }

  async #listed(offset: bigint, signal: AbortSignal): Promise<CaptureFile | null> {
    this.#files = (await this.#bus.list(signal)).get(this.#partition) ?? [];
    if (this.#path !== null) return await this.#following(signal);
    // Where a lake goes on is near the end, as a rule: from there few files are opened.
    const inOrder = offset === BEGINNING ? this.#files : this.#files.toReversed();
    let found: CaptureFile | null = null;
    for (const file of inOrder) {
      const first = await this.#bus.firstOf(file, signal);
      if (first === null) continue;
      found = file;
      if (offset === BEGINNING || first <= offset) break;
    }
    return found;
  }
}
