/**
 * `sluice erase` as a process of its own, with a warehouse: what it says, and what is left when it is killed at each of its failpoints,
 * read from the source. (Those of the swap of files: compaction-kills.test.ts, and every step of a storage: src/pipeline/erase.test.ts.)
 */
import { execFile } from 'node:child_process';
import { appendFile, cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ErasuresReport } from '../../src/app/types.ts';
import { systemClock } from '../../src/core/clock.ts';
import type { Lake } from '../../src/core/lake.ts';
import { openLocalLake } from '../../src/lake/local/local.ts';
import { silentLog } from '../../src/ops/log.ts';
import { newStats } from '../../src/ops/stats.ts';
import { Loader } from '../../src/pipeline/loader.ts';
import { newRecord, recordPath } from '../../src/pipeline/dump-record.ts';
import { erase } from '../../src/pipeline/erase.ts';
import { verifyLake } from '../../src/pipeline/verify-lake.ts';
import { verifyWarehouse } from '../../src/pipeline/verify-warehouse.ts';
import { openDuckDb } from '../../src/warehouse/duckdb/duckdb.ts';
import { openParquetWriter } from '../../src/warehouse/duckdb/parquet.ts';
import { CaptureBench, HOUR, T0, events } from '../fakes/capture-bench.ts';
import { failpointNames } from './failpoint-names.ts';

const never = new AbortController().signal;
const LAUNCHER = fileURLToPath(new URL('../../bin/sluice.js', import.meta.url));
const PIPELINE = 'p';
const ALL_NAMES = (await failpointNames()).filter((name) => /^erase\.|^warehouse\..*(?:erase|take-over)/.test(name));
/** What a kill before a step leaves is what one after the step before it leaves: `npm run test:nightly` does both. */
const NAMES =
  process.env['SLUICE_KILLS'] === undefined ? ALL_NAMES.filter((name) => name.includes('.after-') || name === 'erase.before-record') : ALL_NAMES;
const ANN = '"ann-the-subject"';
const SCRIPT = {
  events: events(
    ...Array.from({ length: 9 }, (_, n) => [1 + n, 'a', { bytes: 300, ...(n % 3 === 0 && { key: ANN, mail: 'ann@example.org' }) }] as const),
    [HOUR + 1, 'b'],
    [2 * HOUR + 1, 'a'],
  ),
  end: { t: T0 + 2 * HOUR + 5, i: 1 },
  batchEvents: 2,
};

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-erasure-kills-'));
  await using lake = await openLocalLake(join(folder, 'begun'));
  const bench = new (class extends CaptureBench {
    override lake = async (): Promise<Lake> => lake;
  })();
  await bench.runAndStop(SCRIPT, { rollBytesMax: 1_000, flushBytesMax: 600 });
  await using warehouse = await openDuckDb({ path: join(folder, 'begun.duckdb'), deletes: 'soft', columns: {}, log: silentLog });
  await warehouse.migrate();
  const options = { pipeline: PIPELINE, filesPerLoadMax: 100, clock: systemClock, log: silentLog, stats: newStats() };
  await new Loader(lake, warehouse, options).catchUp(never);
  const dump = `{"_id":${ANN},"x":1}\n{"_id":2}\n`;
  await lake.put('a/2026-11-21-08/a.ndjson', Buffer.from(dump), 'absent');
  const record = { ...newRecord({ db: 'db', coll: 'a' }, '20261121-08', 'documents', ''), done: true };
  const files = [{ path: 'a/2026-11-21-08/a.ndjson', bytes: dump.length, rows: 2, sha256: '' }];
  await lake.put(
    recordPath(PIPELINE, { db: 'db', coll: 'a' }, '20261121-08', 'documents'),
    Buffer.from(`${JSON.stringify({ ...record, files })}\n`),
    'absent',
  );
  const letter = {
    v: 1,
    topic: 't',
    partition: 0,
    offset: '1',
    at: '',
    reason: '',
    detail: '',
    key: Buffer.from(ANN).toString('base64'),
    headers: [],
    value: null,
  };
  await lake.put(`_sluice/${PIPELINE}/dead-letters/2026/11/21/p000-00000000000000000001.jsonl`, Buffer.from(`${JSON.stringify(letter)}\n`), 'absent');
});
afterAll(async () => await rm(folder, { recursive: true, force: true }));

