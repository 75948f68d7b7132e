/**
 * What a producer has sent, captured by Event Hubs into files, reshaped into a lake: line by line what the direct way writes, whatever
 * the files are like and however often the reshaping dies.
 */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Lake } from '../../src/core/lake.ts';
import { openAzureLake } from '../../src/lake/azure/open.ts';
import { openLocalLake } from '../../src/lake/local/local.ts';
import { listDeadLetters, readDeadLetter } from '../../src/pipeline/dead-letters.ts';
import { verifyLake } from '../../src/pipeline/verify-lake.ts';
import { failpointNames } from '../crash/failpoint-names.ts';
import { writeCapture, type Captured, type CaptureHow } from '../fakes/capture-files.ts';
import { AZURE, SCRIPT, captureLogs, capturedTopic, linesOf, type CapturedTopic } from '../fakes/captured-topic.ts';
import { startDfsServer } from '../fakes/dfs/server.ts';

const never = new AbortController().signal;
const LAUNCHER = fileURLToPath(new URL('../../bin/sluice.js', import.meta.url));
const STEPS = [
  ...(await failpointNames()).filter((name) => name.startsWith('reshape.')),
  'part.after-append',
  'checkpoint.after-sealing',
  'ledger.after-append',
  'checkpoint.before-publishing',
];

let folder: string;
let logs: CapturedTopic['logs'];
let expected: CapturedTopic['expected'];
let count = 0;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-reshape-'));
  ({ logs, expected } = await capturedTopic(folder));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

interface Place {
  readonly captured: string;
  readonly lake: string;
  readonly config: string;
}

async function place(): Promise<Place> {
  const root = join(folder, String((count += 1)));
  const [captured, lake, config] = [join(root, 'captured'), join(root, 'lake'), join(root, 'sluice.yaml')];
  await mkdir(captured, { recursive: true });
  await writeFile(
    config,
    `pipeline: p\nsource: { uri: "mongodb://127.0.0.1:1", include: ["db.*"] }\nlake: { url: "file:${lake}" }\nwarehouse: { url: "duckdb:${root}/w.duckdb" }\n`,
  );
  return { captured, lake, config };
}

const capture = (at: string, how?: CaptureHow, only?: (partition: number, n: number) => boolean): Promise<string[]> =>
  captureLogs({ logs }, at, how, only);

function sluice(
  config: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<{ code: number; signal: string | null; out: string; err: string }> {
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [LAUNCHER, '--config', config, ...args],
      { env: { ...process.env, XDG_STATE_HOME: folder, ...env } },
      (error, out, err) => resolve({ code: typeof error?.code === 'number' ? error.code : 0, signal: error?.signal ?? null, out, err }),
    );
  });
}

const reshapeArgs = ({ captured }: Place, ...more: string[]): string[] => [
  '--json',
  'reshape',
  '--from',
  `file:${captured}`,
  '--claims',
  `file:${join(folder, 'producer')}`,
  ...more,
];

async function proven(lake: string): Promise<void> {
  await using opened = await openLocalLake(lake);
  expect(await linesOf(opened)).toEqual(expected);
  const { findings } = await verifyLake(opened, 'p', { signal: never });
  expect(findings).toEqual([]);
}

