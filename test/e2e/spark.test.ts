/**
 * Capture files by way of Spark: the rendered job on a real Spark in local mode, then `sluice adopt`: line by line what `sluice reshape`
 * and the direct way write, whatever the files are like, and however often either dies.
 */
import { execFile } from 'node:child_process';
import { appendFile, cp, mkdir, mkdtemp, readFile, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Lake } from '../../src/core/lake.ts';
import { isSealedLine } from '../../src/core/ledger.ts';
import { openAzureLake } from '../../src/lake/azure/open.ts';
import { openLocalLake } from '../../src/lake/local/local.ts';
import { listDeadLetters, readDeadLetter } from '../../src/pipeline/dead-letters.ts';
import { readLedger } from '../../src/pipeline/ledger.ts';
import { verifyLake } from '../../src/pipeline/verify-lake.ts';
import { capturePath, writeCapture, type CaptureHow } from '../fakes/capture-files.ts';
import { AZURE, SCRIPT, captureLogs, capturedTopic, linesOf, type CapturedTopic } from '../fakes/captured-topic.ts';
import { startDfsServer } from '../fakes/dfs/server.ts';
import { SparkSession, sparkSubmit, whyNoSpark } from '../spark.ts';
import { until } from './until.ts';

/** `all`, nightly: also jobs that are killed, that meet what is missing, and the notebook. A job takes ten seconds. */
const IS_ALL = process.env['SLUICE_SPARK'] === 'all';
const never = new AbortController().signal;
const LAUNCHER = fileURLToPath(new URL('../../bin/sluice.js', import.meta.url));
const MIXED: readonly CaptureHow[] = [
  AZURE,
  { ...AZURE, codec: 'deflate', headers: 'string', usDates: true, blockBytes: 600 },
  { ...AZURE, codec: 'parquet' },
];
/** All three kinds beside each other. */
const mixed = (at: string, only: (partition: number, n: number) => boolean = () => true): Promise<string[][]> =>
  Promise.all(MIXED.map((how, kind) => captureLogs(topic, at, how, (partition, n) => n % MIXED.length === kind && only(partition, n))));

let folder: string;
let topic: CapturedTopic;
let spark: SparkSession;
let count = 0;
/** A whole backlog, of which a lake has nothing yet: the files, and what the job has staged of them. */
let backlog: Place;

const reason = await whyNoSpark();
beforeAll(async () => {
  if (reason !== null) return;
  folder = await mkdtemp(join(tmpdir(), 'sluice-spark-'));
  topic = await capturedTopic(folder);
  spark = await SparkSession.start(join(folder, 'scratch'));
  backlog = await place();
  await mixed(backlog.captured);
  await odd(backlog.captured);
}, 600_000);
afterAll(async () => {
  if (reason !== null) return;
  await spark[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
}, 600_000);

interface Place {
  readonly captured: string;
  readonly staging: string;
  readonly lake: string;
  readonly config: string;
}

async function place(lakeUrl: string | null = null, more = ''): Promise<Place> {
  const root = join(folder, String((count += 1)));
  const at = { captured: join(root, 'captured'), staging: join(root, 'staging'), lake: join(root, 'lake'), config: join(root, 'sluice.yaml') };
  await mkdir(at.captured, { recursive: true });
  const url = lakeUrl ?? `file:${at.lake}`;
  await writeFile(at.config, `pipeline: p\nsource: { uri: "mongodb://127.0.0.1:1", include: ["db.*"] }\nlake: { url: "${url}"${more} }\n`);
  return at;
}

/** With the backlog staged for it. */
async function stagedPlace(...lake: Parameters<typeof place>): Promise<Place> {
  const at = await place(...lake);
  await cp(backlog.captured, at.captured, { recursive: true });
  await cp(backlog.staging, at.staging, { recursive: true });
  return at;
}

const BAD = { key: 'k', value: Buffer.from('not ours'), headers: { note: 'by somebody else' } };

/** What Capture, and people, leave in a folder besides. */
async function odd(at: string): Promise<void> {
  const [log] = topic.logs as [CapturedTopic['logs'][number]];
  await writeCapture(at, 0, 700, [], AZURE);
  const empty = join(at, `${capturePath(AZURE.pattern, 0, 701)}.avro`);
  await mkdir(join(empty, '..'), { recursive: true });
  await writeFile(empty, '');
  // The same messages once more, and one that is not ours.
  await writeCapture(at, 0, 1.5, log.slice(3, 9), AZURE);
  await writeCapture(at, 0, 703, [{ sequence: log.length, message: BAD }], AZURE);
  await writeFile(join(at, 'readme.txt'), 'not ours');
  await writeFile(join(at, 'other.avro'), 'not ours either');
}

interface Ran {
  readonly code: number;
  readonly signal: string | null;
  readonly out: string;
  readonly err: string;
}

function sluice(at: Place, args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Ran> {
  return new Promise((resolve) => {
    const how = { env: { ...process.env, XDG_STATE_HOME: folder, ...env } };
    execFile(process.execPath, [LAUNCHER, '--config', at.config, '--json', ...args], how, (error, out, err) =>
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, signal: error?.signal ?? null, out, err }),
    );
  });
}

