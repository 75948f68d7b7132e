/**
 * Silver against an oracle: whatever the order in which files are loaded, asked for twice, found half, replaced by
 * compacted ones, and merged in between, silver is what the events say when they are read in their order.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../src/core/clock.ts';
import fc from '../fast-check.ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isoOf, positionOf, SealedFiles, type TestEvent } from './sealed-files.ts';
import { never } from './warehouse-bench.ts';
import { formatNamespace, type Namespace } from '../../src/core/namespace.ts';
import type { SealedFile, Warehouse } from '../../src/core/warehouse.ts';

const COLLECTIONS = ['a', 'b'] as const;
const SECONDS_BETWEEN = 10;

interface Step {
  readonly kind: 'write' | 'remove' | 'drop' | 'rename' | 'dropDatabase' | 'create' | 'snapshot';
  readonly coll: number;
  readonly key: number;
  /** An update whose document was still there when the server looked it up. Of a snapshot: nothing was lost before it. */
  readonly found: boolean;
}

interface Decision {
  readonly pick: number;
  readonly how: 'load' | 'loadTwo' | 'half' | 'again' | 'cut';
  readonly merge: boolean;
}

const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.oneof(
    { weight: 12, arbitrary: fc.constant('write' as const) },
    { weight: 4, arbitrary: fc.constant('remove' as const) },
    { weight: 3, arbitrary: fc.constantFrom('drop' as const, 'rename' as const, 'dropDatabase' as const, 'create' as const) },
    { weight: 2, arbitrary: fc.constant('snapshot' as const) },
  ),
  coll: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.constant(1) }),
  key: fc.nat(1),
  found: fc.boolean(),
});
const decision: fc.Arbitrary<Decision> = fc.record({
  pick: fc.nat(99),
  how: fc.constantFrom('load', 'load', 'load', 'loadTwo', 'half', 'again', 'cut'),
  merge: fc.boolean(),
});
const scenario = fc.record({
  steps: fc.array(step, { minLength: 6, maxLength: 22 }),
  cuts: fc.array(fc.constantFrom<number[]>(1, 1, 1, 2, 3), { minLength: 22, maxLength: 22 }),
  compacted: fc.option(fc.nat(99)),
  decisions: fc.array(decision, { minLength: 5, maxLength: 20 }),
});

/**
 * Seldom met by chance: a document comes in by a rename, is updated, and is gone when the server looks it up. Both of the
 * target's files are merged before the rename is loaded: what the target had under that key must be forgotten.
 */
const LATE_RENAME = {
  steps: [
    { kind: 'write' as const, coll: 0, key: 0, found: true },
    { kind: 'write' as const, coll: 1, key: 0, found: true },
    { kind: 'rename' as const, coll: 1, key: 0, found: true },
    { kind: 'write' as const, coll: 0, key: 0, found: false },
  ],
  cuts: [1],
  compacted: null,
  decisions: [
    { pick: 0, how: 'load' as const, merge: false },
    { pick: 0, how: 'load' as const, merge: true },
  ],
};

type History = ReadonlyMap<string | null, readonly TestEvent[]>;

/** The events that a MongoDB would send for these steps, by collection (`null`: the database itself). */
function historyOf(db: string, steps: readonly Step[]): History {
  const events = new Map<string | null, TestEvent[]>([...COLLECTIONS, null].map((coll) => [coll, []]));
  const docs = { a: new Set<number>(), b: new Set<number>() };
  let n = 0;
  for (const { kind, coll: index, key, found } of steps) {
    n += SECONDS_BETWEEN;
    const [coll, other] = index === 0 ? (['a', 'b'] as const) : (['b', 'a'] as const);
    const push = (event: TestEvent, to: string | null = coll): void => void events.get(to)?.push(event);
    const id = { n, key: `"k${key}"` };
    const doc = `{"_id":"k${key}","n":${n}.0}`;
    if (kind === 'drop') {
      push({ n, op: 'drop' });
      docs[coll].clear();
    } else if (kind === 'rename') {
      push({ n, op: 'rename', rest: `"to":{"db":"${db}","coll":"${other}"}` });
      docs[other] = docs[coll];
      docs[coll] = new Set();
    } else if (kind === 'dropDatabase') {
      push({ n, op: 'dropDatabase' }, null);
      for (const set of [docs.a, docs.b]) set.clear();
    } else if (kind === 'snapshot') {
      // A gap: nobody was told of this delete.
      if (!found) docs[coll].delete(key);
      push({ n, op: 'snapshotEnd', rest: `"snapshot":{"files":${docs[coll].size}}` });
      for (const each of docs[coll]) push({ n, op: 'snapshot', key: `"k${each}"`, doc: `{"_id":"k${each}","n":${n}.0}` });
    } else if (kind === 'create') {
      push({ n, op: 'create' });
    } else if (!docs[coll].has(key)) {
      push({ ...id, op: 'insert', doc });
      docs[coll].add(key);
    } else if (kind === 'remove') {
      push({ ...id, op: 'delete' });
      docs[coll].delete(key);
    } else {
      push({ ...id, op: 'update', doc: found ? doc : null });
    }
  }
  return events;
}

