/**
 * Large buffers that are used again. Made anew for each batch they cost more than the encoding of it: the kernel clears
 * their pages, and the collector runs because of their size, not because of the objects.
 *
 * Invariant: what was given back is nobody's any more. Free buffers hold no more than a bound together.
 */
const STEP_BYTES = 256 * 1024;

export class BufferPool {
  readonly #bytesMax: number;
  readonly #free: Buffer[] = [];
  #freeBytes = 0;

  /** @param bytesMax that free buffers may hold together */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** A buffer of at least this size, with anything in it. */
  take(bytes: number): Buffer {
    let best = -1;
    for (let i = 0; i < this.#free.length; i += 1) {
      const { length } = this.#free[i]!;
      if (length >= bytes && (best < 0 || length < this.#free[best]!.length)) best = i;
    }
    if (best < 0) return Buffer.allocUnsafeSlow(Math.ceil(bytes / STEP_BYTES) * STEP_BYTES);
    const [buffer] = this.#free.splice(best, 1);
    this.#freeBytes -= buffer!.length;
    return buffer!;
  }

  /** Takes back what {@link BufferPool.take} gave. */
  give(buffer: Buffer): void {
    if (buffer.length === 0 || this.#freeBytes + buffer.length > this.#bytesMax) return;
    this.#free.push(buffer);
    this.#freeBytes += buffer.length;
  }
}

/**
 * Gives the memory of a piece back at once, of which nobody reads anything any more: what a socket has brought, 64 KiB at a time. Left to
 * the collector, it makes it run again and again over everything that is alive, because of its size; that took twice as long
 * as reading it. A piece of something larger is left alone.
 */
export function freeNow(chunk: Buffer): void {
  const { buffer } = chunk;
  if (chunk.length === buffer.byteLength && buffer instanceof ArrayBuffer) buffer.transfer(0);
}
