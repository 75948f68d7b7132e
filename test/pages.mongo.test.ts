/**
 * What the pages tell people to type works: every fence that is tagged `sh run` is run, in the order of its page, in a folder with
 * the configuration that the README shows, a MongoDB with a small shop, and what one run has carried over from it. A fence `yaml run`
 * becomes the configuration of what follows on its page.
 */
import { execFile } from 'node:child_process';
import { chmod, cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Decimal128 } from 'mongodb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ReplicaSet } from '../src/app/demo/replica-set.ts';
import { AZURITE_KEY, startAzurite } from './azurite.ts';
import { startMongo } from './mongo.ts';
import { fencesOf, pages, type Fence } from './pages.ts';

const ROOT = join(import.meta.dirname, '..');
const RUN = /^(sh|yaml) run$/;
const tagged = pages()
  .map((page) => [page, fencesOf(page).filter(({ kind }) => RUN.test(kind))] as const)
  .filter(([, fences]) => fences.length > 0);
const CONFIGURATION = fencesOf('README.md').find(({ kind, text }) => kind === 'yaml' && text.startsWith('pipeline:'))!.text;

let set: ReplicaSet;
let top: string;
let env: NodeJS.ProcessEnv;

beforeAll(async () => {
  top = await mkdtemp(join(tmpdir(), 'sluice-pages-'));
  set = await startMongo();
  env = { PATH: `${join(top, 'bin')}:${process.env['PATH'] ?? ''}`, HOME: top, MONGODB_URI: set.uri };
  await mkdir(join(top, 'bin'));
  await program('sluice', `exec "${process.execPath}" "${join(ROOT, 'bin/sluice.js')}" "$@"`);
  await program('npx', 'exec "$@"');
  await mkdir(join(top, 'base'));
  await writeFile(join(top, 'base/sluice.yaml'), CONFIGURATION);
  // The pipeline begins where the shop opens: its changes are there before the first run is.
  env['SLUICE_SOURCE__START_AT'] = new Date(Math.floor(Date.now() / 1000) * 1000).toISOString();
  await shop();
  await sh(join(top, 'base'), 'sluice run --until-idle 1');
}, 180_000);

afterAll(async () => {
  await set?.stop();
  await rm(top, { recursive: true, force: true });
});

async function program(name: string, line: string): Promise<void> {
  await writeFile(join(top, 'bin', name), `#!/bin/sh\n${line}\n`);
  await chmod(join(top, 'bin', name), 0o755);
}

async function shop(): Promise<void> {
  const orders = (await set.connect()).db('shop').collection('orders');
  const total = Decimal128.fromString('129.90');
  await orders.insertMany([1, 2, 3].map((n) => ({ customer: `c${n}`, status: 'placed', total, items: [{ sku: `s${n}`, count: n }] })));
  await orders.updateOne({ customer: 'c1' }, { $set: { status: 'paid', coupon: 'X' } });
  await orders.deleteOne({ customer: 'c3' });
  await (await set.connect()).db('shop').collection('customers').insertOne({ name: 'Ada' });
}

/** @throws with all that was printed */
async function sh(cwd: string, script: string, more: Readonly<Record<string, string>> = {}): Promise<string> {
  return await new Promise((resolve, reject) => {
    execFile('sh', ['-e', '-c', script], { cwd, env: { ...env, ...more }, timeout: 100_000 }, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else reject(new Error(`${script}\n${stdout}\n${stderr}`, { cause: error }));
    });
  });
}

describe('the commands of a page that can be run here', () => {
  it('are in the README and in several pages', () => {
    expect(tagged.map(([page]) => page)).toEqual(expect.arrayContaining(['README.md', 'docs/operating.md', 'docs/migrating.md']));
  });

  it.each(tagged)('%s', { timeout: 120_000 }, async (page, fences) => {
    const folder = join(top, page.replaceAll(/\W+/g, '-'));
    // A page that begins with `init` begins with nothing.
    if (fences[0]!.text.includes('sluice init')) await mkdir(folder);
    else await cp(join(top, 'base'), folder, { recursive: true });
    for (const fence of fences) await follow(folder, fence);
  });

  it('fail here when they fail', async () => {
    await expect(
      follow(join(top, 'base'), { at: 'x', kind: 'sh run', text: 'sluice query "select nonsense from nowhere"\necho on' }),
    ).rejects.toThrow(/SLC-\d{4}/);
  });
});

describe('the configuration of deploy/compose', () => {
  it('carries the shop into the storage emulator and into DuckDB, and it can be proved', async () => {
    await using azurite = await startAzurite();
    const folder = join(top, 'compose');
    await mkdir(folder);
    await cp(join(ROOT, 'deploy/compose/sluice.yaml'), join(folder, 'sluice.yaml'));
    const lake = { LAKE_URL: `${azurite.url}/lake/shop`, LAKE_KEY: AZURITE_KEY, WAREHOUSE: './warehouse.duckdb' };
    await sh(folder, 'sluice run --until-idle 1', lake);
    expect(await sh(folder, 'sluice query --json "select count(*) as n from silver.shop__orders where is_current"', lake)).toContain('"n":2');
    expect(await sh(folder, 'sluice verify', lake)).toContain('Everything agrees');
  });
});

async function follow(folder: string, { at, kind, text }: Fence): Promise<void> {
  if (kind === 'yaml run') return await writeFile(join(folder, 'sluice.yaml'), text);
  const out = await sh(folder, text);
  expect(out.length, `${at} says something`).toBeGreaterThan(0);
}
