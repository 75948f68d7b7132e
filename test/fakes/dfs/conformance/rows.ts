/** The whole table, and why some rules have no row in it. */
import type { RuleName } from '../rules.ts';
import { BLOBS } from './blobs.ts';
import { PATHS } from './paths.ts';
import type { Row } from './table.ts';
import { WRITING } from './writing.ts';

export const ROWS: readonly Row[] = [...WRITING, ...PATHS, ...BLOBS];

/** Rules that no plain request with the account's key can show; each has a test of its own on the fake (state.test.ts, auth.test.ts, sdk.test.ts). */
export const WITHOUT_ROW: Readonly<Partial<Record<RuleName, string>>> = {
  'delete.pages': 'takes thousands of paths, and Azure names no number',
  'append-blob.blocks': 'takes 50,000 requests',
  'immutable.dfs': 'the policy is set through the management plane',
  'immutable.blob': 'the policy is set through the management plane',
  'blob.create-only': 'takes a SAS',
  'auth.account-info': 'takes a role',
  'auth.permission': 'takes a SAS or a role',
  'auth.resource-type': 'takes a SAS',
  'auth.service': 'takes a SAS',
  'auth.protocol': 'takes a SAS',
  'auth.scope': 'takes a SAS',
  'auth.path-style': 'the URL of a real account has no path',
  'fake.not-built': 'a limit of the fake',
};
