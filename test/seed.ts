/**
 * Where random tests begin: the same in every `npm test`, another one in each `npm run test:nightly`, and whichever
 * `SLUICE_SEED` names, to repeat a run.
 */
export const SEED = Number(process.env['SLUICE_SEED'] ?? 1);
