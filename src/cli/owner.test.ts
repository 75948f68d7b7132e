/**
 * Who is asked, and when a command does by itself what nobody does for it. Real servers at the addresses of run files that are right,
 * or of a time before.
 */
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Control } from '../app/control.ts';
import { SluiceError } from '../core/error.ts';
import { LAKE_OWNED, USAGE, WAREHOUSE_BUSY } from '../core/errors.ts';
import { parseConfig } from '../config/load.ts';
import { ANSWER_TOO_LARGE, OWNER_BROKE_OFF, OWNER_UNREACHABLE } from '../core/errors.ts';
import { lakeName, writeRunFile, type RunFile, type Seat } from '../http/run-file.ts';
import { startHttp } from '../http/server.ts';
import { silentLog } from '../ops/log.ts';
import { newStats } from '../ops/stats.ts';
import { runCommandLine } from './main.ts';
import { askOwnerOr } from './owner.ts';
import { testIo } from './test-io.ts';

const SETTINGS = { pipeline: 'shop', source: { uri: 'mongodb://h' }, lake: { url: 'file:./lake' } };
const TOKEN = 'the-token-of-this-run';

let cwd: string;
beforeEach(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'sluice-owner-'));
  await writeFile(join(cwd, 'sluice.yaml'), JSON.stringify(SETTINGS));
});
afterEach(() => rm(cwd, { recursive: true }));

const config = (warehouse?: string) =>
  parseConfig(JSON.stringify({ ...SETTINGS, ...(warehouse !== undefined && { warehouse: { url: warehouse } }) }), { folder: cwd });
const io = () => testIo({ cwd, env: { XDG_STATE_HOME: join(cwd, 'state'), HOME: cwd } });

/** Answers with its name, whatever it is asked. */
function named(name: string, answer: () => Promise<object> = async () => ({ by: name })) {
  const own: Readonly<Record<string, unknown>> = { pipeline: name, stats: newStats(), revision: '1' };
  const control = new Proxy({} as Control, { get: (_, key) => own[String(key)] ?? answer });
  return startHttp({ host: '127.0.0.1', port: 0, token: TOKEN, control, log: silentLog, scrub: (text) => text });
}

/** A run file of a process that lives, be it the one that has written it or not. */
async function found(seat: Seat, by: Pick<RunFile, 'url' | 'instance'>, token = TOKEN): Promise<void> {
  const { url, instance } = by;
  await writeRunFile(config(), seat, { pid: process.pid, url, token, instance, pipeline: 'shop', lake: lakeName(config()) }, io().env);
}

const ask = (path: '/api/status' | '/api/seal' | '/api/erase' | '/api/query') =>
  askOwnerOr(io(), config(), path, {}, async () => ({ by: 'the command' }));

