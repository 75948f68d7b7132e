/** Asks an account the whole table and says, row by row, what it answered. Everything that it makes it deletes. */
import { randomBytes } from 'node:crypto';
import { outcome, send, type Target } from '../client.ts';
import { ROWS } from './rows.ts';
import { nameOf, run, type Finding } from './table.ts';

/** @returns rows that differ from what is recorded, documented or told by others; those marked `unknown` never count */
export async function report(target: Target, wait: (seconds: number) => Promise<void>, print: (line: string) => void): Promise<number> {
  const container = `sluice-conformance-${randomBytes(4).toString('hex')}`;
  const onContainer = (method: string, name = container): Promise<string> =>
    send(target, { method, endpoint: 'blob', at: name, query: { restype: 'container' } }).then(outcome);
  const made = await onContainer('PUT');
  if (made !== '201') throw new Error(`container ${container} could not be made: ${made}`);
  try {
    const info = await send(target, { method: 'GET', endpoint: 'blob', at: container, query: { restype: 'account', comp: 'properties' } });
    const isHierarchical = info.headers['x-ms-is-hns-enabled'] === 'true';
    print(`${target.account}: ${isHierarchical ? 'hierarchical' : 'flat'}, ${info.headers['x-ms-sku-name']}, ${info.headers['x-ms-account-kind']}`);
    const rows = ROWS.filter((row) => row.on === 'any' || (row.on === 'flat') !== isHierarchical);
    let different = 0;
    for (const row of rows) {
      const found = await run(row, { target, container, wait });
      print(line(found));
      if (found.differences.length > 0 && found.rule.mark !== 'unknown') different += 1;
    }
    print(`${rows.length} rows, ${different} differ from what is recorded, documented or told by others`);
    return different;
  } finally {
    // Rows that did not go as they should may have left containers of their own.
    const left = await send(target, { method: 'GET', endpoint: 'blob', at: '', query: { comp: 'list', prefix: container } });
    for (const [, name] of left.body.toString().matchAll(/<Name>([^<]+)<\/Name>/g))
      print(`container ${name} deleted: ${await onContainer('DELETE', name)}`);
  }
}

function line(found: Finding): string {
  const isSame = found.differences.length === 0;
  const verdict = isSame ? 'same' : found.rule.mark === 'unknown' ? 'NEW ' : 'DIFF';
  return `${verdict}  ${nameOf(found.row)}\n      ${isSame ? found.got : `${found.got}; ${found.differences.join('; ')}`}`;
}
