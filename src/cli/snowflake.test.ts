/** The commands on Snowflake: a stand-in behind a configuration, and files that are rendered. */
import { appendFile, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeSpec, write } from '../../test/fakes/small-lake.ts';
import { standInMissing, startStandIn, type StandIn } from '../../test/fakes/snowflake/stand-in.ts';
import { openLocalLake } from '../lake/local/local.ts';
import { runCommandLine } from './main.ts';
import { testIo, type TestIo } from './test-io.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-cli-snowflake-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function configure(url: string, lake = 'file:./lake', include: readonly string[] = ['shop.orders']): Promise<void> {
  const config = {
    pipeline: 'shop',
    source: { uri: 'mongodb://127.0.0.1:1/?replicaSet=rs0', include },
    lake: { url: lake },
    warehouse: { url, auth: { kind: 'pat', user: 'SLUICE', token: 'good-token' } },
    http: { port: 0 },
  };
  await writeFile(join(folder, 'sluice.yaml'), JSON.stringify(config));
}

async function sluice(...args: readonly string[]): Promise<TestIo & { readonly code: number }> {
  const io = testIo({ cwd: folder });
  const code = await runCommandLine(io, args);
  return { ...io, code };
}

describe('sluice render snowflake', () => {
  const rendered = (): string => join(folder, 'rendered/snowflake');

  it('writes numbered files, and says what differs from them', async () => {
    await configure('snowflake://acme/ANALYTICS?warehouse=LOADING&role=LOADER');
    const first = await sluice('render', 'snowflake');
    expect(first.code, first.err()).toBe(0);
    const names = await readdir(rendered());
    expect(names.toSorted()).toEqual(names.toSorted((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10)));
    expect(names).toContain('99_destroy.sql');
    expect(await readFile(join(rendered(), '06_tables.sql'), 'utf8')).toContain('CREATE TABLE IF NOT EXISTS bronze.shop__orders');
    expect((await sluice('render', 'snowflake', '--diff')).code).toBe(0);
    await appendFile(join(rendered(), '01_roles.sql'), '-- mine\n');
    const changed = await sluice('render', 'snowflake', '--diff', '--events-per-day', '90000000');
    expect(changed.code).toBe(1);
    expect(changed.out()).toContain('- -- mine');
    expect(changed.out()).toContain('WAREHOUSE_SIZE = SMALL');
  });

  it.each([
    ['a lake on this machine, for Snowflake to read', ['--mode', 'task'], /abfss/],
    ['globs instead of names', ['shop.*'], /by name|Name them/],
    ['two things at once', ['--apply', '--diff'], /exclude each other/],
    ['a destroy that nobody confirms', ['--destroy'], /--yes/],
    ['a mode that there is not', ['--mode', 'magic'], /magic/],
  ])('refuses %s', async (_what, args, message) => {
    await configure('snowflake://acme/ANALYTICS');
    const refused = await sluice('render', 'snowflake', ...args);
    expect(refused.code).toBe(2);
    expect(refused.err()).toMatch(message);
  });

  it.each([
    ['it is told where the lake is', 'file:./lake', ['--lake', 'abfss://lake@acme.dfs.core.windows.net/prod']],
    ['the lake is on Azure', 'https://acme.dfs.core.windows.net/lake/prod', []],
  ])('renders what Snowflake reads by itself when %s', async (_when, lake, args) => {
    await configure('snowflake://acme/ANALYTICS', lake);
    const out = join(folder, 'task');
    const done = await sluice('render', 'snowflake', '--mode', 'task', ...args, '--out', out, 'shop.orders');
    expect(done.code, done.err()).toBe(0);
    expect(await readFile(join(out, '07_load.sql'), 'utf8')).toContain('@sluice.lake/shop/orders/');
    expect(await readFile(join(out, '05_stage.sql'), 'utf8')).toContain('azure://acme.blob.core.windows.net/lake/prod/');
  });
});

describe.skipIf(standInMissing !== null)('on a stand-in for Snowflake', () => {
  let standIn: StandIn;
  beforeAll(async () => {
    standIn = await startStandIn();
  });
  afterAll(async () => {
    await standIn[Symbol.asyncDispose]();
  });

  it('render --apply, load, merge, query, verify and status work as on DuckDB, and --destroy leaves the data', async () => {
    await configure(standIn.url('CLI'));
    {
      await using lake = await openLocalLake(join(folder, 'lake'));
      await write(lake, makeSpec());
    }
    const steps: readonly (readonly [args: readonly string[], said: RegExp])[] = [
      [['render', 'snowflake', '--apply', 'shop.orders'], /statements run/],
      [['load'], /rows loaded/],
      [['merge'], /./],
      [['query', '--json', 'select count(*) as n from bronze.shop__orders'], /"n":\d+/],
      [['schema', 'shop.orders', '--check'], /shop__orders +_id +BIGINT/],
      [['query', '--json', 'select count(*) as n from gold.shop__orders'], /"n":\d+/],
      [['pause', 'shop.orders'], /./],
      [['resume', 'shop.orders'], /./],
      [['collections'], /shop\.orders.*ACTIVE|ACTIVE.*shop\.orders/],
      [['verify', '--warehouse'], /Everything agrees/],
      [['status'], /./],
      [['render', 'snowflake', '--destroy', '--yes', 'shop.orders'], /statements run/],
      [['verify', '--warehouse'], /Everything agrees/],
    ];
    for (const [args, said] of steps) {
      const done = await sluice(...args);
      expect(done.code, `${args.join(' ')}: ${done.out()} ${done.err()}`).toBe(0);
      expect(done.out(), args.join(' ')).toMatch(said);
    }
  });

  it('doctor says what is wrong with the login', async () => {
    await configure(standIn.url('CLI', { role: 'NOBODY' }));
    const done = await sluice('doctor', '--json');
    expect(done.out()).toContain('GRANT ROLE');
    expect(done.out() + done.err()).not.toContain('good-token');
  });
});
