/**
 * Positions without keys, on a sharded cluster.
 *
 * Two shards may write to one collection at one cluster time, and then only the keys at the end of their tokens tell the two events apart.
 * The stream brings them in the order of these. So the second one, and those after it, get their place among the events that look
 * alike behind what is left of the token.
 *
 * Invariant: an event has the same number from wherever the stream is read. From a moment all that look alike come; who goes on after an
 * event knows the number that it had. What comes twice, or out of order, is refused as without a mask: whole tokens must rise.
 */
import { SluiceError } from '../../../core/error.ts';
import { SOURCE_ORDER } from '../../../core/errors.ts';
import { asPosition, type ResumePoint } from '../../../core/event.ts';
import { keylessPosition } from './tokens.ts';

const DIGITS = 4;

export class Ranks {
  /** Whole, of the last event. */
  #token: string;
  #keyless: string;
  #rank: number;

  /** @param token `_data` of the token after which the stream goes on, whole @param position that it was given */
  constructor(token: string, position: string) {
    this.#token = token;
    this.#keyless = keylessPosition(token);
    this.#rank = position.startsWith(this.#keyless) ? Number.parseInt(position.slice(this.#keyless.length) || '0', 16) : 0;
  }

  /** What goes behind the position of the next event. @throws SOURCE_ORDER */
  next(token: string, keyless: string): string {
    if (keyless !== this.#keyless) this.#rank = 0;
    else if (token > this.#token) this.#rank += 1;
    else throw new SluiceError(SOURCE_ORDER, `an event at ${keyless} came after one that it lies before`);
    [this.#token, this.#keyless] = [token, keyless];
    return this.#behind();
  }

  /** Where the stream goes on, when that is the last event. */
  placed(point: ResumePoint): ResumePoint {
    return point.position === this.#keyless ? { ...point, position: asPosition(this.#keyless + this.#behind()) } : point;
  }

  #behind(): string {
    return this.#rank === 0 ? '' : this.#rank.toString(16).toUpperCase().padStart(DIGITS, '0');
  }
}
