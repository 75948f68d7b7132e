/**
 * A connection of the stand-in to one server: commands one after the other, replies as the bytes that they are.
 */
import { deserialize, serialize, type Document } from 'bson';
import { connect, type Socket } from 'node:net';
import { Messages, bodyOf, requestOf } from './message.ts';

export class Backend {
  readonly #socket: Socket;
  readonly #messages = new Messages();
  readonly #waiting: PromiseWithResolvers<Buffer>[] = [];
  #requestId = 0;
  #failure: Error | null = null;

  constructor(port: number) {
    this.#socket = connect(port, '127.0.0.1');
    this.#socket.setNoDelay();
    this.#socket.on('data', (chunk: Buffer) => {
      for (const message of this.#messages.add(chunk)) this.#waiting.shift()?.resolve(bodyOf(message));
    });
    this.#socket.on('error', (error) => this.#fail(error));
    this.#socket.on('close', () => this.#fail(new Error('a server behind the stand-in has closed the connection')));
  }

  /** The reply's document, an error's too. */
  async relay(body: Uint8Array, sections: Uint8Array = Buffer.alloc(0)): Promise<Buffer> {
    if (this.#failure !== null) throw this.#failure;
    const waiting = Promise.withResolvers<Buffer>();
    this.#waiting.push(waiting);
    this.#socket.write(requestOf(++this.#requestId, body, sections));
    return await waiting.promise;
  }

  async command(db: string, command: Document): Promise<Document> {
    return deserialize(await this.relay(serialize({ ...command, $db: db })), { promoteValues: false });
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    for (const { reject } of this.#waiting.splice(0)) reject(error);
  }
}
