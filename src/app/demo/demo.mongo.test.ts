/**
 * How a demo ends that does not come to its proof: the servers it used, its database and its folder.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { MongoClient } from 'mongodb';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { until } from '../../../test/e2e/until.ts';
import { startMongo } from '../../../test/mongo.ts';
import type { ReplicaSet } from './replica-set.ts';

const LAUNCHER = fileURLToPath(new URL('../../../bin/sluice.js', import.meta.url));

/** A demo whose shop would stay open for longer than the test waits. */
class Demo implements AsyncDisposable {
  err = '';
  readonly #child: ChildProcess;
  readonly #ended: Promise<number | null>;

  constructor(cwd: string, env: NodeJS.ProcessEnv, flags: readonly string[] = []) {
    const args = [LAUNCHER, 'demo', '--seconds', '600', ...flags];
    this.#child = spawn(process.execPath, args, {
      cwd,
      env: { ...process.env, XDG_STATE_HOME: join(cwd, '.state'), ...env },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => (this.err += text));
    this.#ended = once(this.#child, 'close').then(([code]) => code as number | null);
  }

  /** Resolves when the demo has said so. */
  async says(text: string): Promise<void> {
    await until(`it says "${text}"`, () => {
      if (this.#child.exitCode !== null && !this.err.includes(text)) throw new Error(`it has ended: ${this.err}`);
      return this.err.includes(text);
    });
  }

  interrupt(): void {
    this.#child.kill('SIGINT');
  }

  /** Its exit code. */
  async ended(): Promise<number | null> {
    return await this.#ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#ended;
  }
}

let cwd: string;
beforeEach(async () => void (cwd = await mkdtemp(join(tmpdir(), 'sluice-demo-test-'))));
afterEach(() => rm(cwd, { recursive: true }));

describe('a demo with a MongoDB that it was given', () => {
  let set: ReplicaSet;
  let client: MongoClient;
  beforeAll(async () => {
    set = await startMongo();
    client = await set.connect();
  });
  afterAll(async () => await set.stop());

  async function databases(): Promise<string[]> {
    const { databases: all } = await client.db('admin').admin().listDatabases({ nameOnly: true });
    return all.map(({ name }) => name).filter((name) => name.startsWith('sluice_demo_'));
  }

  async function failCommand(data: object | null): Promise<void> {
    await client.db('admin').command({ configureFailPoint: 'failCommand', ...(data === null ? { mode: 'off' } : { mode: 'alwaysOn', data }) });
  }

  it('leaves nothing there when it is interrupted', async () => {
    let isInTime = false;
    while (!isInTime) {
      await using demo = new Demo(cwd, { SLUICE_DEMO_MONGODB_URI: set.uri });
      await until('the shop writes', async () => (await databases()).length > 0);
      demo.interrupt();
      expect(await demo.ended(), demo.err).toBe(130);
      // A stop has ten seconds, which are not enough where everything stands still.
      isInTime = !demo.err.includes('Not stopped within');
      if (!isInTime) for (const name of await databases()) await client.db(name).dropDatabase();
    }
    expect(await databases()).toEqual([]);
  });

  it('tells what has ended it, and what is left there, where its database cannot be taken away', async () => {
    await failCommand({ failCommands: ['insert', 'dropDatabase'], errorCode: 13 });
    try {
      await using demo = new Demo(cwd, { SLUICE_DEMO_MONGODB_URI: set.uri });
      expect(await demo.ended(), demo.err).toBe(1);
      const [left] = await databases();
      expect(demo.err).toContain(`The database ${left} could not be dropped`);
      expect(demo.err).toMatch(/^SLC-1999.*Failing command via 'failCommand' failpoint$/m);
    } finally {
      await failCommand(null);
    }
  });
});

describe('a demo with a MongoDB of its own', () => {
  it('ends when that dies, says so, and leaves nothing', async () => {
    await using demo = new Demo(cwd, { SLUICE_DEMO_MONGODB_URI: '' }, ['--keep']);
    await demo.says('The shop is open');
    await until('orders are captured', () => existsSync(join(cwd, 'sluice-demo', 'lake', 'shop', 'orders')));
    process.kill(Number(await readFile(join(cwd, 'sluice-demo', 'mongodb', 'member-0', 'mongod.lock'), 'utf8')), 'SIGKILL');
    expect(await demo.ended(), demo.err).toBe(69);
    expect(demo.err).toContain('SLC-1504  The mongod of the demo does not run: it was killed by SIGKILL\n');
    expect(await readdir(cwd)).not.toContain('sluice-demo');
  });
});
