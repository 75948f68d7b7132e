import { request } from 'node:http';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Control } from '../app/control.ts';
import type { Abilities } from '../app/overview-types.ts';
import type { QueryArgs } from '../app/types.ts';
import { SluiceError } from '../core/error.ts';
import {
  ANSWER_TOO_LARGE,
  GAP_OPEN,
  HTTP_FAILED,
  LAKE_FULL,
  LAKE_OWNED,
  OWNER_BROKE_OFF,
  OWNER_UNREACHABLE,
  RESTORE_CHANGED,
  WAREHOUSE_QUERY,
} from '../core/errors.ts';
import { silentLog } from '../ops/log.ts';
import { newStats } from '../ops/stats.ts';
import type { KeyedDocument } from '../core/warehouse.ts';
import { documentLines, documentsIn } from '../app/restore-lines.ts';
import type { RestoreTotals } from '../pipeline/restore.ts';
import { callOwner, streamOwner } from './client.ts';
import { LISTENERS_MAX } from './live.ts';
import { startHttp, type HttpServer } from './server.ts';

const TOKEN = 'the-token-of-this-run';
const none = { parts: 0 };
const TOTALS = { events: 3, documents: 2, erased: 0, unknown: [] };

/** Records what it is asked and answers with it. */
class Recorder implements Control {
  readonly pipeline = 'shop';
  readonly stats = newStats();
  readonly asked: [string, unknown][] = [];
  fail: Error | null = null;
  queryStarted: ((signal: AbortSignal) => Promise<void>) | null = null;

  async #note<T>(what: string, args: unknown, result: unknown): Promise<T> {
    this.asked.push([what, args]);
    if (this.fail !== null) throw this.fail;
    return result as T;
  }

  revision = '1';
  overview: Control['overview'] = () => this.#note('overview', null, { pipeline: this.pipeline, abilities: this.abilities });
  abilities: Abilities = { captures: true, loads: false, snapshots: false, sends: false };
  files: Control['files'] = (args) => this.#note('files', args, { files: [], truncated: false });
  status: Control['status'] = () => this.#note('status', null, { pipeline: this.pipeline });
  seal: Control['seal'] = () => this.#note('seal', null, none);
  snapshot: Control['snapshot'] = (args) => this.#note('snapshot', args, none);
  dump: Control['dump'] = (args) => this.#note('dump', args, { ok: true, dumps: [] });
  erase: Control['erase'] = (args) => this.#note('erase', args, none);
  retain: Control['retain'] = (args) => this.#note('retain', args, none);
  restore: Control['restore'] = (args) => this.#note('restore', args, none);
  restoreDocuments: Control['restoreDocuments'] = (args) =>
    this.#note(
      'restore-documents',
      args,
      documentLines(this.documents(), () => TOTALS),
    );
  documents: () => AsyncGenerator<KeyedDocument> = async function* () {};
  load: Control['load'] = (args) => this.#note('load', args, none);
  merge: Control['merge'] = (args) => this.#note('merge', args, none);
  verify: Control['verify'] = (args) => this.#note('verify', args, { ok: true, checks: [] });
  pause: Control['pause'] = (args) => this.#note('pause', args, { collections: args.collections });
  resume: Control['resume'] = (args) => this.#note('resume', args, { collections: args.collections });
  discover: Control['discover'] = (args) => this.#note('discover', args, { collections: [], leftOut: [] });
  collections: Control['collections'] = () => this.#note('collections', null, { collections: [] });
  schema: Control['schema'] = (args) => this.#note('schema', args, { collections: [] });
  deadLetters: Control['deadLetters'] = () => this.#note('dead-letters', null, { letters: [], total: 0 });
  deadLetter: Control['deadLetter'] = (name) => this.#note('dead-letter', name, { v: 1 });
  replay: Control['replay'] = (names) => this.#note('replay', names, { replayed: names });
  query = async (args: QueryArgs, signal: AbortSignal) => {
    await this.queryStarted?.(signal);
    return this.#note<Awaited<ReturnType<Control['query']>>>('query', args, { columns: ['n'], rows: [[1]], truncated: false });
  };
}

