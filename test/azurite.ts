/**
 * An Azurite for one test file: started on a free port of the loopback, in memory, and ended with the tests.
 *
 * It is no crash-safe storage (what it has acknowledged is gone when it is killed): clients are killed, never the server.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** Known to everybody: the account that every Azurite begins with. */
export const AZURITE_ACCOUNT = 'devstoreaccount1';
export const AZURITE_KEY = 'Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==';

export interface Azurite extends AsyncDisposable {
  /** `http://127.0.0.1:<port>/devstoreaccount1` */
  readonly url: string;
}

const LISTENING = /successfully listen\w* (?:at|on) http:\/\/127\.0\.0\.1:(\d+)/;

export async function startAzurite(): Promise<Azurite> {
  const main = fileURLToPath(import.meta.resolve('azurite/dist/src/blob/main.js'));
  const folder = await mkdtemp(join(tmpdir(), 'sluice-azurite-'));
  const argv = [main, '--blobHost', '127.0.0.1', '--blobPort', '0', '--inMemoryPersistence', '--skipApiVersionCheck', '--disableTelemetry'];
  const server = spawn(process.execPath, argv, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
  const stop = async (): Promise<void> => {
    await end(server);
    await rm(folder, { recursive: true, force: true });
  };
  const said: string[] = [];
  server.stderr.on('data', (text: Buffer) => void said.push(text.toString()));
  for await (const line of createInterface({ input: server.stdout })) {
    said.push(line);
    const port = LISTENING.exec(line)?.[1];
    if (port === undefined) continue;
    server.stdout.resume();
    return { url: `http://127.0.0.1:${port}/${AZURITE_ACCOUNT}`, [Symbol.asyncDispose]: stop };
  }
  await stop();
  throw new Error(`Azurite did not start:\n${said.join('\n')}`);
}

async function end(server: ChildProcess): Promise<void> {
  if (server.exitCode !== null || server.signalCode !== null) return;
  const gone = once(server, 'exit');
  server.kill('SIGKILL');
  await gone;
}
