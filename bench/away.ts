/**
 * Memory of a capture whose lake goes away for a minute while MongoDB has more and more to give: `sluice run` as a user starts it, a
 * real MongoDB with a backlog, and a storage account in a third process, which refuses or hangs in the middle.
 *
 * `npm run bench -- away [refusing] [silent]`. `BENCH_MS` is how long it is away, `BENCH_EVENTS` the backlog in events of 1.2 KB; it must
 * outlast the first half at full rate. Linux alone: peaks are asked of /proc.
 */
import { fork } from 'node:child_process';
import { on } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { systemClock } from '../src/core/clock.ts';
import { isSealedLine } from '../src/core/ledger.ts';
import type { Lake } from '../src/core/lake.ts';
import { openAzureLake } from '../src/lake/azure/open.ts';
import { readLedger } from '../src/pipeline/ledger.ts';
import { linesOf, readDecoded } from '../src/pipeline/read-lines.ts';
import { verifyLake } from '../src/pipeline/verify-lake.ts';
import { RunProcess } from '../test/crash/run-process.ts';
import { PIPELINE, Workspace } from '../test/e2e/workspace.ts';
import { insertDocuments, startServer, tokenOf } from './backlog.ts';
import { deserialize } from 'bson';
import { report, type Row } from './report.ts';
import type { Away, FromStorage } from './storage.ts';

const AWAY_MS = Number(process.env['BENCH_MS'] ?? 60_000);
const EVENTS = Number(process.env['BENCH_EVENTS'] ?? 400_000);
const EVENT_BYTES = 1_200;
const RSS_MIB_MAX = 256;
const CONTAINER = 'bench';
const never = new AbortController().signal;

/** Highest resident memory of a process since it was last asked, MiB. */
function peakMiB(pid: number): number {
  const kib = Number(/^VmHWM:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]);
  writeFileSync(`/proc/${pid}/clear_refs`, '5');
  return kib / 1024;
}

/** How often each number of the backlog is in the lake. */
async function timesIn(lake: Lake): Promise<Uint8Array> {
  const times = new Uint8Array(EVENTS);
  for await (const file of readLedger(lake, PIPELINE, '', never)) {
    if (!isSealedLine(file)) continue;
    for await (const line of linesOf(readDecoded(lake, file.path, 0, never))) {
      const n = Number(/"fullDocument":\{.*?"n":(\d+)/.exec(line.toString())?.[1]);
      times[n]! += 1;
    }
  }
  return times;
}

async function measure(how: Away): Promise<Row> {
  await using work = await Workspace.make();
  await using set = await startServer();
  const client = await set.connect();
  await client.db('bench').createCollection('events');
  const token = deserialize(Buffer.from(await tokenOf(client), 'base64'));
  await insertDocuments(client, EVENTS, EVENT_BYTES);
  const argv = [how, String((EVENTS * EVENT_BYTES) / 2), String(AWAY_MS), CONTAINER];
  const storage = fork(fileURLToPath(new URL('storage.ts', import.meta.url)), argv);
  try {
    const messages = on(storage, 'message');
    const said = async (): Promise<FromStorage> => ((await messages.next()) as IteratorResult<[FromStorage]>).value[0];
    const at = (await said()) as Exclude<FromStorage, string>;
    const auth = { kind: 'accountKey', account: at.account, key: at.key } as const;
    const url = `${at.url}/${CONTAINER}/lake`;
    const configFile = await work.writeConfig({
      source: { uri: set.uri, include: ['bench.*'], startAt: { token: { _data: token['_data'] as string } }, fullDocument: 'off' },
      lake: { url, writer: 'dfs', auth },
    });
    await using run = await RunProcess.start(configFile, { args: ['--role', 'capture', '--until-idle', '5'] }).said('reading changes');
    await said();
    const before = peakMiB(run.pid);
    await systemClock.sleep(AWAY_MS);
    const during = peakMiB(run.pid);
    if (how === 'silent') process.kill(storage.pid!, 'SIGCONT');
    const backMs = performance.now();
    let after = 0;
    while (run.running) {
      try {
        after = Math.max(after, peakMiB(run.pid));
      } catch {
        break; // It has just ended.
      }
      await systemClock.sleep(100);
    }
    const { code } = await run.ended;
    if (code !== 0) throw new Error(`the run ended with ${code}:\n${run.stderr}`);
    // A storage that hangs is missed only once a request has taken too long.
    if (how === 'refusing' && !run.stderr.includes('the storage of the lake answers again'))
      throw new Error(`the storage was not missed:\n${run.stderr}`);
    const seconds = (performance.now() - backMs) / 1000;
    const lake = await openAzureLake({ url, writer: 'dfs', auth });
    const { findings } = await verifyLake(lake, PIPELINE, { signal: never });
    if (findings.length > 0) throw new Error(JSON.stringify(findings));
    const times = await timesIn(lake);
    return {
      storage: how,
      'away s': AWAY_MS / 1000,
      'peak MiB before': before,
      'peak MiB away': during,
      'peak MiB after': after,
      events: EVENTS,
      missing: times.filter((n) => n === 0).length,
      twice: times.filter((n) => n > 1).length,
      's to the end': seconds,
    };
  } finally {
    storage.kill('SIGKILL');
  }
}

const wanted = process.argv.slice(2) as Away[];
const rows: Row[] = [];
for (const how of wanted.length > 0 ? wanted : (['refusing', 'silent'] as const)) rows.push(await measure(how));
report('away', rows);
const peaks = ['before', 'away', 'after'].map((when) => `peak MiB ${when}`);
const fine = rows.every((row) => row['missing'] === 0 && row['twice'] === 0 && peaks.every((peak) => Number(row[peak]) <= RSS_MIB_MAX));
if (!fine) process.exitCode = 1;
