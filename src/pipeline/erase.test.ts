/**
 * Erasure from a lake: after it no byte of the lake knows the subject, everybody else's lines are what they were, and a proof knows why
 * lines are missing; whatever step it dies at, and whatever form the lines are stored in.
 */
import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startDfsServer, type DfsServer } from '../../test/fakes/dfs/server.ts';
import { CaptureBench, HOUR, T0, events, folderOf } from '../../test/fakes/capture-bench.ts';
import { systemClock } from '../core/clock.ts';
import { SluiceError } from '../core/error.ts';
import { ERASE_NONE, RETENTION_BUSY } from '../core/errors.ts';
import type { Lake } from '../core/lake.ts';
import { LAYOUT_PRESETS } from '../core/layout.ts';
import { openAzureLake } from '../lake/azure/open.ts';
import { openLocalLake } from '../lake/local/local.ts';
import { MemoryStore } from '../lake/memory/memory.ts';
import { silentLog } from '../ops/log.ts';
import { openParquetWriter } from '../warehouse/duckdb/parquet.ts';
import { MAINTENANCE, checkpointPath } from './checkpoint.ts';
import { compact } from './compaction.ts';
import { newRecord, readRecord, recordPath, type DumpContent } from './dump-record.ts';
import { erase, type EraseRequest, type EraseSummary } from './erase.ts';
import { readErasures } from './erasure-record.ts';
import { sealedEvents } from './event-files.ts';
import { readSealed } from './ledger.ts';
import { readFile } from './read-file.ts';
import { retain } from './retain.ts';
import { verifyLake } from './verify-lake.ts';

const never = new AbortController().signal;
const ANN = '"ann-the-subject"';
const MAIL = 'ann@example.org';
/** Two hours that are over, with several parts; every third event is Ann's, one of them without her address. */
const SCRIPT = {
  events: events(
    ...Array.from({ length: 12 }, (_, n) => [1 + n, 'a', { bytes: 200, ...(n % 3 === 0 && { key: ANN, ...(n > 0 && { mail: MAIL }) }) }] as const),
    [20, 'b', { key: ANN }],
    [21, 'b'],
    [HOUR + 1, 'a', { key: ANN, mail: MAIL }],
    [HOUR + 2, 'a'],
    [2 * HOUR + 1, 'b'],
  ),
  end: { t: T0 + 2 * HOUR + 5, i: 1 },
  batchEvents: 2,
};
const SEVERAL_PARTS = { rollBytesMax: 900, flushBytesMax: 600 };
const BY_KEY: EraseRequest = { collections: ['db.*'], keys: ['ann-the-subject'], where: [], by: 'the tester', reason: 'REQ-1' };
const BY_MAIL: EraseRequest = { ...BY_KEY, keys: [], where: [`who.mail=${MAIL}`] };

async function run(lake: Lake, request: EraseRequest | null = BY_KEY, how: { dryRun?: boolean; nowMs?: number } = {}): Promise<EraseSummary> {
  const clock = { now: () => how.nowMs ?? (T0 + 2 * HOUR) * 1000, sleep: systemClock.sleep.bind(systemClock) };
  const parts = { lake, clock, log: silentLog, warehouse: null, openWriter: openParquetWriter };
  return await erase({ pipeline: 'p', request, dryRun: how.dryRun ?? false }, parts, never);
}

async function linesOf(lake: Lake): Promise<string[]> {
  const { lines, superseded } = await readSealed(lake, 'p', () => true, never);
  const texts: string[] = [];
  for (const line of lines.filter(({ path }) => !superseded.has(path)))
    for await (const event of sealedEvents(lake, line, never)) texts.push(Buffer.from(event).toString());
  return texts.toSorted();
}

async function faults(lake: Lake): Promise<string[]> {
  return (await verifyLake(lake, 'p', { signal: never })).findings.map(({ check, path, detail }) => `${check} ${path}: ${detail}`);
}

/** Paths of everything that says the word, also compressed or in its name. */
function knowing(store: MemoryStore, word: string): string[] {
  const plain = (path: string, bytes: Buffer): Buffer =>
    path.endsWith('.gz') ? gunzipSync(bytes) : path.endsWith('.zst') ? zstdDecompressSync(bytes) : bytes;
  return [...store.files]
    .filter(([path, { bytes, size }]) => path.includes(word) || plain(path, Buffer.from(bytes.subarray(0, size))).includes(word))
    .map(([path]) => path);
}

