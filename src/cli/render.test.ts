/** `sluice render` for Azure and Atlas, through the command line: what is written, what differs, what is refused. */
import { appendFile, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runCommandLine } from './main.ts';
import { testIo, type TestIo } from './test-io.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-cli-render-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const BUS = {
  url: 'eventhubs://acme.servicebus.windows.net/shop',
  auth: { kind: 'connectionString', value: 'Endpoint=sb://acme.servicebus.windows.net/;SharedAccessKeyName=k;SharedAccessKey=c2VjcmV0' },
};

async function configure(changes: object = {}): Promise<void> {
  const config = {
    pipeline: 'shop',
    source: { uri: 'mongodb://127.0.0.1:1/?replicaSet=rs0', include: ['shop.*'], startAt: 'now' },
    lake: { url: 'https://acmelake.dfs.core.windows.net/lake/prod' },
    bus: BUS,
    ...changes,
  };
  await writeFile(join(folder, 'sluice.yaml'), JSON.stringify(config));
}

async function sluice(...args: readonly string[]): Promise<TestIo & { readonly code: number }> {
  const io = testIo({ cwd: folder });
  const code = await runCommandLine(io, args);
  return { ...io, code };
}

const ASP = ['render', 'asp', '--cluster', 'Shop', '--workspace', 'streams'];

describe.each<readonly [what: string, args: readonly string[], changed: string]>([
  ['eventhubs', ['render', 'eventhubs'], 'eventhubs.json'],
  ['asp', ASP, 'processor.json'],
])('sluice render %s', (what, args, changed) => {
  it('writes files without a secret, and says what differs from them', async () => {
    await configure();
    const first = await sluice(...args, '--json');
    expect(first.code, first.err()).toBe(0);
    const { files } = JSON.parse(first.out()) as { files: string[] };
    expect(files.length).toBeGreaterThan(2);
    for (const file of files) expect(await readFile(file, 'utf8')).not.toContain('c2VjcmV0');
    const same = await sluice(...args, '--diff');
    expect([same.code, same.out()]).toEqual([0, `${join(folder, 'rendered', what)} is as it would be written now.\n`]);
    await appendFile(join(folder, 'rendered', what, changed), 'mine\n');
    const other = await sluice(...args, '--diff');
    expect(other.code).toBe(1);
    expect(other.out()).toBe(`${changed}: changed\n- mine\n`);
  });

  it('asks for a bus, and for one on Event Hubs', async () => {
    await configure({ bus: undefined });
    expect((await sluice(...args)).err()).toContain('has no `bus`');
    await configure({ bus: { ...BUS, url: 'kafka://b1:9092/shop' } });
    const kafka = await sluice(...args);
    expect(kafka.code).toBe(2);
    expect(kafka.err()).toContain('is no Event Hub');
  });

  it('shows an example in its help', async () => {
    const help = await sluice(...args.slice(0, 2), '--help');
    expect(help.out()).toContain(`Example:\n  sluice render ${what}`);
  });
});

const SNOWFLAKE = { url: 'snowflake://acme/ANALYTICS?warehouse=LOADING&role=LOADER', auth: { kind: 'pat', user: 'SLUICE', token: 'c2VjcmV0' } };

describe.each<readonly [what: string, args: readonly string[], changed: string]>([
  ['terraform', ['render', 'terraform'], 'lake.tf'],
  ['adf', ['render', 'adf', 'shop.orders'], 'adf.json'],
])('sluice render %s', (what, args, changed) => {
  it('writes files without a secret, and says what differs from them', async () => {
    await configure({ warehouse: SNOWFLAKE });
    const first = await sluice(...args, '--json');
    expect(first.code, first.err()).toBe(0);
    const { files } = JSON.parse(first.out()) as { files: string[] };
    for (const file of files) expect(await readFile(file, 'utf8')).not.toContain('c2VjcmV0');
    expect((await sluice(...args, '--diff')).code).toBe(0);
    await appendFile(join(folder, 'rendered', what, changed), 'mine\n');
    const other = await sluice(...args, '--diff');
    expect([other.code, other.out()]).toEqual([1, `${changed}: changed\n- mine\n`]);
    expect((await sluice(...args.slice(0, 2), '--help')).out()).toContain(`Example:\n  sluice render ${what}`);
  });
});

