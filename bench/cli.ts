/**
 * What a command costs before it does anything, and what `sluice run` costs while nothing happens.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { systemClock } from '../src/core/clock.ts';
import { startServer } from './backlog.ts';
import { percentile, report } from './report.ts';

const bin = fileURLToPath(new URL('../bin/sluice.js', import.meta.url));
const TIMES = 20;
const IDLE_MS = 20_000;

/** Sorted, ms. */
function times(args: readonly string[]): number[] {
  const all = Array.from({ length: TIMES }, () => {
    const from = performance.now();
    spawnSync(process.execPath, args);
    return performance.now() - from;
  });
  return all.toSorted((a, b) => a - b);
}

const bare = times(['-e', '0']);
const help = times([bin, '--help']);
report('cli', [
  { command: 'node -e 0', 'p50 ms': percentile(bare, 0.5), 'p95 ms': percentile(bare, 0.95) },
  { command: 'sluice --help', 'p50 ms': percentile(help, 0.5), 'p95 ms': percentile(help, 0.95) },
]);

const folder = await mkdtemp(join(tmpdir(), 'sluice-bench-'));
const set = await startServer();
try {
  const config = `pipeline: idle\nsource: { uri: "${set.uri}", include: ["bench.*"] }\nlake: { url: "file:./lake" }\nwarehouse: { url: "duckdb:./w.duckdb" }\nhttp: { port: 0 }\n`;
  await writeFile(join(folder, 'sluice.yaml'), config);
  const child = spawn(process.execPath, [bin, 'run', '--log-file', join(folder, 'log')], { cwd: folder, stdio: 'ignore' });
  await systemClock.sleep(5_000);
  const cpuMs = (): number => {
    const fields = readFileSync(`/proc/${child.pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
    return (Number(fields[11]) + Number(fields[12])) * 10;
  };
  const before = cpuMs();
  await systemClock.sleep(IDLE_MS);
  const used = cpuMs() - before;
  const rssMb = Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1]) / 1000;
  child.kill('SIGTERM');
  await once(child, 'exit');
  report('idle', [{ what: 'sluice run, idle, with DuckDB', '% of a core': (used / IDLE_MS) * 100, 'RSS MB': rssMb }]);
} finally {
  await set.stop();
  await rm(folder, { recursive: true, force: true });
}