interface Ended {
  readonly signal: string | null;
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** A lake and a warehouse of its own with the same content, and their configuration. */
async function copy(name: string): Promise<{ root: string; config: string }> {
  const root = join(folder, name.replaceAll(/[^a-z]/g, '_'));
  await cp(join(folder, 'begun'), root, { recursive: true, filter: (path) => !path.endsWith('/lock') });
  await cp(join(folder, 'begun.duckdb'), `${root}.duckdb`);
  const config = `${root}.yaml`;
  const source = '{ uri: "mongodb://127.0.0.1:1", include: ["db.*"] }';
  await writeFile(config, `pipeline: ${PIPELINE}\nsource: ${source}\nlake: { url: "file:${root}" }\n`);
  await appendFile(config, `warehouse: { url: "duckdb:${root}.duckdb" }\n`);
  return { root, config };
}

async function sluice(config: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Ended> {
  return new Promise((resolve) => {
    const options = { env: { ...process.env, XDG_STATE_HOME: folder, TMPDIR: folder, ...env } };
    execFile(process.execPath, [LAUNCHER, '--config', config, ...args], options, (error, out, err) =>
      resolve({ signal: error?.signal ?? null, code: typeof error?.code === 'number' ? error.code : 0, out, err }),
    );
  });
}

/** Files of the lake that say the word. */
async function knowing(root: string, word: string): Promise<string[]> {
  const names = await readdir(root, { recursive: true, withFileTypes: true });
  const files = names.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const found: string[] = [];
  for (const path of files) if ((await readFile(path)).includes(word) || path.slice(root.length).includes(word)) found.push(path.slice(root.length));
  return found;
}

const ERASE = ['erase', 'db.a', '--where', 'who.mail=ann@example.org'];

describe('sluice erase', () => {
  it('is asked twice, says what it did, and keeps a record that does not say whose documents they were', async () => {
    const { config, root } = await copy('says');
    expect(await sluice(config, ['erase', 'db.a'])).toMatchObject({ code: 2, err: expect.stringContaining('SLC-1452') });
    expect(await sluice(config, ['erase', '--key', '7'])).toMatchObject({ code: 2, err: expect.stringContaining('no collection is named') });
    expect(await sluice(config, ERASE)).toMatchObject({ code: 2, err: expect.stringContaining('SLC-1453') });
    expect(await sluice(config, [...ERASE, '--dry-run'])).toMatchObject({
      code: 0,
      out: 'db.a: 1 document, 3 lines in 3 files; 3 rows of bronze would go.\n',
      err: '',
    });
    expect(await sluice(config, ['erase', '--list'])).toMatchObject({ code: 0, out: 'Nothing was ever erased.\n' });
    const done = await sluice(config, [...ERASE, '--reason', 'REQ-17', '--by', 'privacy desk', '--yes']);
    expect(done).toMatchObject({ code: 0, err: '' });
    expect(done.out).toMatch(
      /^Erasure [0-9a-f]{8}: 3 lines out of 3 files, which were written anew; 3 rows of bronze\.\nAlso 1 file of dumps written anew, 1 dead letter and 0 claims removed\.\nDone\. The record says so: `sluice erase --list`\.\n$/,
    );
    expect(await knowing(root, 'ann-the-subject')).toEqual([]);
    expect(await knowing(root, 'ann@example.org')).toEqual([]);
    const { out } = await sluice(config, ['--json', 'erase', '--list']);
    const { erasures } = JSON.parse(out) as ErasuresReport;
    expect(erasures).toMatchObject([
      { by: 'privacy desk', reason: 'REQ-17', how: 'where', collections: ['db.a'], rows: 3, warehouseRows: 3, left: [] },
    ]);
    expect(out).not.toContain('salt');
    expect((await sluice(config, ['erase', '--list'])).out).toContain('privacy desk');
    expect(await sluice(config, ['erase', '--finish'])).toMatchObject({ code: 0, out: 'Nothing is left to be erased.\n' });
    expect(await sluice(config, [...ERASE, '--dry-run'])).toMatchObject({
      out: 'Nothing would be erased: no such document is in the lake or in the warehouse.\n',
    });
    expect(await sluice(config, ['verify'])).toMatchObject({ code: 0 });
  });

  it('has failpoints to be killed at', () => {
    expect(ALL_NAMES.length).toBeGreaterThan(10);
  });
});

describe.each(NAMES)('killed at %s', (name) => {
  it('is ended by the next one without being told whose documents they are', async () => {
    const { root, config } = await copy(name);
    const died = await sluice(config, [...ERASE, '--yes'], { SLUICE_FAILPOINT: name });
    expect(died.signal, died.err).toBe('SIGKILL');
    // Nobody knows of it yet: it is asked for again.
    const request = { collections: ['db.a'], keys: [], where: ['who.mail=ann@example.org'], by: 'test', reason: null };
    await using lake = await openLocalLake(root);
    await using warehouse = await openDuckDb({ path: `${root}.duckdb`, deletes: 'soft', columns: {}, log: silentLog });
    const parts = { lake, warehouse, clock: systemClock, log: silentLog, openWriter: openParquetWriter };
    const asked = name === 'erase.before-record' ? request : null;
    const { erasures } = await erase({ pipeline: PIPELINE, request: asked, dryRun: false }, parts, never);
    expect(erasures).toMatchObject([{ rows: 3, left: [] }]);
    expect(await knowing(root, 'ann-the-subject')).toEqual([]);
    expect((await verifyLake(lake, PIPELINE, { signal: never })).findings).toEqual([]);
    expect((await verifyWarehouse(lake, PIPELINE, warehouse, never)).findings).toEqual([]);
  });
});
