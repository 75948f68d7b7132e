/** What is DuckDB's own: who may have the file, what a query may touch, how large things may be. */
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DuckDBInstance } from '@duckdb/node-api';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { lineOf, SealedFiles, type TestEvent } from '../../../test/contracts/sealed-files.ts';
import { kindOf, never, ORDERS } from '../../../test/contracts/warehouse-bench.ts';
import { SluiceError } from '../../core/error.ts';
import { WAREHOUSE_BUSY, WAREHOUSE_FAILED, WAREHOUSE_QUERY, WAREHOUSE_UNAVAILABLE } from '../../core/errors.ts';
import type { Warehouse } from '../../core/warehouse.ts';
import { silentLog } from '../../ops/log.ts';
import { openDuckDb } from './duckdb.ts';

const MIB = 1024 ** 2;
const POLL = { timeout: 60_000, interval: 20 };
const insert = (n: number, doc = '{}'): TestEvent => ({ n, op: 'insert', key: `"${n}"`, doc });

let folder: string;
let path: string;
let files: SealedFiles;
const opened: Warehouse[] = [];

async function open(where = path, memoryLimitBytes?: number): Promise<Warehouse> {
  const limit = memoryLimitBytes === undefined ? {} : { memoryLimitBytes };
  const warehouse = await openDuckDb({ path: where, deletes: 'soft', columns: {}, log: silentLog, ...limit });
  opened.push(warehouse);
  await warehouse.migrate();
  return warehouse;
}

/** Runs a script of this repository's TypeScript in a process of its own; gives what it prints. @param killed kills it */
async function elsewhere(script: string, shell = '', killed?: AbortSignal): Promise<string> {
  const module = join(dirname(fileURLToPath(import.meta.url)), 'duckdb.ts');
  const log = join(module, '../../../ops/log.ts');
  const source = `
    import { openDuckDb } from ${JSON.stringify(module)};
    import { silentLog as log } from ${JSON.stringify(log)};
    const open = (path) => openDuckDb({ path, deletes: 'soft', columns: {}, log });
    const never = new AbortController().signal;
    ${script}`;
  const child = spawn('bash', ['-c', `${shell} exec "$0" --input-type=module -e "$1"`, process.execPath, source], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  killed?.addEventListener('abort', () => child.kill('SIGKILL'));
  const closed = once(child, 'close');
  const output = (await Array.fromAsync(child.stdout as AsyncIterable<Buffer>)).join('');
  await closed;
  return output.trim();
}

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-duckdb-test-'));
  path = join(folder, 'warehouse.duckdb');
  files = new SealedFiles(join(folder, 'lake'));
});
async function closeAll(): Promise<void> {
  for (const warehouse of opened.splice(0)) await warehouse[Symbol.asyncDispose]();
}

afterEach(async () => {
  await closeAll();
  await rm(folder, { recursive: true, force: true });
});

