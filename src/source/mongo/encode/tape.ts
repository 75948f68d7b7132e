/**
 * What one reply is read from and written to, and what happened on the way.
 *
 * The encoder makes no object per field: every function takes the tape, an offset to read at and an offset to write
 * at, and gives the offset after what it wrote. Two invariants make that safe without a check per byte:
 * - the input has at least 3 bytes after the terminator of the innermost event (the terminators of the batch and of
 *   the cursor, or padding), so that four bytes can be read at any offset inside an event;
 * - before an event is encoded, the output has room for {@link EXPANSION_MAX} times its bytes.
 */
import { SluiceError } from '../../../core/error.ts';
import { BSON_BROKEN } from '../../../core/errors.ts';

/**
 * Bytes of line per byte of BSON, at worst: an empty regular expression under an empty key is 4 bytes of BSON and 54 of
 * JSON. `value.test.ts` holds every type against it.
 */
export const EXPANSION_MAX = 14;

const EMPTY = Buffer.alloc(0);
const EMPTY_VIEW = new DataView(EMPTY.buffer, 0, 0);

export class Tape {
  input: Buffer = EMPTY;
  inputView: DataView = EMPTY_VIEW;
  output: Buffer = EMPTY;
  outputView: DataView = EMPTY_VIEW;
  /** Values are written as canonical Extended JSON, else as relaxed. */
  canonical = false;
  /** Something was met that JSON cannot carry. Set here, cleared by the line. */
  lossy = false;
  /** Where a key that was being copied ended: second result of {@link import('./string.ts').writeRestOfKey}. */
  keyEnd = 0;

  read(input: Buffer): void {
    this.input = input;
    this.inputView = new DataView(input.buffer, input.byteOffset, input.length);
  }

  write(output: Buffer): void {
    this.output = output;
    this.outputView = new DataView(output.buffer, output.byteOffset, output.length);
  }

  /** Lets go of both, so that a quiet stream does not keep the memory of its last reply. */
  release(): void {
    this.input = EMPTY;
    this.inputView = EMPTY_VIEW;
    this.output = EMPTY;
    this.outputView = EMPTY_VIEW;
  }
}

/** @param at offset in the reply: where to look, never what stands there (it is a user's data) */
export function broken(what: string, at: number): SluiceError {
  return new SluiceError(BSON_BROKEN, `${what}, at byte ${at}`);
}