const CAPTURED = 'https://acmelake.blob.core.windows.net/capture';
const SPARK = ['render', 'spark', '--from', CAPTURED, '--staging', 'file:./staging'];

describe('sluice render spark', () => {
  it('writes a job and how it is submitted, in the words of Spark', async () => {
    await configure();
    const first = await sluice(...SPARK, '--json');
    expect(first.code, first.err()).toBe(0);
    const { files } = JSON.parse(first.out()) as { files: string[] };
    const texts = await Promise.all(files.map((file) => readFile(file, 'utf8')));
    expect(texts.join('\n')).not.toContain('c2VjcmV0');
    expect(texts.join('\n')).toContain('"lake":"abfss://lake@acmelake.dfs.core.windows.net/prod"');
    expect(texts.join('\n')).toContain('--capture abfss://capture@acmelake.dfs.core.windows.net ');
    expect((await sluice(...SPARK, '--diff')).code).toBe(0);
    expect((await sluice('render', 'spark', '--help')).out()).toContain('Example:\n  sluice render spark');
  });

  it('says what it cannot do', async () => {
    await configure();
    expect((await sluice(...SPARK, '--pattern', '{Year}')).err()).toContain('SLC-1630');
    expect((await sluice('render', 'spark', '--from', 'http://127.0.0.1:10000/a/b', '--staging', 'file:./s')).err()).toContain('is an emulator');
    await configure({ lake: { url: 'https://acmelake.dfs.core.windows.net/lake/prod', layout: 'per-event' } });
    expect((await sluice(...SPARK)).err()).toContain('SLC-1653');
  });
});

describe('sluice render terraform', () => {
  it('makes only what the configuration names, and says which file is left over', async () => {
    await configure({ warehouse: SNOWFLAKE });
    await sluice('render', 'terraform', '--out', 'tf');
    expect((await readdir(join(folder, 'tf'))).toSorted()).toEqual([
      'eventhubs.tf',
      'identity.tf',
      'lake.tf',
      'outputs.tf',
      'snowflake.tf',
      'variables.tf',
      'versions.tf',
    ]);
    await configure({ bus: undefined });
    const less = await sluice('render', 'terraform', '--out', 'tf', '--diff');
    expect(less.out()).toContain('eventhubs.tf: gone\nsnowflake.tf: gone\n');
  });

  it('has nothing to make where everything is on this machine', async () => {
    await configure({ bus: undefined, lake: { url: 'file:./lake' } });
    const refused = await sluice('render', 'terraform');
    expect(refused.code).toBe(2);
    expect(refused.err()).toContain('nothing to make');
  });
});

describe('sluice render adf', () => {
  it('calls the procedures that render snowflake writes', async () => {
    await configure({ warehouse: SNOWFLAKE });
    await sluice('render', 'adf', 'shop.orders', 'shop.my orders', '--out', 'adf');
    await sluice('render', 'snowflake', '--mode', 'task', 'shop.orders', 'shop.my orders', '--out', 'sql');
    const called = [...(await readFile(join(folder, 'adf/adf.json'), 'utf8')).matchAll(/"(?:load|merge)": ("sluice\..*")/g)].map(
      ([, name]) => JSON.parse(name!) as string,
    );
    const sql = (await Promise.all((await readdir(join(folder, 'sql'))).map((name) => readFile(join(folder, 'sql', name), 'utf8')))).join('\n');
    expect(called.length).toBe(4);
    for (const name of called) expect(sql).toContain(`CREATE OR REPLACE PROCEDURE ${name}(`);
  });

  it.each([
    ['a warehouse', {}, /no Snowflake warehouse/],
    ['a user', { warehouse: { url: SNOWFLAKE.url } }, /there is none/],
  ])('needs %s', async (_what, changes, message) => {
    await configure(changes);
    expect((await sluice('render', 'adf', 'shop.orders')).err()).toMatch(message);
  });
});

