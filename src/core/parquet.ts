/**
 * The contract of what writes the lines of the lake as Parquet: one implementation, with DuckDB, loaded when it is needed.
 */

/** The columns are told in docs/specs/lake.md. */
export interface ParquetWriter extends AsyncDisposable {
  /**
   * Writes each line of `from` as a row of `to`, in order, the line itself untouched.
   * @param from a file of whole lines, not compressed
   * @param to a file that is not there yet
   * @param rowsPerGroup rows that are held in memory together
   * @throws WAREHOUSE_FAILED when a line cannot be taken, or the disk is full
   */
  write(from: string, to: string, rowsPerGroup: number, signal: AbortSignal): Promise<void>;
}