let control: Recorder;
let server: HttpServer;

function start(host = '127.0.0.1', port = 0): Promise<HttpServer> {
  return startHttp({ host, port, token: TOKEN, control, log: silentLog, scrub: (text) => text.replaceAll('hunter2', '***') });
}

beforeEach(async () => {
  control = new Recorder();
  server = await start();
});
afterEach(() => server[Symbol.asyncDispose]());

interface Answer {
  readonly status: number;
  readonly headers: NodeJS.Dict<string | string[]>;
  readonly text: string;
}

/** `fetch` may not set Host. */
function ask(method: string, path: string, headers: Record<string, string> = {}, body = '', port = server.port): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const call = request({ host: '127.0.0.1', port, method, path, headers, agent: false }, (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      answer.on('end', () => resolve({ status: answer.statusCode ?? 0, headers: answer.headers, text }));
    });
    call.on('error', reject);
    call.end(body);
  });
}

const bearer = { authorization: `Bearer ${TOKEN}` };

describe('health', () => {
  it('is fine while the process works, standby included, and not when the pipeline has failed', async () => {
    for (const state of ['starting', 'standby', 'running', 'reconnecting'] as const) {
      control.stats.state = state;
      expect((await ask('GET', '/healthz')).status).toBe(200);
    }
    control.stats.state = 'failed';
    const { status, text } = await ask('GET', '/healthz');
    expect([status, JSON.parse(text)]).toEqual([503, { ok: false, reason: 'the pipeline has failed' }]);
  });

  it('is ready only once the pipeline is owned and read', async () => {
    control.stats.state = 'standby';
    expect((await ask('GET', '/readyz')).status).toBe(503);
    control.stats.state = 'running';
    control.stats.epoch = 3;
    expect((await ask('GET', '/readyz')).text).toContain('nothing has been read yet');
    control.stats.watermark = { t: 1, i: 0 };
    expect((await ask('GET', '/readyz')).status).toBe(200);
  });

  it('is ready without owning a pipeline when it only loads', async () => {
    control.stats.state = 'running';
    expect((await ask('GET', '/readyz')).status).toBe(200);
  });
});

describe('metrics', () => {
  it('follow the counters of the pipeline', async () => {
    const value = async (name: string): Promise<string | undefined> =>
      new RegExp(`^${name}(?:\\{[^}]*\\})? (.*)$`, 'm').exec((await ask('GET', '/metrics')).text)?.[1];
    expect(await value('sluice_events_total')).toBe('0');
    expect(await value('sluice_lag_seconds')).toBeUndefined();
    control.stats.events = 42;
    control.stats.watermark = { t: Math.floor(Date.now() / 1000) - 100, i: 0 };
    expect(await value('sluice_events_total')).toBe('42');
    expect(Number(await value('sluice_lag_seconds'))).toBeCloseTo(100, -1);
    control.stats.state = 'running';
    const { text, headers } = await ask('GET', '/metrics');
    expect(text).toContain('sluice_state{state="running",pipeline="shop"} 1');
    expect(text).toContain('sluice_state{state="failed",pipeline="shop"} 0');
    expect(headers['content-type']).toContain('text/plain');
  });
});

