/**
 * One request on the wire: read, met by its fault, applied, answered, logged.
 */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Account } from './account.ts';
import { apply } from './apply.ts';
import type { Tokens } from './auth.ts';
import { blobTooLarge } from './blobs.ts';
import { appendTooLarge } from './dfs-writes.ts';
import { failureFor, type Fault, type Faults } from './faults.ts';
import type { RequestLog } from './log.ts';
import { Refusal, refusal, refusalReply, reply, type Reply } from './replies.ts';
import { endpointOf, parseRequest, type FakeRequest } from './request.ts';

export interface World {
  readonly account: Account;
  readonly tokens: Tokens;
  readonly faults: Faults;
  readonly log: RequestLog;
  readonly tls: boolean;
}

export class Exchange {
  readonly #world: World;
  readonly #incoming: IncomingMessage;
  readonly #outgoing: ServerResponse;
  /** Kept, since a body that is not read to its end lets go of it. */
  readonly #socket: Socket;
  readonly #requestId = randomUUID();

  constructor(world: World, incoming: IncomingMessage, outgoing: ServerResponse) {
    this.#world = world;
    this.#incoming = incoming;
    this.#outgoing = outgoing;
    this.#socket = incoming.socket;
    // A client that goes away is its own affair.
    for (const stream of [incoming, outgoing]) stream.on('error', () => {});
  }

