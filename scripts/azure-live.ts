/**
 * Asks a real storage account what the fake of the tests answers (test/fakes/dfs), row by row.
 *
 * A row that differs ends it with 1; a row marked `unknown` never does: what it prints belongs into test/fakes/dfs/rules.ts, with the mark
 * `recorded`.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { report } from '../test/fakes/dfs/conformance/report.ts';

const { SLUICE_AZURE_ACCOUNT: account, SLUICE_AZURE_KEY: key, SLUICE_AZURE_SUFFIX: suffix = 'core.windows.net' } = process.env;

if (account === undefined || key === undefined) {
  console.log('SKIPPED: no Azure account was asked, so nothing here says how a real one behaves.');
  console.log(
    'Set SLUICE_AZURE_ACCOUNT and SLUICE_AZURE_KEY: a storage account for tests, with hierarchical namespace (SLUICE_AZURE_SUFFIX for other clouds).',
  );
} else {
  const urls = { dfs: `https://${account}.dfs.${suffix}`, blob: `https://${account}.blob.${suffix}` };
  const different = await report({ urls, account, key }, (seconds) => sleep(seconds * 1000), console.log);
  if (different > 0) process.exitCode = 1;
}