async function begin(options: Parameters<CaptureBench['runAndStop']>[1] = {}): Promise<{ store: MemoryStore; lake: Lake }> {
  const bench = new CaptureBench();
  // Until the day is over.
  const more = options.layout === FORMS['files of a day'].layout ? events([16 * HOUR, 'b']) : [];
  await bench.runAndStop({ ...SCRIPT, events: [...SCRIPT.events, ...more], end: { t: T0 + 17 * HOUR, i: 1 } }, { ...SEVERAL_PARTS, ...options });
  return { store: bench.store, lake: await bench.lake() };
}

const FORMS = {
  'plain lines': {},
  gzip: { compression: 'gzip' },
  zstd: { compression: 'zstd' },
  'files of a day': { layout: '{db}/{coll}/{yyyy}/{MM}/{dd}/events-{yyyyMMdd}{part}.jsonl' },
  'a file per event': { layout: LAYOUT_PRESETS['per-event'] },
} as const;

describe.each(Object.entries(FORMS))('a lake of %s', (_form, options) => {
  it('knows nothing of the subject afterwards, and has everybody else as before', async () => {
    const { store, lake } = await begin(options);
    const before = await linesOf(lake);
    const { erasures } = await run(lake);
    expect(erasures).toMatchObject([{ rows: 6, by: 'the tester', reason: 'REQ-1', left: [] }]);
    expect(await linesOf(lake)).toEqual(before.filter((line) => !line.includes(ANN)));
    expect(knowing(store, 'ann-the-subject')).toEqual([]);
    expect(await faults(lake)).toEqual([]);
    // Nothing of it is left to be done, and what was done is not done again.
    expect(await run(lake, null)).toMatchObject({ erasures: [] });
  });
});

async function compactAll(lake: Lake): Promise<number> {
  const options = { pipeline: 'p', takeOver: false, collections: [], from: null, to: null };
  return (await compact(options, { lake, clock: systemClock, log: silentLog, openWriter: openParquetWriter, loaded: null }, never)).hours;
}

describe('a lake that is compacted', () => {
  it('is erased from as well, before and after', async () => {
    const { store, lake } = await begin();
    const before = await linesOf(lake);
    expect(await compactAll(lake)).toBe(3);
    expect((await run(lake, { ...BY_KEY, collections: ['db.b'] })).erasures).toMatchObject([{ files: 1, rows: 1, left: [] }]);
    expect((await run(lake, { ...BY_KEY, collections: ['db.a'] })).erasures).toMatchObject([{ files: 2, rows: 5, left: [] }]);
    expect(await linesOf(lake)).toEqual(before.filter((line) => !line.includes(ANN)));
    expect(await faults(lake)).toEqual([]);
    expect(store.files.has(`${folderOf('a')}events-20261121-08.erased-1.parquet`)).toBe(true);
    // Somebody else of the same file.
    expect((await run(lake, { ...BY_KEY, keys: ['1'] })).erasures).toMatchObject([{ files: 1, rows: 1, left: [] }]);
    expect(store.files.has(`${folderOf('a')}events-20261121-08.erased-2.parquet`)).toBe(true);
    expect(await linesOf(lake)).toEqual(before.filter((line) => !line.includes(ANN) && !line.includes('"documentKey":{"_id":1}')));
    expect(await faults(lake)).toEqual([]);
  });

  it('may be so after it was erased from', async () => {
    const { lake } = await begin();
    await run(lake);
    const before = await linesOf(lake);
    expect(await compactAll(lake)).toBe(3);
    expect(await linesOf(lake)).toEqual(before);
    expect(await faults(lake)).toEqual([]);
    expect((await run(lake, { ...BY_KEY, keys: ['1'] })).erasures).toMatchObject([{ files: 1, rows: 1, left: [] }]);
    expect(await faults(lake)).toEqual([]);
  });
});