/** Rows of silver, as {@link readSilver} gives them, when the events are applied in their order. */
function oracle(history: History, coll: string): unknown[][] {
  const all = [...history].flatMap(([where, events]) => events.map((event) => ({ where, event }))).toSorted((x, y) => x.event.n - y.event.n);
  interface Row {
    readonly op: string;
    readonly n: number;
    readonly doc: string | null;
    readonly docN: number | null;
    readonly versions: number;
    readonly first: number;
    /** A snapshot has not brought it. */
    ended: number | null;
  }
  const rows = new Map<string, Row>();
  for (const { where, event } of all) {
    const renamed = event.op === 'rename';
    const ends = event.op === 'dropDatabase' || renamed || (event.op === 'drop' && where === coll);
    if (ends) rows.clear();
    // Comes before the rows that the snapshot has brought.
    if (event.op === 'snapshotEnd' && where === coll) for (const row of rows.values()) if (row.op !== 'delete') row.ended ??= event.n;
    if (where !== coll || event.key === undefined) continue;
    const row = rows.get(event.key) ?? { op: '', n: 0, doc: null, docN: null, versions: 0, first: event.n, ended: null };
    const doc = typeof event.doc === 'string' ? { doc: event.doc, docN: event.n } : {};
    rows.set(event.key, { ...row, op: event.op, n: event.n, versions: row.versions + 1, ended: null, ...doc });
  }
  return [...rows]
    .toSorted(([x], [y]) => (x < y ? -1 : 1))
    .map(([key, row]) => [
      key,
      row.op,
      positionOf(row.n),
      isoOf(row.n),
      row.doc,
      row.docN === null ? null : positionOf(row.docN),
      row.versions,
      row.op !== 'delete' && row.ended === null,
      row.op === 'delete' ? isoOf(row.n) : row.ended === null ? null : isoOf(row.ended),
      isoOf(row.first),
    ]);
}

export interface SilverRuns {
  readonly runs: number;
  /** On a busy machine it is left with fewer runs. */
  readonly timeLimitMs: number;
}

