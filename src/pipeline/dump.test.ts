/**
 * Dumps over a scripted source: crashes at every step, failures of one collection, two dumps at once.
 */
import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { CARTS, DAY_2, H7, H9, ORDERS, lineOf, makeSpec, overwrite, sealed, write, fileSpec } from '../../test/fakes/small-lake.ts';
import type { CollectionReading, DocumentReader } from '../core/documents.ts';
import { systemClock, type Clock } from '../core/clock.ts';
import { SluiceError } from '../core/error.ts';
import { DUMP_BUSY, DUMP_HISTORY } from '../core/errors.ts';
import type { Lake } from '../core/lake.ts';
import { formatNamespace, type Namespace } from '../core/namespace.ts';
import { parseHourName } from '../core/time.ts';
import { MemoryStore, openMemoryLake } from '../lake/memory/memory.ts';
import { silentLog } from '../ops/log.ts';
import { Dumper, type DumpOptions, type DumpOutcome } from './dump.ts';
import { readRecords } from './dump-record.ts';
import { readFile } from './read-file.ts';

const never = new AbortController().signal;
const AT = parseHourName(H9)! * 3600 + 600;
const clock: Clock = { now: () => AT * 1000, sleep: (ms, signal) => systemClock.sleep(ms, signal) };
const ALL = { collections: [], hour: null, interim: true };

/** Collections with documents `{"_id":0}`, `{"_id":1}` … */
class ScriptedReader implements DocumentReader {
  readonly counts = new Map([
    ['shop.carts', 3],
    ['shop.orders', 2500],
  ]);
  /** What the server says there are, where that is another number. */
  readonly said = new Map<string, number>();
  /** Collections whose reading fails, or never goes on. */
  readonly broken = new Set<string>();
  readonly stuck = new Set<string>();
  /** Collections that the server keeps no moment of. */
  readonly fuzzy = new Set<string>();

  async collections(): Promise<readonly Namespace[]> {
    return [CARTS, ORDERS];
  }

