/**
 * One file of a dump while it is written: collected, appended, hashed.
 */
import { createHash } from 'node:crypto';
import type { Appender, Lake, LakePath } from '../core/lake.ts';
import type { DumpFile } from './dump-record.ts';

const FLUSH_BYTES = 4 * 1024 * 1024;
/** Dumps have one writer at a time by their own lock, and no file is ever opened again: there is one epoch. */
const EPOCH = 1;

export class DumpWriter implements AsyncDisposable {
  readonly #path: LakePath;
  readonly #appender: Appender;
  readonly #hash = createHash('sha256');
  readonly #signal: AbortSignal;
  #chunks: Uint8Array[] = [];
  #bytes = 0;
  #rows = 0;

  private constructor(path: LakePath, appender: Appender, signal: AbortSignal) {
    this.#path = path;
    this.#appender = appender;
    this.#signal = signal;
  }

  /** @throws LAKE_CONFLICT something is there */
  static async create(lake: Lake, path: LakePath, signal: AbortSignal): Promise<DumpWriter> {
    return new DumpWriter(path, await lake.open(path, { epoch: EPOCH, expect: 'absent' }, signal), signal);
  }

  get rows(): number {
    return this.#rows;
  }

  /** @param bytes nobody else changes them any more */
  async write(bytes: Uint8Array, rows: number): Promise<void> {
    this.#chunks.push(bytes);
    this.#bytes += bytes.length;
    this.#rows += rows;
    if (this.#bytes >= FLUSH_BYTES) await this.#flush();
  }

  /** The file is whole and durable. */
  async finish(): Promise<DumpFile> {
    if (this.#bytes > 0) await this.#flush();
    const bytes = this.#appender.length;
    await this.#appender.close();
    return { path: this.#path, bytes, rows: this.#rows, sha256: this.#hash.digest('hex') };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#appender[Symbol.asyncDispose]();
  }

  async #flush(): Promise<void> {
    const chunks = this.#chunks;
    [this.#chunks, this.#bytes] = [[], 0];
    for (const chunk of chunks) this.#hash.update(chunk);
    await this.#appender.append(chunks, this.#signal);
  }
}

/** Lines as elements of a JSON array that has been opened, or is opened here. */
export function asElements(lines: Buffer, isFirst: boolean): Buffer {
  const texts = lines.toString('latin1').slice(0, -1).replaceAll('\n', ',\n');
  return Buffer.from(`${isFirst ? '[\n' : ',\n'}${texts}`, 'latin1');
}
