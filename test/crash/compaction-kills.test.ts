/**
 * `sluice compact` as a process of its own: what it says, and what is left when it is killed at each of its failpoints, read from the
 * source. The lake is on a local disk, where whoever comes next cuts the ledger back to what is durable.
 */
import { execFile } from 'node:child_process';
import { appendFile, cp, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Lake } from '../../src/core/lake.ts';
import { isSealedLine, type SealedLine } from '../../src/core/ledger.ts';
import { openLocalLake } from '../../src/lake/local/local.ts';
import { sealedEvents } from '../../src/pipeline/event-files.ts';
import { readLedger } from '../../src/pipeline/ledger.ts';
import { verifyLake } from '../../src/pipeline/verify-lake.ts';
import { CaptureBench, HOUR, T0, events } from '../fakes/capture-bench.ts';
import { failpointNames } from './failpoint-names.ts';

const never = new AbortController().signal;
const LAUNCHER = fileURLToPath(new URL('../../bin/sluice.js', import.meta.url));
const PIPELINE = 'p';
/** Its own, and those of what it shares with every owner of a ledger. */
const NAMES = [
  ...(await failpointNames()).filter((name) => name.includes('compact')),
  'ledger.before-append',
  'ledger.after-append',
  'ledger.after-open',
];
const SCRIPT = {
  events: events(...Array.from({ length: 8 }, (_, n) => [1 + n, 'a', { bytes: 300 }] as const), [HOUR + 1, 'b'], [2 * HOUR + 1, 'a']),
  end: { t: T0 + 2 * HOUR + 5, i: 1 },
  batchEvents: 2,
};

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-compact-kills-'));
  const lake = await openLocalLake(join(folder, 'begun'));
  const bench = new (class extends CaptureBench {
    override lake = async (): Promise<Lake> => lake;
  })();
  await bench.runAndStop(SCRIPT, { rollBytesMax: 1_000, flushBytesMax: 600 });
});
afterAll(async () => await rm(folder, { recursive: true, force: true }));

interface Ended {
  readonly signal: string | null;
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** A lake of its own with the same content, and its configuration. */
async function copy(name: string): Promise<{ root: string; config: string }> {
  const root = join(folder, name.replaceAll(/[^a-z]/g, '_'));
  await cp(join(folder, 'begun'), root, { recursive: true, filter: (path) => !path.endsWith('/lock') });
  const config = `${root}.yaml`;
  await writeFile(config, `pipeline: ${PIPELINE}\nsource: { uri: "mongodb://127.0.0.1:1", include: ["db.*"] }\nlake: { url: "file:${root}" }\n`);
  return { root, config };
}

function sluice(config: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Ended> {
  return new Promise((resolve) => {
    const options = { env: { ...process.env, XDG_STATE_HOME: folder, TMPDIR: folder, ...env } };
    execFile(process.execPath, [LAUNCHER, '--config', config, ...args], options, (error, out, err) =>
      resolve({ signal: error?.signal ?? null, code: typeof error?.code === 'number' ? error.code : 0, out, err }),
    );
  });
}

async function look(root: string): Promise<{ lines: string; parquet: number; faults: string[] }> {
  await using lake = await openLocalLake(root);
  const sealed: SealedLine[] = [];
  for await (const line of readLedger(lake, PIPELINE, '', never)) if (isSealedLine(line)) sealed.push(line);
  const superseded = new Set(sealed.flatMap(({ supersedes = [] }) => supersedes));
  const inForce = sealed.filter(({ path }) => !superseded.has(path)).toSorted((a, b) => (a.path < b.path ? -1 : 1));
  let lines = '';
  for (const one of inForce) for await (const line of sealedEvents(lake, one, never)) lines += Buffer.from(line).toString();
  const { findings } = await verifyLake(lake, PIPELINE, { signal: never });
  return {
    lines,
    parquet: inForce.filter(({ path }) => path.endsWith('.parquet')).length,
    faults: findings.map(({ check, path, detail }) => `${check} ${path}: ${detail}`),
  };
}

describe('sluice compact', () => {
  it('says what it did, and then that there is nothing to do', async () => {
    const { config } = await copy('says');
    const first = await sluice(config, ['compact']);
    expect(first.err).toBe('');
    expect(first.out).toMatch(/^\d files of 2 collection-hours became 2 Parquet files, 9 rows\.\n[\d.]+ kB became [\d.]+ kB\.\n$/);
    expect(await sluice(config, ['compact'])).toMatchObject({
      code: 0,
      out: 'Nothing to compact: no hour that is over has files that are not Parquet.\n',
    });
    expect(await sluice(config, ['verify', '--lake'])).toMatchObject({ code: 0 });
  });

  it('says it to programs, too, and only of what was asked for', async () => {
    const { config } = await copy('programs');
    const { out } = await sluice(config, ['--json', 'compact', 'db.b']);
    expect(JSON.parse(out)).toMatchObject({ hours: 1, files: 1, replaced: 1, rows: 1, waiting: [], failed: [] });
    expect(await sluice(config, ['compact', '--from', '20261121-09', '--to', '20261121-08'])).toMatchObject({ code: 2 });
  });

  it('waits for the warehouse that the configuration has', async () => {
    const { config, root } = await copy('waits');
    await appendFile(config, `warehouse: { url: "duckdb:${root}.duckdb" }\n`);
    const { out } = await sluice(config, ['compact']);
    expect(out).toMatch(
      /^Nothing was compacted\.\n2 collection-hours not compacted: the warehouse has not loaded all of their files yet; `sluice load` does it:\n {2}20261121-08\/db\.a\n/,
    );
    expect(await sluice(config, ['load'])).toMatchObject({ code: 0 });
    expect((await sluice(config, ['--json', 'compact'])).out).toContain('"hours":2');
    expect(await sluice(config, ['verify'])).toMatchObject({ code: 0 });
  });

  it('has failpoints to be killed at', () => {
    expect(NAMES.length).toBeGreaterThan(12);
  });
});

describe.each(NAMES)('killed at %s', (name) => {
  it('leaves every line where readers look for it, and the next one ends it', async () => {
    const { root, config } = await copy(name);
    const before = await look(root);
    const died = await sluice(config, ['compact'], { SLUICE_FAILPOINT: name });
    expect(died.signal, died.err).toBe('SIGKILL');
    const left = async (): Promise<string[]> => (await readdir(folder)).filter((each) => each.startsWith('sluice-compact-'));
    if (name === 'compact.before-put') expect(await left()).toHaveLength(1);
    expect(await look(root)).toMatchObject({ lines: before.lines, faults: [] });
    const { code, err } = await sluice(config, ['compact']);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(await left()).toEqual([]);
    expect(await look(root)).toEqual({ lines: before.lines, parquet: 2, faults: [] });
  });
});
