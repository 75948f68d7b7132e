/**
 * Whether an account has a hierarchical namespace, as far as it says so.
 */
import { SluiceError } from '../../core/error.ts';
import { LAKE_DENIED, LAKE_LOGIN, LAKE_NETWORK } from '../../core/errors.ts';
import type { BlobEndpoint } from './blob-endpoint.ts';
import type { Persistence } from './persistence.ts';

/** `null` when the account does not say, or not to this identity. @throws what only a change by hand can mend */
export async function hierarchyOf(endpoint: BlobEndpoint, persistence: Persistence): Promise<boolean | null> {
  try {
    const reply = await persistence.again((s) => endpoint.isHierarchical(s), 'look at the account');
    return reply.is === 'ok' ? reply.value : null;
  } catch (error) {
    // Few identities may ask this, and no SAS of a container or directory. Whether they may write shows when they do.
    if (SluiceError.is(error, LAKE_DENIED, LAKE_NETWORK, LAKE_LOGIN)) return null;
    throw error;
  }
}