const adopt = (at: Place, env?: NodeJS.ProcessEnv): Promise<Ran> => sluice(at, ['adopt', '--from', `file:${at.staging}`], env);
const reshape = (at: Place): Promise<Ran> => sluice(at, ['reshape', '--from', `file:${at.captured}`, '--claims', `file:${topic.claims}`]);

async function rendered(at: Place): Promise<{ job: string; args: string[] }> {
  const out = join(at.config, '../job');
  const urls = { from: `file:${at.captured}`, staging: `file:${at.staging}`, claims: `file:${topic.claims}` };
  const options = Object.entries(urls).flatMap(([name, url]) => [`--${name}`, url]);
  expect((await sluice(at, ['render', 'spark', ...options, '--out', out])).err).toBe('');
  // As submit.sh gives them.
  const script = await readFile(join(out, 'submit.sh'), 'utf8');
  const args = [...script.matchAll(/^ {2}(--\w+) (file:\S+)/gm)].flatMap(([, name = '', url = '']) => [name, url]);
  expect(args).toHaveLength(6);
  return { job: join(out, 'sluice_reshape.py'), args };
}

async function runJob(at: Place): Promise<{ failed: string | null; said: readonly string[] }> {
  const { job, args } = await rendered(at);
  return await spark.run(job, args);
}

async function proveLake(lake: Lake): Promise<void> {
  expect(await linesOf(lake)).toEqual(topic.expected);
  expect((await verifyLake(lake, 'p', { signal: never })).findings).toEqual([]);
}

async function proven(at: Place): Promise<void> {
  await using lake = await openLocalLake(at.lake);
  await proveLake(lake);
}

async function sealedFiles(at: Place): Promise<number> {
  await using lake = await openLocalLake(at.lake);
  let sealed = 0;
  for await (const line of readLedger(lake, 'p', '', never)) if (isSealedLine(line) && line.rows > 0) sealed += 1;
  return sealed;
}

async function lettersOf(at: Place): Promise<object[]> {
  await using lake = await openLocalLake(at.lake);
  const letters = await listDeadLetters(lake, 'p', never);
  return await Promise.all(
    letters.map(async ({ path }) => {
      const { topic: _where, ...letter } = (await readDeadLetter(lake, path, never))!;
      return { ...letter, detail: letter.detail.replace(/^.*, (?=offset)/, '') };
    }),
  );
}

/** Nothing of it is taken. */
async function dieInTheMiddle(at: Place, job: string, args: readonly string[]): Promise<void> {
  const first = await sparkSubmit(job, args, join(folder, 'killed'));
  const died = first.ended.then(({ err }) => {
    throw new Error(`the job has ended before it wrote a line: ${err}`);
  });
  await Promise.race([died, until('the job writes lines', () => stat(join(at.staging, 'lines')).catch(() => null), 1_200_000)]);
  died.catch(() => {});
  first.child.kill('SIGKILL');
  expect((await first.ended).signal).toBe('SIGKILL');
  expect((await adopt(at)).err).toMatch(/SLC-1650.*the job has not ended|SLC-1650.*no partition is there/s);
}

describe.skipIf(reason !== null)('a backlog by way of Spark', () => {
  it(
    IS_ALL ? 'is, after a job that was killed in the middle, line by line what reshape writes, once' : 'is line by line what reshape writes, once',
    { timeout: 1_800_000 },
    async () => {
      const at = backlog;
      const { job, args } = await rendered(at);
      if (IS_ALL) await dieInTheMiddle(at, job, args);
      const { failed, said } = await spark.run(job, args);
      expect(failed).toBeNull();
      expect(said.join('\n')).toMatch(/partition 0: \d+ events, [1-9]\d* repetitions/);
      // The first adoption is of a copy: the tests below adopt the same.
      const lake = await stagedPlace();
      expect(JSON.parse((await adopt(lake)).out)).toMatchObject({ events: SCRIPT.events.length, hoursComplete: 2, deadLetters: 1 });
      await proven(lake);
      const other = await place();
      await cp(at.captured, other.captured, { recursive: true });
      expect((await reshape(other)).err).toBe('');
      await proven(other);
      expect(await lettersOf(lake)).toEqual(await lettersOf(other));
      expect(await lettersOf(lake)).toHaveLength(1);
      for (const again of [adopt, reshape, adopt]) expect(JSON.parse((await again(lake)).out)).toMatchObject({ events: 0 });
      await proven(lake);
    },
  );
});

