/**
 * Resume tokens hold the key of the document that changed, as a string of hexadecimal digits that anybody can read.
 *
 * With a mask they may not lie in the lake like that. A line's position is the token's `_data` without the key: cluster time,
 * place in the transaction and collection tell events of a replica set apart by themselves. To resume, the server wants
 * the whole token: the checkpoint keeps it encrypted. Invariant: positions without keys sort as those with keys do, and
 * not after the same event's own, so that a mask may be added to a lake that has none.
 */
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';
import { Binary, deserialize, serialize } from 'bson';
import { SluiceError } from '../../../core/error.ts';
import { MASK_KEY, SOURCE_PROTOCOL } from '../../../core/errors.ts';
import { asPosition, type ResumePoint } from '../../../core/event.ts';
import { resumePointOf } from '../encode/token.ts';

/** How a position ends, with or without a key. */
export const POSITION_END = '04';
/** Cluster time; version, kind and place in the transaction; after an invalidate or not; the collection's UUID. */
const KEYLESS = /^82[0-9A-F]{16}(?:29|2B..|2C.{4}|2D.{6}|2E.{8}){2,3}6[EF](?:5A1004[0-9A-F]{32})?/;
const KEYLESS_CHARS_MAX = 128;

const CIPHER = 'aes-256-gcm';
const IV_BYTES = 12;
const TAG_BYTES = 16;

/** Each use of the user's secret has a key of its own. */
export function keyFor(secret: string, use: 'values' | 'tokens'): Buffer {
  return Buffer.from(hkdfSync('sha256', secret, '', `sluice mask ${use}`, 32));
}

/**
 * Characters of the position at `at` of `input` that are left without the key, {@link POSITION_END} included.
 * @throws SOURCE_PROTOCOL a position of a form that is not known: what of it is a key cannot be told
 */
export function keylessLength(input: Buffer, at: number, length: number): number {
  const text = input.toString('latin1', at, at + Math.min(length, KEYLESS_CHARS_MAX));
  const found = KEYLESS.exec(text)?.[0].length;
  if (found === undefined) throw new SluiceError(SOURCE_PROTOCOL, 'a position of a form that `source.mask` does not know');
  return Math.min(found + POSITION_END.length, length);
}

/** A whole position without its key. @throws SOURCE_PROTOCOL as {@link keylessLength} */
export function keylessPosition(whole: string): string {
  const data = Buffer.from(whole, 'latin1');
  const length = keylessLength(data, 0, data.length);
  return length < data.length ? `${whole.slice(0, length - POSITION_END.length)}${POSITION_END}` : whole;
}

/** Seals tokens for the checkpoint, and opens them to resume. Without a mask both leave them as they are. */
export class TokenSeal {
  readonly #key: Buffer | null;

  /** @param secret `source.maskKey`, or `null` without a mask */
  constructor(secret: string | null) {
    this.#key = secret === null ? null : keyFor(secret, 'tokens');
  }

  /** What may be kept of a token of the server. @throws SOURCE_TOKEN it holds no position */
  pointOf(token: Uint8Array): ResumePoint {
    const point = resumePointOf(token);
    if (this.#key === null) return point;
    return { position: asPosition(keylessPosition(point.position)), clusterTime: point.clusterTime, token: this.seal(token) };
  }

  /** A BSON document that holds keys, for the checkpoint. */
  seal(document: Uint8Array): Uint8Array {
    if (this.#key === null) return document;
    const iv = randomBytes(IV_BYTES);
    const cipher = createCipheriv(CIPHER, this.#key, iv);
    const sealed = Buffer.concat([iv, cipher.update(document), cipher.final(), cipher.getAuthTag()]);
    return serialize({ sealed: new Binary(sealed) });
  }

  /** What was sealed, whole. @throws MASK_KEY it was sealed with another key */
  open(token: Uint8Array): Uint8Array {
    const { sealed } = deserialize(token) as { readonly sealed?: unknown };
    if (!(sealed instanceof Binary)) return token;
    if (this.#key === null) throw new SluiceError(MASK_KEY, '`source.maskKey` is not set, and the last position was kept with one');
    const bytes = Buffer.from(sealed.buffer);
    try {
      const decipher = createDecipheriv(CIPHER, this.#key, bytes.subarray(0, IV_BYTES));
      decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
      return Buffer.concat([decipher.update(bytes.subarray(IV_BYTES, -TAG_BYTES)), decipher.final()]);
    } catch (error) {
      throw new SluiceError(MASK_KEY, '`source.maskKey` is not the one that the last position was kept with', { cause: error });
    }
  }
}
