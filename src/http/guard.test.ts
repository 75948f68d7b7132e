/**
 * Those who must not get in, or not so often, and what they learn: nothing.
 */
import { connect } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Control } from '../app/control.ts';
import { silentLog } from '../ops/log.ts';
import { newStats } from '../ops/stats.ts';
import { startHttp, type HttpServer } from './server.ts';

const TOKEN = 'the-token-of-this-run';
const SECRET = 'what-nobody-may-learn';
const right = { authorization: `Bearer ${TOKEN}` };
const wrong = { authorization: 'Bearer another' };

let nowMs: number;
let done: string[];
let server: HttpServer;

const clock = {
  now: () => nowMs,
  sleep: (_: number, signal?: AbortSignal) =>
    new Promise<void>((_resolve, reject) => signal?.addEventListener('abort', () => reject(signal.reason as Error))),
};

/** Whatever it is asked: it notes it, and tells a secret. */
function control(): Control {
  const answer = (name: string) => async (): Promise<object> => {
    done.push(name);
    return { told: SECRET, abilities: { captures: true, loads: true, snapshots: true, sends: true } };
  };
  const own: Readonly<Record<string, unknown>> = { pipeline: 'shop', stats: newStats(), revision: '1' };
  return new Proxy({} as Control, { get: (_, name) => own[String(name)] ?? answer(String(name)) });
}

function start(host = '127.0.0.1'): Promise<HttpServer> {
  return startHttp({ host, port: 0, token: TOKEN, control: control(), log: silentLog, scrub: (text) => text, clock });
}

beforeEach(async () => {
  nowMs = 1_000_000;
  done = [];
  server = await start();
});
afterEach(() => server[Symbol.asyncDispose]());

function post(name: string, headers: Readonly<Record<string, string>>, body = '{}'): Promise<Response> {
  return fetch(`${server.url}/api/${name}`, { method: 'POST', headers, body });
}

/** Sends bytes as they are. @returns all that came back until the connection ended */
function raw(text: string, keepOpen = false): Promise<string> {
  return new Promise((resolve, reject) => {
    let got = '';
    const socket = connect(server.port, '127.0.0.1', () => (keepOpen ? socket.write(text) : socket.end(text)));
    socket.setEncoding('latin1').on('data', (chunk: string) => (got += chunk));
    socket.on('close', () => resolve(got));
    socket.on('error', (error: NodeJS.ErrnoException) => (error.code === 'ECONNRESET' ? resolve(got) : reject(error)));
  });
}

describe('guessing the token', () => {
  it('is ended after twenty wrong ones within a minute, also for a right one that comes after them', async () => {
    for (let n = 0; n < 20; n += 1) expect((await post('seal', wrong)).status).toBe(401);
    for (const headers of [wrong, right]) {
      const refused = await post('seal', headers);
      expect([refused.status, ((await refused.json()) as { code: string }).code]).toEqual([429, 'SLC-1510']);
    }
    expect(done).toEqual([]);
    nowMs += 3_000;
    expect((await post('seal', right)).status).toBe(200);
  });

  it('is not what somebody does who asks for another server, and learns that it is not there', async () => {
    for (const headers of [wrong, right, {}]) {
      for (let n = 0; n < 21; n += 1) {
        const refused = await post('seal', { ...headers, 'sluice-instance': 'of-a-time-before' });
        expect([refused.status, ((await refused.json()) as { code: string }).code, refused.headers.get('sluice-instance')]).toEqual([
          421,
          'SLC-1511',
          null,
        ]);
      }
    }
    const read = await fetch(`${server.url}/api/status`, { headers: { 'sluice-instance': 'of-a-time-before' } });
    expect([read.status, (await read.text()).includes(SECRET)]).toEqual([421, false]);
    expect(done).toEqual([]);
    // Whoever names nobody, or this one, is served as ever.
    expect((await post('seal', right)).status).toBe(200);
    const named = await post('seal', { ...right, 'sluice-instance': server.instance });
    expect([named.status, named.headers.get('sluice-instance')]).toEqual([200, server.instance]);
  });

  it('does not keep those out who had the right one', async () => {
    for (let n = 0; n < 100; n += 1) expect((await post('seal', right)).status).toBe(200);
    expect(done).toHaveLength(100);
  });
});

describe('asking too often', () => {
  it('is refused, while probes and scrapers are served', async () => {
    const statuses = new Map<number, number>();
    for (let n = 0; n < 3_020; n += 20) {
      const answers = await Promise.all(Array.from({ length: 20 }, () => fetch(`${server.url}/api/overview`)));
      for (const { status } of answers) statuses.set(status, (statuses.get(status) ?? 0) + 1);
    }
    expect(statuses).toEqual(
      new Map([
        [200, 3_000],
        [429, 20],
      ]),
    );
    expect((await fetch(`${server.url}/healthz`)).status).toBe(200);
    expect((await fetch(`${server.url}/metrics`)).status).toBe(200);
    nowMs += 1_000;
    expect((await fetch(`${server.url}/api/overview`)).status).toBe(200);
  });
});

