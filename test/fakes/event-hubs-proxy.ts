/**
 * A proxy that makes a Kafka broker behave as Azure Event Hubs does, as far as public reports tell: old versions of its
 * requests only, a newer question for versions refused, connections closed on large requests without a word, answers
 * held back when a namespace is throttled, sockets that carry nothing any more.
 *
 * It reads the frames of the protocol; the last of these is done by a {@link TcpProxy} behind it.
 */
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { systemClock } from '../../src/core/clock.ts';
import { TcpProxy } from './tcp-proxy.ts';

/** Of one request, all of it. */
const REQUEST_BYTES_MAX = 1_046_528;
const API_VERSIONS = 18;
/** Newest version that is answered, by the key of the request. */
const NEWEST: ReadonlyMap<number, number> = new Map([
  [0, 7], // Produce
  [1, 6], // Fetch
  [2, 5], // ListOffsets
  [3, 5], // Metadata
  [8, 8], // OffsetCommit
  [9, 5], // OffsetFetch
  [11, 5], // JoinGroup
  [18, 3], // ApiVersions
  [19, 5], // CreateTopics
  [22, 1], // InitProducerId
]);

export class EventHubsProxy implements AsyncDisposable {
  readonly #listener: Server;
  readonly #sockets = new Set<Socket>();
  #tcp: TcpProxy | null = null;
  /** Newest version that was asked for, by the key of the request. */
  readonly versions = new Map<number, number>();
  /** Largest request. */
  bytesMax = 0;
  /** Connections that were closed because of what was asked. */
  refused = 0;
  /** Answers are held back for so long. */
  throttleMs = 0;

  private constructor(listener: Server) {
    this.#listener = listener;
  }

  /** Listens; goes on to the broker once {@link EventHubsProxy.to} has said where that is. */
  static async listen(): Promise<EventHubsProxy> {
    const listener = createServer();
    const proxy = new EventHubsProxy(listener);
    listener.on('connection', (client) => proxy.#link(client));
    listener.listen(0, '127.0.0.1');
    await once(listener, 'listening');
    return proxy;
  }

  async to(port: number): Promise<void> {
    this.#tcp = await TcpProxy.to({ port });
  }

  get port(): number {
    return (this.#listener.address() as AddressInfo).port;
  }

  /** Connections that are open carry nothing any more, and nobody is told; new ones do. @returns how many */
  blackHole(): number {
    return this.#tcp!.swallowOpen(() => true);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#listener, 'close');
    this.#listener.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
    await this.#tcp?.[Symbol.asyncDispose]();
  }

  #link(client: Socket): void {
    const server = connect({ port: this.#tcp!.port, host: '127.0.0.1', noDelay: true });
    client.setNoDelay(true);
    for (const [from, to] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#sockets.add(from);
      from.on('error', () => to.destroy());
      from.on('close', () => {
        this.#sockets.delete(from);
        to.destroy();
      });
    }
    /** Versions of questions for versions, by the number of the request. */
    const asked = new Map<number, number>();
    client.on(
      'data',
      frames((frame) => {
        if (!this.#isTaken(frame, asked)) {
          this.refused += 1;
          client.resetAndDestroy();
          server.destroy();
        } else server.write(frame);
      }),
    );
    let answers = Promise.resolve();
    server.on(
      'data',
      frames((frame) => {
        const version = asked.get(frame.readInt32BE(4));
        if (version !== undefined) clamp(frame, version);
        const { throttleMs } = this;
        answers = answers.then(async () => {
          if (throttleMs > 0) await systemClock.sleep(throttleMs);
          client.write(frame);
        });
      }),
    );
  }

  #isTaken(frame: Buffer, asked: Map<number, number>): boolean {
    const [key, version] = [frame.readInt16BE(4), frame.readInt16BE(6)];
    this.bytesMax = Math.max(this.bytesMax, frame.length);
    this.versions.set(key, Math.max(version, this.versions.get(key) ?? 0));
    if (frame.length > REQUEST_BYTES_MAX || version > (NEWEST.get(key) ?? Infinity)) return false;
    if (key === API_VERSIONS) asked.set(frame.readInt32BE(8), version);
    return true;
  }
}

/** Whole frames, length included, from chunks of any size. */
function frames(onFrame: (frame: Buffer) => void): (chunk: Buffer) => void {
  let rest: Buffer[] = [];
  let bytes = 0;
  let wanted = 4;
  return (chunk) => {
    rest.push(chunk);
    bytes += chunk.length;
    while (bytes >= wanted) {
      const all = rest.length === 1 ? rest[0]! : Buffer.concat(rest);
      const length = 4 + all.readInt32BE(0);
      if (all.length >= length) {
        onFrame(Buffer.from(all.subarray(0, length)));
        rest = [all.subarray(length)];
        bytes = rest[0]!.length;
        wanted = 4;
      } else {
        rest = [all];
        wanted = length;
      }
    }
  };
}

/** Lowers the newest versions in an answer to a question for versions, in place. */
function clamp(frame: Buffer, version: number): void {
  const isFlexible = version >= 3;
  // Length, number of the request, error code; then a count, of one byte more than there are where it is flexible.
  const count = isFlexible ? frame.readUInt8(10) - 1 : frame.readInt32BE(10);
  if (isFlexible && count > 126) throw new Error('a count of two bytes is not read here');
  let at = isFlexible ? 11 : 14;
  for (let n = 0; n < count; n += 1) {
    const newest = NEWEST.get(frame.readInt16BE(at));
    if (newest !== undefined) frame.writeInt16BE(Math.min(newest, frame.readInt16BE(at + 4)), at + 4);
    at += isFlexible ? 7 : 6;
  }
}