async function listening(server: Server): Promise<string> {
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function closed(server: Server): Promise<void> {
  server.close().closeAllConnections();
  await once(server, 'close');
}

describe('a command', () => {
  it('is done by the owner, or by itself when there is none', async () => {
    expect(await ask('/api/seal')).toEqual({ by: 'the command' });
    await using shop = await named('shop');
    await found('lake', shop);
    for (const path of ['/api/status', '/api/seal'] as const) expect(await ask(path)).toEqual({ by: 'shop' });
    expect(await ask('/api/query')).toEqual({ by: 'the command' });
  });

  it('does not take another run for the owner, whose address and pid it has after a power cut', async () => {
    await using other = await named('tenants');
    await found('lake', { url: other.url, instance: 'of-a-time-before' }, 'of-a-time-before');
    expect(await ask('/api/status')).toEqual({ by: 'the command' });
    for (let n = 0; n < 25; n += 1) expect(await ask('/api/seal')).toEqual({ by: 'the command' });
    // Nor has it guessed: who has the right token is served.
    await found('lake', other);
    expect(await ask('/api/seal')).toEqual({ by: 'tenants' });
  });

  it('does not wait for ever for what listens there and says nothing', async () => {
    const server = createServer(() => {});
    await found('lake', { url: await listening(server), instance: 'i1' });
    expect(await ask('/api/seal')).toEqual({ by: 'the command' });
    await closed(server);
  });

  it('does not take anything else that listens there for the owner', async () => {
    const tokens: unknown[] = [];
    const server = createServer(({ headers }, response) => {
      tokens.push(headers.authorization);
      response.end('{"by":"somebody"}');
    });
    await found('lake', { url: await listening(server), instance: 'i1' });
    for (const path of ['/api/status', '/api/seal'] as const) expect(await ask(path)).toEqual({ by: 'the command' });
    expect(tokens).toEqual([undefined, undefined]);
    await closed(server);
  });

  it('looks again where a run that begins has everything but its run file', async () => {
    await using shop = await named('shop');
    const busy = async (): Promise<never> => {
      await found('warehouse', shop);
      throw new SluiceError(WAREHOUSE_BUSY, 'process 7');
    };
    expect(await askOwnerOr(io(), config(), '/api/collections', {}, busy)).toEqual({ by: 'shop' });
    let ends = 3;
    const ending = async (): Promise<string> => {
      if (--ends > 0) throw new SluiceError(LAKE_OWNED, 'process 7');
      return 'sealed';
    };
    expect(await askOwnerOr(io(), config(), '/api/seal', {}, ending)).toBe('sealed');
    await expect(askOwnerOr(io(), config(), '/api/seal', {}, () => Promise.reject(new SluiceError(USAGE, 'no')))).rejects.toMatchObject({
      kind: USAGE,
    });
  });

  it('asks the next one that can do it when the first does not answer', async () => {
    await using loader = await named('loader');
    await found('lake', { url: loader.url, instance: 'of-a-time-before' });
    await found('warehouse', loader);
    expect([await ask('/api/status'), await ask('/api/seal')]).toEqual([{ by: 'loader' }, { by: 'the command' }]);
  });
});

describe.each(['/api/verify', '/api/retain', '/api/erase'] as const)('what needs the lake and the warehouse: %s', (path) => {
  /** Beside a process of this machine that has taken these seats. */
  async function doneBy(warehouse: string | undefined, ...seats: readonly Seat[]): Promise<string> {
    await using owner = await named('the owner');
    for (const seat of seats) await found(seat, owner);
    return (await askOwnerOr(io(), config(warehouse), path, {}, async () => ({ by: 'the command' }))).by;
  }

  it.each(['duckdb:w.duckdb', 'snowflake://a.snowflakecomputing.com/DB'])(
    'is not asked of a process that has the lake alone, with %s',
    async (url) => {
      expect(await doneBy(url, 'lake')).toBe('the command');
    },
  );

  it('is asked of whoever has the warehouse, or of whoever has the lake when there is none', async () => {
    expect(await doneBy('duckdb:w.duckdb', 'warehouse')).toBe('the owner');
    expect(await doneBy('duckdb:w.duckdb', 'lake', 'warehouse')).toBe('the owner');
    expect(await doneBy(undefined, 'lake')).toBe('the owner');
  });

  it('is done by the command when nobody runs', async () => {
    expect(await doneBy('duckdb:w.duckdb')).toBe('the command');
    expect(await doneBy(undefined)).toBe('the command');
  });
});

describe('a command that the owner has begun', () => {
  /** Answers to its name, and to a command as it is told. */
  async function speaking(answer: (response: ServerResponse) => void): Promise<Server> {
    const server = createServer(({ url }, response) => {
      response.setHeader('sluice-instance', 'i1');
      if (url === '/healthz') response.end();
      else answer(response);
    });
    await found('lake', { url: await listening(server), instance: 'i1' });
    return server;
  }

  it('is not begun anew when the owner is stopped while it works', async () => {
    const begun = Promise.withResolvers<void>();
    await using shop = await named('shop', () => {
      begun.resolve();
      return new Promise(() => {});
    });
    await found('lake', shop);
    const asked = expect(ask('/api/erase')).rejects.toMatchObject({ kind: OWNER_BROKE_OFF });
    await begun.promise;
    await shop[Symbol.asyncDispose]();
    await asked;
  });

  it.each([
    ['before its answer', (response: ServerResponse) => response.destroy()],
    ['in the middle of its answer', (response: ServerResponse) => response.write('{"by":', () => response.destroy())],
    ['after half an answer', (response: ServerResponse) => response.end('{"by":')],
    ['with words that nobody knows', (response: ServerResponse) => response.writeHead(500).end('{"code":"SLC-9999","message":"x"}')],
  ])('is not begun anew when the owner ends %s, unless it only reads', async (_, answer) => {
    const server = await speaking(answer);
    await expect(ask('/api/erase')).rejects.toMatchObject({ kind: OWNER_BROKE_OFF });
    expect(await ask('/api/status')).toEqual({ by: 'the command' });
    await closed(server);
  });

  it('is done here when the owner says that it cannot', async () => {
    await using shop = await named('shop', () => Promise.reject(new SluiceError(OWNER_UNREACHABLE, 'it has stopped')));
    await found('lake', shop);
    expect(await ask('/api/seal')).toEqual({ by: 'the command' });
  });

  it('is not done here because its answer is too large', async () => {
    const server = await speaking((response) => response.writeHead(200, { 'content-length': 2 ** 31 }).flushHeaders());
    await expect(ask('/api/erase')).rejects.toMatchObject({ kind: ANSWER_TOO_LARGE });
    await closed(server);
  });
});

describe('sluice dashboard', () => {
  const dashboard = async (): Promise<[number, string, string]> => {
    const to = io();
    return [await runCommandLine(to, ['dashboard']), to.out(), to.err()];
  };

  it('gives the address of a process that answers, and of no other pipeline', async () => {
    await using shop = await named('shop');
    await found('lake', { url: shop.url, instance: 'of-a-time-before' });
    expect(await dashboard()).toEqual([69, '', expect.stringContaining('SLC-1502')]);
    await found('warehouse', shop);
    expect(await dashboard()).toEqual([0, `${shop.url}/\n`, '']);
  });
});
