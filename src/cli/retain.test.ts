/**
 * `sluice retain` through the command line, on a lake on disk.
 */
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { H7, H9, makeSpec, write } from '../../test/fakes/small-lake.ts';
import { systemClock } from '../core/clock.ts';
import { hourName, parseHourName } from '../core/time.ts';
import { openLocalLake } from '../lake/local/local.ts';
import type { RetainSummary } from '../pipeline/retain.ts';
import { runCommandLine } from './main.ts';
import { testIo } from './test-io.ts';

let cwd: string;
beforeAll(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'sluice-retain-'));
  await using lake = await openLocalLake(join(cwd, 'lake'));
  await write(lake, makeSpec());
});
afterAll(() => rm(cwd, { recursive: true }));

async function sluice(retention: string, ...args: string[]): Promise<{ code: number; out: string; err: string }> {
  await writeFile(join(cwd, 'sluice.yaml'), `pipeline: shop\nsource: { uri: "mongodb://h" }\nlake: { url: file:./lake${retention} }\n`);
  const io = testIo({ cwd });
  const code = await runCommandLine(io, args);
  return { code, out: io.out(), err: io.err() };
}

describe('sluice retain', () => {
  it('needs to be told how long files are kept', async () => {
    const { code, err } = await sluice('', 'retain');
    expect([code, err.includes('retention: { hours: 90d, dumps: 30d }')]).toEqual([2, true]);
  });

  it('says what would go, removes it, and verify agrees', async () => {
    const wanted = Math.floor(systemClock.now() / 3_600_000) - 1;
    const before = wanted > parseHourName(H7)! ? hourName(Math.min(wanted, parseHourName(H9)!)) : null;
    const paths = await readdir(join(cwd, 'lake'), { recursive: true });
    const planned = JSON.parse((await sluice(', retention: { hours: 1h }', 'retain', '--dry-run', '--json')).out) as RetainSummary;
    expect(planned).toMatchObject({ dryRun: true, hoursBefore: before });
    expect((await readdir(join(cwd, 'lake'), { recursive: true })).filter((path) => !path.includes('maintenance'))).toEqual(paths);
    const { code, out } = await sluice(', retention: { hours: 1h }', 'retain');
    expect([code, out.includes(`Removed: ${planned.files.hours} file`)]).toEqual([0, true]);
    expect((await sluice('', 'verify', '--lake')).code).toBe(0);
  });
});