describe('whose documents they are', () => {
  it('may be told by a condition, which any version may meet: all versions go', async () => {
    const { store, lake } = await begin();
    const before = await linesOf(lake);
    const { erasures } = await run(lake, BY_MAIL);
    // The first of Ann's events in `a` does not have the address; none of those in `b` has.
    expect(erasures).toMatchObject([{ rows: 5, how: 'where', left: [] }]);
    expect(await linesOf(lake)).toEqual(before.filter((line) => !line.includes(ANN) || line.includes('"coll":"b"')));
    expect(knowing(store, MAIL)).toEqual([]);
    const record = JSON.stringify((await readErasures(lake, 'p', never)).map((each) => each.record));
    expect(record).not.toContain('ann');
  });

  it.each(['42', '{"$numberLong":"42"}', '{"$numberDouble":"42.0"}', '{ "$numberDecimal": "42" }'])(
    'is the same number in every type: %s',
    async (typed) => {
      const bench = new CaptureBench();
      const keys = ['{"$numberInt":"42"}', '{"$numberLong":"42"}', '{"$numberDouble":"42.0"}', '{"$numberInt":"43"}', '"42"'];
      await bench.runAndStop({ ...SCRIPT, events: events(...keys.map((key, n) => [n + 1, 'a', { key }] as const), [2 * HOUR, 'a']) });
      const { erasures } = await run(await bench.lake(), { ...BY_KEY, keys: [typed] });
      expect(erasures[0]!.rows).toBe(typed === '42' ? 4 : 3);
    },
  );

  it.each([
    ['65f0a1b2c3d4e5f6a7b8c9d0', '{"$oid":"65f0a1b2c3d4e5f6a7b8c9d0"}'],
    ['65F0A1B2C3D4E5F6A7B8C9D0', '{"$oid":"65f0a1b2c3d4e5f6a7b8c9d0"}'],
    ['123e4567-e89b-12d3-a456-426614174000', '{"$binary":{"base64":"Ej5FZ+ibEtOkVkJmFBdAAA==","subType":"04"}}'],
    ['{"$date":"2026-11-21T08:00:00Z"}', '{"$date":{"$numberLong":"1795248000000"}}'],
    ['{"tenant":7,"n":"x"}', '{"tenant":{"$numberInt":"7"},"n":"x"}'],
    ['["a",1]', '["a",{"$numberInt":"1"}]'],
    ['grün "x"', '"grün \\"x\\""'],
  ])('%s means %s', async (typed, key) => {
    const bench = new CaptureBench();
    await bench.runAndStop({ ...SCRIPT, events: events([1, 'a', { key }], [2, 'a', { key: '"another"' }], [2 * HOUR, 'a']) });
    const { erasures } = await run(await bench.lake(), { ...BY_KEY, keys: [typed] });
    expect(erasures[0]!.rows).toBe(1);
  });

  it('must be of a collection that is there', async () => {
    const { lake } = await begin();
    await expect(run(lake, { ...BY_KEY, collections: ['db.other'] })).rejects.toSatisfy((error) => SluiceError.is(error, ERASE_NONE));
    expect((await readErasures(lake, 'p', never)).length).toBe(0);
  });
});

describe('an hour that is not over', () => {
  it('waits, is told, and is done by the next one without the key; what comes later than the question stays', async () => {
    const bench = new CaptureBench();
    const open = { ...SCRIPT, events: SCRIPT.events.filter(({ at }) => at.t < T0 + HOUR), end: { t: T0 + 30, i: 1 } };
    await bench.runAndStop(open, SEVERAL_PARTS);
    const lake = await bench.lake();
    const first = await run(lake, BY_KEY, { nowMs: (T0 + 60) * 1000 });
    expect(first.erasures).toMatchObject([
      { rows: 0, left: ['20261121-08/db.a: it is not over yet', '20261121-08/db.b: it is not over yet'], endedAt: null },
    ]);
    expect(await faults(lake)).toEqual([]);
    await bench.runAndStop(SCRIPT, SEVERAL_PARTS);
    const { erasures } = await run(lake, null);
    // Ann's event of the next hour came after the question.
    expect(erasures).toMatchObject([{ rows: 5, left: [] }]);
    expect((await linesOf(lake)).filter((line) => line.includes(ANN)).length).toBe(1);
    expect(await faults(lake)).toEqual([]);
  });
});

describe('a look before', () => {
  it('counts and changes nothing', async () => {
    const { store, lake } = await begin();
    const before = [...store.files.keys()].toSorted();
    const { would } = await run(lake, BY_KEY, { dryRun: true });
    expect(would).toEqual([
      { namespace: 'db.a', documents: 1, files: 5, rows: 5, rowsWaiting: 0, warehouseRows: 0 },
      { namespace: 'db.b', documents: 1, files: 1, rows: 1, rowsWaiting: 0, warehouseRows: 0 },
    ]);
    expect([...store.files.keys()].toSorted()).toEqual(before);
  });
});