describe('the file', () => {
  it('belongs to one process at a time, and the other is told which', async () => {
    const tryOpen = `try { await open(${JSON.stringify(path)}); console.log('opened'); } catch (error) { console.log(error.code, error.message); }`;
    const [first, second] = [await open(), await open()];
    const refused = await elsewhere(tryOpen);
    expect(refused).toContain(WAREHOUSE_BUSY.code);
    expect(refused).toContain(`process ${process.pid}`);
    // Closing one of two openings must not give the file away (POSIX locks would).
    await first[Symbol.asyncDispose]();
    expect(await elsewhere(tryOpen)).toContain(WAREHOUSE_BUSY.code);
    await second[Symbol.asyncDispose]();
    expect(await elsewhere(tryOpen)).toBe('opened');
  });

  it('comes whole under its name, or not at all', async () => {
    const names: string[] = [];
    const create = DuckDBInstance.create.bind(DuckDBInstance);
    const making = vi.spyOn(DuckDBInstance, 'create').mockImplementation(async (...args) => {
      const made = await create(...args);
      names.push(...readdirSync(folder).filter((name) => name.startsWith('warehouse')));
      return made;
    });
    await open();
    making.mockRestore();
    expect(names).toEqual([expect.stringMatching(/^warehouse\.duckdb\.new-/)]);
    expect((await readdir(folder)).filter((name) => name.includes('.new-'))).toEqual([]);
  });

  const MAKING = `
    import { DuckDBInstance } from ${JSON.stringify(import.meta.resolve('@duckdb/node-api'))};
    const create = DuckDBInstance.create.bind(DuckDBInstance);
    DuckDBInstance.create = async (...args) => {
      await create(...args);
      process.kill(process.pid, 'SIGKILL');
    };`;

  it('is all that is left of one that was killed while it made it, once somebody has opened it', async () => {
    await elsewhere(`${MAKING} await open(${JSON.stringify(path)});`);
    const drafts = async (): Promise<string[]> => (await readdir(folder)).filter((name) => name.includes('.new-'));
    expect(await drafts()).toEqual([expect.stringMatching(/^warehouse\.duckdb\.new-/)]);
    await writeFile(`${path}.new-version`, 'mine');
    await open();
    expect(await drafts()).toEqual(['warehouse.duckdb.new-version']);
  });

  it('is the one of whoever came first, who takes the draft of the other away', async () => {
    const create = DuckDBInstance.create.bind(DuckDBInstance);
    const left: string[][] = [];
    const making = vi.spyOn(DuckDBInstance, 'create').mockImplementation(async (...args) => {
      const made = await create(...args);
      await elsewhere(`await (await open(${JSON.stringify(path)}))[Symbol.asyncDispose]();`);
      left.push(await readdir(folder));
      return made;
    });
    await open();
    making.mockRestore();
    expect(left).toEqual([['warehouse.duckdb']]);
  });

  it('is given back only when nothing of its folder is left, which the next one makes anew', async () => {
    const warehouse = await open();
    const folders: string[][] = [];
    const closing = vi.spyOn(DuckDBInstance.prototype, 'closeSync').mockImplementation(function (this: DuckDBInstance) {
      folders.push(readdirSync(folder).filter((name) => name.endsWith('.staged')));
      closing.mockRestore();
      this.closeSync();
    });
    expect(await readdir(folder)).toContain('warehouse.duckdb.staged');
    await warehouse[Symbol.asyncDispose]();
    expect(folders).toEqual([[]]);
  });

  it('can be opened and closed by many at one time', async () => {
    const openAndClose = async (): Promise<void> => {
      for (let n = 0; n < 5; n += 1) await (await openDuckDb({ path, deletes: 'soft', columns: {}, log: silentLog }))[Symbol.asyncDispose]();
    };
    await Promise.all(Array.from({ length: 4 }, openAndClose));
  });

  it('that is no database, or that cannot be had, is said to be so', async () => {
    await writeFile(path, 'this is no database'.repeat(1000));
    expect(await kindOf(open())).toBe(WAREHOUSE_UNAVAILABLE);
    await mkdir(join(folder, 'taken.duckdb'));
    expect(await kindOf(open(join(folder, 'taken.duckdb')))).toBe(WAREHOUSE_UNAVAILABLE);
  });

  it('is made with the folders above it', async () => {
    await open(join(folder, 'a/b/warehouse.duckdb'));
    expect((await stat(join(folder, 'a/b/warehouse.duckdb'))).isFile()).toBe(true);
  });

  it('of a newer version is left alone', async () => {
    await (await open())[Symbol.asyncDispose]();
    await elsewhere(`
      import { DuckDBInstance } from ${JSON.stringify(import.meta.resolve('@duckdb/node-api'))};
      const instance = await DuckDBInstance.create(${JSON.stringify(path)});
      await (await instance.connect()).run('UPDATE sluice.control SET schema_version = 99');
      instance.closeSync();`);
    const reason = await open().catch((error: unknown) => error);
    expect(reason).toMatchObject({ kind: WAREHOUSE_FAILED, message: expect.stringContaining('99') as string });
  });

  it('can be memory, one for each opening', async () => {
    const [a, b] = [await open(':memory:'), await open(':memory:')];
    await a.load([await files.seal(ORDERS, [insert(1)])], never);
    expect(await a.merge(ORDERS, { rebuild: false }, never)).toEqual({ rows: 1 });
    expect(await b.collections()).toEqual([]);
  });

  it('takes documents compressed', async () => {
    const warehouse = await open();
    const words = 'the quick brown fox jumps over the lazy dog '.split(' ');
    const text = (n: number): string => Array.from({ length: 200 }, (_, i) => words[(n * 7 + i * i) % words.length]).join(' ');
    await warehouse.load(
      [
        await files.seal(
          ORDERS,
          Array.from({ length: 20_000 }, (_, n) => insert(n, JSON.stringify({ n, text: text(n) }))),
        ),
      ],
      never,
    );
    await warehouse[Symbol.asyncDispose]();
    const lake = (await stat(join(files.root, 'shop/orders/part-1.jsonl'))).size;
    expect((await stat(path)).size).toBeLessThan(lake / 4);
  });
});

