/** `sluice render` for Azure and Atlas, through the command line: what is written, what differs, what is refused. */
import { appendFile, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
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