describe('a page of another origin', () => {
  it.each([
    ['says where it is from', { origin: 'https://evil.example' }],
    ['has an origin that it hides', { origin: 'null' }],
    ['is from another port of this machine', { origin: 'http://127.0.0.1:1' }],
    ['says nothing, and its browser does', { 'sec-fetch-site': 'cross-site' }],
    ['is a neighbour', { 'sec-fetch-site': 'same-site' }],
  ] as const)('is refused even with the token when it %s', async (_, headers) => {
    // `fetch` may not set these: a browser does.
    const lines = Object.entries({ ...right, ...headers, host: `127.0.0.1:${server.port}`, connection: 'close' }).map(
      ([name, value]) => `${name}: ${value}\r\n`,
    );
    for (const request of ['POST /api/seal', 'GET /api/status', 'GET /api/overview', 'GET /api/events']) {
      const answer = await raw(`${request} HTTP/1.1\r\n${lines.join('')}content-length: 0\r\n\r\n`);
      expect(answer).toMatch(/^HTTP\/1\.1 403 /);
      expect(answer).toContain('SLC-1506');
      expect(answer).not.toContain(SECRET);
    }
    expect(done).toEqual([]);
  });

  it.each([
    ['as it is', (own: string) => `origin: http://${own}\r\nsec-fetch-site: same-origin\r\n`],
    ['behind a proxy with a name of its own', () => 'origin: https://sluice.example\r\nsec-fetch-site: same-origin\r\n'],
    ['in a browser that tells the origin alone', (own: string) => `origin: http://${own}\r\n`],
  ])('is let through when it is this one, %s', async (_, told) => {
    const own = `127.0.0.1:${server.port}`;
    const answer = await raw(
      `POST /api/seal HTTP/1.1\r\nhost: ${own}\r\n${told(own)}authorization: Bearer ${TOKEN}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`,
    );
    expect(answer).toMatch(/^HTTP\/1\.1 200 /);
    expect(done).toEqual(['seal']);
  });
});

describe('every answer', () => {
  it.each([
    ['the page', 'GET', '/', {}],
    ['data', 'GET', '/api/overview', {}],
    ['live events', 'GET', '/api/events', {}],
    ['metrics', 'GET', '/metrics', {}],
    ['what is not there', 'GET', '/no/such/thing', {}],
    ['a refusal', 'POST', '/api/seal', {}],
    ['what is too large', 'POST', '/api/query', right],
  ] as const)('tells browsers to be careful with it: %s', async (_, method, path, headers) => {
    const stop = new AbortController();
    const body = method === 'POST' ? { body: 'x'.repeat(2_000_000) } : {};
    const answer = await fetch(`${server.url}${path}`, { method, headers, signal: stop.signal, ...body });
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      'content-security-policy': expect.stringContaining("default-src 'none'"),
      'x-content-type-options': 'nosniff',
      'x-frame-options': 'DENY',
      'referrer-policy': 'no-referrer',
      'cross-origin-resource-policy': 'same-origin',
    });
    expect(answer.headers.get('access-control-allow-origin')).toBeNull();
    stop.abort();
  });
});

describe('a path', () => {
  it.each([
    'GET /../../../../etc/passwd',
    'GET /assets/../../../package.json',
    'GET /assets/..%2f..%2f..%2fetc%2fpasswd',
    'GET /assets/%2e%2e/%2e%2e/package.json',
    'GET /assets/..\\..\\package.json',
    'GET /assets/%00',
    'GET /%ff',
    'GET http://evil.example/api/nothing',
    'GET //evil.example/api/nothing',
    'GET /api/%2e%2e/api/nothing',
    'GET /API/STATUS',
    'GET /api/status/',
    'GET /api/seal',
    'DELETE /api/status',
    'PUT /api/seal',
    'OPTIONS /api/seal',
    'TRACE /api/status',
  ])('%s leads to nothing', async (request) => {
    const answer = await raw(`${request} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n`);
    expect(answer).toMatch(/^HTTP\/1\.1 (?:400|401|403|404|405) /);
    expect(answer).not.toMatch(new RegExp(`root:|"name"|${SECRET}`));
    expect(done).toEqual([]);
  });

  it.each(['GET /api/../api/overview', 'GET /assets/../api/overview'])('%s does not go around the token', async (request) => {
    await using open = await start('0.0.0.0');
    const socket = connect(open.port, '127.0.0.1');
    socket.end(`${request} HTTP/1.1\r\nhost: db.internal\r\nconnection: close\r\n\r\n`);
    let got = '';
    for await (const chunk of socket.setEncoding('latin1')) got += String(chunk);
    expect(got).toMatch(/^HTTP\/1\.1 40[14] /);
    expect(got).not.toContain(SECRET);
  });
});

describe('a client that wants too much', () => {
  it('may not send a body without end, whatever it says of its length', async () => {
    const chunk = `10000\r\n${'x'.repeat(65_536)}\r\n`;
    const head = `POST /api/query HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer ${TOKEN}\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n`;
    expect(await raw(`${head}${chunk.repeat(32)}`)).toMatch(/^HTTP\/1\.1 413 /);
    expect(done).toEqual([]);
  });

  it('may not send headers without end', async () => {
    expect(await raw(`GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\nx: ${'y'.repeat(100_000)}\r\n\r\n`)).toMatch(/^HTTP\/1\.1 431 /);
  });

  it('is cut off when it is too slow with its headers or its body, while others are served', async () => {
    const slow = [
      raw('GET /api/overview HTTP/1.1\r\nhost: 127.0.0.1\r\nx-not', true),
      raw(`POST /api/seal HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer ${TOKEN}\r\ncontent-length: 100\r\n\r\n{`, true),
    ];
    expect((await post('merge', right)).status).toBe(200);
    for (const answer of await Promise.all(slow)) {
      expect(answer).toMatch(/^(?:HTTP\/1\.1 408 |$)/);
      expect(answer).not.toContain(SECRET);
    }
    expect(done).toEqual(['merge']);
  });
});
