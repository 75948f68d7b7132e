/** The sealer by itself, in states that the rest of the pipeline does not get into: its invariants must not rest on that. */
import { describe, expect, it } from 'vitest';
import { CARTS, fileSpec, H7, H8, openPart, ORDERS, pathOf } from '../../test/fakes/small-lake.ts';
import { systemClock } from '../core/clock.ts';
import { asPosition } from '../core/event.ts';
import { LAYOUT_PRESETS } from '../core/layout.ts';
import { parseHourName, SECONDS_PER_HOUR } from '../core/time.ts';
import { openMemoryLake } from '../lake/memory/memory.ts';
import { silentLog } from '../ops/log.ts';
import { newStats } from '../ops/stats.ts';
import { newCheckpoint, type HourRecord } from './checkpoint.ts';
import { Committer } from './committer.ts';
import { Floors } from './floor.ts';
import { Ledger } from './ledger.ts';
import { manifestPath } from './publish.ts';
import { Sealer } from './sealer.ts';
import { Writer } from './writer.ts';

const never = new AbortController().signal;
const LAYOUT = LAYOUT_PRESETS.hive;
const OVER = parseHourName(H8)! * SECONDS_PER_HOUR;
const OPTIONS = { layout: LAYOUT, compression: 'none', rollBytesMax: 1e6, rollAgeMs: 1e9, partsOpenMax: 10, fingerprint: 'f' } as const;

describe('an hour that is over', () => {
  it('is not published for a collection while a part of it is not sealed, and neither is the hour as a whole', async () => {
    await using lake = await openMemoryLake();
    const committer = await Committer.load(lake, 'shop', LAYOUT, systemClock, newStats(), never);
    const hour = (ns: typeof ORDERS, next: number): HourRecord => ({ ns, hour: H7, next, since: '20261121', state: 'open' });
    const file = fileSpec(ORDERS, H7, 0, 3);
    Object.assign(committer.state, {
      ...newCheckpoint('shop', LAYOUT),
      // The watermark is past the hour, the position is not past the part.
      resume: { position: asPosition('82'), clusterTime: { t: OVER, i: 1 }, token: new Uint8Array() },
      watermark: { t: OVER, i: 1 },
      fingerprint: 'f',
      parts: [openPart(file)],
      hours: [hour(ORDERS, 1), hour(CARTS, 0)],
      startedAt: { t: OVER - SECONDS_PER_HOUR, i: 1 },
      nextHour: parseHourName(H7)!,
    });
    const ledger = new Ledger(lake, committer, systemClock);
    const sealer = new Sealer(lake, committer, ledger, newStats(), silentLog);
    const writer = new Writer(lake, committer, ledger, new Floors('f', null), OPTIONS, systemClock, newStats());
    expect(await sealer.settle(writer, never)).toBe(0);
    const paths: string[] = [];
    for await (const { path } of lake.list('', never)) paths.push(path);
    expect(paths).toContain(manifestPath('shop', LAYOUT, CARTS, H7));
    expect(paths).not.toContain(manifestPath('shop', LAYOUT, ORDERS, H7));
    expect(paths.filter((path) => path.includes('/hours/'))).toEqual([]);
    expect(committer.state.parts.map((part) => part.path)).toEqual([pathOf(file)]);
  });
});
