/**
 * fast-check, beginning where `SEED` says: a test that is drawn anew in each run fails on a change that has nothing to do
 * with it. `npm run test:nightly` draws anew.
 */
import fc from 'fast-check';
import { SEED } from './seed.ts';

fc.configureGlobal({ seed: SEED });

export default fc;
