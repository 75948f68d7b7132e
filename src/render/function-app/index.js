// Azure Functions around sluice: each function of functions.json runs one command of it, and fails when the command fails.
//
// A trigger is only a bell. What Event Hubs or the storage hand over is left aside: sluice reads it by its own offsets and its own
// cursor, which is what makes it exactly once, however often a trigger rings.
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { app } from '@azure/functions';

const { timeLimitSeconds, functions } = JSON.parse(readFileSync(join(import.meta.dirname, 'functions.json'), 'utf8'));
const SLUICE = process.env.SLUICE_HOME ?? join(import.meta.dirname, 'sluice');
/** Another owner works already: there is nothing to do. */
const OWNED = 75;
/** sluice stops within 10 seconds; then it is ended. */
const STOP_MS = 15_000;

for (const one of functions) {
  const handler = async (_what, context) => run(one.command, context);
  if (one.kind === 'timer') app.timer(one.name, { schedule: one.schedule, handler });
  else if (one.kind === 'eventHub')
    app.eventHub(one.name, { connection: 'EVENTHUBS_CONNECTION', eventHubName: one.hub, consumerGroup: one.group, cardinality: 'many', handler });
  else app.storageBlob(one.name, { connection: 'CAPTURE_STORAGE', path: one.path, source: 'EventGrid', handler });
}

async function run(words, context) {
  const child = spawn(process.execPath, [join(SLUICE, 'bin/sluice.js'), ...words], { cwd: import.meta.dirname, stdio: ['ignore', 'pipe', 'pipe'] });
  const gone = new Promise((resolve, reject) => child.on('error', reject).on('close', (code, signal) => resolve(code ?? signal)));
  // A stop in good order: the next call goes on where this one ended.
  const stop = setTimeout(() => child.kill('SIGTERM'), timeLimitSeconds * 1000);
  const end = setTimeout(() => child.kill('SIGKILL'), timeLimitSeconds * 1000 + STOP_MS);
  let last = '';
  createInterface({ input: child.stdout }).on('line', (line) => context.log(line));
  createInterface({ input: child.stderr }).on('line', (line) => {
    last = line.startsWith('SLC-') || last === '' ? line : last;
    context.log(line);
  });
  try {
    const code = await gone;
    if (code === OWNED) return context.log('another process owns the pipeline: nothing to do');
    // Our own stop, before sluice could hear it.
    if (code === 'SIGTERM') return context.log('stopped before it had begun');
    if (code !== 0) throw new Error(`sluice ${words.join(' ')} ended with ${code}: ${last}`);
  } finally {
    clearTimeout(stop);
    clearTimeout(end);
  }
}