/** @param open the same storage each time, migrated */
export function describeSilverProperty(name: string, open: () => Promise<Warehouse>, { runs, timeLimitMs }: SilverRuns): void {
  describe(`silver in ${name}`, () => {
    let folder: string;
    let warehouse: Warehouse;
    let run = 0;
    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), 'sluice-silver-'));
      warehouse = await open();
    });
    afterAll(async () => {
      await warehouse[Symbol.asyncDispose]();
      await rm(folder, { recursive: true, force: true });
    });

    async function readSilver(ns: Namespace): Promise<readonly (readonly unknown[])[]> {
      const known = await warehouse.query(
        `select 1 from information_schema.tables where lower(table_schema) = 'silver' and lower(table_name) = '${ns.db}__${ns.coll}'`,
        1,
        never,
      );
      if (known.rows.length === 0) return [];
      const sql = `
      select key, operation, position, "at", cast(doc as varchar), doc_position, version_number, is_current, deleted_at, first_seen_at
      from silver.${ns.db}__${ns.coll} order by key`;
      return (await warehouse.query(sql, 100, never)).rows;
    }

    async function mergeAll(): Promise<void> {
      for (const ns of await warehouse.unmerged()) await warehouse.merge(ns, { rebuild: false }, never);
    }

    /** Cuts the events into files; two neighbours may have been compacted into a third. */
    async function sealAll(db: string, history: History, cuts: readonly number[], compacted: number | null): Promise<SealedFile[]> {
      const lake = new SealedFiles(join(folder, db));
      const sealed: { file: SealedFile; ns: Namespace; events: readonly TestEvent[] }[] = [];
      let cut = 0;
      for (const [coll, events] of history) {
        const ns = { db, coll };
        const ofStream = events.filter(({ op }) => !op.startsWith('snapshot'));
        for (let from = 0; from < ofStream.length; cut += 1) {
          const part = ofStream.slice(from, from + (cuts[cut % cuts.length] ?? 1));
          sealed.push({ file: await lake.seal(ns, part), ns, events: part });
          from += part.length;
        }
        for (const [n, whole] of Map.groupBy(
          events.filter(({ op }) => op.startsWith('snapshot')),
          (event) => event.n,
        )) {
          for (const [index, event] of whole.entries()) {
            const path = `_snapshots/${db}/${coll}/${n}-1-a/${event.op === 'snapshotEnd' ? 'end' : `part-0000${index}`}.jsonl`;
            sealed.push({ file: await lake.seal(ns, [event], { path }), ns, events: [event] });
          }
        }
      }
      const files = sealed.map((one) => one.file);
      const pairs = sealed.slice(1).flatMap((right, i) => {
        const left = sealed[i];
        // What says that a snapshot is whole is never replaced.
        const isEnd = [left, right].some((each) => each?.events[0]?.op === 'snapshotEnd');
        return left !== undefined && !isEnd && formatNamespace(left.ns) === formatNamespace(right.ns) ? [[left, right] as const] : [];
      });
      const pair = compacted === null ? undefined : pairs[compacted % Math.max(pairs.length, 1)];
      if (pair !== undefined) {
        const supersedes = pair.map((one) => one.file.line.path);
        files.push(
          await lake.seal(
            pair[0].ns,
            pair.flatMap((one) => one.events),
            { supersedes },
          ),
        );
      }
      return files;
    }

    /** The same file without its last line, as it is when it has been read too early. */
    async function halfOf(file: SealedFile): Promise<SealedFile> {
      const lines = (await readFile(file.localPath ?? '', 'utf8')).split('\n').slice(0, -2);
      const text = lines.map((line) => `${line}\n`).join('');
      const localPath = join(folder, 'half.jsonl');
      await writeFile(localPath, text);
      return { ...file, localPath, line: { ...file.line, bytes: Buffer.byteLength(text) } };
    }

    /** Ends somewhere while it loads and merges, and goes on as another opening of the same storage. */
    async function cut(file: SealedFile): Promise<void> {
      const stop = new AbortController();
      const working = (async () => {
        await warehouse.load([file], stop.signal);
        await mergeAll();
      })().catch(() => undefined);
      await Promise.race([working, new Promise((resolve) => setTimeout(resolve, file.line.bytes % 40))]);
      stop.abort(new Error('cut'));
      const another = await open();
      await warehouse[Symbol.asyncDispose]();
      await working;
      warehouse = another;
    }

    async function follow(files: readonly SealedFile[], decisions: readonly Decision[]): Promise<void> {
      const todo = [...files];
      const seen: SealedFile[] = [];
      for (const { pick, how, merge } of decisions) {
        const file = todo[pick % Math.max(todo.length, 1)];
        if (file === undefined) break;
        if (how === 'cut') {
          await cut(file);
        } else if (how === 'half') {
          const half = await halfOf(file);
          const known = await warehouse.loaded([file.line.path]);
          const { rejected } = await warehouse.load([half], never);
          // Rejected, unless its rows came in through another file or never will: then it is not even read.
          if (!known.has(file.line.path) && rejected.length === 0)
            expect(await warehouse.loaded([file.line.path])).toEqual(new Set([file.line.path]));
        } else {
          const with2 = how === 'loadTwo' ? todo.filter((one) => one !== file).slice(-1) : [];
          const asked = how === 'again' ? [file, ...seen] : [file, ...with2];
          expect((await warehouse.load(asked, never)).rejected).toEqual([]);
          for (const one of asked) if (todo.includes(one)) seen.push(...todo.splice(todo.indexOf(one), 1));
        }
        if (merge) await mergeAll();
      }
      expect((await warehouse.load(todo, never)).rejected).toEqual([]);
      await mergeAll();
    }

    it('is what the events say, in whatever order and however often their files come', async () => {
      // fast-check's own limit leaves the run that it cuts off at work beside the end of the test.
      const deadline = systemClock.now() + timeLimitMs;
      await fc.assert(
        fc.asyncProperty(scenario, async ({ steps, cuts, compacted, decisions }) => {
          if (systemClock.now() > deadline) return;
          run += 1;
          const db = `db${run}`;
          const history = historyOf(db, steps);
          const files = await sealAll(db, history, cuts, compacted);
          await follow(files, decisions);
          expect(await warehouse.loaded(files.map((file) => file.line.path))).toEqual(new Set(files.map((file) => file.line.path)));
          for (const coll of COLLECTIONS) expect(await readSilver({ db, coll }), coll).toEqual(oracle(history, coll));
          for (const coll of [...COLLECTIONS, null]) expect(await warehouse.prove({ db, coll }, 10, never), `${coll}, proved`).toEqual([]);
          for (const coll of COLLECTIONS) await warehouse.merge({ db, coll }, { rebuild: true }, never);
          for (const coll of COLLECTIONS) expect(await readSilver({ db, coll }), `${coll}, rebuilt`).toEqual(oracle(history, coll));
          expect((await warehouse.collections()).filter((row) => row.status === 'ERROR')).toEqual([]);
        }),
        { numRuns: runs, examples: [[LATE_RENAME]] },
      );
    });
  });
}