  async open(ns: Namespace, { atOneTime }: { readonly atOneTime: boolean }): Promise<CollectionReading> {
    const name = formatNamespace(ns);
    const count = this.counts.get(name)!;
    const { broken, stuck, fuzzy, said } = this;
    return {
      at: atOneTime ? { t: AT, i: 1 } : null,
      async *documents(signal) {
        for (let n = 0; n < count; n += 1000) {
          const size = Math.min(1000, count - n);
          yield { count: size, lines: Buffer.from(Array.from({ length: size }, (_, i) => `{"_id":${n + i}}\n`).join('')) };
          if (broken.has(name)) throw new Error('the network broke');
          if (fuzzy.has(name) && atOneTime) throw new SluiceError(DUMP_HISTORY);
          if (stuck.has(name)) await systemClock.sleep(60_000, signal);
        }
      },
      count: async () => ({ least: said.get(name) ?? count, most: said.get(name) ?? count }),
      [Symbol.asyncDispose]: async () => {},
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

function dumper(lake: Lake, reader: DocumentReader, more: Partial<DumpOptions> = {}): Dumper {
  const names = { layout: 'ndjson', withDatabase: false } as const;
  const options: DumpOptions = {
    pipeline: 'shop',
    content: 'documents',
    names,
    collections: ['*.*'],
    timeoutMs: 60_000,
    changesMax: 1_000_000,
    ...more,
  };
  return new Dumper(options, { lake, clock, log: silentLog, reader });
}

const outcomes = (dumps: readonly DumpOutcome[]): string[] => dumps.map(({ namespace, outcome, rows }) => `${namespace} ${outcome} ${rows}`);
const text = async (lake: Lake, path: string): Promise<string> => (await readFile(lake, path, never)).toString('utf8');

/** Files below the root of dumps. */
async function dumped(lake: Lake): Promise<string[]> {
  const paths: string[] = [];
  for await (const { path } of lake.list('', never)) if (/^[^_/]+\/2026-/.test(path)) paths.push(path);
  return paths;
}

/** Each file of a dump is what its record says, and no record speaks of a file that is not whole. */
async function expectWhole(lake: Lake): Promise<void> {
  const named: string[] = [];
  for await (const { record } of readRecords(lake, 'shop', never)) {
    expect(record.writing).toBe(null);
    for (const { path, bytes, sha256 } of record.files) {
      const stored = await readFile(lake, path, never);
      expect([stored.length, createHash('sha256').update(stored).digest('hex')]).toEqual([bytes, sha256]);
      named.push(path);
    }
  }
  expect(await dumped(lake)).toEqual(named.toSorted());
}

describe('a dump of documents', () => {
  it('has each collection as lines, once for an hour', async () => {
    const lake = await openMemoryLake();
    const dump = dumper(lake, new ScriptedReader());
    expect(outcomes(await dump.run(ALL, never))).toEqual(['shop.carts dumped 3', 'shop.orders dumped 2500']);
    expect(await dumped(lake)).toEqual(['carts/2026-11-21-09/carts.ndjson', 'orders/2026-11-21-09/orders.ndjson']);
    expect(await text(lake, 'carts/2026-11-21-09/carts.ndjson')).toBe('{"_id":0}\n{"_id":1}\n{"_id":2}\n');
    expect(outcomes(await dump.run(ALL, never))).toEqual(
      ['shop.carts there 3', 'shop.orders there 2500'].map((line) => line.replace(/\d+$/, (n) => n)),
    );
    await expectWhole(lake);
  });

  it('may be one JSON array under a name of its own', async () => {
    const lake = await openMemoryLake();
    const reader = new ScriptedReader();
    reader.counts.set('shop.carts', 0);
    await dumper(lake, reader, { names: { layout: 'array', withDatabase: true } }).run(ALL, never);
    const sizes: number[] = [];
    for await (const { path } of lake.list('shop', never)) {
      expect(path).toMatch(/^shop\/(carts|orders)\/2026-11-21-09\/[0-9a-f-]{36}\.json$/);
      sizes.push((JSON.parse(await text(lake, path)) as unknown[]).length);
    }
    expect(sizes).toEqual([0, 2500]);
  });

  it('goes on with the others when one collection breaks, does not end or does not count, and leaves nothing of it', async () => {
    for (const [what, note] of [
      ['broken', 'the network broke'],
      ['stuck', 'SLC-1444'],
      ['said', 'SLC-1443'],
    ] as const) {
      const lake = await openMemoryLake();
      const reader = new ScriptedReader();
      if (what === 'said') reader.said.set('shop.carts', 4);
      else reader[what].add('shop.carts');
      const dumps = await dumper(lake, reader, { timeoutMs: what === 'stuck' ? 1_500 : 60_000 }).run(ALL, never);
      expect(outcomes(dumps)).toEqual(['shop.carts failed 0', 'shop.orders dumped 2500']);
      expect(dumps[0]!.note).toContain(note);
      await expectWhole(lake);
      // Mended, it is made.
      expect(outcomes(await dumper(lake, new ScriptedReader()).run(ALL, never))[0]).toBe('shop.carts dumped 3');
    }
  });

  it('says so when the server keeps no moment for as long as it takes', async () => {
    const lake = await openMemoryLake();
    const reader = new ScriptedReader();
    reader.fuzzy.add('shop.orders');
    const [, orders] = await dumper(lake, reader).run(ALL, never);
    expect(orders).toMatchObject({ outcome: 'dumped', rows: 2500, note: expect.stringContaining('not of one moment') as string });
    await expectWhole(lake);
  });

  it('is refused while another one runs', async () => {
    const lake = await openMemoryLake();
    const reader = new ScriptedReader();
    reader.stuck.add('shop.carts');
    const stop = new AbortController();
    const first = dumper(lake, reader).run(ALL, stop.signal);
    await expect(
      (async () => {
        // The first one has the lock once its file is there.
        while ((await dumped(lake)).length === 0) await systemClock.sleep(5);
        await dumper(lake, new ScriptedReader()).run(ALL, never);
      })(),
    ).rejects.toMatchObject({ kind: DUMP_BUSY });
    stop.abort(new Error('stopped'));
    await expect(first).rejects.toThrow('stopped');
    await expectWhole(lake);
  });

  it('is made whole by the next one, whichever step the process ended at', async () => {
    for (let last = 1; ; last += 1) {
      const store = new MemoryStore();
      let steps = 0;
      store.onOperation = () => {
        steps += 1;
        // From here on nothing of this process happens.
        if (steps >= last) throw new Error('the power is off');
      };
      const dead = await openMemoryLake(store);
      const ended = await dumper(dead, new ScriptedReader())
        .run(ALL, never)
        .catch(() => null);
      const isWhole = ended !== null && ended.every(({ outcome }) => outcome === 'dumped') && steps < last;
      delete store.onOperation;
      store.owners.clear();
      const lake = await openMemoryLake(store);
      await dumper(lake, new ScriptedReader()).run(ALL, never);
      await expectWhole(lake);
      expect((await dumped(lake)).length).toBe(2);
      if (isWhole) break;
      expect(last).toBeLessThan(100);
    }
  });
});

describe('a dump of changes', () => {
  const changes = { content: 'changes' } as const;
  const lake = async (): Promise<Lake> => {
    const made = await openMemoryLake();
    await write(made, makeSpec());
    return made;
  };

  it('closes the hours that are over, and has what there is of the present one in parts', async () => {
    const here = await lake();
    const dumps = await dumper(here, new ScriptedReader(), changes).run(ALL, never);
    expect(dumps.map(({ namespace, hour, rows, files }) => [namespace, hour, rows, ...files].join(' '))).toEqual([
      'shop.carts 20261121-07 5 carts/2026-11-21-07/carts.changes.ndjson',
      'shop.orders 20261121-07 50 orders/2026-11-21-07/orders.changes.ndjson',
      'shop.orders 20261121-08 50 orders/2026-11-21-08/orders.changes.ndjson',
    ]);
    const expected = [0, 1].flatMap((part) => fileSpec(ORDERS, H7, part, part === 0 ? 30 : 20).events.map(lineOf)).join('');
    expect(await text(here, 'orders/2026-11-21-07/orders.changes.ndjson')).toBe(expected);
    expect(await dumper(here, new ScriptedReader(), changes).run(ALL, never)).toEqual([]);
    await expectWhole(here);
  });

  it('as a document says what is in it, closes with what came after its parts, and is cut at its size', async () => {
    const here = await lake();
    const names = { layout: 'document', withDatabase: false } as const;
    // Hour 9 is not over: one part of it is sealed by now.
    const open = fileSpec(ORDERS, H9, 0, 3);
    await overwrite(here, DAY_2, (text) => `${text}${JSON.stringify(sealed(open, 3))}\n`);
    const dump = dumper(here, new ScriptedReader(), { ...changes, names, changesMax: 20 });
    expect(outcomes(await dump.run({ ...ALL, collections: ['shop.orders'] }, never))).toEqual([
      'shop.orders dumped 50',
      'shop.orders dumped 50',
      'shop.orders dumped 3',
    ]);
    expect((await dumped(here)).filter((path) => path.includes('-07'))).toEqual([
      'orders/2026-11-21-07.json',
      'orders/2026-11-21-07.part-0001.json',
      'orders/2026-11-21-07.part-0002.json',
    ]);
    expect((await dumped(here)).filter((path) => path.includes('-09'))).toEqual(['orders/2026-11-21-09.part-0001.json']);
    const last = JSON.parse(await text(here, 'orders/2026-11-21-07.json')) as { metadata: Record<string, unknown>; changes: unknown[] };
    expect(last.changes.length).toBe(10);
    expect(last.metadata).toMatchObject({
      collection: 'shop.orders',
      hour: H7,
      complete: true,
      changes: 10,
      parts: [{ changes: 20 }, { changes: 20 }],
    });
    // Again before anything came: nothing. When it is over, it is closed with the rest.
    expect(outcomes(await dump.run(ALL, never))).toEqual(['shop.carts dumped 5']);
    await here.put(`_sluice/shop/hours/${H9}.json`, Buffer.from('{}'), 'absent');
    await dump.run({ ...ALL, interim: false }, never);
    const closed = JSON.parse(await text(here, 'orders/2026-11-21-09.json')) as { metadata: Record<string, unknown>; changes: unknown[] };
    expect([closed.changes.length, closed.metadata['complete']]).toEqual([0, true]);
    await expectWhole(here);
  });

  it('has each change once, whichever step the process ended at', async () => {
    const names = { layout: 'document', withDatabase: false } as const;
    for (let last = 1; ; last += 1) {
      const store = new MemoryStore();
      await write(await openMemoryLake(store), makeSpec());
      let steps = 0;
      store.onOperation = () => {
        steps += 1;
        if (steps >= last) throw new Error('the power is off');
      };
      const options = { ...changes, names, changesMax: 20 };
      await dumper(await openMemoryLake(store), new ScriptedReader(), options)
        .run(ALL, never)
        .catch(() => null);
      const isWhole = steps < last;
      delete store.onOperation;
      store.owners.clear();
      const here = await openMemoryLake(store);
      await dumper(here, new ScriptedReader(), options).run(ALL, never);
      await expectWhole(here);
      const found: string[] = [];
      for (const path of await dumped(here)) {
        const { changes: some } = JSON.parse(await text(here, path)) as { changes: { _meta: { position: string; ns: object } }[] };
        found.push(...some.map(({ _meta }) => `${JSON.stringify(_meta.ns)} ${_meta.position}`));
      }
      expect([found.length, new Set(found).size]).toEqual([105, 105]);
      if (isWhole) break;
      expect(last).toBeLessThan(200);
    }
  });
});
