/**
 * `verify --source` finds what no look at the lake and the warehouse alone can: an event that a file and its ledger line agree
 * never to have had, a document that bronze and silver agree on and MongoDB has otherwise.
 */
import { createHash } from 'node:crypto';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import type { Document, MongoClient } from 'mongodb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { VerifyReport } from '../../src/app/types.ts';
import { verifyPipeline } from '../../src/app/verify.ts';
import { isSealedLine, readLedgerLine, type SealedLine } from '../../src/core/ledger.ts';
import type { ReplicaSet } from '../../src/app/demo/replica-set.ts';
import { silentLog } from '../../src/ops/log.ts';
import { jumpAhead, jumpTo, startMongo } from '../mongo.ts';
import { clusterTime } from './change-stream.ts';
import { mark, PipelineRun } from './pipeline-run.ts';
import { sluice } from './sluice.ts';
import { until } from './until.ts';
import { PIPELINE, Workspace, type Settings } from './workspace.ts';

const never = new AbortController().signal;
let set: ReplicaSet;
let client: MongoClient;

beforeAll(async () => {
  set = await startMongo();
  client = await set.connect();
  await jumpAhead(client);
});
afterAll(async () => await set.stop());

function settings(db: string): Settings {
  return { source: { uri: set.uri, include: [`${db}.*`], startAt: 'snapshot' }, warehouse: { url: 'duckdb:./warehouse.duckdb' } };
}

async function nextSecond(): Promise<void> {
  await jumpTo(client, (await clusterTime(client)).t + 2);
}

/** Captured and loaded: documents that a snapshot has brought, and changes. */
async function captured(db: string, work: Workspace): Promise<void> {
  const orders = client.db(db).collection<Document>('orders');
  await orders.insertMany(Array.from({ length: 50 }, (_, n) => ({ n, total: n + 0.5, name: `before ${n}` })));
  // Of the second in which the loading ended nothing is compared.
  await nextSecond();
  const config = work.config(settings(db));
  const run = await new PipelineRun(config, { role: 'all' }).running();
  await orders.insertMany(Array.from({ length: 20 }, (_, n) => ({ n: 100 + n, total: 1e300, name: `after ${n}` })));
  await orders.updateMany({ n: { $lt: 10 } }, { $set: { changed: true } });
  await orders.deleteMany({ n: { $gte: 110 } });
  await run.reaches(await mark(client, db, 'orders'));
  await run.stop();
  await new PipelineRun(config, { role: 'all', untilIdleMs: 0 }).done;
}

async function report(db: string, work: Workspace): Promise<VerifyReport> {
  return await verifyPipeline(work.config(settings(db)), { lake: false, warehouse: false, source: true }, { log: silentLog }, never);
}

const countsOf = ({ checks }: VerifyReport): Record<string, number> =>
  Object.assign({}, ...checks.map(({ counts }) => counts ?? {})) as Record<string, number>;

/** Changes a sealed file of events, and its ledger line so that the two agree. */
async function tamper(
  work: Workspace,
  change: (lines: string[]) => string[],
  of: { readonly coll: string; readonly rowsMin: number } = { coll: 'orders', rowsMin: 30 },
): Promise<void> {
  const folder = join(work.lake, `_sluice/${PIPELINE}/ledger`);
  for (const name of await readdir(folder)) {
    const texts = (await readFile(join(folder, name), 'utf8')).trimEnd().split('\n');
    for (const [index, text] of texts.entries()) {
      const line = readLedgerLine(text)!;
      if (!isSealedLine(line) || line.path.startsWith('_snapshots/') || line.coll !== of.coll || line.rows < of.rowsMin) continue;
      const path = join(work.lake, line.path);
      const lines = change((await readFile(path, 'utf8')).trimEnd().split('\n'));
      const bytes = Buffer.from(lines.map((each) => `${each}\n`).join(''));
      await writeFile(path, bytes);
      const ops: Record<string, number> = {};
      for (const each of lines) {
        const { operationType } = (JSON.parse(each) as { _meta: { operationType: string } })._meta;
        ops[operationType] = (ops[operationType] ?? 0) + 1;
      }
      const told: SealedLine = { ...line, bytes: bytes.length, rows: lines.length, sha256: createHash('sha256').update(bytes).digest('hex'), ops };
      texts[index] = JSON.stringify(told);
      await writeFile(join(folder, name), texts.map((each) => `${each}\n`).join(''));
      return;
    }
  }
  throw new Error('there is no such file');
}