describe('the page', () => {
  it('may take scripts and styles of its own files alone, built or not', async () => {
    const { status, headers } = await ask('GET', '/');
    expect(status).toBe(200);
    expect(headers['content-type']).toBe('text/html; charset=utf-8');
    const policy = String(headers['content-security-policy']);
    expect(policy).toMatch(/^default-src 'none'/);
    expect(policy).not.toMatch(/unsafe|\*|https?:/);
  });

  it.each([
    '/assets/../index.html',
    '/assets/%2e%2e/index.html',
    '/assets/..%2f..%2fpackage.json',
    '/assets/',
    '/assets',
    '/index.html',
    '//etc/passwd',
  ])('has no file %s', async (path) => {
    const { status, text } = await ask('GET', path);
    expect([status, JSON.parse(text).code]).toEqual([404, 'SLC-1001']);
  });

  it('is told what can be done now, and nothing else', async () => {
    const offered = async (abilities: Partial<Abilities>): Promise<string[]> => {
      control.abilities = { captures: false, loads: false, snapshots: false, sends: false, ...abilities };
      const { actions } = JSON.parse((await ask('GET', '/api/overview')).text) as { actions: { name: string; scope: string }[] };
      return actions.map(({ name, scope }) => `${name} ${scope}`);
    };
    expect(await offered({})).toEqual(['verify pipeline']);
    expect(await offered({ captures: true })).toEqual(['seal pipeline', 'verify pipeline', 'dump pipeline', 'dump collection']);
    expect(await offered({ snapshots: true })).toEqual(['verify pipeline', 'snapshot pipeline', 'snapshot collection']);
    const loading = ['verify pipeline', 'pause pipeline', 'resume pipeline', 'pause collection', 'resume collection'];
    expect(await offered({ loads: true })).toEqual(loading);
    expect(await offered({ sends: true })).toEqual(['verify pipeline', 'replay letter']);
  });

  it('lists dead letters without what is in them, which needs the token', async () => {
    expect(JSON.parse((await ask('GET', '/api/dead-letters')).text)).toEqual({ letters: [], total: 0 });
    expect((await ask('GET', '/api/dead-letter?name=p000-7')).status).toBe(404);
    expect((await ask('POST', '/api/dead-letter', {}, '{"name":"p000-7"}')).status).toBe(401);
    expect((await ask('POST', '/api/replay', bearer, '{}')).status).toBe(400);
    expect(control.asked).toEqual([['dead-letters', null]]);
  });

  it('reads the ledger of a collection, and says how to ask', async () => {
    await ask('GET', '/api/files?collection=shop.orders&hour=5');
    await ask('GET', '/api/files?collection=shop.orders');
    expect(control.asked).toEqual([
      ['files', { collection: 'shop.orders', hour: 5 }],
      ['files', { collection: 'shop.orders', hour: null }],
    ]);
    for (const query of ['', '?collection=', '?collection=a&hour=-1', '?collection=a&hour=x', '?collection=a&other=1']) {
      expect((await ask('GET', `/api/files${query}`)).status).toBe(400);
    }
  });
});

describe('live events', () => {
  /** What `key` is in each event, until it is `last`. */
  async function events(key: string, last: number, onFirst: () => void): Promise<unknown[]> {
    const stop = new AbortController();
    const answer = await fetch(`${server.url}/api/events`, { signal: stop.signal });
    expect(answer.headers.get('content-type')).toBe('text/event-stream');
    let text = '';
    let values: unknown[] = [];
    for await (const chunk of answer.body!.pipeThrough(new TextDecoderStream())) {
      if (text === '') onFirst();
      text += chunk;
      const whole = text.slice(0, text.lastIndexOf('\n\n') + 2);
      values = [...whole.matchAll(/^event: live\ndata: (.*)$/gm)].map((m) => (JSON.parse(m[1] ?? '') as Record<string, unknown>)[key]);
      if (values.includes(last)) break;
    }
    stop.abort();
    return values;
  }

  it('come at once and then about each second, with the counters as they are', async () => {
    control.stats.events = 7;
    const coming = await events('events', 9, () => (control.stats.events = 9));
    expect([coming[0], coming.at(-1), new Set(coming)]).toEqual([7, 9, new Set([7, 9])]);
  });

  it('end when the server stops, and do not keep it from stopping', async () => {
    const answer = await fetch(`${server.url}/api/events`);
    const ended = answer.text().catch(() => 'cut');
    await server[Symbol.asyncDispose]();
    await ended;
    server = await start();
  });

  it('are refused when too many listen, until one of them goes', async () => {
    const stop = new AbortController();
    const first = new AbortController();
    // Kept: one that is forgotten is cut off when it is collected.
    const listening = [await fetch(`${server.url}/api/events`, { signal: first.signal })];
    while (listening.length < LISTENERS_MAX) listening.push(await fetch(`${server.url}/api/events`, { signal: stop.signal }));
    const refused = await ask('GET', '/api/events');
    expect([refused.status, JSON.parse(refused.text).code]).toEqual([429, 'SLC-1510']);
    first.abort();
    await expect.poll(async () => (await fetch(`${server.url}/api/events`, { signal: stop.signal })).status, { timeout: 10_000 }).toBe(200);
    expect(listening.every(({ status }) => status === 200)).toBe(true);
    stop.abort();
  });
});

