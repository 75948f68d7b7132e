/**
 * The demo's folder: whose it is while a demo runs. A server that never answers holds a demo up in the middle.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { dropOwnDatabase } from './own-database.ts';

const LAUNCHER = fileURLToPath(new URL('../../../bin/sluice.js', import.meta.url));
const NOBODY = 'mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=50';

let cwd: string;
const silent = new Set<Server>();
const sockets = new Set<Socket>();
const children = new Set<ChildProcess>();
beforeEach(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'sluice-demo-test-'));
});
afterEach(async () => {
  for (const child of children) {
    child.kill('SIGKILL');
    await once(child, 'close');
  }
  for (const socket of sockets) socket.destroy();
  sockets.clear();
  for (const server of silent) server.close();
  silent.clear();
  await rm(cwd, { recursive: true });
});

function demo(uri: string): { readonly child: ChildProcess; readonly ended: Promise<{ code: number | null; err: string }> } {
  const env = { PATH: process.env['PATH'], HOME: cwd, XDG_STATE_HOME: join(cwd, '.state'), SLUICE_DEMO_MONGODB_URI: uri };
  const child = spawn(process.execPath, [LAUNCHER, 'demo'], { cwd, env, stdio: ['ignore', 'ignore', 'pipe'] });
  children.add(child);
  let err = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text));
  const ended = once(child, 'close').then(([code]) => {
    children.delete(child);
    return { code: code as number | null, err };
  });
  return { child, ended };
}

/** A server that takes connections and never says a word; it emits `asked` for each. */
async function startSilent(): Promise<{ readonly server: Server; readonly uri: string }> {
  const server = createServer((socket) => {
    sockets.add(socket.on('error', () => {}));
    server.emit('asked');
  });
  silent.add(server);
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return { server, uri: `mongodb://127.0.0.1:${(server.address() as AddressInfo).port}/?directConnection=true` };
}

/** Of a demo whose folder is as it should be, and that waits for a server of its own. */
async function heldUp(): Promise<ReturnType<typeof demo>> {
  const { server, uri } = await startSilent();
  const asked = once(server, 'asked');
  const running = demo(`${uri}&serverSelectionTimeoutMS=600000&connectTimeoutMS=600000`);
  const failed = running.ended.then(({ err }) => Promise.reject(new Error(err)));
  await Promise.race([asked, failed]);
  return running;
}

describe('the folder of a demo', () => {
  it('is its own while it runs; one that was killed leaves it to the next, and one that fails takes it away', async () => {
    const first = await heldUp();
    const config = join(cwd, 'sluice-demo', 'sluice.yaml');
    const before = await readFile(config, 'utf8');
    await writeFile(join(cwd, 'sluice-demo', 'of-the-first'), '');
    const second = await demo(NOBODY).ended;
    expect([second.code, second.err]).toEqual([75, expect.stringMatching(/SLC-1516.*sluice-demo/s)]);
    expect(await readdir(join(cwd, 'sluice-demo'))).toEqual(expect.arrayContaining(['of-the-first', 'sluice.yaml']));
    expect(await readFile(config, 'utf8')).toBe(before);

    first.child.kill('SIGKILL');
    await first.ended;
    const third = await heldUp();
    expect(await readdir(join(cwd, 'sluice-demo'))).not.toContain('of-the-first');
    third.child.kill('SIGKILL');
    await third.ended;
    expect((await demo(NOBODY).ended).err).not.toContain('SLC-1516');
    expect(await readdir(cwd)).not.toContain('sluice-demo');
  });

  it('that is empty is taken: one that was killed before it had marked it leaves such a one', async () => {
    await mkdir(join(cwd, 'sluice-demo'));
    expect((await demo(NOBODY).ended).err).not.toContain('was not made by the demo');
    expect(await readdir(cwd)).not.toContain('sluice-demo');
  });

  it('that was not made by a demo is left alone', async () => {
    await mkdir(join(cwd, 'sluice-demo'));
    await writeFile(join(cwd, 'sluice-demo', 'mine'), 'mine');
    const { code, err } = await demo(NOBODY).ended;
    expect([code, err]).toEqual([2, expect.stringContaining('was not made by the demo')]);
    expect((await readdir(cwd)).toSorted()).toEqual(['.sluice-demo.lock', 'sluice-demo']);
    expect(await readdir(join(cwd, 'sluice-demo'))).toEqual(['mine']);
  });
});

describe('the database of a demo', () => {
  it('does not hold the end of the demo up where the server says nothing more, and is told', async () => {
    const { uri } = await startSilent();
    const said: string[] = [];
    await dropOwnDatabase(`${uri}&serverSelectionTimeoutMS=600000`, 'sluice_demo_x', (text) => said.push(text), 100);
    expect(said).toEqual([expect.stringMatching(/^The database sluice_demo_x could not be dropped \(.+\)\. Drop it yourself\.$/)]);
  });
});
