/** Part of the suite in warehouse.ts: sealed files come in whole, once, whoever asks. */
import { truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { formatNamespace } from '../../src/core/namespace.ts';
import type { CollectionRow, SealedFile } from '../../src/core/warehouse.ts';
import { isoOf, lineOf, positionOf, timeOf, type TestEvent } from './sealed-files.ts';
import { never, ORDERS, type Bench } from './warehouse-bench.ts';

const insert = (n: number, key = `"k${n}"`): TestEvent => ({ n, op: 'insert', key, doc: `{"_id":${key},"n":${n}}` });
const CUSTOMERS = { db: 'shop', coll: 'customers' };

export function describeLoading(bench: Bench): void {
  const count = async (): Promise<unknown> => (await bench.rows('select count(*) from bronze.shop__orders'))[0]?.[0];
  const entry = async (ns = ORDERS): Promise<CollectionRow | undefined> =>
    (await bench.warehouse.collections()).find((row) => formatNamespace(row.namespace) === formatNamespace(ns));

  describe('loading', () => {
    it('puts every line into bronze, untouched, with its facts beside it', async () => {
      const events: TestEvent[] = [insert(5), { n: 6, op: 'delete', key: '"k5"' }, { n: 7, op: 'drop' }];
      const file = await bench.files.seal(ORDERS, events);
      expect(await bench.load(file)).toEqual({ files: 1, rows: 3, namespaces: [ORDERS], rejected: [] });
      const rows = await bench.rows(`
        select file, row_number, position, operation, "at", cluster_time_t, cluster_time_i, key, cast(doc as varchar), year, month, day, hour
        from bronze.shop__orders order by row_number`);
      const { path } = file.line;
      expect(rows).toEqual(
        events.map((event, i) => {
          const { t } = timeOf(event.n);
          return [path, i + 1, positionOf(event.n), event.op, isoOf(event.n), t, 1, event.key ?? null, lineOf(ORDERS, event), 2026, 11, 21, 0];
        }),
      );
    });

    it.each(['JSON lines', 'Parquet'])('keeps digits, escapes and duplicate keys of a line as they came, in silver too (%s)', async (stored) => {
      const keys = [
        '"a\\u00e9\\/\\u0001\\u0000"',
        '{"$numberLong":"9223372036854775807"}',
        '{"$numberDouble":"-0.0"}',
        'null',
        '{"b":{"$numberInt":"1"},"a":"x"}',
      ];
      const docs = [
        '{"min":-9223372036854775808,"max":9223372036854775807,"beyond":123456789012345678901234567890}',
        '{"one":1.0,"zero":-0.0,"big":1e+300,"tenth":1.10,"small":5e-324,"long":0.1000000000000000055511151231257827}',
        '{"twice":1,"twice":2.0,"u":"\\u00e9\\u0041\\/\\ud83d\\ude00","é😀":"\\u0000"}',
        '{"$numberDecimal":"0.1000000000000000000000000000000000","fullDocument":{"updateDescription":{"a":1.0}},"updateDescription":[1.0,{"fullDocument":1.50}]}',
        '{}',
      ];
      const events = keys.map((key, i): TestEvent => ({
        n: i,
        op: 'replace',
        key,
        doc: docs[i] ?? null,
        rest: '"updateDescription":{"x":{"fullDocument":2.50},"y":1.0}',
      }));
      const file = await bench.files.seal(ORDERS, events, { parquet: stored === 'Parquet' });
      expect(await bench.load(file)).toMatchObject({ files: 1, rows: events.length, rejected: [] });
      expect(await bench.rows('select cast(doc as varchar) from bronze.shop__orders order by row_number')).toEqual(
        events.map((event) => [lineOf(ORDERS, event)]),
      );
      await bench.merge(ORDERS);
      expect(await bench.rows('select key, cast(doc as varchar) from silver.shop__orders order by position')).toEqual(
        keys.map((key, i) => [key, docs[i]]),
      );
    });

    it('takes the key from `_id` alone where the document key has shard keys too', async () => {
      const documentKey = '{"_idx":1.0,"region":{"_id":"eu"},"_id":{"$numberInt":"7"},"a\\"b":1}';
      await bench.load(await bench.files.seal(ORDERS, [{ n: 1, op: 'insert', documentKey, doc: '{"_id":7}' }]));
      expect(await bench.rows('select key from bronze.shop__orders')).toEqual([['{"$numberInt":"7"}']]);
    });

    it('loads a file once, however often it is asked for', async () => {
      const [a, b] = [await bench.files.seal(ORDERS, [insert(1)]), await bench.files.seal(ORDERS, [insert(2), insert(3)])];
      expect(await bench.load(a, a)).toMatchObject({ files: 1, rows: 1 });
      expect(await bench.load(a, b)).toMatchObject({ files: 1, rows: 2 });
      await bench.reopen();
      expect(await bench.load(b, a)).toEqual({ files: 0, rows: 0, namespaces: [], rejected: [] });
      expect(await count()).toBe(3);
      expect(await bench.warehouse.loaded([a.line.path, 'shop/orders/other.jsonl', b.line.path])).toEqual(new Set([a.line.path, b.line.path]));
    });

    it('reads every member of a compressed file', async () => {
      const events = Array.from({ length: 7 }, (_, n) => insert(n));
      const gz = await bench.files.seal(ORDERS, events, { compression: 'gz' });
      const zst = await bench.files.seal(ORDERS, events, { compression: 'zst', linesPerMember: 1 });
      expect(await bench.load(gz, zst)).toMatchObject({ files: 2, rows: 14, rejected: [] });
      expect(await bench.rows('select file, max(row_number), count(distinct key) from bronze.shop__orders group by file order by file')).toEqual(
        [gz, zst].map((file) => [file.line.path, 7, 7]),
      );
    });

    it('reads a file that is not on this machine', async () => {
      const plain = await bench.files.seal(ORDERS, [insert(1), insert(2)], { remote: true });
      const packed = await bench.files.seal(ORDERS, [insert(3)], { remote: true, compression: 'zst' });
      expect(await bench.load(plain, packed)).toMatchObject({ files: 2, rows: 3, rejected: [] });
    });

    it('notes a file without rows in the ledger alone', async () => {
      const empty = await bench.files.seal(ORDERS, []);
      expect(await bench.load(empty)).toEqual({ files: 1, rows: 0, namespaces: [], rejected: [] });
      expect(await bench.warehouse.loaded([empty.line.path])).toEqual(new Set([empty.line.path]));
      expect(await bench.warehouse.unmerged()).toEqual([]);
    });

    it('takes paths that would be patterns or quotes elsewhere by their letter', async () => {
      const decoy = await bench.files.seal(ORDERS, [insert(8)], { path: "shop/a1 'x'.jsonl" });
      const odd = await bench.files.seal(ORDERS, [insert(9)], { path: "shop/a[0-9]*? 'x'.jsonl" });
      expect(await bench.load(odd)).toMatchObject({ files: 1, rows: 1, rejected: [] });
      expect(await bench.rows('select file, key from bronze.shop__orders')).toEqual([[odd.line.path, '"k9"']]);
      expect(await bench.warehouse.loaded([decoy.line.path])).toEqual(new Set());
    });
  });

  describe('a file that is not what its ledger line says', () => {
    const planted: readonly (readonly [what: string, make: () => Promise<SealedFile>, reason: RegExp])[] = [
      ['has too few rows', () => bench.files.seal(ORDERS, [insert(1), insert(2)], { claim: { rows: 3 } }), /2 rows.* 3/],
      ['has too many rows', () => bench.files.seal(ORDERS, [insert(1), insert(2)], { claim: { rows: 1 } }), /2 rows.* 1/],
      [
        'has a line that is not JSON',
        () => bench.files.sealLines(ORDERS, [lineOf(ORDERS, insert(1)), '{"_meta":', lineOf(ORDERS, insert(2))]),
        /line/i,
      ],
      ['has a line that is not an event', () => bench.files.sealLines(ORDERS, [lineOf(ORDERS, insert(1)), '{"a":1}']), /null/i],
      [
        'is shorter than it was',
        async () => {
          const file = await bench.files.seal(
            ORDERS,
            Array.from({ length: 9 }, (_, n) => insert(n)),
            { compression: 'gz', linesPerMember: 1 },
          );
          await truncate(file.localPath ?? '', file.line.bytes - 40);
          return file;
        },
        /bytes/,
      ],
      [
        'lacks its last member',
        async () => {
          const whole = await bench.files.seal(ORDERS, [insert(1), insert(2)], { compression: 'zst', linesPerMember: 1 });
          const part = await bench.files.seal(ORDERS, [insert(1)], { compression: 'zst' });
          return { ...part, line: { ...whole.line, bytes: part.line.bytes } };
        },
        /1 rows.* 2/,
      ],
      [
        'is missing',
        async () => ({ ...(await bench.files.seal(ORDERS, [insert(1)])), localPath: join(bench.files.root, 'gone.jsonl') }),
        /gone\.jsonl/,
      ],
    ];
    it.each(planted)('%s: is refused, with nothing of it left, and the others are loaded', async (_what, make, reason) => {
      const bad = await make();
      const good = [
        await bench.files.seal(ORDERS, [insert(11)]),
        await bench.files.seal(CUSTOMERS, [insert(12)]),
        await bench.files.seal(ORDERS, [insert(13)]),
      ] as const;
      const result = await bench.load(good[0], bad, good[1], good[2]);
      expect(result).toMatchObject({ files: 3, rows: 3, rejected: [{ path: bad.line.path, reason: expect.stringMatching(reason) as string }] });
      expect(await bench.rows('select key from bronze.shop__orders order by key')).toEqual([['"k11"'], ['"k13"']]);
      expect(await bench.warehouse.loaded([bad.line.path])).toEqual(new Set());
      expect(await entry()).toMatchObject({ status: 'ERROR', reason: result.rejected[0]?.reason, rows: 2 });
      expect(await entry(CUSTOMERS)).toMatchObject({ status: 'ACTIVE', reason: null, rows: 1 });
    });

    it('does not keep many others from being loaded, nor do several of them', async () => {
      const good = await Promise.all(Array.from({ length: 24 }, (_, n) => bench.files.seal(ORDERS, [insert(n)])));
      const files = good.map((file, n) => (n % 9 === 5 ? { ...file, line: { ...file.line, rows: 2 } } : file));
      const result = await bench.load(...files);
      expect([result.files, result.rejected.map(({ path }) => path)]).toEqual([21, [5, 14, 23].map((n) => good[n]?.line.path)]);
      expect(await bench.load(...good)).toMatchObject({ files: 3, rejected: [] });
      expect(await count()).toBe(24);
    });

    it('is loaded once it is put right, and the collection leaves ERROR with the last such file', async () => {
      const [a, b] = [await bench.files.seal(ORDERS, [insert(1)]), await bench.files.seal(ORDERS, [insert(2)])];
      const half = (file: SealedFile): SealedFile => ({ ...file, line: { ...file.line, rows: 2 } });
      await bench.load(half(a), half(b));
      expect(await bench.load(a)).toMatchObject({ files: 1, rejected: [] });
      expect(await entry()).toMatchObject({ status: 'ERROR' });
      expect(await bench.load(b)).toMatchObject({ files: 1, rejected: [] });
      expect(await entry()).toMatchObject({ status: 'ACTIVE', reason: null });
    });

    it('does not take a pause away', async () => {
      await bench.warehouse.setStatus(ORDERS, 'PAUSED', 'by hand');
      await bench.load(await bench.files.seal(ORDERS, [insert(1)], { claim: { rows: 2 } }));
      await bench.warehouse.setStatus(ORDERS, 'ACTIVE', null, ['ERROR', 'ACTIVE']);
      expect(await entry()).toMatchObject({ status: 'PAUSED', reason: 'by hand' });
      await bench.warehouse.setStatus(ORDERS, 'ACTIVE', null, ['PAUSED']);
      expect(await entry()).toMatchObject({ status: 'ACTIVE', reason: null });
    });

    it('is not read when the signal has aborted', async () => {
      const file = await bench.files.seal(ORDERS, [insert(1)]);
      const reason = new Error('stop');
      await expect(bench.warehouse.load([file], AbortSignal.abort(reason))).rejects.toBe(reason);
      expect(await bench.warehouse.loaded([file.line.path])).toEqual(new Set());
    });
  });

  describe('a file that supersedes others', () => {
    const originals = async (): Promise<[SealedFile, SealedFile]> => [
      await bench.files.seal(ORDERS, [insert(1)]),
      await bench.files.seal(ORDERS, [insert(2)]),
    ];
    const replacing = (files: readonly SealedFile[], path?: string): Promise<SealedFile> =>
      bench.files.seal(ORDERS, [insert(1), insert(2)], { supersedes: files.map((file) => file.line.path), ...(path === undefined ? {} : { path }) });

    it('is loaded in their place while none of them is', async () => {
      const [a, b] = await originals();
      const both = await replacing([a, b]);
      expect(await bench.load(both)).toMatchObject({ files: 1, rows: 2 });
      expect(await bench.load(b, a)).toMatchObject({ files: 0, rows: 0 });
      expect(await bench.warehouse.loaded([a.line.path, b.line.path])).toEqual(new Set([a.line.path, b.line.path]));
      expect(await count()).toBe(2);
    });

    it('is left out when one of them is loaded, and the rest of them are loaded', async () => {
      const [a, b] = await originals();
      const both = await replacing([a, b]);
      await bench.load(a);
      expect(await bench.load(both, b)).toMatchObject({ files: 1, rows: 1 });
      expect(await bench.warehouse.loaded([both.line.path])).toEqual(new Set([both.line.path]));
      expect(await count()).toBe(2);
    });

    it('comes first when all are asked for together, through a chain as well', async () => {
      const [a, b] = await originals();
      const both = await replacing([a, b], 'shop/orders/once.jsonl');
      const again = await replacing([both], 'shop/orders/twice.jsonl');
      expect(await bench.load(a, both, b, again)).toMatchObject({ files: 1, rows: 2 });
      expect(await bench.rows('select distinct file from bronze.shop__orders')).toEqual([[again.line.path]]);
      expect(await bench.load(b, both, a)).toMatchObject({ files: 0 });
    });

    it('gives way to the originals when it cannot be loaded itself', async () => {
      const [a, b] = await originals();
      const both = await replacing([a, b]);
      const broken = { ...both, line: { ...both.line, rows: 5 } };
      expect(await bench.load(a, broken, b)).toMatchObject({ files: 2, rows: 2, rejected: [{ path: both.line.path }] });
      expect(await bench.load(both)).toMatchObject({ files: 0, rejected: [] });
      expect(await count()).toBe(2);
      // Nobody needs the broken file any more.
      expect(await entry()).toMatchObject({ status: 'ACTIVE' });
    });
  });

  describe('the registry', () => {
    it('knows a collection from its discovery on, active with its first load', async () => {
      await bench.warehouse.discover([ORDERS, CUSTOMERS]);
      await bench.warehouse.discover([ORDERS]);
      const none = {
        reason: null,
        rows: 0,
        bytes: 0,
        sourceCount: null,
        sourceCountedAt: null,
        firstSeenAt: expect.any(String) as string,
        lastEventAt: null,
        lastLoadAt: null,
        completeThrough: null,
      };
      expect(await bench.warehouse.collections()).toEqual([CUSTOMERS, ORDERS].map((namespace) => ({ namespace, status: 'DISCOVERED', ...none })));
      const file = await bench.files.seal(ORDERS, [insert(1), insert(60)]);
      await bench.load(file);
      const row = await entry();
      expect(row).toMatchObject({ status: 'ACTIVE', rows: 2, bytes: file.line.bytes, lastEventAt: isoOf(60), completeThrough: null });
      expect(Date.now() - Date.parse(row?.lastLoadAt ?? '')).toBeLessThan(60_000);
    });

    it('keeps a status that was set', async () => {
      await bench.warehouse.setStatus(ORDERS, 'PAUSED', 'by hand');
      await bench.load(await bench.files.seal(ORDERS, [insert(1)]));
      await bench.reopen();
      expect(await entry()).toMatchObject({ status: 'PAUSED', reason: 'by hand', rows: 1 });
    });

    it('never moves `completeThrough` back', async () => {
      for (const through of [timeOf(100), timeOf(50), { t: timeOf(100).t, i: 0 }])
        await bench.warehouse.markComplete([{ namespace: ORDERS, through }]);
      expect(await entry()).toMatchObject({ completeThrough: isoOf(100) });
      await bench.warehouse.markComplete([{ namespace: ORDERS, through: timeOf(101) }]);
      expect(await entry()).toMatchObject({ completeThrough: isoOf(101) });
    });

    it('names what waits for the merge, until it is merged', async () => {
      await bench.load(await bench.files.seal(ORDERS, [insert(1)]), await bench.files.seal(CUSTOMERS, [insert(2)]));
      expect(await bench.warehouse.unmerged()).toEqual([CUSTOMERS, ORDERS]);
      expect(await bench.merge(ORDERS)).toBe(1);
      expect(await bench.merge(ORDERS)).toBe(0);
      await bench.reopen();
      expect(await bench.warehouse.unmerged()).toEqual([CUSTOMERS]);
    });

    it('tells apart collections whose tables would have one name', async () => {
      const alike = [
        { db: 'a', coll: 'b__c' },
        { db: 'a__b', coll: 'c' },
        { db: 'a', coll: 'B__c' },
        { db: 'a', coll: 'b__c_history' },
        { db: 'a', coll: '_database' },
        { db: 'a', coll: null },
        { db: 'x', coll: 'my.odd "name"\n[1]; drop' },
        { db: 'x', coll: 'ünï$' },
        { db: 'x', coll: 'a"b.c $é 🐟' },
        { db: 'x', coll: 'MixedCase_'.repeat(12) },
        { db: 'x', coll: 'mixedCase_'.repeat(12) },
      ];
      await bench.warehouse.discover(alike);
      for (const [i, ns] of alike.entries()) {
        const events: TestEvent[] = ns.coll === null ? [{ n: i, op: 'other' }] : [insert(i)];
        expect(await bench.load(await bench.files.seal(ns, events)), formatNamespace(ns)).toMatchObject({ rows: 1, rejected: [] });
      }
      const open = await bench.reopen();
      for (const ns of alike) await open.merge(ns, { rebuild: false }, never);
      for (const [i, ns] of alike.entries()) {
        const keys = await Array.fromAsync(open.silver(ns, never), (row) => row.key);
        expect(keys, formatNamespace(ns)).toEqual(ns.coll === null ? [] : [`"k${i}"`]);
      }
      expect(await bench.rows('select key from silver.a__b__c')).toEqual([['"k0"']]);
    });
  });
  it('makes its schema again without harm', async () => {
    await bench.load(await bench.files.seal(ORDERS, [insert(1)]));
    await bench.warehouse.migrate();
    expect(await count()).toBe(1);
  });
}
