/**
 * A network between one client and a storage that does what a test asks of it, request by request.
 *
 * Requests are taken whole before anything is decided, so that a request that is lost never reached the storage, and one whose
 * answer is lost was carried out. What is late is carried out when it is asked for, after whoever sent it has gone on.
 */
import { once } from 'node:events';
import { createServer, request as send, type IncomingHttpHeaders, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Passing {
  readonly method: string;
  /** Path and query. */
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
}

/**
 * `cut`: never arrives. `lost-reply`: carried out, nothing is heard of it. `late`: nothing is heard of it, carried out later. `reset`: carried
 * out, the answer breaks off. `busy`: 503 with Retry-After, not carried out. `error`: 500, carried out. `timeout`: 408, not carried out.
 * `twice`: carried out twice, the second answer is heard.
 */
export const FATES = ['cut', 'lost-reply', 'late', 'reset', 'busy', 'error', 'timeout', 'twice'] as const;
export type Fate = (typeof FATES)[number] | 'pass';

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

export class HttpProxy implements AsyncDisposable {
  readonly #server: Server;
  readonly #target: URL;
  readonly #decide: (passing: Passing) => Fate | Promise<Fate>;
  readonly #late: (() => Promise<unknown>)[] = [];
  readonly #running = new Set<Promise<unknown>>();

  private constructor(target: URL, decide: (passing: Passing) => Fate | Promise<Fate>) {
    this.#target = target;
    this.#decide = decide;
    this.#server = createServer((incoming, outgoing) => void this.#serve(incoming, outgoing));
  }

  /** @param target `http://127.0.0.1:<port>`, whatever its path */
  static async to(target: string, decide: (passing: Passing) => Fate | Promise<Fate>): Promise<HttpProxy> {
    const proxy = new HttpProxy(new URL(target), decide);
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  /** The target's URL as it is behind the proxy. */
  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}${this.#target.pathname}`;
  }

  /** Carries out one of the late requests. */
  async deliver(): Promise<void> {
    await this.#late.shift()?.();
  }

  async deliverAll(): Promise<void> {
    while (this.#late.length > 0) await this.deliver();
    await Promise.all(this.#running);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await Promise.all(this.#running);
  }

  async #serve(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    try {
      const chunks: Buffer[] = [];
      for await (const chunk of incoming) chunks.push(chunk as Buffer);
      const { method = '', url = '', headers } = incoming;
      const forward = (): Promise<Answer> => this.#forward(method, url, headers, Buffer.concat(chunks));
      await this.#play(await this.#decide({ method, url, headers }), forward, method, outgoing);
    } catch {
      outgoing.destroy();
    }
  }

  async #play(fate: Fate, forward: () => Promise<Answer>, method: string, outgoing: ServerResponse): Promise<void> {
    if (fate === 'cut') return void outgoing.destroy();
    if (fate === 'busy') return refuse(outgoing, 503, 'ServerBusy', { 'retry-after': '1' });
    if (fate === 'timeout') return refuse(outgoing, 408, 'OperationTimedOut', {});
    if (fate === 'late') {
      this.#late.push(forward);
      return void outgoing.destroy();
    }
    let answer = await forward();
    if (fate === 'lost-reply') return void outgoing.destroy();
    if (fate === 'error') return refuse(outgoing, 500, 'InternalError', {});
    if (fate === 'twice') answer = await forward();
    outgoing.writeHead(answer.status, answer.headers);
    if (fate === 'reset') {
      outgoing.flushHeaders();
      outgoing.write(answer.body.subarray(0, answer.body.length >> 1), () => outgoing.destroy());
    } else outgoing.end(method === 'HEAD' ? undefined : answer.body);
  }

  #forward(method: string, path: string, headers: IncomingHttpHeaders, body: Buffer): Promise<Answer> {
    const { hostname, port } = this.#target;
    const running = new Promise<Answer>((resolve, reject) => {
      const out = send({ hostname, port, method, path, headers }, (reply) => {
        const chunks: Buffer[] = [];
        reply.on('data', (chunk: Buffer) => void chunks.push(chunk));
        reply.on('end', () => resolve({ status: reply.statusCode ?? 0, headers: reply.headers, body: Buffer.concat(chunks) }));
        reply.on('error', reject);
      });
      out.on('error', reject);
      out.end(body);
    });
    const settled = running.catch(() => {}).finally(() => this.#running.delete(settled));
    this.#running.add(settled);
    return running;
  }
}

function refuse(outgoing: ServerResponse, status: number, code: string, more: Record<string, string>): void {
  outgoing.writeHead(status, { 'x-ms-error-code': code, 'content-length': 0, ...more });
  outgoing.end();
}
