/** What is rendered for Azure Functions, and its code run for real: a host of the test's own in place of `@azure/functions`, and sluice itself. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeApp, ring as ringIn, type Rung } from '../../test/fakes/function-app.ts';
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

describe('the Function app', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sluice-function-'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  async function ring(name: string, plan: FunctionPlan): Promise<Rung> {
    const config = { pipeline: 'shop', source: { uri: 'mongodb://127.0.0.1:1/?replicaSet=rs0' }, lake: { url: 'file:./lake' } };
    return await ringIn(await makeApp(folder, renderFunction(plan), config), name);
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
