/**
 * Pieces of a line that are the same again and again, kept as words: four bytes are stored at a time, which beats a loop
 * over bytes and, for pieces this short, any call out of JavaScript.
 */
export interface Literal {
  /** Bytes that count; the last word may reach up to 3 beyond them. */
  readonly length: number;
  readonly words: Int32Array;
}

/** @param text ASCII */
export function literal(text: string): Literal {
  return literalOf(Buffer.from(text, 'latin1'));
}

export function literalOf(bytes: Uint8Array): Literal {
  const padded = Buffer.alloc((bytes.length + 3) & ~3);
  padded.set(bytes);
  const words = new Int32Array(padded.length / 4);
  for (let i = 0; i < words.length; i++) words[i] = padded.readInt32LE(4 * i);
  return { length: bytes.length, words };
}

/** Writes up to 3 bytes beyond what it returns: the room that is reserved for an event has them. */
export function writeLiteral(out: DataView, at: number, text: Literal): number {
  const { words } = text;
  for (let i = 0; i < words.length; i++) out.setInt32(at + 4 * i, words[i]!, true);
  return at + text.length;
}

/** For text that is made at run time: short, ASCII, and free of what JSON escapes. */
export function writeAscii(out: Buffer, at: number, text: string): number {
  for (let i = 0; i < text.length; i++) out[at + i] = text.charCodeAt(i);
  return at + text.length;
}
