/**
 * One mongod as a child of ours that cannot outlive us.
 *
 * A child of a process that is killed with SIGKILL lives on, and nobody is left to end it. So mongod runs under a small
 * shell that also waits for its own standard input to end: we hold the other end, and however we die the kernel closes
 * it. Then the shell kills mongod and removes its data if that was temporary.
 * Invariant: when this process is gone, mongod is gone within moments; while mongod runs, `pid` is its own pid, not
 * the shell's.
 * Why not `detached: false` and a clean-up at the next start: there may be no next start, and the port stays taken.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { constants } from 'node:os';
import { text } from 'node:stream/consumers';
import { systemClock } from '../../core/clock.ts';
import { reasonOf, SluiceError, systemCode } from '../../core/error.ts';
import { MONGOD_FAILED } from '../../core/errors.ts';
import type { Mongod } from './mongod.ts';

const POLL_MS = 25;
const [PORT_MIN, PORT_END] = [20_000, 27_000];
const START_MS_MAX = 60_000;
const LOG_LINES_SHOWN = 8;
const LOG_TAIL_BYTES = 64 * 1024;
/** What mongod logs once it accepts connections. */
const LISTENING = 'Waiting for connections';
/** mongod's own exit code when it cannot listen. */
const EXIT_NET_ERROR = 48;

/**
 * $1 is what to remove when we die (may be empty); the rest is the command. The watcher has to be the background job
 * and its input a copy of ours, as a shell gives background jobs /dev/null. It is killed once mongod has ended by
 * itself, so that it never kills a pid that has since been given to another process; not while it clears up, hence the trap.
 */
const WATCHDOG = `
exec 3<&0
remove=$1; shift
"$@" 3<&- </dev/null >&2 &
server=$!
echo "$server"
( read -r _ <&3; trap '' TERM; kill -9 "$server"; [ -z "$remove" ] || rm -rf "$remove" ) >/dev/null 2>&1 &
watcher=$!
wait "$server"; code=$?
kill "$watcher" 2>/dev/null
exit "$code"
`;

export interface ServerStart {
  readonly mongod: Mongod;
  readonly port: number;
  /** Without `--port` and `--bind_ip`, which are added here. */
  readonly args: readonly string[];
  /** What mongod says is added there; the last lines of it are in the error when it does not start. */
  readonly logPath: string;
  /** A folder to remove when our process dies without stopping the server; `null` when it is to be kept. */
  readonly removeOnDeath: string | null;
}

export class ServerProcess {
  readonly pid: number;
  /** Resolves when mongod ends although nobody here has told it to: with the error that says so. */
  readonly death: Promise<SluiceError>;
  readonly #shell: ChildProcess;
  /** Resolves once mongod has ended and has been reaped. */
  readonly #ended: Promise<unknown>;
  #isToldToEnd = false;

  private constructor(pid: number, shell: ChildProcess, ended: Promise<unknown>, logPath: string) {
    this.pid = pid;
    this.#shell = shell;
    this.#ended = ended;
    const death = Promise.withResolvers<SluiceError>();
    this.death = death.promise;
    ended.then(
      async () => {
        if (!this.#isToldToEnd) death.resolve(await died(shell, logPath));
      },
      () => undefined,
    );
  }

  get running(): boolean {
    return this.#shell.exitCode === null && this.#shell.signalCode === null;
  }

  /**
   * Resolves when the server accepts connections.
   * @returns `null` when somebody else has taken the port meanwhile: choose another
   * @throws MONGOD_FAILED with the end of its log
   */
  static async start(start: ServerStart, signal: AbortSignal): Promise<ServerProcess | null> {
    signal.throwIfAborted();
    const command = [start.mongod.path, '--bind_ip', '127.0.0.1', '--port', String(start.port), '--quiet', ...start.args];
    // Not `--logpath`: what mongod says about its command line goes to standard output alone.
    const log = await open(start.logPath, 'a');
    const { size: logFrom } = await log.stat();
    const shell = spawn('sh', ['-c', WATCHDOG, 'sh', start.removeOnDeath ?? '', ...command], {
      env: { ...process.env, ...start.mongod.env },
      stdio: ['pipe', 'pipe', log.fd],
      // A session of its own: Ctrl-C on the terminal is for us, who still need the server to finish in order.
      detached: true,
    });
    // The pipe breaks when mongod ends first; that is seen by its exit.
    shell.stdin?.on('error', () => undefined);
    const ended = once(shell, 'exit').finally(() => shell.stdin?.destroy());
    ended.catch(() => undefined);
    // The shell has its own copy of the descriptor by now.
    await log.close();
    const server = new ServerProcess(await firstNumber(shell, ended), shell, ended, start.logPath);
    try {
      await server.#listening(start, logFrom, signal);
    } catch (error) {
      await server.kill('SIGKILL');
      throw error;
    }
    if (server.running) return server;
    if (shell.exitCode === EXIT_NET_ERROR) return null;
    throw await failure(`it ended with ${shell.exitCode ?? shell.signalCode}`, start.logPath);
  }

  /** Sends a signal. Waits until the server has ended, unless it is one that a process survives (SIGSTOP, SIGCONT, SIGUSR1). */
  async kill(signal: NodeJS.Signals): Promise<void> {
    if (!this.running) return;
    const isEnd = signal === 'SIGKILL' || signal === 'SIGTERM' || signal === 'SIGINT';
    if (isEnd) this.#isToldToEnd = true;
    try {
      process.kill(this.pid, signal);
    } catch (error) {
      // It has ended this moment, and the shell is about to.
      if (systemCode(error) !== 'ESRCH') throw error;
      await this.#ended;
    }
    if (isEnd) await this.#ended;
  }

  /**
   * Returns when it listens or has ended.
   * Its own log is asked and not the port: another program that was faster to take the port would answer there.
   */
  async #listening(start: ServerStart, logFrom: number, signal: AbortSignal): Promise<void> {
    const deadline = systemClock.now() + START_MS_MAX;
    while (this.running && !(await readText(start.logPath, logFrom)).includes(LISTENING)) {
      if (systemClock.now() > deadline) throw await failure(`it did not listen within ${START_MS_MAX / 1000} s`, start.logPath);
      await systemClock.sleep(POLL_MS, signal);
    }
  }
}