describe('sluice render function', () => {
  const TIMER = ['--timer', '0 10 * * * * load --recent 6'];

  it('writes an app whose functions run commands that there are', async () => {
    await configure();
    const done = await sluice(
      'render',
      'function',
      ...TIMER,
      '--event-hub',
      'run --role consume --until-idle 20 --no-wait',
      '--blob',
      'capture load',
      '--out',
      'fn',
    );
    expect(done.code, done.err()).toBe(0);
    const { functions } = JSON.parse(await readFile(join(folder, 'fn/functions.json'), 'utf8')) as { functions: { command: string[] }[] };
    expect(functions.map(({ command }) => command.join(' '))).toEqual(['load --recent 6', 'run --role consume --until-idle 20 --no-wait', 'load']);
    expect((await sluice('render', 'function', ...TIMER, '--out', 'fn', '--diff')).out()).toContain('functions.json: changed');
  });

  it.each([
    ['no trigger', [], /has no trigger/],
    ['a command that there is not', ['--timer', '0 10 * * * * laod'], /has no command laod/],
    ['an option that there is not', ['--event-hub', 'run --for-ever'], /no option --for-ever/],
    ['a cron line of five fields', ['--timer', '10 * * * * load'], /six fields/],
    ['a container without a command', ['--blob', 'capture'], /container and a command/],
  ])('refuses %s', async (_what, args, message) => {
    await configure();
    const refused = await sluice('render', 'function', ...args);
    expect(refused.code).toBe(2);
    expect(refused.err()).toMatch(message);
  });

  it('needs a lake that is not on this machine', async () => {
    await configure({ lake: { url: 'file:./lake' } });
    expect((await sluice('render', 'function', ...TIMER)).err()).toContain('no disk of its own');
  });
});

describe('sluice render eventhubs', () => {
  it.each([
    ['more partitions than the tier has', ['--partitions', '64'], /32 partitions at most/],
    ['messages kept for longer than the tier can', ['--retention-hours', '500'], /168 hours at most/],
    ['a Capture that names no container', ['--capture', 'acmelake'], /account\/container/],
  ])('refuses %s', async (_what, args, message) => {
    await configure();
    const refused = await sluice('render', 'eventhubs', ...args);
    expect(refused.code).toBe(2);
    expect(refused.err()).toMatch(message);
  });

  it('gives roles and no keys where the login is an identity', async () => {
    await configure({ bus: { url: BUS.url } });
    const done = await sluice('render', 'eventhubs', '--out', 'roles');
    expect(done.code, done.err()).toBe(0);
    expect(await readFile(join(folder, 'roles/eventhubs.json'), 'utf8')).toContain('"disableLocalAuth": true');
  });
});

describe('sluice render asp', () => {
  it('takes stages from the command line and from a file', async () => {
    await configure();
    await writeFile(join(folder, 'validate.json'), '{ "ns.db": "shop" }');
    const done = await sluice(...ASP, '--out', 'asp', '--project', '{ "fullDocument.card": 0 }', '--validate', '@validate.json');
    expect(done.code, done.err()).toBe(0);
    const text = await readFile(join(folder, 'asp/processor.json'), 'utf8');
    expect(text).toContain('"fullDocument.card": 0');
    expect(text).toContain('"ns.db": "shop"');
    await expect(stat(join(folder, 'asp/private-link.json'))).rejects.toThrow('ENOENT');
  });

  it.each([
    ['a stage that is no JSON', ['--project', '{ nope'], /--project/],
    ['a stage that is no document', ['--validate', '[1]'], /is not a document/],
    ['a file that is not there', ['--project', '@nowhere.json'], /ENOENT/],
    ['a private link without its region', ['--private-link', '/subscriptions/x'], /go together/],
    ['a projection that takes the resume token away', ['--project', '{ "_id": 0 }'], /takes away _id/],
  ])('refuses %s', async (_what, args, message) => {
    await configure();
    const refused = await sluice(...ASP, ...args);
    expect(refused.code).toBe(2);
    expect(refused.err()).toMatch(message);
  });

  it('says which log-in Atlas takes', async () => {
    await configure({ bus: { url: BUS.url } });
    expect((await sluice(...ASP)).err()).toContain('with a connection string');
  });
});