describe('positions', () => {
  it('of files that are gone are zeros in the ledger, which stays as long as it was', async () => {
    const { store, lake } = await begin();
    const ledgers = (): [string, number][] =>
      [...store.files].filter(([path]) => /^_sluice\/p\/ledger\/\d/.test(path)).map(([path, { size }]) => [path, size]);
    const before = ledgers();
    await run(lake);
    expect(ledgers()).toEqual(before);
    const { lines, superseded } = await readSealed(lake, 'p', () => true, never);
    for (const line of lines) {
      if (superseded.has(line.path)) expect([line.first, line.last].join('')).toMatch(/^0+$/);
      else if (line.rows > 0) expect(line.first).toMatch(/^82/);
    }
  });
});

describe('lines that are missing without having been erased', () => {
  it('are told by the proof, although the file and its ledger line agree', async () => {
    const { store, lake } = await begin();
    await run(lake);
    const ledger = [...store.files.keys()].find((path) => path.startsWith('_sluice/p/ledger/maintenance/'))!;
    const file = store.files.get(ledger)!;
    const text = Buffer.from(file.bytes.subarray(0, file.size)).toString();
    await lake.put(ledger, Buffer.from(text.replace('"erased":{"rows":1,', '"erased":{"rows":2,')), (await lake.stat(ledger))!);
    expect(await faults(lake)).toEqual([
      expect.stringMatching(/^erased-rows .*: \d rows and 2 that were erased, the file before it had \d$/),
      expect.stringMatching(/^manifest /),
    ]);
  });
});

describe('two who rewrite files', () => {
  it('do not work at one time', async () => {
    const { lake } = await begin();
    await using _other = await lake.own(checkpointPath('p', MAINTENANCE), { takeOver: false }, never);
    await expect(run(lake)).rejects.toSatisfy((error) => SluiceError.is(error, RETENTION_BUSY));
  });
});