describe('Capture files become the lake', () => {
  it.each([
    ['as Azure writes them', AZURE],
    ['deflated, headers as texts, in small blocks', { ...AZURE, codec: 'deflate', headers: 'string', blockBytes: 600 }],
    [
      'with dates as in the United States and parts in another order',
      { ...AZURE, usDates: true, pattern: '{Year}-{Month}-{Day}/{EventHub}_{PartitionId}/{Namespace}/{Second}-{Minute}-{Hour}' },
    ],
    ['as Parquet', { ...AZURE, codec: 'parquet' }],
  ] satisfies [string, CaptureHow][])('%s', async (_, how) => {
    const at = await place();
    await capture(at.captured, how);
    // Nothing happened for a while in a partition: a container without a record; and files of others.
    await writeCapture(at.captured, 0, 900, [], { ...AZURE, pattern: how.pattern });
    await writeFile(join(at.captured, 'readme.txt'), 'not ours');
    const first = await sluice(at.config, reshapeArgs(at, '--pattern', how.pattern));
    expect(first.err).toBe('');
    expect(JSON.parse(first.out)).toMatchObject({ events: SCRIPT.events.length, hoursComplete: 2 });
    await proven(at.lake);
  });

  it('once, however often it is run, and goes on with new files', async () => {
    const at = await place();
    await capture(at.captured, AZURE, (_, n) => n < 2);
    expect((await sluice(at.config, reshapeArgs(at))).code).toBe(0);
    await capture(at.captured, AZURE, (_, n) => n >= 2);
    expect((await sluice(at.config, reshapeArgs(at))).code).toBe(0);
    expect(JSON.parse((await sluice(at.config, reshapeArgs(at))).out)).toMatchObject({ events: 0 });
    await proven(at.lake);
    expect((await sluice(at.config, ['load'])).out).toContain(`${SCRIPT.events.length} rows loaded`);
    expect((await sluice(at.config, ['verify'])).code).toBe(0);
  });

  it('also where it goes on before a file that repeats what older ones hold', async () => {
    const at = await place();
    await capture(at.captured, AZURE, (_, n) => n < 2);
    expect((await sluice(at.config, reshapeArgs(at))).err).toBe('');
    await capture(at.captured, AZURE, (_, n) => n >= 2);
    // Written once more, later.
    await writeCapture(at.captured, 0, 800, logs[0]!.slice(3, 9), AZURE);
    await writeCapture(at.captured, 0, 801, logs[0]!.slice(-1), AZURE);
    expect((await sluice(at.config, reshapeArgs(at))).err).toBe('');
    await proven(at.lake);
  });

  it.each(['delete', 'move'])('and then %s what was read', async (then) => {
    const at = await place();
    await capture(at.captured);
    const more = then === 'move' ? ['--then', 'move', '--move-to', 'done'] : ['--then', 'delete'];
    const { out } = await sluice(at.config, reshapeArgs(at, ...more));
    const files = logs.reduce((sum, log) => sum + Math.ceil(log.length / AZURE.perFile), 0);
    expect(JSON.parse(out)).toMatchObject({ filesDone: files });
    const left = (await readdir(at.captured, { recursive: true })).filter((path) => path.endsWith('.avro'));
    expect(left.filter((path) => !path.startsWith('done/'))).toEqual([]);
    expect(left.length).toBe(then === 'move' ? files : 0);
    await proven(at.lake);
  });

  it('of which one is missing: told and recorded, and gone over only when somebody says so', async () => {
    const at = await place();
    await capture(at.captured, AZURE, (partition, n) => partition !== 0 || n !== 1);
    const lost = await sluice(at.config, reshapeArgs(at));
    expect({ code: lost.code, err: lost.err }).toMatchObject({ code: 78, err: expect.stringContaining('is in no file') as string });
    expect((await sluice(at.config, reshapeArgs(at))).code).not.toBe(0);
    expect((await sluice(at.config, reshapeArgs(at, '--accept-gap'))).code).toBe(0);
    await using lake = await openLocalLake(at.lake);
    const lines =
      Object.values(await linesOf(lake))
        .join('')
        .split('\n').length - 1;
    const missing = logs[0]!.slice(AZURE.perFile, 2 * AZURE.perFile).filter(({ message }) => message.headers['watermark'] === undefined).length;
    expect(missing).toBeGreaterThan(0);
    expect(lines).toBe(SCRIPT.events.length - missing);
  });

  it('but for messages that cannot be read: they are put aside with the reason', async () => {
    const at = await place();
    await capture(at.captured);
    const log = logs[0]!;
    const bad = { key: 'k', value: Buffer.from('not ours'), headers: { note: 'by somebody else' } };
    await writeCapture(at.captured, 0, 900, [{ sequence: log.length, message: bad }], AZURE);
    expect(await sluice(at.config, reshapeArgs(at))).toMatchObject({ code: 0 });
    await proven(at.lake);
    await using lake = await openLocalLake(at.lake);
    const [letter] = await listDeadLetters(lake, 'p', never);
    expect(await readDeadLetter(lake, letter!.path, never)).toMatchObject({
      partition: 0,
      at: expect.stringContaining('2026-11-21') as string,
      value: bad.value.toString('base64'),
    });
  });

  it('or say with a code why not', async () => {
    const at = await place();
    const empty = await sluice(at.config, reshapeArgs(at));
    expect(empty.err).toContain('SLC-1633');
    expect((await sluice(at.config, reshapeArgs(at, '--pattern', '{Year}/{Month}'))).err).toContain('SLC-1630');
    expect((await sluice(at.config, ['reshape', '--from', `file:${at.captured}`, '--then', 'move'])).code).toBe(2);
    const [path] = await capture(at.captured);
    await writeFile(path!, 'no container at all');
    const broken = await sluice(at.config, reshapeArgs(at));
    expect(broken.err).toContain('SLC-1631');
    // A message that is none of ours: its body is null.
    const other = await place();
    const [{ message }] = logs[0]! as readonly [Captured];
    await writeCapture(
      other.captured,
      0,
      0,
      [{ sequence: 0, message: { ...message, headers: { ...message.headers, watermark: undefined as never }, value: null } }].map(
        ({ sequence, message: m }) => ({
          sequence,
          message: { ...m, headers: Object.fromEntries(Object.entries(m.headers).filter(([name]) => name !== 'watermark')) },
        }),
      ),
      AZURE,
    );
    expect((await sluice(other.config, reshapeArgs(other))).err).toMatch(/SLC-16\d\d/);
  });
});

