/**
 * Whether an account has a hierarchical namespace, as far as it says so.
 *
 * The account says it to those who may ask, and these are few. Everybody else asks for the rights of the root folder, as Hadoop's
 * driver does: only a hierarchical namespace has such, a flat one answers with 400.
 */
import { SluiceError } from '../../core/error.ts';
import { LAKE_DENIED, LAKE_LOGIN, LAKE_NETWORK, LAKE_NOT_HIERARCHICAL } from '../../core/errors.ts';
import type { BlobEndpoint } from './blob-endpoint.ts';
import type { Persistence, Request } from './persistence.ts';

/** `null` when this identity may know neither way. @throws what only a change by hand can mend */
export async function hierarchyOf(endpoint: BlobEndpoint, persistence: Persistence, rootAcl: Request<unknown>): Promise<boolean | null> {
  const doing = 'look at the account';
  const said = await ifAllowed(async () => {
    const reply = await persistence.again((s) => endpoint.isHierarchical(s), doing);
    return reply.is === 'ok' ? reply.value : null;
  });
  if (said !== null) return said;
  return await ifAllowed(async () => {
    const reply = await persistence.again(rootAcl, doing);
    if (reply.is === 'ok') return true;
    return reply.status === 400 ? false : null;
  });
}

async function ifAllowed(ask: () => Promise<boolean | null>): Promise<boolean | null> {
  try {
    return await ask();
  } catch (error) {
    if (SluiceError.is(error, LAKE_NOT_HIERARCHICAL)) return false;
    // No SAS of a container or a directory may ask. Whether they may write shows when they do.
    if (SluiceError.is(error, LAKE_DENIED, LAKE_NETWORK, LAKE_LOGIN)) return null;
    throw error;
  }
}