describe('two loaders', () => {
  it('cannot both win', async () => {
    const sealed = await Promise.all(Array.from({ length: 12 }, (_, n) => files.seal({ db: 'shop', coll: `c${n % 3}` }, [insert(n)])));
    const loaders = [await open(), await open(), await open()];
    const results = await Promise.all(
      loaders.map((warehouse, i) =>
        warehouse.load(
          sealed.toSorted((a, b) => (a.line.path < b.line.path ? i - 1 : 1 - i)),
          never,
        ),
      ),
    );
    expect(results.flatMap((result) => result.rejected)).toEqual([]);
    expect(results.reduce((sum, result) => sum + result.files, 0)).toBe(12);
    expect((await loaders[0]?.collections())?.map((row) => row.rows)).toEqual([4, 4, 4]);
  });

  it("wait for each other, and one that is aborted while it waits takes nobody else's turn", async () => {
    const warehouse = await open();
    const sealed = await Promise.all(
      [1, 2, 3].map((n) =>
        files.seal(
          ORDERS,
          Array.from({ length: 5000 }, (_, i) => insert(n * 10_000 + i)),
        ),
      ),
    );
    const stop = new AbortController();
    const reason = new Error('enough');
    const [first, second, third] = sealed.map((file, i) => warehouse.load([file], i === 1 ? stop.signal : never));
    const refused = expect(second).rejects.toBe(reason);
    stop.abort(reason);
    await refused;
    expect(await Promise.all([first, third])).toMatchObject([{ rows: 5000 }, { rows: 5000 }]);
    expect((await warehouse.collections()).map((row) => row.rows)).toEqual([10_000]);
  });

  it('give a collection one name', async () => {
    const loaders = [await open(), await open()];
    const namespaces = Array.from({ length: 5 }, (_, n) => ({ db: 'a', coll: n % 2 === 0 ? `x${n}` : `X${n - 1}` }));
    await Promise.all(loaders.map((warehouse) => warehouse.discover(namespaces)));
    const names = (await loaders[0]?.query('select table_name from sluice.collection_registry', 10, never))?.rows.map((row) =>
      String(row[0]).toLowerCase(),
    );
    expect(new Set(names).size).toBe(5);
  });
});

