/**
 * `sluice run` as a process of its own, which a test can stop, freeze and kill at any moment.
 *
 * It is what a user starts: the launcher, the command line, the configuration from a file. Its log says how far it is.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { until } from '../e2e/until.ts';

const LAUNCHER = fileURLToPath(new URL('../../bin/sluice.js', import.meta.url));
const OWNER = 'owner of the pipeline';
const STANDBY = 'standing by';
/** A machine with other work to do may take its time to start a process. */
const SAID_MS_MAX = 120_000;

export interface RunProcessOptions {
  /** After `run`. Default: `--role capture`. */
  readonly args?: readonly string[];
  /** Added to the environment: `SLUICE_FAILPOINT`, `SLUICE_LAKE__…`. */
  readonly env?: Readonly<Record<string, string>>;
}

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export class RunProcess implements AsyncDisposable {
  readonly pid: number;
  readonly #child: ChildProcess;
  readonly #ended: Promise<Ended>;
  #stderr = '';
  #stdout = '';

  private constructor(child: ChildProcess, pid: number) {
    this.pid = pid;
    this.#child = child;
    this.#ended = once(child, 'close').then(([code, signal]): Ended => ({ code, signal }));
    child.stderr?.setEncoding('utf8').on('data', (text: string) => void (this.#stderr += text));
    child.stdout?.setEncoding('utf8').on('data', (text: string) => void (this.#stdout += text));
  }

  static start(configFile: string, options: RunProcessOptions = {}): RunProcess {
    const args = ['--config', configFile, '--log-level', 'info', 'run', ...(options.args ?? ['--role', 'capture'])];
    // The run file of this process is for nobody but the test.
    const env = { ...process.env, XDG_STATE_HOME: dirname(configFile), ...options.env };
    const child = spawn(process.execPath, [LAUNCHER, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] });
    if (child.pid === undefined) throw new Error('the process could not be started');
    return new RunProcess(child, child.pid);
  }

  get stderr(): string {
    return this.#stderr;
  }

  get stdout(): string {
    return this.#stdout;
  }

  /** By itself or by a signal, its output read to the end. */
  get ended(): Promise<Ended> {
    return this.#ended;
  }

  get running(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** It has the lock; it may still be recovering. */
  async owner(msMax?: number): Promise<this> {
    return await this.said(OWNER, msMax);
  }

  async standsBy(): Promise<this> {
    return await this.said(STANDBY);
  }

  /** @throws when it ends without having said it */
  async said(words: string, msMax = SAID_MS_MAX): Promise<this> {
    try {
      await until(`the process says "${words}"`, () => this.#stderr.includes(words) || !this.running, msMax);
    } catch (error) {
      throw new Error(`${String(error)}; it has said:\n${this.#stderr}`, { cause: error });
    }
    if (!this.#stderr.includes(words))
      throw new Error(`the process ended (${JSON.stringify(await this.#ended)}) without "${words}":\n${this.#stderr}`);
    return this;
  }

  /** Sends a signal; waits for the end if it is one that ends a process. */
  async kill(signal: 'SIGKILL' | 'SIGTERM' | 'SIGSTOP' | 'SIGCONT'): Promise<Ended | null> {
    if (this.running) this.#child.kill(signal);
    return signal === 'SIGKILL' || signal === 'SIGTERM' ? await this.#ended : null;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill('SIGKILL');
  }
}
