/**
 * Speaks to a mongod byte by byte: a driver would refuse, mend or reorder the documents that a test wants stored as they
 * are, and would read them into objects that cannot hold them.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { documentOf, element, int32, string } from '../../src/source/mongo/encode/raw-bson.ts';

const HEADER_BYTES = 16;
const OP_MSG = 2013;
/** Flags of an OP_MSG, and the kind of its one section. */
const MESSAGE_PREFIX = Buffer.alloc(5);

export class RawConnection implements Disposable {
  readonly #socket: Socket;
  #requestId = 0;

  private constructor(socket: Socket) {
    this.#socket = socket;
  }

  static async open(port: number): Promise<RawConnection> {
    const socket = connect(port, '127.0.0.1');
    await once(socket, 'connect');
    return new RawConnection(socket);
  }

  /** @param elements of the command, its name first. @returns the reply's document, an error's too */
  async command(db: string, ...elements: readonly Uint8Array[]): Promise<Buffer> {
    const command = documentOf(...elements, element(0x02, '$db', string(db)));
    this.#requestId += 1;
    const length = HEADER_BYTES + MESSAGE_PREFIX.length + command.length;
    this.#socket.write(Buffer.concat([int32(length), int32(this.#requestId), int32(0), int32(OP_MSG), MESSAGE_PREFIX, command]));
    const message = await this.#message();
    return message.subarray(HEADER_BYTES + MESSAGE_PREFIX.length);
  }

  /** One request at a time: nothing follows the reply. */
  async #message(): Promise<Buffer> {
    const chunks: Buffer[] = [];
    let bytes = 0;
    let wanted = Infinity;
    while (bytes < wanted) {
      const chunk = this.#socket.read() as Buffer | null;
      if (chunk === null) {
        await once(this.#socket, 'readable');
        continue;
      }
      chunks.push(chunk);
      bytes += chunk.length;
      if (wanted === Infinity && bytes >= HEADER_BYTES) wanted = Buffer.concat(chunks).readInt32LE(0);
    }
    return Buffer.concat(chunks);
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }
}
