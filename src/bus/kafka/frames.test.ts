import { once } from 'node:events';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { Base, Reader, Writer, createAPI, type Connection } from '@platformatic/kafka';
import fc from '../../../test/fast-check.ts';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { framesOf, watchConnections, type Frames } from './frames.ts';

const API = { key: 1, version: 6 };
const SILENCE_MS = 30_000;

/** A question of the client's own, whose answer is bytes. */
const ofClient = createAPI<[], Buffer>(
  3,
  8,
  () => Writer.create().appendInt32(7),
  (_id, _key, _version, reader) => reader.buffer.slice(reader.position),
  false,
  false,
);

let server: Server;
let peer: Socket;
let client: Base;
let connection: Connection;
let frames: Frames;

async function start(silenceMs = SILENCE_MS): Promise<void> {
  const { port } = server.address() as AddressInfo;
  client = new Base({ clientId: 'test', bootstrapBrokers: [`127.0.0.1:${port}`], maxInflights: 100 });
  watchConnections(client, silenceMs);
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  connection = await client.connections.get({ host: '127.0.0.1', port });
  [peer] = await accepted;
  frames = framesOf(connection);
}

beforeEach(async () => {
  server = createServer((socket) => void socket.on('error', () => {})).listen(0, '127.0.0.1');
  await once(server, 'listening');
});
afterEach(async () => {
  frames.destroy();
  peer.destroy();
  await client.close();
  server.close();
  await once(server, 'close');
});

/** Bodies of requests, with their numbers, as many as are wanted. */
async function requests(count: number): Promise<{ readonly id: number; readonly head: Buffer; readonly body: Buffer }[]> {
  const found: { id: number; head: Buffer; body: Buffer }[] = [];
  let bytes = Buffer.alloc(0);
  const onData = (chunk: Buffer): void => {
    bytes = Buffer.concat([bytes, chunk]);
    while (bytes.length >= 4 && bytes.length >= 4 + bytes.readInt32BE(0)) {
      const frame = bytes.subarray(4, 4 + bytes.readInt32BE(0));
      bytes = bytes.subarray(4 + frame.length);
      const bodyFrom = 10 + frame.readInt16BE(8);
      found.push({ id: frame.readInt32BE(4), head: frame.subarray(0, bodyFrom), body: frame.subarray(bodyFrom) });
    }
  };
  peer.on('data', onData);
  while (found.length < count) await once(peer, 'data');
  peer.off('data', onData);
  return found;
}

function answer(id: number, body: Buffer): Buffer {
  const head = Buffer.alloc(8);
  head.writeInt32BE(4 + body.length, 0);
  head.writeInt32BE(id, 4);
  return Buffer.concat([head, body]);
}

describe('frames over a connection of the client', () => {
  it('go out as they were given, under the name of the client', async () => {
    await start();
    const asked = frames.ask(API, Buffer.from('begin'), Buffer.from('and end'));
    const [{ id, head, body }] = (await requests(1)) as [Awaited<ReturnType<typeof requests>>[number]];
    expect(body.toString()).toBe('beginand end');
    const reader = Reader.from(head);
    expect([reader.readInt16(), reader.readInt16(), reader.readInt32(), reader.readString(false)]).toEqual([1, 6, id, 'test']);
    peer.write(answer(id, Buffer.alloc(0)));
    expect((await asked).body).toHaveLength(0);
  });

  it('bring each answer whole to who asked, however it comes in, and to the client what is its own', async () => {
    await start();
    const bodies = fc.array(fc.record({ isOurs: fc.boolean(), body: fc.uint8Array({ maxLength: 3000 }), keeps: fc.boolean() }), {
      minLength: 1,
      maxLength: 12,
    });
    const cuts = fc.array(fc.integer({ min: 1, max: 2000 }), { minLength: 1, maxLength: 20 });
    await fc.assert(
      fc.asyncProperty(bodies, cuts, async (wanted, sizes) => {
        const answers: Promise<{ readonly body: Buffer; readonly release: () => void }>[] = [];
        const ids: number[] = [];
        for (const { isOurs } of wanted) {
          answers.push(isOurs ? frames.ask(API, Buffer.from('?')) : ofClient.async(connection).then((body) => ({ body, release: () => {} })));
          ids.push((await requests(1))[0]!.id);
        }
        const bytes = Buffer.concat(wanted.map(({ body }, n) => answer(ids[n]!, Buffer.from(body))));
        for (let at = 0, n = 0; at < bytes.length; n += 1) {
          const size = sizes[n % sizes.length]!;
          await new Promise((resolve) => peer.write(bytes.subarray(at, at + size), resolve));
          at += size;
        }
        const got = await Promise.all(answers);
        // Whatever is given back must not be part of what somebody still reads.
        for (const [n, { release }] of got.entries()) if (!wanted[n]!.keeps) release();
        for (const [n, { body }] of got.entries()) if (wanted[n]!.keeps) expect(body.equals(wanted[n]!.body)).toBe(true);
        for (const [n, { release }] of got.entries()) if (wanted[n]!.keeps) release();
      }),
      { numRuns: 40 },
    );
  });

  it.each([
    ['the broker closes the connection', () => peer.destroy(), 'closed'],
    ['it is given up', () => frames.destroy(), 'given up'],
    ['what comes cannot be a frame', () => peer.write(Buffer.from('ffffffff00000000', 'hex')), 'cannot mean'],
    ['the client is closed', () => void client.close(), 'closed'],
  ])('tell all who wait, and all who ask later, when %s', async (_what, end, said) => {
    await start();
    const asked = [frames.ask(API, Buffer.from('1')), frames.ask(API, Buffer.from('2'))];
    await requests(2);
    end();
    for (const each of asked) await expect(each).rejects.toThrow(said);
    await expect(frames.ask(API, Buffer.from('3'))).rejects.toThrow(said);
  });

  it('tell who waits when the broker says nothing; while nobody waits it may be silent', async () => {
    await start();
    const asked = frames.ask(API, Buffer.from('1'));
    const [{ id } = { id: -1 }] = await requests(1);
    expect(connection.socket.timeout).toBeGreaterThan(0);
    peer.write(answer(id, Buffer.from('yes')));
    expect((await asked).body.toString()).toBe('yes');
    expect(connection.socket.timeout).toBe(0);
    const late = frames.ask(API, Buffer.from('2'));
    connection.socket.setTimeout(50);
    await expect(late).rejects.toThrow('said nothing');
  });
});
