import { describe, expect, it } from 'vitest';
import { USAGE } from '../../core/errors.ts';
import { startFakeAccount } from './fake-account.ts';

describe('the storage account of the demo', () => {
  it('is told to be missing where there are no tests, as in an installed package', async () => {
    const nowhere = new URL('no-such-folder/server.ts', import.meta.url);
    await expect(startFakeAccount(nowhere)).rejects.toMatchObject({ kind: USAGE, next: expect.stringContaining('checkout') });
  });
});
