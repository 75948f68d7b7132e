/**
 * Gaps of the history, as the checkpoint records them: those of a pipeline are told together, so that one that was closed or taken back is right here too.
 */
import type { WarehouseGap } from '../../core/warehouse.ts';
import type { Catalog } from './names.ts';
import { isoOf } from './registry.ts';
import { sql, text, type Statement } from './statement.ts';

export interface GapRow {
  readonly from_at: string;
  readonly to_at: string | null;
  readonly collections: string;
  readonly cause: string;
  readonly detected_at: string;
}

/** Seconds since 1970 are all that a cluster time has here. */
export function rowOfGap({ from, to, collections, cause, detectedAt }: WarehouseGap): GapRow {
  return { from_at: isoOf(from)!, to_at: isoOf(to), collections: collections.join(', '), cause, detected_at: detectedAt };
}

export function selectGaps(catalog: Catalog, pipeline: string): Statement {
  return sql`SELECT from_at, to_at, collections, cause, detected_at FROM ${catalog.gaps} WHERE pipeline = ${pipeline} ORDER BY from_at, detected_at`;
}

export function deleteGaps(catalog: Catalog, pipeline: string): Statement {
  return sql`DELETE FROM ${catalog.gaps} WHERE pipeline = ${pipeline}`;
}

/** At least one. */
export function insertGaps(catalog: Catalog, pipeline: string, gaps: readonly GapRow[]): Statement {
  const time = (iso: string | null): Statement => sql`CAST(${iso} AS TIMESTAMPTZ)`;
  const rows = gaps.map(
    (gap) => sql`(${pipeline}, ${time(gap.from_at)}, ${time(gap.to_at)}, ${gap.collections}, ${gap.cause}, ${time(gap.detected_at)})`,
  );
  return sql`INSERT INTO ${catalog.gaps} (${text('pipeline, from_at, to_at, collections, cause, detected_at')}) VALUES ${rows}`;
}
