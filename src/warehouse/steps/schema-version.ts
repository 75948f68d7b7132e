/**
 * Of which version the tables of a warehouse are.
 *
 * Invariant: who only looks changes nothing, whatever it finds and however it is configured. A command that is run on a laptop, or with a
 * newer version or another `warehouse.columns`, must not change tables that a loader elsewhere writes to.
 */
import { SluiceError } from '../../core/error.ts';
import { WAREHOUSE_EMPTY, WAREHOUSE_FAILED, WAREHOUSE_OLDER } from '../../core/errors.ts';
import type { Catalog } from '../sql/names.ts';
import { SCHEMA_VERSION, selectSchemaExists, selectSchemaVersion } from '../sql/schema.ts';
import type { Session } from './session.ts';

/** 0: there are none that this login can see, or they are just being made. @throws WAREHOUSE_FAILED they are of a newer sluice */
export async function knownVersion(session: Session, catalog: Catalog): Promise<number> {
  const [found] = await session.all<{ tables: number }>(selectSchemaExists(catalog));
  if ((found?.tables ?? 0) === 0) return 0;
  const version = (await session.all<{ version: number | null }>(selectSchemaVersion(catalog)))[0]?.version ?? 0;
  if (version <= SCHEMA_VERSION) return version;
  throw new SluiceError(WAREHOUSE_FAILED, `its tables are of version ${version}, this sluice knows ${SCHEMA_VERSION}`, {
    next: 'Run the newer version of sluice.',
  });
}

/** @param where the warehouse @throws WAREHOUSE_EMPTY, WAREHOUSE_OLDER, WAREHOUSE_FAILED */
export async function assertCurrent(session: Session, catalog: Catalog, where: string): Promise<void> {
  const version = await knownVersion(session, catalog);
  if (version === 0) throw new SluiceError(WAREHOUSE_EMPTY, `${where} has no tables of sluice that this login can see`);
  if (version < SCHEMA_VERSION) throw new SluiceError(WAREHOUSE_OLDER, `${where} has version ${version}, this sluice reads ${SCHEMA_VERSION}`);
}