/**
 * Ports of the loopback that were free just now, all different. The system gives them to nobody who does not ask for
 * them by number (it takes from 32768 on): whoever is away for a while finds its own free when it comes back.
 */
export async function freePorts(count: number): Promise<number[]> {
  const held: Server[] = [];
  try {
    // All are held until the last is known: else the same one could be given twice.
    while (held.length < count) {
      const server = createServer().listen(randomInt(PORT_MIN, PORT_END), '127.0.0.1');
      try {
        await once(server, 'listening');
        held.push(server);
      } catch (error) {
        if (systemCode(error) !== 'EADDRINUSE' && systemCode(error) !== 'EACCES') throw error;
      }
    }
    return held.map((server) => (server.address() as { port: number }).port);
  } finally {
    await Promise.all(held.map((server) => new Promise((resolve) => server.close(resolve))));
  }
}

/** @returns the pid that the shell reports in its first line */
async function firstNumber(shell: ChildProcess, ended: Promise<unknown>): Promise<number> {
  const told = shell.stdout === null ? Promise.resolve([]) : once(shell.stdout, 'data');
  told.catch(() => undefined);
  let chunk: unknown;
  try {
    [chunk] = (await Promise.race([told, ended])) as [unknown];
  } catch (error) {
    throw new SluiceError(MONGOD_FAILED, `\`sh\` cannot be run (${reasonOf(error)})`, { cause: error });
  }
  const pid = Number.parseInt(String(chunk), 10);
  if (!(Buffer.isBuffer(chunk) && pid > 0)) throw new SluiceError(MONGOD_FAILED, '`sh` ended before it had started the server');
  return pid;
}

/** Of a server that had listened: only what it complained of itself, as most ends of a log say nothing. */
async function died({ exitCode, signalCode }: ChildProcess, logPath: string): Promise<SluiceError> {
  // A shell says so of a child that a signal has ended.
  const signal = signalCode ?? Object.entries(constants.signals).find(([, number]) => exitCode === 128 + number)?.[0];
  const what = signal === undefined ? `it ended with ${exitCode}` : `it was killed by ${signal}`;
  const lines = (await lastLines(logPath).catch(() => [])).filter(isSerious).slice(-LOG_LINES_SHOWN).join('\n');
  return new SluiceError(MONGOD_FAILED, lines === '' ? what : `${what}; from its log:\n${lines}`, {
    next: 'Run the demo again, or set SLUICE_DEMO_MONGODB_URI to use a server of your own.',
  });
}

async function failure(what: string, logPath: string): Promise<SluiceError> {
  const lines = await logTail(logPath);
  return new SluiceError(MONGOD_FAILED, lines === '' ? what : `${what}; the end of its log:\n${lines}`);
}

/** The last lines; of mongod's JSON lines only those of severity fatal and error, when there are any. */
async function logTail(logPath: string): Promise<string> {
  const lines = await lastLines(logPath);
  const serious = lines.filter(isSerious);
  return (serious.length > 0 ? serious : lines).slice(-LOG_LINES_SHOWN).join('\n');
}

function isSerious(line: string): boolean {
  return /"s":"[FE]"/.test(line);
}

async function lastLines(logPath: string): Promise<string[]> {
  const { size } = await stat(logPath);
  return (await readText(logPath, Math.max(0, size - LOG_TAIL_BYTES))).trimEnd().split('\n');
}

async function readText(path: string, from: number): Promise<string> {
  return await text(createReadStream(path, { start: from }));
}