describe('control', () => {
  it('passes what is asked on, with defaults', async () => {
    const post = async (path: string, body: unknown): Promise<unknown> =>
      JSON.parse((await ask('POST', path, bearer, JSON.stringify(body))).text) as unknown;
    await post('/api/seal', {});
    await post('/api/snapshot', { collections: ['shop.orders'] });
    await post('/api/dump', { collections: ['shop.*'] });
    await post('/api/retain', {});
    await post('/api/erase', { request: { collections: ['shop.a'], keys: ['7'], by: 'ann' } });
    await post('/api/restore', { collection: 'shop.a', asOf: { t: 7, i: 1 }, to: 'table:r.a' });
    await post('/api/load', { hours: { from: 1, to: 2 } });
    await post('/api/load', {});
    await post('/api/merge', { collections: ['shop.*'], rebuild: true });
    await post('/api/verify', { lake: true });
    await post('/api/resume', {});
    expect(await post('/api/query', { sql: 'select 1' })).toEqual({ columns: ['n'], rows: [[1]], truncated: false });
    expect(await post('/api/pause', { collections: ['a.b'] })).toEqual({ collections: ['a.b'] });
    await post('/api/discover', { sample: 5 });
    await post('/api/collections', {});
    await post('/api/schema', { collection: 'shop.orders' });
    await post('/api/dead-letter', { name: 'p000-7' });
    await post('/api/replay', { names: ['p000-7'] });
    expect(control.asked.splice(-5)).toEqual([
      ['discover', { sample: 5 }],
      ['collections', null],
      ['schema', { collection: 'shop.orders', check: false }],
      ['dead-letter', 'p000-7'],
      ['replay', ['p000-7']],
    ]);
    expect(control.asked).toEqual([
      ['seal', null],
      ['snapshot', { collections: ['shop.orders'] }],
      ['dump', { collections: ['shop.*'], hour: null, layout: null, content: null }],
      ['retain', { dryRun: false }],
      ['erase', { request: { collections: ['shop.a'], keys: ['7'], where: [], by: 'ann', reason: null }, dryRun: false }],
      ['restore', { collection: 'shop.a', asOf: { t: 7, i: 1 }, to: 'table:r.a', into: null, from: 'lake' }],
      ['load', { hours: { from: 1, to: 2 } }],
      ['load', { hours: null }],
      ['merge', { collections: ['shop.*'], rebuild: true }],
      ['verify', { lake: true, warehouse: false, source: false }],
      ['resume', { collections: [] }],
      ['query', { sql: 'select 1', limit: 1000, asOf: null }],
      ['pause', { collections: ['a.b'] }],
    ]);
  });

  it.each([
    ['without a token', {}],
    ['with another token', { authorization: 'Bearer the-token-of-this-ruN' }],
    ['with half a token', { authorization: 'Bearer the-token' }],
    ['with a token that is not a bearer token', { authorization: `Basic ${TOKEN}` }],
  ])('is refused %s', async (_, headers) => {
    for (const path of ['/api/seal', '/api/query', '/api/nothing']) {
      const { status, text } = await ask('POST', path, headers, '{}');
      expect(status).toBe(401);
      expect(JSON.parse(text)).toMatchObject({ code: 'SLC-1506' });
    }
    expect(control.asked).toEqual([]);
  });

  it.each([
    ['/api/query', '{', 'not JSON'],
    ['/api/query', '{}', 'sql'],
    ['/api/query', '{"sql":"x","limit":0}', 'limit'],
    ['/api/query', '{"sql":"x","limt":5}', 'limt'],
    ['/api/load', '{"hours":{"from":-1,"to":2}}', 'hours.from'],
    ['/api/seal', '[]', 'the body'],
    // A file would be one of the machine that runs it.
    ['/api/restore', '{"collection":"a.b","asOf":{"t":1,"i":1},"to":"file:./x"}', 'to'],
  ])('says what is wrong with a body: %s %s', async (path, body, words) => {
    const { status, text } = await ask('POST', path, bearer, body);
    expect(status).toBe(400);
    expect(JSON.parse(text)).toMatchObject({ code: 'SLC-1001', message: expect.stringContaining(words) });
    expect(control.asked).toEqual([]);
  });

  it('does not read a body without end', async () => {
    const { status, text } = await ask('POST', '/api/query', bearer, JSON.stringify({ sql: 'x'.repeat(2_000_000) }));
    expect([status, JSON.parse(text).code]).toEqual([413, 'SLC-1001']);
  });

  it.each([
    [new SluiceError(WAREHOUSE_QUERY, 'near FROM'), 400],
    [new SluiceError(LAKE_OWNED), 409],
    [new SluiceError(GAP_OPEN), 409],
    [new SluiceError(LAKE_FULL), 500],
    [new SluiceError(OWNER_UNREACHABLE), 503],
    [new Error('surprise'), 500],
  ])('answers an error with its code and a fitting status: %s', async (error, expected) => {
    control.fail = error;
    const { status, text } = await ask('POST', '/api/seal', bearer, '{}');
    expect(status).toBe(expected);
    expect(JSON.parse(text)).toEqual({
      code: error instanceof SluiceError ? error.code : 'SLC-1999',
      message: expect.stringContaining(error.message),
      next: expect.any(String),
    });
  });

  it('never answers with a secret', async () => {
    control.fail = new SluiceError(LAKE_FULL, 'hunter2', { next: 'use hunter2' });
    expect((await ask('POST', '/api/seal', bearer, '{}')).text).not.toContain('hunter2');
  });

  it('answers other paths with 404 and a code', async () => {
    const { status, text } = await ask('GET', '/nothing');
    expect([status, JSON.parse(text).code]).toEqual([404, 'SLC-1001']);
  });
});

