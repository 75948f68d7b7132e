/**
 * Runs once before all tests: a mongod is found, or fetched, before the first time limit of a test begins to run.
 *
 * Without one the tests that need it fail, with every way to get one in their message; the others run all the same.
 */
import { findMongod } from '../src/app/demo/mongod.ts';
import { SluiceError } from '../src/core/error.ts';
import { MONGOD_NOT_FOUND } from '../src/core/errors.ts';
import { silentLog } from '../src/ops/log.ts';

/** 42 MB each, on a slow line. */
const FETCH_MS_MAX = 10 * 60_000;

export async function setup(): Promise<void> {
  const signal = AbortSignal.timeout(FETCH_MS_MAX);
  const onProgress = (text: string): void => void process.stderr.write(`${text}\n`);
  await Promise.all(
    (['6.0.5', '6.0.27'] as const).map(async (wanted) => {
      try {
        await findMongod({ wanted, onProgress, signal, log: silentLog });
      } catch (error) {
        if (!SluiceError.is(error, MONGOD_NOT_FOUND)) throw error;
        onProgress(`${error.message}\n  ${error.next}`);
      }
    }),
  );
}