describe('a query', () => {
  it.each([
    'select * from read_text($$/etc/hostname$$)',
    "select * from '/etc/hostname.csv'",
    "select * from read_ndjson_objects('FOLDER/lake/shop/orders/part-1.jsonl')",
    "select * from glob('/*')",
    "copy (select 1) to 'FOLDER/out.csv'",
    "explain analyze copy (select 1) to 'FOLDER/out.csv'",
    "explain analyze copy (select 1) to 'FOLDER/warehouse.duckdb' (use_tmp_file false)",
    "attach 'FOLDER/other.duckdb'",
    "export database 'FOLDER/dump'",
    'set memory_limit = $$1GiB$$',
    'load json',
    'call pragma_version()',
    'begin',
    'checkpoint',
  ])('touches nothing outside: %s', async (sql) => {
    const warehouse = await open();
    await warehouse.load([await files.seal(ORDERS, [insert(1)])], never);
    const before = await readdir(folder);
    expect(await kindOf(warehouse.query(sql.replaceAll('FOLDER', folder), 1, never))).toBe(WAREHOUSE_QUERY);
    expect(await readdir(folder)).toEqual(before);
    expect(await warehouse.query('select key from bronze.shop__orders', 1, never)).toMatchObject({ rows: [['"1"']] });
  });

  it.each([
    'from range(3)',
    'show all tables',
    'show tables from sluice',
    'describe bronze.shop__orders',
    'summarize bronze.shop__orders',
    'values (1)',
    'with a as (select 1) select * from a; -- done',
    'explain select 1',
    'EXPLAIN (ANALYZE, FORMAT json) select 1',
    'table bronze.shop__orders',
  ])('may read in every way: %s', async (sql) => {
    const warehouse = await open();
    await warehouse.load([await files.seal(ORDERS, [insert(1)])], never);
    expect((await warehouse.query(sql, 100, never)).rows.length).toBeGreaterThan(0);
  });

  const ENDLESS = 'select count(*) from range(100000000) a, range(100000) b where a.range + b.range = 7';

  it('ends when it is aborted while it begins', async () => {
    const warehouse = await open();
    for (let turns = 0; turns < 100; turns += 1) {
      const stop = new AbortController();
      const running = warehouse.query(ENDLESS, 1, stop.signal);
      for (let n = 0; n < turns; n += 1) await new Promise((resolve) => setImmediate(resolve));
      stop.abort(new Error(`after ${turns}`));
      await expect(running).rejects.toThrow(`after ${turns}`);
    }
  });

  it('ends when it is aborted', async () => {
    const warehouse = await open();
    const reason = new Error('too long');
    const stop = new AbortController();
    const running = warehouse.query(ENDLESS, 1, stop.signal);
    await warehouse.query('select 1', 1, never);
    stop.abort(reason);
    await expect(running).rejects.toBe(reason);
  });

  it('gives lists, structs and maps as JSON', async () => {
    const warehouse = await open();
    const sql = "select [1, 2] as l, {'a': {'b': 1.5}} as s, map {'k': 9007199254740993} as m, 'NaN'::double as n, '2026-11-21'::date as d";
    expect((await warehouse.query(sql, 1, never)).rows).toEqual([
      [[1, 2], { a: { b: 1.5 } }, [{ key: 'k', value: '9007199254740993' }], 'NaN', '2026-11-21'],
    ]);
  });
});

describe('staged files', () => {
  it('leave nothing behind, not even those of a process that died', async () => {
    await mkdir(join(folder, 'warehouse.duckdb.staged/files-dead'), { recursive: true });
    await writeFile(join(folder, 'warehouse.duckdb.staged/files-dead/1.jsonl'), 'x');
    const warehouse = await open();
    await warehouse.load([await files.seal(ORDERS, [insert(1)]), await files.seal(ORDERS, [insert(2)], { remote: true, claim: { rows: 7 } })], never);
    const staged = await readdir(join(folder, 'warehouse.duckdb.staged'), { recursive: true });
    expect(staged.filter((name) => name.endsWith('.jsonl'))).toEqual([]);
    await warehouse[Symbol.asyncDispose]();
    expect((await readdir(folder)).toSorted()).toEqual(['lake', 'warehouse.duckdb']);
  });
});

