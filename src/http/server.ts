/**
 * Health, metrics and control of one pipeline over HTTP.
 */
import { randomUUID } from 'node:crypto';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createAdaptorServer } from '@hono/node-server';
import type { Control } from '../app/control.ts';
import { systemClock, type Clock } from '../core/clock.ts';
import { reasonOf, SluiceError, systemCode } from '../core/error.ts';
import { HTTP_FAILED } from '../core/errors.ts';
import type { Logger } from '../ops/log.ts';
import { Heartbeat } from './health.ts';
import { LiveFeed } from './live.ts';
import { makeRegistry } from './metrics.ts';
import { makeRoutes } from './routes.ts';

/** A standby on the same machine has the same configuration and so the same port: the next free one is taken. */
const PORTS_TRIED_MAX = 21;
const PORT_MAX = 65_535;
/** Who sends its question slower than this is cut off; an answer may take as long as it takes. */
const LIMITS = { headersTimeout: 5_000, requestTimeout: 10_000, keepAliveTimeout: 5_000, connectionsCheckingInterval: 1_000 } as const;
const CONNECTIONS_MAX = 256;
/** What is being answered may end; then connections are cut. */
const CLOSE_MS_MAX = 2000;

export interface HttpOptions {
  readonly host: string;
  /** 0: any. */
  readonly port: number;
  readonly token: string;
  readonly control: Control;
  readonly log: Logger;
  /** Takes known secrets out of a text. */
  readonly scrub: (text: string) => string;
  readonly clock?: Clock;
}

export interface HttpServer extends AsyncDisposable {
  readonly port: number;
  /** An address that reaches it from this machine: `http://127.0.0.1:8080`. */
  readonly url: string;
  /** What it calls itself, and no other server does. */
  readonly instance: string;
}

/** @throws HTTP_FAILED when neither the port nor one of the next 20 can be had */
export async function startHttp(options: HttpOptions): Promise<HttpServer> {
  const { host, control, log, clock = systemClock } = options;
  const heartbeat = new Heartbeat(clock);
  const registry = makeRegistry(control.pipeline, control.stats, () => clock.now());
  const stop = new AbortController();
  const live = new LiveFeed(control, clock, stop.signal);
  const instance = randomUUID();
  const routes = makeRoutes({ control, host, token: options.token, instance, registry, heartbeat, live, scrub: options.scrub, log, clock });
  const server = createAdaptorServer({ fetch: routes.fetch, serverOptions: LIMITS }) as Server;
  server.maxConnections = CONNECTIONS_MAX;
  const port = await listenNear(server, host, options.port);
  if (options.port !== 0 && port !== options.port) log.warn({ wanted: options.port, port }, 'the HTTP port is taken, using the next free one');
  server.on('error', (error) => log.error({ err: error }, 'the HTTP server has a problem'));
  const beating = heartbeat.run(stop.signal);
  const url = `http://${reachable(host)}:${port}`;
  log.info({ url }, 'listening: dashboard, metrics and control');
  return {
    port,
    url,
    instance,
    async [Symbol.asyncDispose]() {
      stop.abort();
      await beating;
      registry.clear();
      await close(server, clock);
    },
  };
}

async function listenNear(server: Server, host: string, port: number): Promise<number> {
  const last = port === 0 ? 0 : Math.min(port + PORTS_TRIED_MAX - 1, PORT_MAX);
  for (let at = port; ; at += 1) {
    try {
      await listen(server, host, at);
      return (server.address() as AddressInfo).port;
    } catch (error) {
      if (systemCode(error) === 'EADDRINUSE' && at < last) continue;
      throw new SluiceError(HTTP_FAILED, `${host}:${port}${at === port ? '' : ` to ${at}`}: ${reasonOf(error)}`, { cause: error });
    }
  }
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const onError = (error: Error): void => {
      server.off('listening', onListening);
      reject(error);
    };
    const onListening = (): void => {
      server.off('error', onError);
      resolve();
    };
    server.once('error', onError).once('listening', onListening).listen(port, host);
  });
}

async function close(server: Server, clock: Clock): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeIdleConnections();
  const limit = new AbortController();
  const late = clock.sleep(CLOSE_MS_MAX, limit.signal).then(
    () => server.closeAllConnections(),
    () => undefined,
  );
  await closed;
  limit.abort();
  await late;
}

function reachable(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1';
  if (host === '::') return '[::1]';
  return host.includes(':') && !host.startsWith('[') ? `[${host}]` : host;
}
