import { afterAll, beforeAll } from 'vitest';
import { AZURITE_ACCOUNT, AZURITE_KEY, startAzurite, type Azurite } from '../../../test/azurite.ts';
import { describeLake } from '../../../test/contracts/lake.ts';
import { openAzureLake } from './open.ts';

let azurite: Azurite;
let containers = 0;
beforeAll(async () => {
  azurite = await startAzurite();
});
afterAll(async () => {
  await azurite[Symbol.asyncDispose]();
});

describeLake('a lake of append blobs', async () => {
  const url = `${azurite.url}/lake-${(containers += 1)}/some/prefix`;
  const open = () =>
    openAzureLake({ url, writer: 'append-blob', auth: { kind: 'accountKey', account: AZURITE_ACCOUNT, key: AZURITE_KEY }, renewMs: 50 });
  return { lake: await open(), reopen: open, cutsAtFence: false, breaksLeases: true, [Symbol.asyncDispose]: async () => {} };
});