describe('what does not fit into memory', () => {
  const spill = 'warehouse.duckdb.tmp';
  const spilt = async (): Promise<string[]> => (await readdir(join(folder, spill)).catch(() => [])).filter((name) => name.startsWith('duckdb_temp_'));

  it('goes with the next opening of a process that died, and what somebody else has put there stays', async () => {
    const running = new AbortController();
    const dying = elsewhere(
      `
      const warehouse = await openDuckDb({ path: ${JSON.stringify(path)}, deletes: 'soft', columns: {}, log, memoryLimitBytes: ${128 * MIB} });
      await warehouse.query('select n, md5(n::varchar) || md5((n + 1)::varchar) as x from range(100000000) t(n) order by x', 1, never);`,
      '',
      running.signal,
    );
    await expect.poll(spilt, POLL).not.toEqual([]);
    running.abort();
    await dying;
    expect(await spilt()).not.toEqual([]);
    await writeFile(join(folder, spill, 'notes.txt'), 'mine');
    await open();
    expect(await readdir(join(folder, spill))).toEqual(['notes.txt']);
    await rm(join(folder, spill, 'notes.txt'));
    await closeAll();
    await open();
    expect((await readdir(folder)).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });

  it('is left to whoever has the file', async () => {
    const first = await open(path, 128 * MIB);
    const stop = new AbortController();
    const sorting = first.query('select n, md5(n::varchar) || md5((n + 1)::varchar) as x from range(100000000) t(n) order by x', 1, stop.signal);
    sorting.catch(() => {});
    await expect.poll(spilt, POLL).not.toEqual([]);
    await open(path, 128 * MIB);
    expect(await spilt()).not.toEqual([]);
    expect(await elsewhere(`await open(${JSON.stringify(path)}).catch((error) => console.log(error.code));`)).toBe(WAREHOUSE_BUSY.code);
    expect(await spilt()).not.toEqual([]);
    stop.abort();
    await sorting.catch(() => {});
  });
});

describe('a load', () => {
  it('numbers the rows of a large file in the order of its lines', async () => {
    const warehouse = await open();
    const pad = 'x'.repeat(1000);
    const events = Array.from({ length: 40_000 }, (_, n) => insert(n, `{"n":${n},"pad":"${pad}"}`));
    await warehouse.load([await files.seal(ORDERS, events), await files.seal(ORDERS, events, { compression: 'zst', linesPerMember: 1000 })], never);
    const sql = `select file, count(*), bool_and(key = '"' || (row_number - 1) || '"') from bronze.shop__orders group by file order by file`;
    const { rows } = await warehouse.query(sql, 2, never);
    expect(rows.map((row) => row.slice(1))).toEqual([
      [40_000, true],
      [40_000, true],
    ]);
  });

  it.each([undefined, 'zst'] as const)('takes a line of 100 MiB (compressed: %s), and silver its document', async (compression) => {
    const warehouse = await open();
    const text = 'y'.repeat(100 * MIB - lineOf(ORDERS, insert(1, '{"text":""}')).length);
    const sealed = await files.seal(ORDERS, [insert(1, `{"text":"${text}"}`), insert(2)], compression === undefined ? {} : { compression });
    expect(await warehouse.load([await files.seal(ORDERS, [insert(0)]), sealed], never)).toMatchObject({ files: 2, rows: 3, rejected: [] });
    await warehouse.merge(ORDERS, { rebuild: false }, never);
    expect(await warehouse.query('select key, length(cast(doc as varchar)) from silver.shop__orders order by key', 3, never)).toMatchObject({
      rows: [
        ['"0"', 2],
        ['"1"', text.length + 11],
        ['"2"', 2],
      ],
    });
  });

  it('of many collections takes few transactions, and one that is spoilt keeps none of the others', async () => {
    const warehouse = await open();
    const names = Array.from({ length: 30 }, (_, i) => ({ db: 'shop', coll: `c${i}` }));
    const sealed = await Promise.all(names.map((ns, i) => files.seal(ns, [insert(i), insert(i + 100)])));
    const bad = { ...sealed[11]!, line: { ...sealed[11]!.line, rows: 3 } };
    const result = await warehouse.load(sealed.with(11, bad), never);
    expect(result).toMatchObject({ files: 29, rows: 58, rejected: [{ path: bad.line.path }] });
    expect(result.namespaces).toHaveLength(29);
    // One to register all, one that fails and is undone, one for the file that spoilt it, two for those before and after it.
    expect((await warehouse.query('select last_batch from sluice.control', 1, never)).rows).toEqual([[4]]);
    for (const namespace of result.namespaces) expect(await warehouse.merge(namespace, { rebuild: false }, never)).toEqual({ rows: 2 });
    const rows = await warehouse.collections();
    expect(rows.map((row) => [row.rows, row.status]).filter(([rowCount, status]) => rowCount !== 2 || status !== 'ACTIVE')).toEqual([[0, 'ERROR']]);
    expect(await warehouse.load([sealed[11]!], never)).toMatchObject({ files: 1, rejected: [] });
  });

  it('that has too little memory for a file says so, and loads the others', async () => {
    const warehouse = await open(path, 128 * MIB);
    const big = await files.seal(ORDERS, [insert(1, `{"text":"${'y'.repeat(60 * MIB)}"}`)]);
    const result = await warehouse.load([big, await files.seal(ORDERS, [insert(2)])], never);
    expect(result).toMatchObject({
      files: 1,
      rows: 1,
      rejected: [{ path: big.line.path, reason: expect.stringContaining('Out of Memory') as string }],
    });
  });

  it('that is aborted leaves nothing, and can be made again', async () => {
    const warehouse = await open();
    const sealed = await files.seal(
      ORDERS,
      Array.from({ length: 50_000 }, (_, n) => insert(n, `{"pad":"${'z'.repeat(500)}"}`)),
    );
    const stop = new AbortController();
    const reason = new Error('stop');
    const read = Promise.withResolvers<undefined>();
    const remote = {
      ...sealed,
      localPath: null,
      async *read(signal: AbortSignal): AsyncGenerator<Uint8Array> {
        yield* sealed.read(signal);
        read.resolve(undefined);
      },
    };
    const settled = warehouse.load([remote], stop.signal).then(
      () => 'done',
      (error: unknown) => error,
    );
    await read.promise;
    // Time for the statement to begin; it takes many times as long.
    await warehouse.query('select 1', 1, never);
    stop.abort(reason);
    expect(await settled).toBe(reason);
    expect(await warehouse.loaded([sealed.line.path])).toEqual(new Set());
    expect(await warehouse.load([sealed], never)).toMatchObject({ rows: 50_000 });
    expect((await warehouse.collections()).map((row) => row.rows)).toEqual([50_000]);
  });

  it('stops when the disk is full, blaming no file', async () => {
    const sealed = await files.seal(
      ORDERS,
      Array.from({ length: 30_000 }, (_, n) => insert(n, JSON.stringify({ noise: Array.from({ length: 12 }, (_u, i) => Math.sin(n * 31 + i)) }))),
    );
    const load = `
      const warehouse = await open(${JSON.stringify(path)});
      await warehouse.migrate();
      const file = { line: ${JSON.stringify(sealed.line)}, localPath: ${JSON.stringify(sealed.localPath)} };
      try { console.log(JSON.stringify(await warehouse.load([file], never))); } catch (error) { console.log(error.code, error.message); }
      try { console.log(JSON.stringify(await warehouse.collections())); } catch (error) { console.log(error.code, error.message); }`;
    // Files may not grow beyond 3 MB: what a full disk looks like to whoever writes.
    const full = await elsewhere(load, "trap '' XFSZ; ulimit -f 3000;");
    expect(full).toContain(WAREHOUSE_FAILED.code);
    expect(full).not.toContain('"status":"ERROR"');
    expect(await elsewhere(load)).toContain('"rows":30000');
  });
});

describe('closing', () => {
  it('interrupts what is under way', async () => {
    const warehouse = await open();
    const running = warehouse
      .query('select count(*) from range(100000000) a, range(100000) b where a.range + b.range = 7', 1, never)
      .catch((error: unknown) => error);
    await warehouse.query('select 1', 1, never);
    await warehouse[Symbol.asyncDispose]();
    expect(await running).toBeInstanceOf(SluiceError);
  });
});