describe('a server on the loopback', () => {
  it.each(['evil.example', 'evil.example:80', '127.0.0.1.evil.example', '10.0.0.1', 'localhost.evil.example'])(
    'refuses the Host header %j',
    async (host) => {
      const { status } = await ask('GET', '/api/status', { ...bearer, host });
      expect(status).toBe(403);
      expect(control.asked).toEqual([]);
    },
  );

  it.each(['localhost', 'LOCALHOST:1', '127.0.0.1:1', '[::1]:1'])('answers the Host header %j', async (host) => {
    expect((await ask('GET', '/api/status', { host })).status).toBe(200);
  });

  it('takes the next free port when its own is taken', async () => {
    await using second = await start('127.0.0.1', server.port);
    expect(second.port).toBeGreaterThan(server.port);
    expect(second.port).toBeLessThanOrEqual(server.port + 20);
  });

  it('fails with a code when it may not listen there', async () => {
    await expect(start('203.0.113.1', 8080)).rejects.toMatchObject({ kind: HTTP_FAILED });
  });
});

describe('a server on another address', () => {
  it('asks for the token before it reads data, and not for probes', async () => {
    await using open = await start('0.0.0.0');
    const get = (path: string, headers: Record<string, string> = {}): Promise<Answer> =>
      ask('GET', path, { host: 'db.internal', ...headers }, '', open.port);
    expect((await get('/api/status')).status).toBe(401);
    expect((await get('/api/status', bearer)).status).toBe(200);
    expect((await get('/healthz')).status).toBe(200);
    expect((await get('/metrics')).status).toBe(200);
    expect(open.url).toBe(`http://127.0.0.1:${open.port}`);
  });
});

