/**
 * Writes BSON into one buffer that grows and is used again.
 */
const BYTES_INITIAL = 64 * 1024;
/** Beyond this the memory of one large event is not kept. */
const BYTES_KEPT_MAX = 4 * 1024 * 1024;
/** Bytes after a document that a tape may read (encode/tape.ts). */
const PADDING = 3;

export class BsonWriter {
  #buffer = Buffer.allocUnsafe(BYTES_INITIAL);
  #at = 0;

  reset(): void {
    this.#at = 0;
    if (this.#buffer.length > BYTES_KEPT_MAX) this.#buffer = Buffer.allocUnsafe(BYTES_INITIAL);
  }

  /** Begins a document or array; what it gives goes to {@link BsonWriter.close}. */
  open(): number {
    this.#reserve(4);
    this.#at += 4;
    return this.#at - 4;
  }

  close(start: number): void {
    this.#reserve(1);
    this.#buffer[this.#at++] = 0;
    this.#buffer.writeInt32LE(this.#at - start, start);
  }

  /** Type and name of an element. @returns what goes to {@link BsonWriter.setType} */
  element(type: number, name: Uint8Array): number {
    this.#reserve(name.length + 2);
    const typeAt = this.#at;
    this.#buffer[this.#at++] = type;
    this.#buffer.set(name, this.#at);
    this.#at += name.length;
    this.#buffer[this.#at++] = 0;
    return typeAt;
  }

  setType(typeAt: number, type: number): void {
    this.#buffer[typeAt] = type;
  }

  string(text: Uint8Array): void {
    this.#reserve(text.length + 5);
    this.#at = this.#buffer.writeInt32LE(text.length + 1, this.#at);
    this.#buffer.set(text, this.#at);
    this.#at += text.length;
    this.#buffer[this.#at++] = 0;
  }

  copy(input: Buffer, from: number, next: number): void {
    this.#reserve(next - from);
    this.#at += input.copy(this.#buffer, this.#at, from, next);
  }

  /** What was written, with padding after it. Valid until the next {@link BsonWriter.reset}. */
  finish(): { readonly bson: Buffer; readonly bytes: number } {
    this.#reserve(PADDING);
    this.#buffer.fill(0, this.#at, this.#at + PADDING);
    return { bson: this.#buffer.subarray(0, this.#at + PADDING), bytes: this.#at };
  }

  #reserve(bytes: number): void {
    if (this.#at + bytes <= this.#buffer.length) return;
    const grown = Buffer.allocUnsafe(Math.max(this.#at + bytes, this.#buffer.length * 2));
    this.#buffer.copy(grown, 0, 0, this.#at);
    this.#buffer = grown;
  }
}