describe('beside the hours', () => {
  const dumped = async (lake: Lake, content: DumpContent, path: string, text: string): Promise<string> => {
    await lake.put(path, Buffer.from(text), 'absent');
    const ns = { db: 'db', coll: 'a' };
    const record = newRecord(ns, '20261121-08', content, '');
    const sha256 = createHash('sha256').update(text).digest('hex');
    const whole = { ...record, done: true, files: [{ path, bytes: Buffer.byteLength(text), rows: 3, sha256 }], through: 'up to Ann' };
    const at = recordPath('p', ns, '20261121-08', content);
    await lake.put(at, Buffer.from(`${JSON.stringify(whole)}\n`), 'absent');
    return at;
  };
  const doc = (id: string): string => `{"_id":${id},"x":1}`;
  const change = (id: string, n: number): string =>
    `{"_meta":{"position":"82${n}","operationType":"insert","ns":{"db":"db","coll":"a"},"clusterTime":{"$timestamp":{"t":${T0},"i":${n}}}},"documentKey":{"_id":${id}}}`;
  const head = (changes: number, first: string, last: string): string =>
    `{"metadata":{"v":1,"collection":"db.a","changes":${changes},"first":"${first}","last":"${last}","parts":[]},"changes":`;

  it.each([
    ['lines', 'documents', [1, 2, 3].map((n) => `${doc(n === 2 ? ANN : String(n))}\n`).join(''), `${doc('1')}\n${doc('3')}\n`],
    ['a list', 'documents', `[\n${[doc('1'), doc(ANN), doc('3')].join(',\n')}\n]\n`, `[\n${doc('1')},\n${doc('3')}\n]\n`],
    ['a list of one', 'documents', `[\n${doc(ANN)}\n]\n`, '[]\n'],
    ['changes', 'changes', `${change(ANN, 1)}\n${change('7', 2)}\n`, `${change('7', 2)}\n`],
    [
      'a document of changes',
      'changes',
      `${head(3, '821', '823')}[\n${[change(ANN, 1), change('7', 2), change(ANN, 3)].join(',\n')}\n]}\n`,
      `${head(1, '822', '822')}[\n${change('7', 2)}\n]}\n`,
    ],
    ['a document of one change', 'changes', `${head(1, '821', '821')}[\n${change(ANN, 1)}\n]}\n`, `${head(0, '', '').replaceAll('""', 'null')}[]}\n`],
  ] as const)('a dump of %s is written anew, with its record', async (_what, content, text, expected) => {
    const { store, lake } = await begin();
    const at = await dumped(lake, content, 'a/2026-11-21-08/a.ndjson', text);
    expect((await run(lake)).erasures).toMatchObject([{ dumps: 1, left: [] }]);
    const bytes = Buffer.from(store.files.get('a/2026-11-21-08/a.ndjson')!.bytes).subarray(0, store.files.get('a/2026-11-21-08/a.ndjson')!.size);
    expect(bytes.toString()).toBe(expected);
    const [file] = (await readRecord(lake, at, never)).files;
    expect(file).toMatchObject({ bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') });
    expect(knowing(store, 'Ann')).toEqual([]);
    expect(await faults(lake)).toEqual([]);
  });

  it('a message that could not be read goes when it speaks of the subject, and a line that was too large for the bus', async () => {
    const { store, lake } = await begin();
    const letter = async (name: string, value: string): Promise<void> => {
      const content = {
        v: 1,
        topic: 't',
        partition: 0,
        offset: '1',
        at: '',
        reason: '',
        detail: '',
        key: null,
        headers: [],
        value: Buffer.from(value).toString('base64'),
      };
      await lake.put(`_sluice/p/dead-letters/2026/11/21/${name}.jsonl`, Buffer.from(`${JSON.stringify(content)}\n`), 'absent');
    };
    await letter('p000-00000000000000000001', `{ "payload": "{\\"_id\\":\\"ann-the-subject\\"}" }`);
    await letter('p000-00000000000000000002', '{"_id":"another","note":"not JSON of ours"}');
    await letter('p000-00000000000000000003', 'no JSON at all');
    await letter('p000-00000000000000000004', 'replayed as it is listed');
    const list = lake.list.bind(lake);
    lake.list = async function* (prefix, signal) {
      for await (const file of list(prefix, signal)) {
        if (file.path.endsWith('4.jsonl') || file.path.endsWith('/3.jsonl')) await lake.remove(file.path);
        yield file;
      }
    };
    await lake.put('_sluice/p/claims/20261121/1.jsonl', Buffer.from(`${change(ANN, 1)}\n`), 'absent');
    // The producer takes those away that the topic has forgotten.
    await lake.put('_sluice/p/claims/20261121/3.jsonl', Buffer.from(`${change(ANN, 3)}\n`), 'absent');
    await lake.put('_sluice/p/claims/20261121/2.jsonl', Buffer.from(`${change('7', 2)}\n`), 'absent');
    expect((await run(lake)).erasures).toMatchObject([{ deadLetters: 1, claims: 1, left: [] }]);
    const there = [...store.files.keys()].filter((path) => /dead-letters|claims/.test(path)).map((path) => path.slice(path.lastIndexOf('/') + 1));
    expect(there).toEqual(['p000-00000000000000000002.jsonl', 'p000-00000000000000000003.jsonl', '2.jsonl']);
  });
});

describe('an owner that captures meanwhile', () => {
  let server: DfsServer;
  let folder: string;
  beforeAll(async () => {
    server = await startDfsServer();
    folder = await mkdtemp(join(tmpdir(), 'sluice-erase-'));
  });
  afterAll(async () => {
    await server[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  it.each(['local', 'dfs', 'append-blob'] as const)('is not disturbed, and keeps the ledger file that it writes (%s)', async (kind) => {
    const { account } = server;
    const auth = { kind: 'accountKey', account: account.name, key: account.key } as const;
    class OwnedBench extends CaptureBench {
      override lake(): Promise<Lake> {
        if (kind === 'local') return openLocalLake(join(folder, 'lake'));
        return openAzureLake({ url: `${server.url}/erase-${kind}/lake`, writer: kind, auth, renewMs: 50 });
      }
    }
    const bench = new OwnedBench();
    const held = async (_: number, isLast: boolean): Promise<void> => void (isLast && (await new Promise(() => {})));
    const live = await bench.start(bench.source({ ...SCRIPT, onBatch: held }), SEVERAL_PARTS);
    await using lake = await bench.lake();
    // Until all hours with events of hers are over for good.
    const isOver = async (): Promise<number> => {
      const { would } = await run(lake, BY_KEY, { dryRun: true }).catch(() => ({ would: [] }));
      return would.reduce((sum, { rows }) => sum + rows, 0);
    };
    await expect.poll(isOver, { timeout: 120_000 }).toBe(6);
    const { erasures } = await run(lake);
    expect(erasures).toMatchObject([{ rows: 6, left: [expect.stringMatching(/^_sluice\/p\/ledger\/\d{8}\.jsonl: it is being written/)] }]);
    expect((await linesOf(lake)).filter((line) => line.includes(ANN))).toEqual([]);
    expect(await faults(lake)).toEqual([]);
    await live.stop();
    await bench.runAndStop(
      { ...SCRIPT, events: [...SCRIPT.events, ...events([3 * HOUR, 'a', { id: 77 }])], end: { t: T0 + 3 * HOUR, i: 2 } },
      SEVERAL_PARTS,
    );
    expect(await faults(lake)).toEqual([]);
    // Without an owner a local ledger is rewritten; one on Azure is appended to again as it is.
    expect((await run(lake, null)).erasures[0]!.left.length).toBe(kind === 'local' ? 0 : 1);
    expect(await faults(lake)).toEqual([]);
  });
});

/** The erasure of `store` goes only as far as it is let. */
class Paced {
  readonly #run: Promise<unknown>;
  readonly #waiting: (() => void)[] = [];
  #left = 0;
  #steps = 0;
  #isOver = false;
  #isStill: () => void = () => {};
  /** One after another, whoever asks. */
  #last: Promise<void> = Promise.resolve();

  constructor(store: MemoryStore, erasing: () => Promise<unknown>) {
    store.onOperation = async () => {
      if (this.#left === 0)
        await new Promise<void>((resolve) => {
          this.#waiting.push(resolve);
          this.#isStill();
        });
      else this.#left -= 1;
      this.#steps += 1;
    };
    this.#run = erasing().finally(() => {
      this.#isOver = true;
      this.#isStill();
    });
    this.#run.catch(() => {});
  }

  get steps(): number {
    return this.#steps;
  }

  /** Resolves once so many more steps are done and it waits for the next, or there are no more. */
  letDo(steps: number): Promise<void> {
    this.#last = this.#last.then(async () => {
      const still = new Promise<void>((resolve) => (this.#isStill = resolve));
      this.#left += steps;
      while (this.#left > 0 && this.#waiting.length > 0) {
        this.#left -= 1;
        this.#waiting.shift()!();
      }
      if (!this.#isOver && (this.#left > 0 || this.#waiting.length === 0)) await still;
    });
    return this.#last;
  }

  async end(): Promise<void> {
    await this.letDo(Infinity);
    await this.#run;
  }
}

/** Calls `before` ahead of each time that something is asked of it. */
function watched(lake: Lake, before: () => Promise<void>): Lake {
  const [stat, read, list] = [lake.stat.bind(lake), lake.read.bind(lake), lake.list.bind(lake)];
  lake.stat = async (path) => {
    await before();
    return await stat(path);
  };
  lake.read = async function* (path, from, signal) {
    await before();
    yield* read(path, from, signal);
  };
  lake.list = async function* (prefix, signal) {
    await before();
    for await (const file of list(prefix, signal)) yield file;
  };
  return lake;
}

describe('a proof beside an erasure', () => {
  it.each(['plain lines', 'a lake that is compacted', 'a file per event'] as const)('finds nothing, whichever step it is at: %s', async (form) => {
    const begun = await begin(form === 'a lake that is compacted' ? {} : FORMS[form]);
    if (form === 'a lake that is compacted') await compactAll(begun.lake);
    let [asked, steps] = [0, 0];
    /** At the `from`th question of the proof the erasure does `first` steps, and `each` at every later one. */
    const beside = async (from: number, first: number, each: number): Promise<void> => {
      const store = copyOf(begun.store);
      const erasing = new Paced(store, async () => await run(await new CaptureBench(store).lake()));
      asked = 0;
      const lake = watched(await new CaptureBench(store).lake(), async () => {
        asked += 1;
        if (asked >= from) await erasing.letDo(asked === from ? first : each);
      });
      expect(await faults(lake), `${first} steps at question ${from}, then ${each} at each`).toEqual([]);
      await erasing.end();
      steps = erasing.steps;
      expect(await faults(await new CaptureBench(store).lake())).toEqual([]);
    };
    await beside(1, 0, 1);
    const [questions, all] = [asked, steps];
    for (let step = 1; step <= all; step += 1) await beside(1, step, 0);
    // To write Parquet takes its time.
    const stride = form === 'a lake that is compacted' ? 20 : 1;
    for (let from = 1; from <= questions; from += stride) {
      await beside(from, all + 1, 0);
      await beside(from, (from * 7) % all, 1);
    }
    expect([questions, all].every((count) => count > 20)).toBe(true);
  });

  async function withFormerManifest(): Promise<{ lake: Lake; manifest: string }> {
    const { lake } = await begin();
    const manifest = `${folderOf('a')}_manifest.json`;
    const before = await readFile(lake, manifest, never);
    await run(lake);
    await lake.put(manifest, before, (await lake.stat(manifest))!);
    return { lake, manifest };
  }

  it('still finds a manifest that is as it was before', async () => {
    const { lake } = await withFormerManifest();
    expect(await faults(lake)).toEqual([expect.stringMatching(/^manifest .*: names .*, which the ledger does not have for that hour$/)]);
  });

  it('finds nothing where retention takes the manifest away that it looks at again', async () => {
    const { lake, manifest } = await withFormerManifest();
    const read = lake.read.bind(lake);
    let looks = 0;
    lake.read = async function* (path, from, signal) {
      looks += Number(path === manifest);
      if (path === manifest && looks === 2) {
        const clock = { now: () => (T0 + 2 * HOUR) * 1000, sleep: systemClock.sleep.bind(systemClock) };
        const asked = { pipeline: 'p', hoursMs: 1, dumpsMs: null, claimsMs: null, deadLettersMs: null, bronzeMs: null, dryRun: false };
        await retain(asked, { lake, clock, log: silentLog, warehouse: null }, never);
      }
      yield* read(path, from, signal);
    };
    expect(await faults(lake)).toEqual([]);
    expect([looks, await lake.stat(manifest)]).toEqual([2, null]);
  });
});

class Died extends Error {}

describe('an erasure that dies', () => {
  it.each(['plain lines', 'a file per event'] as const)('at any step, of %s, is ended by the next one, which is not told the key', async (form) => {
    const { store: begun } = await begin(FORMS[form]);
    const whole = await linesOf(await new CaptureBench(copyOf(begun)).lake());
    const expected = whole.filter((line) => !line.includes(ANN) || line.includes('"coll":"b"'));
    let steps = 0;
    for (let at = 1; ; at += 1) {
      const store = copyOf(begun);
      const lake = await new CaptureBench(store).lake();
      let left = at;
      store.onOperation = ({ kind }) => {
        left -= 1;
        if (left <= 0 && kind !== 'release') throw new Died();
      };
      const died = await run(lake, BY_MAIL).then(() => false, hasDied);
      delete store.onOperation;
      store.owners.clear();
      if (!died) break;
      steps = at;
      const next = await new CaptureBench(store).lake();
      // Others' lines are there at every moment.
      expect(
        (await linesOf(next)).filter((line) => expected.includes(line)),
        `after ${at} steps`,
      ).toEqual(expected);
      const isTold = (await readErasures(next, 'p', never)).length > 0;
      await run(next, isTold ? null : BY_MAIL);
      expect(await linesOf(next), `after ${at} steps, and another one`).toEqual(expected);
      expect(knowing(store, MAIL), `after ${at} steps`).toEqual([]);
      expect(await faults(next), `after ${at} steps`).toEqual([]);
      expect((await readErasures(next, 'p', never)).map(({ record }) => record.left)).toEqual([[]]);
    }
    expect(steps).toBeGreaterThan(25);
  });

  it('may be ended by a compaction, as far as files go', async () => {
    const { store, lake } = await begin();
    store.onOperation = ({ kind }) => {
      if (kind === 'remove') throw new Died();
    };
    expect(await run(lake).then(() => false, hasDied)).toBe(true);
    delete store.onOperation;
    store.owners.clear();
    const next = await new CaptureBench(store).lake();
    await compactAll(next);
    expect(await faults(next)).toEqual([]);
    await run(next, null);
    expect(knowing(store, 'ann-the-subject')).toEqual([]);
    expect(await faults(next)).toEqual([]);
  });
});

function hasDied(error: unknown): boolean {
  for (let at = error; at instanceof Error; at = at.cause) if (at instanceof Died) return true;
  throw error;
}

function copyOf({ files }: MemoryStore): MemoryStore {
  const copy = new MemoryStore();
  for (const [path, file] of files)
    copy.files.set(path, { bytes: Buffer.from(file.bytes), size: file.size, version: copy.nextVersion(), lease: null });
  return copy;
}
