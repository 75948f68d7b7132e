/** What is rendered for Azure Functions, and its code run for real: a host of the test's own in place of `@azure/functions`, and sluice itself. */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { shellProblem } from '../../test/shell.ts';
import { renderFunction, type FunctionPlan } from './function.ts';

const PLAN: FunctionPlan = {
  pipeline: 'shop',
  timeLimitSeconds: 540,
  functions: [
    { name: 'timer1_load', kind: 'timer', schedule: '0 10 * * * *', command: ['load', '--recent', '6'] },
    {
      name: 'hub1_run',
      kind: 'eventHub',
      hub: 'shop',
      group: 'sluice-bell',
      command: ['run', '--role', 'consume', '--until-idle', '20', '--no-wait'],
    },
    { name: 'blob1_load', kind: 'blob', path: 'capture/{name}', command: ['load'] },
  ],
};

it('what is rendered for Azure Functions is as it was, and its script can be read by a shell', async () => {
  const files = renderFunction(PLAN);
  const written = files.filter(({ name }) => name !== 'index.js').map(({ name, text }) => `==== ${name}\n${text}`);
  await expect(written.join('\n')).toMatchFileSnapshot('golden/function.txt');
  expect(shellProblem(files.find(({ name }) => name === 'package.sh')!.text)).toBeNull();
});

/** Keeps what the app registers, and rings once for the function that is named. */
const HOST = `
export const registered = [];
const register = (kind) => (name, options) => void registered.push({ kind, name, ...options });
export const app = { timer: register('timer'), eventHub: register('eventHub'), storageBlob: register('blob') };
`;
const RING = `
import { registered } from '@azure/functions';
await import('./index.js');
const said = [];
const [, , name] = process.argv;
const one = registered.find((it) => it.name === name);
const failed = one === undefined ? null : await one.handler([], { log: (line) => said.push(line) }).then(() => null, (error) => error.message);
process.stdout.write(JSON.stringify({ registered, said, failed }));
`;

interface Rung {
  readonly registered: readonly Readonly<Record<string, unknown>>[];
  readonly said: readonly string[];
  readonly failed: string | null;
}

describe('the Function app', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sluice-function-'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  async function ring(name: string, plan: FunctionPlan): Promise<Rung> {
    const app = await mkdtemp(join(folder, 'app-'));
    for (const file of renderFunction(plan)) await writeFile(join(app, file.name), file.text);
    await mkdir(join(app, 'node_modules/@azure/functions'), { recursive: true });
    await writeFile(join(app, 'node_modules/@azure/functions/package.json'), '{ "type": "module", "exports": "./index.js" }');
    await writeFile(join(app, 'node_modules/@azure/functions/index.js'), HOST);
    await writeFile(join(app, 'ring.js'), RING);
    await writeFile(
      join(app, 'sluice.yaml'),
      JSON.stringify({ pipeline: 'shop', source: { uri: 'mongodb://127.0.0.1:1/?replicaSet=rs0' }, lake: { url: 'file:./lake' } }),
    );
    await symlink(join(import.meta.dirname, '../..'), join(app, 'sluice'));
    const { stdout } = await promisify(execFile)(process.execPath, ['ring.js', name], { cwd: app });
    return JSON.parse(stdout) as Rung;
  }
  const only = (command: readonly string[], timeLimitSeconds = 60): FunctionPlan => ({
    ...PLAN,
    timeLimitSeconds,
    functions: [{ name: 'one', kind: 'timer', schedule: '0 0 * * * *', command }],
  });

  it('registers each function with its trigger', async () => {
    const { registered } = await ring('none', PLAN);
    expect(registered.map(({ handler: _handler, ...rest }) => rest)).toEqual([
      { kind: 'timer', name: 'timer1_load', schedule: '0 10 * * * *' },
      {
        kind: 'eventHub',
        name: 'hub1_run',
        connection: 'EVENTHUBS_CONNECTION',
        eventHubName: 'shop',
        consumerGroup: 'sluice-bell',
        cardinality: 'many',
      },
      { kind: 'blob', name: 'blob1_load', connection: 'CAPTURE_STORAGE', path: 'capture/{name}', source: 'EventGrid' },
    ]);
  });

  it('runs the command, and passes on what it says', async () => {
    const { said, failed } = await ring('one', only(['config', 'check']));
    expect(failed).toBeNull();
    expect(said.join('\n')).toContain('sluice.yaml');
  });

  it('fails as the command fails, with its code', async () => {
    const { failed } = await ring('one', only(['load', '--config', 'nowhere.yaml']));
    expect(failed).toMatch(/^sluice load --config nowhere\.yaml ended with 2: SLC-1002/);
  });

  it('stops in good order what takes too long', async () => {
    // There is no MongoDB: it would try for ever.
    const { failed, said } = await ring('one', only(['run'], 3));
    expect(failed).toBeNull();
    expect(said.join('\n')).toMatch(/Stopped: 0 events written|stopped before it had begun/);
  });
});
