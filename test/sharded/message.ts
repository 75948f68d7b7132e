/**
 * Messages of MongoDB's wire protocol as the stand-in for a `mongos` needs them: the command taken out, its name changed, everything
 * else handed on byte for byte.
 */
import { deserialize, serialize, type Document } from 'bson';
import { cstringEnd, elementsOf } from '../../src/source/mongo/encode/bson.ts';
import { documentOf, element, int32, int64 } from '../../src/source/mongo/encode/raw-bson.ts';

const HEADER_BYTES = 16;
const OP_REPLY = 1;
const OP_QUERY = 2004;
const OP_MSG = 2013;
const CHECKSUM_PRESENT = 1;

export interface Command {
  readonly requestId: number;
  /** Drivers say hello in an older form, and are answered in it. */
  readonly isLegacy: boolean;
  readonly name: string;
  readonly db: string;
  /** The command's document, and what follows it in its message: documents to insert, for one. */
  readonly body: Buffer;
  readonly sections: Buffer;
}

/** Whole messages out of the chunks of a socket. */
export class Messages {
  #pending = Buffer.alloc(0);

  add(chunk: Buffer): Buffer[] {
    this.#pending = Buffer.concat([this.#pending, chunk]);
    const whole: Buffer[] = [];
    while (this.#pending.length >= HEADER_BYTES && this.#pending.length >= this.#pending.readInt32LE(0)) {
      const length = this.#pending.readInt32LE(0);
      whole.push(this.#pending.subarray(0, length));
      this.#pending = this.#pending.subarray(length);
    }
    return whole;
  }
}

export function commandOf(message: Buffer): Command {
  const requestId = message.readInt32LE(4);
  const opcode = message.readInt32LE(12);
  if (opcode === OP_QUERY) {
    const view = viewOf(message);
    const from = cstringEnd(view, HEADER_BYTES + 4, message.length) + 1 + 8;
    const body = message.subarray(from, from + message.readInt32LE(from));
    return { requestId, isLegacy: true, name: nameOf(body), db: 'admin', body, sections: Buffer.alloc(0) };
  }
  if (opcode !== OP_MSG) throw new Error(`a message of kind ${opcode}`);
  if (message.readUInt8(HEADER_BYTES + 4) !== 0) throw new Error('a message that does not begin with its command');
  const from = HEADER_BYTES + 5;
  const body = message.subarray(from, from + message.readInt32LE(from));
  const end = message.length - (message.readUInt32LE(HEADER_BYTES) & CHECKSUM_PRESENT ? 4 : 0);
  const db = String(deserialize(body)['$db']);
  return { requestId, isLegacy: false, name: nameOf(body), db, body, sections: message.subarray(from + body.length, end) };
}

/** @param reply BSON */
export function replyTo(command: Command, reply: Uint8Array): Buffer {
  if (!command.isLegacy) return messageOf(command.requestId, reply, Buffer.alloc(0));
  const head = Buffer.concat([int32(0), int64(0n), int32(0), int32(1)]);
  const length = HEADER_BYTES + head.length + reply.length;
  return Buffer.concat([int32(length), int32(0), int32(command.requestId), int32(OP_REPLY), head, reply]);
}

/** One that nobody's reply is: flags such as the one that allows a server to answer unasked are not handed on. */
export function requestOf(requestId: number, body: Uint8Array, sections: Uint8Array): Buffer {
  const message = messageOf(0, body, sections);
  message.writeInt32LE(requestId, 4);
  return message;
}

/** The BSON document of a reply. */
export function bodyOf(message: Buffer): Buffer {
  return message.subarray(HEADER_BYTES + 5);
}

function messageOf(answers: number, body: Uint8Array, sections: Uint8Array): Buffer {
  const length = HEADER_BYTES + 5 + body.length + sections.length;
  return Buffer.concat([int32(length), int32(0), int32(answers), int32(OP_MSG), Buffer.alloc(5), body, sections]);
}

/** The same command with another name, without some of its fields. */
export function renamed(body: Buffer, name: string, without: readonly string[] = []): Buffer {
  const elements = [...elementsOf(viewOf(body), 0, body.length - 1)];
  const rest = elements.slice(1).filter(({ key }) => !without.includes(key));
  const [first] = elements;
  return documentOf(element(first!.type, name, body.subarray(first!.from, first!.next)), ...rest.map(({ at, next }) => body.subarray(at, next)));
}

/** `extra` added to a command that is made of another one's fields; those with the same names are replaced. */
export function withFields(body: Buffer, extra: Document): Buffer {
  const kept = [...elementsOf(viewOf(body), 0, body.length - 1)].filter(({ key }) => !(key in extra));
  const added = serialize(extra);
  return documentOf(...kept.map(({ at, next }) => body.subarray(at, next)), added.subarray(4, added.length - 1));
}

/** The elements of a document by their names. */
export function fieldsOf(body: Buffer): Map<string, Buffer> {
  return new Map([...elementsOf(viewOf(body), 0, body.length - 1)].map(({ key, from, next }) => [key, body.subarray(from, next)]));
}

/** The values of an array, each a document. */
export function documentsOf(array: Buffer): Buffer[] {
  return [...elementsOf(viewOf(array), 0, array.length - 1)].map(({ from, next }) => Buffer.from(array.subarray(from, next)));
}

function nameOf(body: Buffer): string {
  return body.toString('utf8', 5, cstringEnd(viewOf(body), 5, body.length));
}

function viewOf(bytes: Buffer): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}
