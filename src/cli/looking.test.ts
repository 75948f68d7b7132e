/**
 * Commands that only look, through the command line: they leave the warehouse as it is, also where there is none, and say what to run.
 */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { makeSpec, write } from '../../test/fakes/small-lake.ts';
import type { PipelineStatus } from '../app/types.ts';
import { openLocalLake } from '../lake/local/local.ts';
import { Database } from '../warehouse/duckdb/database.ts';
import { runCommandLine } from './main.ts';
import { testIo } from './test-io.ts';

let cwd: string;
beforeEach(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'sluice-looking-'));
  await using lake = await openLocalLake(join(cwd, 'lake'));
  await write(lake, makeSpec());
  await configure({});
});
afterEach(() => rm(cwd, { recursive: true }));

async function configure(columns: Readonly<Record<string, string>>): Promise<void> {
  const config = {
    pipeline: 'shop',
    // Refused at once: `status` would wait for a server that is away.
    source: { uri: 'mongodb://127.0.0.1:1/?readPreference=none' },
    lake: { url: 'file:./lake', retention: { hours: '90d' } },
    warehouse: { url: 'duckdb:./w.duckdb', columns: { 'shop.orders': columns } },
  };
  await writeFile(join(cwd, 'sluice.yaml'), JSON.stringify(config));
}

async function sluice(...args: readonly string[]): Promise<{ code: number; out: string; err: string }> {
  const io = testIo({ cwd });
  const code = await runCommandLine(io, args);
  return { code, out: io.out(), err: io.err() };
}

const COUNT = ['query', 'select count(*)::int as n, count(text)::int as texts from silver.shop__orders where is_current'] as const;
const LOOKS: readonly (readonly string[])[] = [
  COUNT,
  ['query', '--as-of', '2026-11-21T07:00:01Z', 'select key from shop__orders'],
  ['collections'],
  ['schema'],
  ['verify'],
  ['retain', '--dry-run'],
  ['erase', 'shop.orders', '--key', '1', '--dry-run'],
  ['restore', 'shop.orders', '--as-of', '2026-11-21T07:00:01Z', '--from', 'warehouse', '--to', 'file:./back.ndjson'],
];

async function damage(sql: string): Promise<void> {
  await using database = await Database.open(join(cwd, 'w.duckdb'));
  await database.read((session) => session.run({ text: sql, values: [] }));
}

it('a warehouse that is not there is not made by who looks: it says what makes it', async () => {
  const before = await readdir(cwd);
  // What is on the lake can be proved all the same.
  const verified = await sluice('verify');
  expect([verified.code, verified.out]).toEqual([0, expect.stringMatching(/✓ lake[^]*nothing has been loaded yet/)]);
  for (const args of LOOKS) {
    const { code, err } = await sluice(...(args[0] === 'verify' ? ['verify', '--warehouse'] : args));
    expect([code, err], args.join(' ')).toEqual([2, expect.stringMatching(/SLC-1307 +Nothing has been loaded .*\n.*sluice load/)]);
  }
  expect(await status()).toEqual({ ...LEFT_OUT, log: '' });
  expect((await sluice('doctor')).out).toContain('✓ tables: not made yet');
  expect((await sluice('verify', '--lake')).code).toBe(0);
  expect(await readdir(cwd)).toEqual(before);
  expect((await sluice('load')).code).toBe(0);
  expect((await sluice('collections')).out).toContain('shop.orders');
});

it('columns that are configured here and not where it is loaded come and go with who folds, and with nobody else', async () => {
  await configure({ text: 'fullDocument.text VARCHAR' });
  await sluice('load');
  await sluice('merge');
  const { out: counted } = await sluice(...COUNT);
  expect(counted).toMatch(/"n":([1-9]\d*),"texts":\1\D/);
  await configure({ other: 'fullDocument.text VARCHAR' });
  for (const args of [...LOOKS, ['pause', 'shop.orders'], ['resume', 'shop.orders'], ['retain'], ['doctor'], ['status']]) {
    const { err } = await sluice(...args);
    expect(err, args.join(' ')).not.toMatch(/SLC-13|other/);
  }
  expect((await sluice(...COUNT)).out).toBe(counted);
  await sluice('merge');
  expect((await sluice(...COUNT)).code).toBe(1);
  expect((await sluice('query', 'select count(other) > 0 as filled from silver.shop__orders')).out).toBe('{"filled":true}\n');
});

/** What it says on stderr beside what it shows. */
async function status(): Promise<{ readonly code: number; readonly collections: PipelineStatus['collections']; readonly log: string }> {
  const file = join(cwd, 'log');
  const { code, out } = await sluice('status', '--json', '--log-file', file);
  const log = await readFile(file, 'utf8').catch(() => '');
  await rm(file, { force: true });
  return { code, collections: (JSON.parse(out) as PipelineStatus).collections, log };
}

const LEFT_OUT = {
  code: 0,
  collections: expect.arrayContaining([expect.objectContaining({ namespace: 'shop.orders', rowsLoaded: null })]) as unknown,
  log: expect.stringContaining('left out') as string,
};

it('tables of an older version are left to what loads; status does without them, and doctor tells', async () => {
  await sluice('load');
  await damage('update sluice.control set schema_version = 4');
  for (const args of [COUNT, ['collections'], ['verify', '--warehouse']]) {
    const { code, err } = await sluice(...args);
    expect([code, err], args.join(' ')).toEqual([2, expect.stringMatching(/SLC-1308 .*version 4.*\n.*sluice load/)]);
  }
  expect(await status()).toEqual(LEFT_OUT);
  const doctor = await sluice('doctor');
  expect(doctor.out).toMatch(/- tables: .*version 4.*\n.*sluice load/);
  await sluice('load');
  expect(await status()).toMatchObject({ code: 0, log: '' });
});

it('a warehouse that cannot be opened, or whose tables may not be read, does not keep status from the rest', async () => {
  await sluice('load');
  await damage('alter table sluice.collection_registry rename to hidden');
  expect(await status()).toEqual(LEFT_OUT);
  await writeFile(join(cwd, 'w.duckdb'), 'not a database'.repeat(1000));
  expect(await status()).toEqual(LEFT_OUT);
});
