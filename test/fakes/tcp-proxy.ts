/**
 * A network that misbehaves: a TCP proxy between a client and a server, both on the loopback.
 *
 * What it does to bytes from the server can be changed at any moment, for the connections that are open as well as for
 * those to come. A replica set must be addressed with `directConnection=true`, or the driver goes round the proxy to the
 * member's own address.
 */
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

/** One connection through the proxy. */
export interface Link {
  /** From the server, so far. */
  readonly bytesDown: number;
  readonly client: Socket;
  readonly server: Socket;
}

export interface TcpProxyOptions {
  readonly port: number;
}

type Writable = { -readonly [K in keyof Link]: Link[K] };

export class TcpProxy implements AsyncDisposable {
  readonly #listener: Server;
  readonly #links = new Set<Writable>();
  #connections = 0;
  #swallows = false;
  #pieceBytes: number | null = null;
  #cutAtByte: ((link: Link, bytes: Buffer) => number | null) | null = null;

  private constructor(listener: Server) {
    this.#listener = listener;
  }

  static async to({ port }: TcpProxyOptions): Promise<TcpProxy> {
    const listener = createServer();
    const proxy = new TcpProxy(listener);
    listener.on('connection', (client) => proxy.#link(client, port));
    listener.listen(0, '127.0.0.1');
    await once(listener, 'listening');
    return proxy;
  }

  get port(): number {
    return (this.#listener.address() as AddressInfo).port;
  }

  get uri(): string {
    return `mongodb://127.0.0.1:${this.port}/?directConnection=true`;
  }

  /** Connections since the beginning. */
  get connections(): number {
    return this.#connections;
  }

  /**
   * From now on nothing comes through in either direction, and nobody is told: sockets stay open, new ones are taken.
   * What was swallowed does not come later.
   */
  swallow(): void {
    this.#swallows = true;
  }

  /** Of the connections that are open now, those that `of` chooses carry nothing any more. The others, and new ones, do. */
  swallowOpen(of: (link: Link) => boolean): number {
    const chosen = [...this.#links].filter(of);
    for (const link of chosen) {
      for (const socket of [link.client, link.server]) socket.removeAllListeners('data').resume();
      this.#links.delete(link);
    }
    return chosen.length;
  }

  /** Bytes come through again, for new connections: those that were open have holes in what they carried and are cut. */
  heal(): void {
    this.#swallows = false;
    this.#pieceBytes = null;
    this.#cutAtByte = null;
    this.cut();
  }

  /** Resets every connection that is open. */
  cut(): void {
    for (const link of this.#links) this.#reset(link);
  }

  /** What the server says arrives in pieces of so many bytes, each in a packet of its own. `null`: as it comes. */
  inPiecesOf(bytes: number | null): void {
    this.#pieceBytes = bytes;
  }

  /**
   * Asked for each chunk that the server sends. A number: so many bytes of it are passed on, then the connection is reset;
   * `null`: all of it is.
   */
  cutWhen(decide: ((link: Link, bytes: Buffer) => number | null) | null): void {
    this.#cutAtByte = decide;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#listener, 'close');
    this.#listener.close();
    for (const { client, server } of this.#links) {
      client.destroy();
      server.destroy();
    }
    await closed;
  }

  #link(client: Socket, port: number): void {
    const server = connect({ port, host: '127.0.0.1', noDelay: true });
    client.setNoDelay(true);
    this.#connections += 1;
    const link: Writable = { bytesDown: 0, client, server };
    this.#links.add(link);
    for (const [from, to] of [
      [client, server],
      [server, client],
    ] as const) {
      from.on('error', () => to.destroy());
      from.on('close', () => {
        to.destroy();
        this.#links.delete(link);
      });
    }
    client.on('data', (bytes: Buffer) => {
      if (!this.#swallows) server.write(bytes);
    });
    server.on('data', (bytes: Buffer) => {
      if (!this.#swallows) this.#down(link, bytes);
    });
  }

  #down(link: Writable, bytes: Buffer): void {
    const end = this.#cutAtByte?.(link, bytes) ?? null;
    link.bytesDown += bytes.length;
    const passed = end === null ? bytes : bytes.subarray(0, end);
    if (this.#pieceBytes === null && end === null) {
      link.client.write(passed);
      return;
    }
    link.server.pause();
    void this.#inPieces(link, passed).then(() => (end === null ? void link.server.resume() : this.#reset(link)));
  }

  async #inPieces({ client }: Link, bytes: Buffer): Promise<void> {
    for (let from = 0; from < bytes.length && !client.destroyed;) {
      const to = Math.min(bytes.length, from + (this.#pieceBytes ?? bytes.length));
      // Once the kernel has it: the next piece does not travel with it.
      await new Promise((resolve) => client.write(bytes.subarray(from, to), resolve));
      from = to;
    }
  }

  #reset({ client, server }: Link): void {
    client.resetAndDestroy();
    server.destroy();
  }
}
