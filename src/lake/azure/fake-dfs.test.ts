/**
 * Both writers on a hierarchical account, as the DFS server of the tests has it.
 */
import { afterAll, beforeAll } from 'vitest';
import { describeLake } from '../../../test/contracts/lake.ts';
import { startDfsServer, type DfsServer } from '../../../test/fakes/dfs/server.ts';
import type { AzureWriter } from './location.ts';
import { openAzureLake } from './open.ts';

let server: DfsServer;
let containers = 0;
beforeAll(async () => {
  server = await startDfsServer();
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

const WRITERS: readonly (readonly [string, AzureWriter])[] = [
  ['a lake of ADLS Gen2 files', 'dfs'],
  ['a lake of append blobs on a hierarchical account', 'append-blob'],
];
for (const [name, writer] of WRITERS) {
  describeLake(name, async () => {
    const url = `${server.url}/lake-${(containers += 1)}/some/prefix`;
    const { account } = server;
    const open = () => openAzureLake({ url, writer, auth: { kind: 'accountKey', account: account.name, key: account.key }, renewMs: 50 });
    return { lake: await open(), reopen: open, cutsAtFence: false, breaksLeases: true, [Symbol.asyncDispose]: async () => {} };
  });
}
