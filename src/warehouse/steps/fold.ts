/**
 * How a range of bronze gets into silver, and what is done when it does not fit into the memory that the database has.
 */
import type { UserColumn } from '../sql/columns.ts';
import type { Tables } from '../sql/names.ts';
import type { Range } from '../sql/silver.ts';
import type { Statement } from '../sql/statement.ts';

export interface Fold {
  /** @param parts the keys are divided into so many, folded one after the other, where that saves memory */
  statements(tables: Tables, range: Range, columns: readonly UserColumn[], parts: number): readonly Statement[];
  /** More parts would have helped. */
  isTooLarge(error: unknown): boolean;
}

/** By then a part is smaller than what DuckDB handles at once. */
const PARTS_FACTOR_MAX = 256;

/** Does `work`, which is a transaction, with parts halved as long as they do not fit. @param work is told by how much there must be more of them */
export async function untilItFits<T>(fold: Fold, work: (factor: number) => Promise<T>): Promise<T> {
  for (let factor = 1; ; factor *= 2) {
    try {
      return await work(factor);
    } catch (error) {
      if (!fold.isTooLarge(error) || factor >= PARTS_FACTOR_MAX) throw error;
    }
  }
}
