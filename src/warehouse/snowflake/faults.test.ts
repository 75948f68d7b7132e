/** What goes wrong with Snowflake: logins that are refused, sessions that are lost, loaders that die or meet each other. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { SealedFiles, type TestEvent } from '../../../test/contracts/sealed-files.ts';
import { kindOf, never, ORDERS } from '../../../test/contracts/warehouse-bench.ts';
import { standInMissing, startStandIn, type StandIn } from '../../../test/fakes/snowflake/stand-in.ts';
import { TcpProxy } from '../../../test/fakes/tcp-proxy.ts';
import { SluiceError, type ErrorKind } from '../../core/error.ts';
import { CONFIG_INVALID, WAREHOUSE_REFUSED, WAREHOUSE_UNAVAILABLE } from '../../core/errors.ts';
import type { SealedFile, Warehouse } from '../../core/warehouse.ts';
import { silentLog } from '../../ops/log.ts';
import { putFiles } from './bronze.ts';
import { SnowflakeConnection, type SnowflakeAuth } from './connection.ts';
import { planCollection } from './render/plan.ts';
import { renderSnowflake } from './render/render.ts';
import { openSnowflake } from './snowflake.ts';
import { parseTarget } from './target.ts';

const insert = (n: number, key = `"${n % 3}"`): TestEvent => ({ n, op: 'insert', key, doc: `{"n":${n}}` });
const PAT: SnowflakeAuth = { kind: 'pat', user: 'SLUICE', token: 'good-token' };

describe.skipIf(standInMissing !== null)('Snowflake', () => {
  let standIn: StandIn;
  let folder: string;
  let files: SealedFiles;
  const opened: Warehouse[] = [];
  beforeAll(async () => {
    standIn = await startStandIn();
  });
  afterAll(async () => {
    await standIn[Symbol.asyncDispose]();
  });
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sluice-snowflake-test-'));
    files = new SealedFiles(join(folder, 'lake'));
  });
  afterEach(async () => {
    for (const warehouse of opened.splice(0)) await warehouse[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  function open(url: string, auth: SnowflakeAuth | null = PAT): Warehouse {
    const warehouse = openSnowflake({ url, auth, pipeline: 'shop', deletes: 'soft', columns: {}, log: silentLog });
    opened.push(warehouse);
    return warehouse;
  }
  async function ready(url: string, auth?: SnowflakeAuth): Promise<Warehouse> {
    const warehouse = open(url, auth);
    await warehouse.migrate();
    return warehouse;
  }

  describe('a login', () => {
    it('works with a key, with OAuth and with an access token', async () => {
      const ways: SnowflakeAuth[] = [
        { kind: 'keyPair', user: 'SLUICE', privateKeyFile: standIn.privateKeyFile },
        { kind: 'oauth', token: 'good-token' },
        PAT,
      ];
      for (const auth of ways) expect((await (await ready(standIn.url('LOGIN'), auth)).query('select 1', 1, never)).rows).toEqual([[1]]);
    });

    const secret = 'not-the-token';
    const refused: readonly (readonly [
      what: string,
      auth: () => SnowflakeAuth | null,
      parameters: Record<string, string>,
      kind: ErrorKind,
      next: RegExp,
    ])[] = [
      ['another key', () => ({ kind: 'keyPair', user: 'SLUICE', privateKeyFile: standIn.wrongKeyFile }), {}, WAREHOUSE_REFUSED, /RSA_PUBLIC_KEY/],
      [
        'a key of nobody',
        () => ({ kind: 'keyPair', user: 'SLUICE', privateKeyFile: join(folder, 'none.p8') }),
        {},
        WAREHOUSE_REFUSED,
        /privateKeyFile/,
      ],
      ['another OAuth token', () => ({ kind: 'oauth', token: secret }), {}, WAREHOUSE_REFUSED, /OAuth/],
      ['another access token', () => ({ kind: 'pat', user: 'SLUICE', token: secret }), {}, WAREHOUSE_REFUSED, /ACCESS TOKEN/],
      ['a locked user', () => ({ kind: 'pat', user: 'LOCKED', token: 'good-token' }), {}, WAREHOUSE_REFUSED, /locked/],
      ['no auth at all', () => null, {}, WAREHOUSE_REFUSED, /keyPair/],
      ['a role that it has not', () => PAT, { role: 'NOBODY' }, WAREHOUSE_REFUSED, /GRANT ROLE/],
      ['a warehouse that is not there', () => PAT, { warehouse: 'MISSING' }, WAREHOUSE_REFUSED, /warehouse=/],
      ['a warehouse that has spent its quota', () => PAT, { warehouse: 'SPENT' }, WAREHOUSE_REFUSED, /quota/],
      ['a parameter that nobody knows', () => PAT, { password: secret }, CONFIG_INVALID, /./],
    ];
    it.each(refused)('with %s is refused with what to do, and no secret', async (_what, auth, parameters, kind, next) => {
      const reason = await ready(standIn.url('LOGIN', parameters), auth() as SnowflakeAuth).catch((error: unknown) => error);
      expect(reason).toMatchObject({ kind, next: expect.stringMatching(next) as string });
      expect(`${(reason as SluiceError).message} ${(reason as SluiceError).next}`).not.toContain(secret);
    });

    it('where nobody answers is unavailable, and may be tried again', async () => {
      const url = 'snowflake://stand-in/LOGIN?accessUrl=http://127.0.0.1:1';
      const reason = await ready(url).catch((error: unknown) => error);
      expect(reason).toMatchObject({ kind: WAREHOUSE_UNAVAILABLE });
    }, 90_000);
  });

  describe('two loaders', () => {
    it('cannot both win', async () => {
      const url = standIn.url('TWO');
      const sealed = await Promise.all(Array.from({ length: 9 }, (_, n) => files.seal({ db: 'shop', coll: `c${n % 3}` }, [insert(n)])));
      await ready(url);
      const loaders = [open(url), open(url), open(url)];
      const results = await Promise.all(
        loaders.map((warehouse, i) =>
          warehouse.load(
            sealed.toSorted((a, b) => (a.line.path < b.line.path ? i - 1 : 1 - i)),
            never,
          ),
        ),
      );
      expect(results.flatMap((result) => result.rejected)).toEqual([]);
      expect(results.reduce((sum, result) => sum + result.files, 0)).toBe(9);
      expect((await loaders[0]?.collections())?.map((row) => row.rows)).toEqual([3, 3, 3]);
    });
  });

  it('copies files from where they are when a stage lies over the lake, plain and compressed, whatever it is the stage of', async () => {
    const sealed = [
      await files.seal(ORDERS, [insert(1), insert(2)], { path: 'shop/orders/a.jsonl' }),
      await files.seal(ORDERS, [insert(3)], { path: 'shop/orders/b.jsonl.gz', compression: 'gz' }),
      await files.seal(ORDERS, [insert(4)], { path: 'shop/orders/c.jsonl.zst', compression: 'zst' }),
      await files.seal(ORDERS, [insert(5)], { path: 'shop/orders/x/a.jsonl' }),
    ];
    // The stand-in has no lake: its stage is filled as a lake would be.
    const connection = await SnowflakeConnection.open(parseTarget(standIn.url('STAGED')), PAT, 'test', never);
    for (const { line, localPath } of sealed) {
      const put = putFiles(localPath ?? '', `@lakes.shop/prod/${line.path.slice(0, line.path.lastIndexOf('/'))}`);
      await connection.run(put, { limitMs: 60_000, tag: 'test', signal: never });
    }
    await connection.close();
    const warehouse = await ready(standIn.url('STAGED', { stage: 'lakes.shop/prod' }));
    const gone = { ...sealed[0]!, localPath: null, line: { ...sealed[0]!.line, path: 'shop/orders/none.jsonl' } };
    const unread = sealed.map((file) => ({
      ...file,
      localPath: null,
      read: () => {
        throw new Error('it is not read here');
      },
    }));
    const { rejected, ...result } = await warehouse.load([...unread, gone], never);
    expect(result).toMatchObject({ files: 4, rows: 5 });
    expect(rejected).toMatchObject([{ path: 'shop/orders/none.jsonl' }]);
    expect((await warehouse.query('select file, row_number, key from bronze.shop__orders order by 1, 2', 10, never)).rows).toEqual([
      ['shop/orders/a.jsonl', 1, '"1"'],
      ['shop/orders/a.jsonl', 2, '"2"'],
      ['shop/orders/b.jsonl.gz', 1, '"0"'],
      ['shop/orders/c.jsonl.zst', 1, '"1"'],
      ['shop/orders/x/a.jsonl', 1, '"2"'],
    ]);
  });

  describe('a poisoned file', () => {
    it('is found among others when COPY itself fails', async () => {
      const warehouse = await ready(standIn.url('POISON'));
      const sealed = await Promise.all(Array.from({ length: 7 }, (_, n) => files.seal(ORDERS, [insert(n)], { compression: 'gz' })));
      const bad = sealed[4] as SealedFile;
      await writeFile(bad.localPath ?? '', Buffer.alloc(bad.line.bytes, 'x'));
      const { rejected, ...result } = await warehouse.load(sealed, never);
      expect(result).toMatchObject({ files: 6, rows: 6 });
      expect(rejected).toMatchObject([{ path: bad.line.path, reason: expect.stringContaining(bad.line.path) as string }]);
    });
  });

  describe('a process', () => {
    /** Loads and merges what `files.json` names; dies at the failpoint. */
    async function elsewhere(url: string, sealed: readonly SealedFile[], failpoint: string): Promise<string | null> {
      await writeFile(join(folder, 'files.json'), JSON.stringify(sealed));
      const at = (path: string): string => JSON.stringify(join(import.meta.dirname, path));
      const source = `
        import { readFile } from 'node:fs/promises';
        import { openSnowflake } from ${at('snowflake.ts')};
        import { silentLog as log } from ${at('../../ops/log.ts')};
        const files = JSON.parse(await readFile(${JSON.stringify(join(folder, 'files.json'))}, 'utf8'));
        const warehouse = openSnowflake({ url: ${JSON.stringify(url)}, auth: ${JSON.stringify(PAT)}, pipeline: 'shop', deletes: 'soft', columns: {}, log });
        const never = new AbortController().signal;
        await warehouse.migrate();
        await warehouse.load(files, never);
        for (const ns of await warehouse.unmerged()) await warehouse.merge(ns, { rebuild: false }, never);
        await warehouse.markComplete([{ namespace: files[0].line, through: files[0].line.lastAt }]);`;
      const child = spawn(process.execPath, ['--input-type=module', '-e', source], {
        stdio: ['ignore', 'ignore', 'inherit'],
        env: { ...process.env, SLUICE_FAILPOINT: failpoint },
      });
      const [, signal] = (await once(child, 'close')) as [number | null, string | null];
      return signal;
    }

    it('that is killed at any point is gone on from by the next', { timeout: 600_000 }, async () => {
      const url = standIn.url('KILLS');
      const points = ['migrate', 'load', 'merge', 'complete'].flatMap((step) =>
        (step === 'migrate' ? [] : [`before-${step}`]).concat(`after-${step}`),
      );
      const sealed: SealedFile[] = [];
      for (const [i, point] of points.entries()) {
        sealed.push(await files.seal(ORDERS, [insert(i * 2), insert(i * 2 + 1)]));
        expect(await elsewhere(url, sealed, `warehouse.${point}-commit`), point).toBe('SIGKILL');
      }
      const warehouse = await ready(url);
      expect((await warehouse.load(sealed, never)).rejected).toEqual([]);
      await warehouse.merge(ORDERS, { rebuild: false }, never);
      expect(await warehouse.prove(ORDERS, 10, never)).toEqual([]);
      expect((await warehouse.query('select count(*), count(distinct file) from bronze.shop__orders', 1, never)).rows).toEqual([
        [sealed.length * 2, sealed.length],
      ]);
      expect((await warehouse.query('select sum(version_number) from silver.shop__orders', 1, never)).rows).toEqual([[sealed.length * 2]]);
    });
  });

  describe('a session that is lost', () => {
    it('costs nothing: what was not committed is done again', async () => {
      await using proxy = await TcpProxy.to({ port: standIn.port });
      const url = new URL(standIn.url('LOST').replace('snowflake:', 'https:'));
      url.searchParams.set('accessUrl', `http://127.0.0.1:${new URL(proxy.uri).port}`);
      const warehouse = await ready(url.href.replace('https:', 'snowflake:'));
      const sealed = await Promise.all([1, 2, 3].map((n) => files.seal({ db: 'shop', coll: `c${n}` }, [insert(n)])));
      const loading = warehouse.load(sealed, never);
      proxy.cut();
      expect((await loading).rejected).toEqual([]);
      expect((await warehouse.collections()).map((row) => row.rows)).toEqual([1, 1, 1]);
    });
  });

  it('takes the schemas and tables that `sluice render snowflake` made for its own', async () => {
    const url = standIn.url('RENDERED');
    const collection = planCollection({ db: 'shop', coll: 'orders' }, [], 'shop/orders/', []);
    const plan = { pipeline: 'p', mode: 'copy', database: 'RENDERED', warehouse: 'W', loader: 'L', reader: 'R', user: null, lake: null } as const;
    const made = renderSnowflake({ ...plan, compression: 'none', tenant: null, queue: null, mail: [], eventsPerDay: 1, collections: [collection] });
    const connection = await SnowflakeConnection.open(parseTarget(url), PAT, 'test', never);
    // Roles, warehouses and grants are not to be had there.
    const statements = made.filter(({ name }) => /^(?:04|05|06)/.test(name)).flatMap((file) => file.statements);
    for (const text of statements.filter((one) => !/^USE |FILE FORMAT/.test(one))) {
      for (const _time of [1, 2]) await connection.run({ text, values: [] }, { limitMs: 60_000, tag: 'test', signal: never });
    }
    await connection.close();
    const warehouse = open(url);
    expect(await warehouse.load([await files.seal(ORDERS, [insert(1)])], never)).toMatchObject({ files: 1, rows: 1, rejected: [] });
    await warehouse.merge(ORDERS, { rebuild: false }, never);
    expect(await warehouse.prove(ORDERS, 10, never)).toEqual([]);
  });

  it('never lets a query write', async () => {
    const warehouse = await ready(standIn.url('QUERY'));
    for (const sql of [
      'select system$cancel_all_queries(1)',
      'select a.s.nextval',
      'select * from table(call x())',
      'select 1 /* ; */ ; delete from x',
      'with a as (select 1) insert into b select 1; ',
      'call p()',
      'begin',
    ]) {
      expect(await kindOf(warehouse.query(sql, 1, never)), sql).toMatchObject({ code: 'SLC-1304' });
    }
    expect((await warehouse.query("select ';' as a -- ; delete from x", 1, never)).rows).toEqual([[';']]);
  });
});