describe('a storage account', () => {
  it('may have the files, and the lake', async () => {
    await using server = await startDfsServer();
    const { account } = server;
    const open = async (url: string): Promise<Lake> =>
      await openAzureLake({ url, writer: null, auth: { kind: 'accountKey', account: account.name, key: account.key } });
    const at = await place();
    const paths = await capture(at.captured);
    await using files = await open(`${server.url}/captured/hub`);
    for (const path of paths) await files.put(path.slice(at.captured.length + 1), await readFile(path), 'absent');
    const auth = `{ kind: accountKey, account: ${account.name}, key: "${account.key}" }`;
    const url = `${server.url}/lake/reshaped`;
    await writeFile(
      at.config,
      `pipeline: p\nsource: { uri: "mongodb://127.0.0.1:1", include: ["db.*"] }\nlake: { url: "${url}", auth: ${auth}, flush: { maxAge: 50ms } }\n`,
    );
    const claims = `file:${join(folder, 'producer')}`;
    const ran = await sluice(at.config, ['reshape', '--from', `${server.url}/captured/hub`, '--claims', claims, '--then', 'delete']);
    expect(ran.err).toBe('');
    expect(ran.out).toContain(`${paths.length} Capture files deleted.`);
    await using lake = await open(url);
    expect(await linesOf(lake)).toEqual(expected);
    expect((await verifyLake(lake, 'p', { signal: never })).findings).toEqual([]);
    expect((await files.list('', never)[Symbol.asyncIterator]().next()).done).toBe(true);
  });
});

describe('a reshaping that watches', () => {
  it('takes files as they come until it is told to stop', async () => {
    const at = await place();
    await capture(at.captured, AZURE, (_, n) => n === 0);
    const args = [LAUNCHER, '--config', at.config, ...reshapeArgs(at, '--watch', '0.1')];
    const child = spawn(process.execPath, args, { env: { ...process.env, XDG_STATE_HOME: folder }, stdio: ['ignore', 'pipe', 'pipe'] });
    try {
      const ended = once(child, 'close');
      const hours = async (): Promise<number> => (await readdir(join(at.lake, '_sluice/p/hours')).catch(() => [])).length;
      await expect.poll(async () => await stat(join(at.lake, '_sluice/p/bus/p001/checkpoint.json')).then(() => true, () => false), { timeout: 30_000 }).toBe(true); // prettier-ignore
      expect(await hours()).toBe(0);
      await capture(at.captured, AZURE, (_, n) => n > 0);
      await expect.poll(hours, { timeout: 30_000 }).toBe(2);
      child.kill('SIGTERM');
      expect((await ended)[1]).toBeNull();
    } finally {
      child.kill('SIGKILL');
    }
    expect((await sluice(at.config, reshapeArgs(at))).err).toBe('');
    await proven(at.lake);
  });
});

describe.each(STEPS)('a reshaping that is killed at %s', (name) => {
  it('goes on where it was, and has every event once', async () => {
    const at = await place();
    const files = await capture(at.captured);
    const died = await sluice(at.config, reshapeArgs(at, '--then', 'delete'), { SLUICE_FAILPOINT: name });
    expect(died.signal, died.err).toBe('SIGKILL');
    expect((await sluice(at.config, reshapeArgs(at, '--then', 'delete'))).err).toBe('');
    await proven(at.lake);
    const left = await Promise.all(
      files.map((path) =>
        stat(path).then(
          () => true,
          () => false,
        ),
      ),
    );
    expect(left.some(Boolean)).toBe(false);
  });
});