  async serve(): Promise<void> {
    try {
      const headers = Object.fromEntries(Object.entries(this.#incoming.headers).map(([name, value]) => [name, String(value)]));
      const request = parseRequest(this.#incoming.method!, this.#incoming.url!, headers, this.#world.account.name, this.#world.tls);
      if (request !== null) return await this.#answer(request);
      this.#incoming.resume();
      this.#send(this.#refused(new Refusal(400, 'InvalidUri'), null));
    } catch (error) {
      // A mistake of the fake must not look like one of the service.
      const why = error instanceof Error ? (error.stack ?? error.message) : String(error);
      this.#send(reply(500, { 'content-type': 'text/plain', 'x-ms-error-code': 'FakeIsBroken' }, [Buffer.from(why)]));
    }
  }

  async #answer(request: FakeRequest): Promise<void> {
    const fault = this.#world.faults.take(request);
    const what = fault?.what;
    if (!(await this.#read(request, what?.kind === 'reset-in-request' ? what.afterBytes : undefined))) {
      this.#logged(request, 0, fault);
      this.#cut();
      return;
    }
    if (fault === undefined || what === undefined) return this.#send(await this.#applied(request, undefined));
    switch (what.kind) {
      case 'lost-request':
      case 'reset-in-request':
        this.#logged(request, 0, fault);
        return this.#cut();
      case 'lost-reply':
        await this.#applied(request, fault);
        return this.#cut();
      case 'late':
        return this.#late(request, fault, what.afterRequests);
      case 'status': {
        const refused = this.#refused(failureFor(request, what), request);
        if (what.applied) await this.#applied(request, fault);
        else this.#logged(request, what.status, fault, what.code);
        return this.#send(refused);
      }
      case 'hang': {
        const early = what.applied ? await this.#applied(request, fault) : undefined;
        await fault.released;
        return this.#send(early ?? (await this.#applied(request, fault)));
      }
      case 'slow': {
        const done = await this.#applied(request, fault);
        await this.#world.account.clock.sleep(what.delayMs);
        return what.trickleBytes === undefined ? this.#send(done) : this.#trickle(done, what.trickleBytes, what.delayMs);
      }
      case 'reset-in-reply':
        return this.#partOf(await this.#applied(request, fault), what.afterBytes);
      default:
        this.#disturb(request, what.kind);
        return this.#send(await this.#applied(request, fault));
    }
  }

  /** @returns whether the whole body was read; `false` after `untilBytes`, or when the client went away */
  async #read(request: FakeRequest, untilBytes: number | undefined): Promise<boolean> {
    const announced = Number(this.#incoming.headers['content-length'] ?? 0);
    if (this.#tooLarge(request, announced)) return true;
    const chunks: Buffer[] = [];
    let bytes = 0;
    try {
      for await (const chunk of this.#incoming as AsyncIterable<Buffer>) {
        chunks.push(chunk);
        bytes += chunk.length;
        if (untilBytes !== undefined && bytes >= untilBytes) return false;
      }
    } catch {
      return false;
    }
    if (!this.#incoming.complete) return false;
    request.body = chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks, bytes);
    return true;
  }

  #tooLarge(request: FakeRequest, bytes: number): boolean {
    if (request.operation.startsWith('dfs.append')) return appendTooLarge(bytes);
    return blobTooLarge(request, bytes);
  }

  /** Does it, logs it, and lets late requests follow. */
  async #applied(request: FakeRequest, fault: Fault | undefined): Promise<Reply> {
    const { account, tokens, faults } = this.#world;
    let done: Reply;
    let code: string | undefined;
    try {
      if (this.#tooLarge(request, Number(request.headers['content-length'] ?? 0)))
        throw refusal(endpointOf(request) === 'dfs' ? 'append.too-large' : 'append-blob.too-large', { headers: { connection: 'close' } });
      done = apply(account, tokens, request);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      code = error.code;
      done = this.#refused(error, request);
    }
    this.#logged(request, done.status, fault, code, bytesOf(done));
    await faults.passed();
    return done;
  }

  #late(request: FakeRequest, fault: Fault, afterRequests: number | undefined): void {
    fault.hold(async () => void (await this.#applied(request, fault)));
    if (afterRequests !== undefined) this.#world.faults.count(fault, afterRequests);
    this.#cut();
  }

  #disturb(request: FakeRequest, kind: 'lease-broken' | 'lease-expired' | 'etag-raced'): void {
    const { account } = this.#world;
    const node = account.containers.get(request.container)?.nodes.get(request.path);
    if (node === undefined) return;
    const nowMs = account.clock.now();
    if (kind === 'etag-raced') account.touch(node);
    else if (kind === 'lease-expired') node.lease.expire(nowMs);
    else if (node.lease.locked(nowMs)) node.lease.break(0, nowMs);
  }

  #refused(refused: Refusal, request: FakeRequest | null): Reply {
    return refusalReply(refused, request === null ? 'blob' : endpointOf(request), { requestId: this.#requestId, at: new Date().toISOString() });
  }

  #logged(request: FakeRequest, status: number, fault: Fault | undefined, code?: string, replyBytes = 0): void {
    const { log, account } = this.#world;
    log.add(request, { status, code, fault: fault?.what.kind, replyBytes, hierarchical: account.hierarchical });
  }

  #cut(): void {
    // Only a bare TCP connection can be reset; one over TLS ends without its closing words.
    if (this.#socket.destroyed || this.#world.tls) this.#socket.destroy();
    else this.#socket.resetAndDestroy();
  }

  #head(done: Reply): void {
    const { headers } = this.#incoming;
    const client = headers['x-ms-client-request-id'];
    const version = headers['x-ms-version'];
    this.#outgoing.writeHead(done.status, {
      server: 'Windows-Azure-Fake/1.0',
      'x-ms-request-id': this.#requestId,
      ...(version !== undefined && { 'x-ms-version': version }),
      ...(client !== undefined && { 'x-ms-client-request-id': client }),
      ...(done.status !== 304 && { 'content-length': String(bytesOf(done)) }),
      ...done.headers,
    });
  }

  #send(done: Reply): void {
    if (this.#outgoing.destroyed || this.#outgoing.headersSent) return;
    this.#head(done);
    // HEAD says how long the body would be, and has none: node leaves it out.
    for (const chunk of done.body ?? []) this.#outgoing.write(chunk);
    this.#outgoing.end();
  }

  #partOf(done: Reply, bytes: number): void {
    this.#head(done);
    this.#outgoing.flushHeaders();
    const body = Buffer.concat(done.body ?? []).subarray(0, bytes);
    this.#outgoing.write(body, () => this.#socket.destroy());
  }

  async #trickle(done: Reply, pieceBytes: number, delayMs: number): Promise<void> {
    this.#head(done);
    const body = Buffer.concat(done.body ?? []);
    for (let at = 0; at < body.length && !this.#outgoing.destroyed; at += pieceBytes) {
      this.#outgoing.write(body.subarray(at, at + pieceBytes));
      await this.#world.account.clock.sleep(delayMs);
    }
    this.#outgoing.end();
  }
}

const bytesOf = (done: Reply): number => (done.body ?? []).reduce((sum, chunk) => sum + chunk.length, 0);