/** What a run has found is loud, is in the status of the pipeline, and is told by the metrics of the next run. */
async function isRemembered(work: Workspace): Promise<void> {
  const config = work.config(settings('events'));
  const asked = { lake: false, warehouse: false, source: true };
  const first = await new PipelineRun(config, { role: 'all' }).running();
  await first.control.verify(asked, never);
  expect([...first.stats.verification!.checked.keys()]).toEqual(['events', 'documents']);
  expect((await first.control.overview(never)).verification).toMatchObject({ ok: false, checks: [{ name: 'events', outcome: 'failed' }, {}] });
  await first.stop();
  const { out } = await sluice(await work.writeConfig(settings('events')), 'status');
  expect(out).toMatch(/verified .*something is off: .*1 event-missing/);
  const next = await new PipelineRun(config, { role: 'all' }).running();
  await until('it knows', () => next.stats.verification !== null);
  expect(next.stats.verification).toEqual(first.stats.verification);
  expect(next.stats.verification?.faults.get('event-missing')).toBe(1);
  expect((await next.control.overview(never)).verification).toMatchObject({ ok: false });
  await next.stop();
}

describe('verify --source', () => {
  it('finds nothing where everything is as it should be, also while others write', async () => {
    await using work = await Workspace.make();
    await captured('fine', work);
    const quiet = await report('fine', work);
    expect(quiet.checks.flatMap(({ findings }) => findings)).toEqual([]);
    expect(quiet).toMatchObject({
      ok: true,
      checks: [
        { name: 'events', outcome: 'ok' },
        { name: 'documents', outcome: 'ok' },
      ],
    });
    // What has changed since is not captured, and no fault.
    await client
      .db('fine')
      .collection('orders')
      .updateMany({ n: { $lt: 5 } }, { $set: { later: true } });
    await client.db('fine').collection('orders').deleteOne({ n: 7 });
    await client.db('fine').collection('orders').insertOne({ n: 1000 });
    const changing = await report('fine', work);
    expect(changing.ok, JSON.stringify(changing)).toBe(true);
    expect(changing.checks[1]!.detail).toContain('7 have changed since');
    const configFile = await work.writeConfig(settings('fine'));
    const { code, out } = await sluice(configFile, 'verify', '--source');
    expect([code, out], out).toEqual([0, expect.stringContaining('Everything agrees')]);
  });

  it('finds an event that is missing, one that is there twice, one that was changed', async () => {
    await using work = await Workspace.make();
    await captured('events', work);
    await tamper(work, (lines) => {
      const inserts = lines.filter((line) => line.includes('"operationType":"insert"'));
      const [missing, , changed = ''] = inserts;
      const rest = lines.filter((line) => line !== missing).map((line) => (line === changed ? line.replace('after', 'aftEr') : line));
      return [...rest, rest[1]!];
    });
    const found = await report('events', work);
    expect(found.ok).toBe(false);
    expect(countsOf(found)).toMatchObject({ 'event-missing': 1, 'event-twice': 1, 'event-changed': 1 });
    expect(found.checks[0]!.findings.join('\n')).toMatch(/event-missing: events\.orders: insert of events\.orders \{"_id":\{"\$oid":/);
    await isRemembered(work);
  });

  it('finds an event that the change stream does not have', async () => {
    await using work = await Workspace.make();
    await captured('extra', work);
    await tamper(work, (lines) => lines.map((line, n) => (n === 5 ? line.replace(/"position":"(.*?)04"/, '"position":"$105"') : line)));
    expect(countsOf(await report('extra', work))).toMatchObject({ 'event-missing': 1, 'event-extra': 1 });
  });

  it('finds a stale row of silver, one too many and one too few', async () => {
    await using work = await Workspace.make();
    await captured('silver', work);
    const instance = await DuckDBInstance.create(join(work.folder, 'warehouse.duckdb'));
    const connection = await instance.connect();
    for (const sql of [
      `update silver.silver__orders set doc = replace(cast(doc as varchar), '"before 20"', '"stale"') where cast(doc as varchar) like '%"before 20"%'`,
      `insert into silver.silver__orders select * replace ('"extra"' as key) from silver.silver__orders where cast(doc as varchar) like '%"before 21"%'`,
      `delete from silver.silver__orders where cast(doc as varchar) like '%"before 22"%'`,
    ]) {
      await connection.run(sql);
    }
    connection.closeSync();
    instance.closeSync();
    const found = await report('silver', work);
    expect(countsOf(found)).toEqual({ 'document-differs': 1, 'document-extra': 1, 'document-missing': 1 });
    expect(found.checks[1]!.findings).toContain('document-extra: silver.orders: "extra"');
  });
});

/** One collection for each fault, all planted before one `sluice verify` of everything. */
const PLANTED: readonly {
  readonly coll: string;
  /** By which checks it is found, of the lake, of the warehouse, against the source. */
  readonly found: readonly string[];
  readonly lines?: (lines: string[]) => string[];
  /** The file alone: its ledger line stays. */
  readonly bytes?: (text: string) => string;
  readonly sql?: readonly string[];
}[] = [
  { coll: 'missing_event', found: ['event-missing'], lines: (lines) => lines.filter((_, n) => n !== 4) },
  { coll: 'duplicate', found: ['duplicate', 'event-twice'], lines: (lines) => lines.flatMap((line, n) => (n === 4 ? [line, line] : [line])) },
  {
    coll: 'changed_byte',
    found: ['file-hash', 'bronze-changed', 'event-changed'],
    bytes: (text) => text.replace('"name":"row 4"', '"name":"roW 4"'),
  },
  {
    coll: 'wrong_hour',
    found: ['hour'],
    lines: (lines) => lines.map((line, n) => (n === 4 ? line.replace(/"t":(\d+)/, (_, t: string) => `"t":${Number(t) - 7200}`) : line)),
  },
  {
    coll: 'missing_row',
    found: ['bronze-missing'],
    sql: ['delete from bronze.planted__missing_row where row_number = 5'],
  },
  {
    coll: 'stale_row',
    found: ['silver-stale', 'document-differs'],
    sql: [
      `update silver.planted__stale_row as s set position = b.position, doc = replace(cast(s.doc as varchar), '"updated"', '"stale"')
       from bronze.planted__stale_row b where b.key = s.key and b.operation = 'insert' and cast(s.doc as varchar) like '%"updated"%'`,
    ],
  },
  {
    coll: 'extra_row',
    found: ['silver-extra', 'document-extra'],
    sql: [`insert into silver.planted__extra_row select * replace ('"nobody"' as key) from silver.planted__extra_row limit 1`],
  },
];

describe('sluice verify', () => {
  it('finds each planted fault, in the collection where it is, and nothing in another one', async () => {
    await using work = await Workspace.make();
    const database = client.db('planted');
    const of = { ...settings('planted'), source: { ...settings('planted').source, startAt: 'now' } };
    const config = work.config(of);
    const run = await new PipelineRun(config, { role: 'all' }).running();
    const colls = [...PLANTED.map(({ coll }) => coll), 'untouched'];
    for (const coll of colls) {
      const documents = database.collection<Document>(coll);
      await documents.insertMany(Array.from({ length: 12 }, (_, n) => ({ n, name: `row ${n}` })));
      await documents.updateOne({ n: 7 }, { $set: { name: 'updated' } });
    }
    // Of the second in which the loading ended nothing is compared.
    await nextSecond();
    for (const coll of colls) await run.reaches(await mark(client, 'planted', coll));
    await run.stop();
    await new PipelineRun(config, { role: 'all', untilIdleMs: 0 }).done;
    const configFile = await work.writeConfig(of);
    expect((await sluice(configFile, 'verify', '--lake', '--warehouse', '--source')).code).toBe(0);

    const instance = await DuckDBInstance.create(join(work.folder, 'warehouse.duckdb'));
    const connection = await instance.connect();
    for (const { coll, lines, bytes, sql = [] } of PLANTED) {
      if (lines !== undefined) await tamper(work, lines, { coll, rowsMin: 12 });
      if (bytes !== undefined) await changeBytes(work, coll, bytes);
      for (const statement of sql) await connection.run(statement);
    }
    connection.closeSync();
    instance.closeSync();

    const { code, out } = await sluice(configFile, '--json', 'verify', '--lake', '--warehouse', '--source');
    expect(code).toBe(1);
    const findings = (JSON.parse(out) as VerifyReport).checks.flatMap((check) => check.findings);
    const checksIn = (coll: string): string[] =>
      findings
        .filter((finding) => finding.includes(`planted.${coll}`) || finding.includes(`planted/${coll}/`))
        .map((finding) => finding.split(':')[0]!);
    for (const { coll, found } of PLANTED) expect(checksIn(coll), `${coll}\n${findings.join('\n')}`).toEqual(expect.arrayContaining([...found]));
    expect(checksIn('untouched')).toEqual([]);
    // As a person reads it.
    const shown = await sluice(configFile, 'verify', '--lake', '--warehouse', '--source');
    for (const { coll } of PLANTED) expect(shown.out).toContain(coll);
  });
});

async function changeBytes(work: Workspace, coll: string, change: (text: string) => string): Promise<void> {
  const folder = join(work.lake, 'planted', coll);
  const name = (await readdir(folder, { recursive: true })).find((each) => /events-[^/]*\.jsonl$/.test(each))!;
  const before = await readFile(join(folder, name), 'utf8');
  expect(change(before)).not.toBe(before);
  await writeFile(join(folder, name), change(before));
}