describe('a command that asks the owner', () => {
  const never = new AbortController().signal;
  const owner = () => ({ pid: process.pid, url: server.url, token: TOKEN, instance: server.instance, pipeline: 'shop', lake: '/lake' });

  it('gets its answer', async () => {
    expect(await callOwner(owner(), '/api/query', { sql: 'select 1', limit: 5 }, never)).toEqual({ columns: ['n'], rows: [[1]], truncated: false });
    expect(await callOwner(owner(), '/api/status', {}, never)).toEqual({ pipeline: 'shop' });
  });

  it('gets the error that the owner met', async () => {
    control.fail = new SluiceError(WAREHOUSE_QUERY, 'near FROM', { next: 'Mend it.' });
    await expect(callOwner(owner(), '/api/query', { sql: 'x', limit: 5 }, never)).rejects.toMatchObject({
      kind: WAREHOUSE_QUERY,
      message: control.fail.message,
      next: 'Mend it.',
    });
  });

  it('is told that an answer is too large to be one', async () => {
    const rows = { toJSON: () => 'x'.repeat(2 ** 30) };
    control.query = async () => ({ columns: ['n'], rows: rows as unknown as unknown[][], truncated: false });
    await expect(callOwner(owner(), '/api/query', { sql: 'x', limit: 5 }, never)).rejects.toMatchObject({ kind: ANSWER_TOO_LARGE });
  });

  it('gets documents as they come, and how it ended', async () => {
    const args = { collection: 'shop.a', asOf: { t: 7, i: 1 } };
    const doc = (id: number): KeyedDocument => ({ key: `{"_id":${id}}`, doc: `{"_id":${id},"text":"\\u00e9\\n\\"","n":1.10}` });
    const ends: RestoreTotals[] = [];
    const read = async (): Promise<KeyedDocument[]> => {
      const got: KeyedDocument[] = [];
      const lines = await streamOwner(owner(), '/api/restore-documents', args, never);
      for await (const each of documentsIn(lines, (end) => ends.push(end))) got.push(each);
      return got;
    };
    control.documents = async function* () {
      yield* [doc(1), doc(2)];
    };
    expect(await read()).toEqual([doc(1), doc(2)]);
    expect(ends).toEqual([TOTALS]);
    expect(control.asked).toEqual([['restore-documents', args]]);
    // More than is held at one time, and then an error of the one that gives them.
    const error = new SluiceError(RESTORE_CHANGED, 'rows are gone', { next: 'Again.' });
    let given = 0;
    control.documents = async function* () {
      for (; given < 50_000; given += 1) yield doc(given);
      throw error;
    };
    await expect(read()).rejects.toMatchObject({ kind: RESTORE_CHANGED, message: error.message, next: 'Again.' });
    expect([given, ends.length]).toEqual([50_000, 1]);
    control.fail = new SluiceError(RESTORE_CHANGED, 'at once');
    await expect(read()).rejects.toMatchObject({ kind: RESTORE_CHANGED });
  });

  it('does not take documents for all of them when their giver has gone', async () => {
    const cut = async function* (): AsyncGenerator<Uint8Array> {
      yield Buffer.from('["1","{}"]\n["2",');
    };
    const got: KeyedDocument[] = [];
    const read = async (): Promise<void> => {
      for await (const each of documentsIn(cut(), () => got.push({ key: 'end', doc: '' }))) got.push(each);
    };
    await expect(read()).rejects.toMatchObject({ kind: OWNER_BROKE_OFF });
    expect(got).toEqual([{ key: '1', doc: '{}' }]);
  });

  it('says so when nobody is there', async () => {
    const { url } = server;
    await server[Symbol.asyncDispose]();
    await expect(callOwner({ ...owner(), url }, '/api/seal', {}, never)).rejects.toMatchObject({ kind: OWNER_UNREACHABLE });
    server = await start();
  });

  it('lets the owner stop working when it goes away', async () => {
    const leave = new AbortController();
    const gone = Promise.withResolvers<void>();
    control.queryStarted = (signal) => {
      signal.addEventListener('abort', () => gone.resolve());
      leave.abort(new Error('left'));
      return gone.promise;
    };
    await expect(callOwner(owner(), '/api/query', { sql: 'x', limit: 5 }, leave.signal)).rejects.toThrow('left');
    await gone.promise;
  });
});
