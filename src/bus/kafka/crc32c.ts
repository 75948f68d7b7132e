import { createRequire } from 'node:module';
import { crc32c as ofClient } from '@platformatic/kafka';

/**
 * The sum that a batch carries. The client has it as well, and uses the same native one where that is installed; it makes a copy
 * of the bytes first, which costs four times as much as the sum.
 */
export const crc32c: (bytes: Buffer) => number = native() ?? ofClient;

function native(): ((bytes: Buffer) => number) | null {
  try {
    // Optional for the client, so for us: there are machines that it is not made for.
    return (createRequire(import.meta.url)('@node-rs/crc32') as { crc32c: (bytes: Buffer) => number }).crc32c;
  } catch {
    return null;
  }
}
