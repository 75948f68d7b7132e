import type { Config } from '../config/config.ts';
import type { QueryResult, Warehouse } from '../core/warehouse.ts';
import { needWarehouse } from './load.ts';
import type { CommandOptions, QueryArgs } from './types.ts';

/** Reads the warehouse from a process of its own. @throws WAREHOUSE_BUSY while another has its file open */
export async function queryWarehouse(config: Config, args: QueryArgs, options: CommandOptions, signal: AbortSignal): Promise<QueryResult> {
  await using warehouse = await needWarehouse(config, options.log, 'look');
  return await queryWith(warehouse, args, signal);
}

export async function queryWith(warehouse: Warehouse, { sql, limit, asOf }: QueryArgs, signal: AbortSignal): Promise<QueryResult> {
  return await warehouse.query(asOf === null ? sql : await warehouse.asOf(sql, asOf), limit, signal);
}
