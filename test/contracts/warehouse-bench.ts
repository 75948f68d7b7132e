/** What the parts of the suite in warehouse.ts share. */
import { SluiceError, type ErrorKind } from '../../src/core/error.ts';
import type { Namespace } from '../../src/core/namespace.ts';
import type { SealedFile, Warehouse } from '../../src/core/warehouse.ts';
import type { SealedFiles, TestEvent } from './sealed-files.ts';

export interface WarehouseOptions {
  readonly deletes?: 'soft' | 'hard';
  readonly columns?: Readonly<Record<string, Readonly<Record<string, string>>>>;
}

export interface WarehouseUnderTest extends AsyncDisposable {
  /** Opens the storage, empty at first, and migrates it. Whatever was opened before is closed by then. */
  open(options?: WarehouseOptions): Promise<Warehouse>;
  /** Opens it as a command does that only reads, also beside one that is open. @throws as {@link Warehouse.assertMigrated} */
  look(options?: WarehouseOptions): Promise<Warehouse>;
  /** Runs statements past the warehouse, on its storage: to plant faults. */
  damage(...statements: readonly string[]): Promise<void>;
}

export const never = new AbortController().signal;
export const ORDERS: Namespace = { db: 'shop', coll: 'orders' };

/** What each test of the suite works with. */
export interface Bench {
  readonly warehouse: Warehouse;
  readonly files: SealedFiles;
  /** Closes the warehouse and opens it again, with other options perhaps. */
  reopen(options?: WarehouseOptions): Promise<Warehouse>;
  load(...files: readonly SealedFile[]): ReturnType<Warehouse['load']>;
  /** Seals one file with these events, loads and merges it. */
  take(ns: Namespace, events: readonly TestEvent[]): Promise<void>;
  merge(ns: Namespace, rebuild?: boolean): Promise<number>;
  rows(sql: string): Promise<readonly (readonly unknown[])[]>;
  damage: WarehouseUnderTest['damage'];
}

/** The warehouse, closed again if it cannot be made ready. @param how as who loads, or as who only looks */
export async function ready(opened: Warehouse, how: 'migrate' | 'assertMigrated'): Promise<Warehouse> {
  try {
    await opened[how]();
    return opened;
  } catch (error) {
    await opened[Symbol.asyncDispose]();
    throw error;
  }
}

/** What became of it: the kind of its error, or `done`. */
export async function kindOf(work: Promise<unknown>): Promise<ErrorKind | Error | 'done'> {
  try {
    await work;
    return 'done';
  } catch (error) {
    return error instanceof SluiceError ? error.kind : (error as Error);
  }
}