if (IS_ALL)
  describe.skipIf(reason !== null)('a job that meets what it cannot take', () => {
    it('ends before what somebody has to decide, which reshape tells, and goes on from where that has come to', { timeout: 1_800_000 }, async () => {
      const at = await place();
      const isCut = (partition: number, n: number): boolean => partition === 0 && n === 2;
      const paths = await mixed(at.captured, (partition, n) => !isCut(partition, n));
      // A file that is cut short: Spark's reader for Avro takes what is there, and the next number shows that something is missing.
      const [cut] = (await captureLogs(topic, at.captured, AZURE, isCut)) as [string];
      const whole = await readFile(cut);
      await writeFile(cut, whole.subarray(0, whole.length - 5));
      // And a partition in which another stream begins.
      const [, log] = topic.logs as readonly [unknown, CapturedTopic['logs'][number]];
      const last = log.at(-1)!;
      const { headers } = last.message;
      const changed = { ...last, message: { ...last.message, headers: { ...headers, fingerprint: headers['fingerprint']!.replace('A', 'B') } } };
      await rm(paths.flat().find((path) => path.includes('/hub/1/') && path.endsWith('.parquet'))!);
      await writeCapture(at.captured, 1, 2, [changed], AZURE);
      const { failed, said } = await runJob(at);
      expect(failed).toBeNull();
      expect(said.slice(0, 2)).toEqual([
        expect.stringMatching(/^partition 0: [1-9]\d* events, .* up to (\d+): message \1 is missing$/),
        expect.stringMatching(/^partition 1: [1-9]\d* events, .* up to 14: another stream begins at 14$/),
      ]);
      expect((await adopt(at)).err).toBe('');
      expect(await reshape(at)).toMatchObject({ code: 1, err: expect.stringContaining('SLC-1631') as string });
      await writeFile(cut, whole);
      const again = await runJob(at);
      expect(again.said[0]).toMatch(/^partition 0: [1-9]\d* events, .* up to 36$/);
      expect((await adopt(at)).err).toBe('');
      expect((await reshape(at)).code).toBe(0);
      await proven(at);
    });

    it('of which a Parquet file is cut short is not taken', { timeout: 1_800_000 }, async () => {
      const at = await place();
      const [path] = (await captureLogs(topic, at.captured, { ...AZURE, codec: 'parquet' })) as [string];
      const whole = await readFile(path);
      await writeFile(path, whole.subarray(0, whole.length - 5));
      expect((await runJob(at)).failed).toContain('is not a Parquet file');
      expect((await adopt(at)).err).toContain('SLC-1650');
    });
  });

if (IS_ALL)
  describe.skipIf(reason !== null)('the notebook for Databricks', () => {
    it('sees every event of a lake in which some hours are compacted', { timeout: 1_800_000 }, async () => {
      const at = await stagedPlace();
      expect((await adopt(at)).err).toBe('');
      const script = join(import.meta.dirname, '../fakes/spark-notebook.py');
      const notebook = join(import.meta.dirname, '../../deploy/databricks/discovery.py');
      const seen = async (): Promise<unknown> => {
        const { failed, said } = await spark.run(script, [notebook, `file://${at.lake}`, 'p', 'db', 'a']);
        expect(failed).toBeNull();
        return JSON.parse(said.at(-1)!);
      };
      const before = await seen();
      const ids = Object.entries(topic.expected)
        .filter(([hour]) => hour.startsWith('a '))
        .flatMap(([, lines]) => lines.trim().split('\n'));
      const positions = ids.map((line) => (JSON.parse(line) as { _meta: { position: string } })._meta.position);
      expect(before).toMatchObject({
        positions: positions.toSorted(),
        collections: [
          ['a', ids.length],
          ['bb', SCRIPT.events.length - ids.length],
        ],
      });
      // One hour as Parquet beside one as lines, then all that may be.
      expect((await sluice(at, ['compact', '--to', '20261121-08'])).err).toBe('');
      expect(await seen()).toEqual(before);
      expect((await sluice(at, ['compact'])).err).toBe('');
      expect((await readdir(at.lake, { recursive: true })).filter((path) => path.endsWith('.parquet')).length).toBeGreaterThan(2);
      expect(await seen()).toEqual(before);
    });
  });

