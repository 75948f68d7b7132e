/**
 * What a seal has brought: the ledger's lines that were not there before.
 */
import type { Lake } from '../core/lake.ts';
import { isSealedLine } from '../core/ledger.ts';
import { readLedger } from '../pipeline/ledger.ts';
import type { SealSummary } from './types.ts';

export async function sealedBy(lake: Lake, pipeline: string, work: () => Promise<void>, signal: AbortSignal): Promise<SealSummary> {
  const before = new Set<string>();
  for await (const line of readLedger(lake, pipeline, '', signal)) if (isSealedLine(line)) before.add(line.path);
  await work();
  const files: string[] = [];
  let rows = 0;
  for await (const line of readLedger(lake, pipeline, '', signal)) {
    if (!isSealedLine(line) || before.has(line.path)) continue;
    files.push(line.path);
    rows += line.rows;
  }
  return { files, rows };
}
