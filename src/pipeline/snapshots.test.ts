/** What a successor finds of a snapshot that was being read: docs/specs/checkpoint.md. */
import { describe, expect, it } from 'vitest';
import { systemClock } from '../core/clock.ts';
import { LAKE_DAMAGED } from '../core/errors.ts';
import type { Position } from '../core/event.ts';
import type { Lake } from '../core/lake.ts';
import type { SnapshotSource } from '../core/snapshot.ts';
import { MemoryStore, openMemoryLake } from '../lake/memory/memory.ts';
import { silentLog } from '../ops/log.ts';
import { newStats } from '../ops/stats.ts';
import { Committer } from './committer.ts';
import { Ledger } from './ledger.ts';
import { folderOf, newSnapshot, snapshotLine } from './snapshot-record.ts';
import { Snapshots } from './snapshots.ts';

const never = new AbortController().signal;
const LIMITS = { compression: 'none', rollBytesMax: 1_000, flushBytesMax: 100, rangesAtOnce: 1, unavailableAfterMs: 60_000 } as const;
const LINE = Buffer.from(`${'x'.repeat(99)}\n`);

async function load(lake: Lake): Promise<Committer> {
  return await Committer.load(lake, 'p', 'hive', systemClock, newStats(), never);
}

/** An owner that has two parts, of one line each: one that is open, one that is about to be sealed; and dies. */
async function die(lake: Lake): Promise<[open: string, sealing: string]> {
  const committer = await load(lake);
  committer.state.epoch = 1;
  const position = '82'.padEnd(20, '0') as Position;
  const target = { namespace: { db: 'db', coll: 'a' }, refused: null, caveat: null, documents: 2, bytes: 200 };
  const at = { position, clusterTime: { t: 1_795_248_000, i: 1 }, fingerprint: 'A' };
  const record = newSnapshot(target, { cause: 'start', at, begunAt: '2026-11-21T08:00:00.000Z', since: '20261121' });
  const paths = ['open', 'sealing'].map((name) => `${folderOf(record)}${name}.jsonl`) as [string, string];
  for (const path of paths) {
    const appender = await lake.open(path, { epoch: 1, expect: 'absent' }, never);
    await appender.append([LINE], never);
    record.parts.push({ path, length: LINE.length, rows: 1, epoch: 1, state: 'open' });
  }
  const [, part] = record.parts as [(typeof record.parts)[0], (typeof record.parts)[0]];
  part.line = snapshotLine(record, part, 'a'.repeat(64), 1, 'snapshot');
  part.state = 'sealing';
  committer.state.snapshots.push(record);
  await committer.save('snapshot');
  return paths;
}

async function recover(lake: Lake): Promise<Committer> {
  const committer = await load(lake);
  committer.state.epoch += 1;
  await committer.save('epoch');
  const ledger = new Ledger(lake, committer, systemClock);
  try {
    await ledger.recover(never);
    const source = {} as SnapshotSource;
    const parts = { source, lake, committer, ledger, clock: systemClock, stats: newStats(), log: silentLog };
    await new Snapshots(LIMITS, parts, () => {}).recover(never);
  } finally {
    await ledger.close();
  }
  return committer;
}

describe('who comes after one that died while it read a collection whole', () => {
  it('seals the parts whose line is in the checkpoint, and throws the others away', async () => {
    const store = new MemoryStore();
    const lake = await openMemoryLake(store);
    const [open, sealing] = await die(lake);
    const { state } = await recover(lake);
    expect(store.files.has(open)).toBe(false);
    expect(store.files.has(sealing)).toBe(true);
    expect(state.snapshots).toMatchObject([{ parts: [], files: 1, rows: 1 }]);
  });

  it('goes on where another one died after it had thrown a part away', async () => {
    const lake = await openMemoryLake(new MemoryStore());
    const [open] = await die(lake);
    await lake.remove(open);
    const { state } = await recover(lake);
    expect(await lake.stat(open)).toBeNull();
    expect(state.snapshots).toMatchObject([{ parts: [], files: 1, rows: 1 }]);
  });

  it('does not go on where a part is gone that was about to be sealed', async () => {
    const lake = await openMemoryLake(new MemoryStore());
    const [, sealing] = await die(lake);
    await lake.remove(sealing);
    await expect(recover(lake)).rejects.toMatchObject({ code: LAKE_DAMAGED.code });
  });
});