const STEPS = [
  'checkpoint.after-start',
  'checkpoint.after-intent',
  'part.after-append',
  'checkpoint.before-sealing',
  'ledger.after-append',
  'hour.after-manifest',
];
describe.skipIf(reason !== null)('an adoption that is killed', () => {
  it.each(IS_ALL ? STEPS : STEPS.slice(1, 4))('at %s is finished by the next one, or by reshape', { timeout: 600_000 }, async (step) => {
    const at = await stagedPlace();
    expect((await adopt(at, { SLUICE_FAILPOINT: step })).signal).toBe('SIGKILL');
    const next = STEPS.indexOf(step) % 2 === 0 ? adopt : reshape;
    expect((await next(at)).err).toBe('');
    // Whatever has finished it, the other finds nothing left.
    expect((await reshape(at)).err).toBe('');
    await proven(at);
  });

  it('on a storage that keeps what was written is finished without a line twice', { timeout: 600_000 }, async () => {
    await using server = await startDfsServer();
    const { account } = server;
    const url = `${server.url}/lake/adopted`;
    const at = await stagedPlace(url, `, auth: { kind: accountKey, account: ${account.name}, key: "${account.key}" }, flush: { maxBytes: 4096 }`);
    const takeOver = (env: NodeJS.ProcessEnv = {}): Promise<Ran> => sluice(at, ['adopt', '--from', `file:${at.staging}`, '--take-over'], env);
    for (const step of ['part.after-append', 'checkpoint.before-sealing'])
      expect((await takeOver({ SLUICE_FAILPOINT: step })).signal).toBe('SIGKILL');
    // Its leases outlive it: nobody else may.
    expect(await adopt(at)).toMatchObject({ code: 75, out: expect.stringContaining('"partitionsOwnedByOthers":[') as string });
    expect((await takeOver()).err).toBe('');
    await using lake = await openAzureLake({ url, writer: null, auth: { kind: 'accountKey', account: account.name, key: account.key } });
    await proveLake(lake);
  });
});

describe.skipIf(reason !== null)('an adoption believes nothing', () => {
  const first = async (at: Place): Promise<string> => {
    const [file = ''] = (await readdir(join(at.staging, 'lines'))).filter((name) => name.startsWith('file=p000'));
    const [data = ''] = (await readdir(join(at.staging, 'lines', file))).filter((name) => name.startsWith('part-'));
    return join(at.staging, 'lines', file, data);
  };
  it.each<readonly [what: string, fault: (path: string) => Promise<unknown>]>([
    [
      'a byte that is another one',
      async (path) => writeFile(path, (await readFile(path, 'utf8')).replace('"bytes', '"bytez').replace(/x(?=")/, 'y')),
    ],
    [
      'two lines that have changed places',
      async (path) => {
        const [a, b, ...rest] = (await readFile(path, 'utf8')).split('\n');
        await writeFile(path, [b, a, ...rest].join('\n'));
      },
    ],
    ['a line that is missing', async (path) => writeFile(path, (await readFile(path, 'utf8')).split('\n').slice(1).join('\n'))],
    ['half a line at the end', async (path) => appendFile(path, '{"_meta')],
    ['a second file beside the first', async (path) => writeFile(path.replace('part-', 'part-1'), '')],
    ['a file that is gone', async (path) => rm(path)],
  ])('%s', { timeout: 600_000 }, async (_, fault) => {
    const at = await stagedPlace();
    await fault(await first(at));
    expect((await adopt(at)).err).toContain('SLC-1652');
    expect(await sealedFiles(at)).toBeLessThan(3);
    await rm(at.staging, { recursive: true });
    await cp(backlog.staging, at.staging, { recursive: true });
    expect((await adopt(at)).err).toBe('');
    await proven(at);
  });

  it('nor what does not go on where the lake ends', { timeout: 600_000 }, async () => {
    const at = await stagedPlace();
    const late = join(at.captured, '..', 'late');
    // The lake has taken some of it meanwhile, in another way.
    await rename(at.captured, late);
    await captureLogs(topic, at.captured, AZURE, (_, n) => n < 2);
    expect((await reshape(at)).err).toBe('');
    expect((await adopt(at)).err).toContain('SLC-1651');
    await rm(at.captured, { recursive: true });
    await rename(late, at.captured);
    expect((await reshape(at)).err).toBe('');
    await proven(at);
    const other = await stagedPlace();
    await writeFile(other.config, (await readFile(other.config, 'utf8')).replace('pipeline: p', 'pipeline: q'));
    expect((await adopt(other)).err).toContain('SLC-1651');
  });
});
