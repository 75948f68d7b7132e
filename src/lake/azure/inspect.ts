/**
 * What `doctor` asks of a storage account before it tries to write: who logs in, whether the account listens to them, whether
 * its namespace is hierarchical.
 */
import { SluiceError } from '../../core/error.ts';
import { LAKE_NOT_HIERARCHICAL } from '../../core/errors.ts';
import { hierarchyOf } from './hierarchy.ts';
import { connect, rootAclOf, type AzureLakeOptions } from './open.ts';
import { describeLogin } from './login.ts';

export interface AccountFinding {
  readonly name: 'login' | 'account';
  readonly detail: string;
  /** `null`: all is well. */
  readonly error: unknown;
}

const PATIENCE_MS = 10_000;

/** In order; ends at the first that is wrong. */
export async function inspectAccount(options: AzureLakeOptions): Promise<AccountFinding[]> {
  const findings: AccountFinding[] = [];
  const step = async (name: AccountFinding['name'], work: () => Promise<string>): Promise<boolean> => {
    try {
      findings.push({ name, detail: await work(), error: null });
      return true;
    } catch (error) {
      findings.push({ name, detail: '', error });
      return false;
    }
  };
  const connection = await connect({ ...options, patienceMs: PATIENCE_MS });
  const { endpoint, persistence, location, login } = connection;
  if (!(await step('login', () => describeLogin(login)))) return findings;
  await step('account', async () => {
    const writer = location.writer === 'dfs' ? 'files of ADLS Gen2 (`lake.writer: dfs`)' : 'append blobs (`lake.writer: append-blob`)';
    const isHierarchical = await hierarchyOf(endpoint, persistence, await rootAclOf(connection));
    if (isHierarchical === false && location.writer === 'dfs') throw new SluiceError(LAKE_NOT_HIERARCHICAL, location.shown);
    const namespace =
      isHierarchical === null
        ? 'does not say (yet) whether its namespace is hierarchical'
        : isHierarchical
          ? 'hierarchical namespace'
          : 'flat namespace';
    return `${location.account || location.blobEndpoint}: ${namespace}; ${writer}`;
  });
  return findings;
}
