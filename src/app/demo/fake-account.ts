/**
 * The storage account of `demo --azure-fake`: that of the tests, in this process and in memory. It ends with the demo.
 *
 * It is loaded from the tests' folder when it is asked for, which a checkout has and an installed package has not: nothing of it is
 * part of the product.
 */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { SluiceError } from '../../core/error.ts';
import { USAGE } from '../../core/errors.ts';

/** What the demo needs of it. */
export interface FakeAccount extends AsyncDisposable {
  /** Of the account, on the loopback. */
  readonly url: string;
  readonly account: { readonly name: string; readonly key: string };
}

const IN_A_CHECKOUT = new URL('../../../test/fakes/dfs/server.ts', import.meta.url);

/** @throws USAGE where there are no tests */
export async function startFakeAccount(server: URL = IN_A_CHECKOUT): Promise<FakeAccount> {
  if (!existsSync(fileURLToPath(server))) {
    throw new SluiceError(USAGE, '`demo --azure-fake` needs the storage account of the tests, which an installed package does not have', {
      next: 'Run it in a checkout of the repository, or leave `--azure-fake` out.',
    });
  }
  const { startDfsServer } = (await import(server.href)) as { readonly startDfsServer: () => Promise<FakeAccount> };
  return await startDfsServer();
}
