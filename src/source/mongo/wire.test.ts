import { createServer, connect, type AddressInfo, type Server, type Socket } from 'node:net';
import { once } from 'node:events';
import { deserialize, serialize } from 'bson';
import { MongoNetworkError, MongoNetworkTimeoutError } from 'mongodb';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { until } from '../../../test/e2e/until.ts';
import { SOURCE_PROTOCOL } from '../../core/errors.ts';
import { Wire } from './wire.ts';

const SILENCE_MS = 30_000;
let server: Server;
let socket: Socket;
let peer: Socket;
let wire: Wire;

async function start(silenceMs = SILENCE_MS): Promise<void> {
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  [peer] = await accepted;
  wire = new Wire(socket, silenceMs);
}

beforeEach(async () => {
  server = createServer((accepted) => void accepted.on('error', () => {})).listen(0, '127.0.0.1');
  await once(server, 'listening');
  await start();
});
afterEach(async () => {
  wire.destroy();
  peer.destroy();
  server.close();
  await once(server, 'close');
});

interface Says {
  readonly id?: number;
  readonly to?: number;
  readonly flags?: number;
  readonly opCode?: number;
  readonly kind?: number;
  readonly length?: number;
  readonly tail?: Buffer;
}

function message(
  document: Record<string, unknown>,
  { id = 7, to = 1, flags = 0, opCode = 2013, kind = 0, length, tail = Buffer.alloc(0) }: Says = {},
): Buffer {
  const body = Buffer.concat([serialize(document), tail]);
  const bytes = Buffer.alloc(21 + body.length);
  bytes.writeInt32LE(length ?? bytes.length, 0);
  bytes.writeInt32LE(id, 4);
  bytes.writeInt32LE(to, 8);
  bytes.writeInt32LE(opCode, 12);
  bytes.writeUInt32LE(flags, 16);
  bytes.writeUInt8(kind, 20);
  bytes.set(body, 21);
  return bytes;
}

const MORE = 2;
const CHECKSUM = 1;

describe('a command', () => {
  it('goes out as one document, and says whether the server may go on answering', async () => {
    wire.send({ ping: 1, $db: 'admin' }, false);
    wire.send({ getMore: 5n, $db: 'admin' }, true);
    const sent: Buffer[] = [];
    while (Buffer.concat(sent).length < 21 * 2 + serialize({ ping: 1, $db: 'admin' }).length + serialize({ getMore: 5n, $db: 'admin' }).length)
      sent.push(((await once(peer, 'data')) as [Buffer])[0]);
    const bytes = Buffer.concat(sent);
    const first = bytes.subarray(0, bytes.readInt32LE(0));
    const second = bytes.subarray(first.length);
    expect([first, second].map((m) => [m.readInt32LE(4), m.readInt32LE(12), m.readUInt32LE(16), m.readUInt8(20)])).toEqual([
      [1, 2013, 0, 0],
      [2, 2013, 1 << 16, 0],
    ]);
    expect(deserialize(second.subarray(21), { useBigInt64: true })).toEqual({ getMore: 5n, $db: 'admin' });
  });
});

describe('a reply', () => {
  beforeEach(() => wire.send({ ping: 1 }, true));

  it('is whole however it comes in: byte by byte, or several at once', async () => {
    const bytes = Buffer.concat([
      message({ n: 1, text: 'x'.repeat(300) }, { id: 10, to: 1, flags: MORE }),
      message({ n: 2 }, { id: 11, to: 10, flags: MORE }),
      message({ n: 3 }, { id: 12, to: 11 }),
    ]);
    peer.setNoDelay(true);
    const slow = (async () => {
      for (let i = 0; i < 330; i += 1) {
        peer.write(bytes.subarray(i, i + 1));
        await new Promise((resolve) => setImmediate(resolve));
      }
      peer.write(bytes.subarray(330));
    })();
    const seen = [];
    for (let i = 0; i < 3; i += 1) {
      const { body, moreToCome } = await wire.receive();
      seen.push([(deserialize(body) as { n: number }).n, moreToCome]);
    }
    await slow;
    expect(seen).toEqual([
      [1, true],
      [2, true],
      [3, false],
    ]);
  });

  it('may end in a checksum', async () => {
    peer.write(message({ n: 1 }, { flags: CHECKSUM, tail: Buffer.from([1, 2, 3, 4]) }));
    expect(deserialize((await wire.receive()).body)).toEqual({ n: 1 });
  });

  it.each<[string, Says]>([
    ['of another kind', { opCode: 1 }],
    ['with flags that must be understood', { flags: 1 << 5 }],
    ['that does not begin with its document', { kind: 1 }],
    ['to another question', { to: 99 }],
    ['with something after its document', { tail: Buffer.from([0]) }],
    ['with a length that cannot be', { length: 20 }],
    ['with a length beyond all bounds', { length: 100_000_000 }],
    ['with a negative length', { length: -1 }],
  ])('%s is refused', async (_name, says) => {
    peer.write(message({ n: 1 }, says));
    await expect(wire.receive()).rejects.toMatchObject({ code: SOURCE_PROTOCOL.code });
  });

  it('that nobody takes stops the reading, and comes when somebody does', async () => {
    const text = 'x'.repeat(1024 * 1024);
    const count = 60;
    let written = 0;
    void (async () => {
      for (let i = 0; i < count; i += 1) {
        if (!peer.write(message({ n: i, text }, { id: i + 2, to: i + 1, flags: MORE }))) await once(peer, 'drain');
        written = i + 1;
      }
    })();
    let before = -1;
    // It stands still well before the end: what is on its way is bounded by us and by the kernel.
    while (before !== written) {
      before = written;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    expect(written).toBeLessThan(count);
    for (let i = 0; i < count; i += 1) expect((deserialize((await wire.receive()).body) as { n: number }).n).toBe(i);
  });
});

describe('a connection', () => {
  it('that the server closes, cuts or ends by itself is an error for who waits, and for who comes later', async () => {
    const waiting = wire.receive();
    peer.destroy();
    await expect(waiting).rejects.toThrow(MongoNetworkError);
    await expect(wire.receive()).rejects.toThrow(MongoNetworkError);
  });

  it('that is cut in the middle of a reply gives no reply', async () => {
    wire.send({ ping: 1 }, false);
    peer.write(message({ n: 1 }).subarray(0, 25), () => peer.resetAndDestroy());
    await expect(wire.receive()).rejects.toThrow(MongoNetworkError);
  });

  it('gives what has come before it ended', async () => {
    wire.send({ ping: 1 }, false);
    peer.resume().end(message({ n: 1 }));
    await once(peer, 'close');
    await new Promise((resolve) => setImmediate(resolve));
    expect(deserialize((await wire.receive()).body)).toEqual({ n: 1 });
    await expect(wire.receive()).rejects.toThrow(MongoNetworkError);
  });

  it('on which nothing comes for too long counts as lost', async () => {
    wire.destroy();
    await start(50);
    await expect(wire.receive()).rejects.toThrow(MongoNetworkTimeoutError);
  });

  it('is not lost while nobody takes what has come', async () => {
    wire.destroy();
    await start();
    wire.send({ ping: 1 }, true);
    peer.write(message({ n: 1, text: 'x'.repeat(9 * 1024 * 1024) }, { id: 2, to: 1, flags: MORE }));
    // Its time does not run.
    await until('all that it takes has come', () => socket.timeout === 0);
    expect(deserialize((await wire.receive()).body)).toMatchObject({ n: 1 });
    peer.write(message({ n: 2 }, { id: 3, to: 2 }));
    expect(deserialize((await wire.receive()).body)).toEqual({ n: 2 });
  });
});
