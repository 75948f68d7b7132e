/**
 * A connection of the driver, for ourselves: connected, encrypted and logged in as the URI says, then ours alone.
 *
 * Why: the driver cannot leave a server answering (an exhaust cursor), and copies every reply on its way. What it does well,
 * finding the server, TLS and every way to log in, stays its own (docs/adr/0011-exhaust-cursor.md). It has no public way to
 * give a socket away, so this file, and no other, looks inside; it says so when the inside is not what it was.
 */
import type { Socket } from 'node:net';
import type { MongoClient, ReadPreference } from 'mongodb';

/** What is used of the driver's inside. */
interface Topology {
  selectServer(readPreference: ReadPreference, options: SelectOptions): Promise<Server>;
}
interface SelectOptions {
  readonly operationName: string;
  /** Servers to be passed over. */
  readonly deprioritizedServers: ReadonlySet<unknown>;
  readonly signal: AbortSignal;
}
interface Server {
  readonly pool: Pool;
}
interface Pool {
  readonly address: string;
  checkOut(options: { readonly timeoutContext: { readonly connectionCheckoutTimeout: null }; readonly signal: AbortSignal }): Promise<Connection>;
  checkIn(connection: Connection): void;
}
interface Connection {
  readonly socket: Socket;
  readonly messageStream: NodeJS.WritableStream;
  destroy(): void;
}

export interface OwnConnection extends Disposable {
  readonly socket: Socket;
  /** `host:port`, as the driver's description of the topology names the server. */
  readonly address: string;
}

/** Can a connection be taken from this client? Not when it shares one, or when its inside is not the one that we know. */
export function canTakeConnection(client: MongoClient): boolean {
  const { maxPoolSize, loadBalanced, autoEncryption } = client.options as { maxPoolSize?: number; loadBalanced?: boolean; autoEncryption?: unknown };
  if (loadBalanced === true || autoEncryption !== undefined) return false;
  return (maxPoolSize === undefined || maxPoolSize === 0 || maxPoolSize > 1) && typeof insideOf(client)?.selectServer === 'function';
}

/** @throws what the driver throws when no server can be had; `TypeError` when the driver is another one */
export async function takeConnection(client: MongoClient, signal: AbortSignal): Promise<OwnConnection> {
  const topology = insideOf(client);
  if (topology === undefined) throw new TypeError('the client is not connected');
  const { pool } = await topology.selectServer(client.readPreference, { operationName: 'getMore', deprioritizedServers: new Set(), signal });
  const connection = await pool.checkOut({ timeoutContext: { connectionCheckoutTimeout: null }, signal });
  const { socket } = connection;
  socket.unpipe(connection.messageStream);
  // Ends when the pool is closed, too: the driver still counts it as its own.
  return {
    socket,
    address: pool.address,
    [Symbol.dispose]: () => {
      connection.destroy();
      socket.destroy();
      pool.checkIn(connection);
    },
  };
}

function insideOf(client: MongoClient): Topology | undefined {
  return (client as unknown as { readonly topology?: Topology }).topology;
}
