/**
 * BSON by hand, for tests: any bytes under any key, right or wrong, which `bson`'s own `serialize` would not write.
 */
import { LineEncoder, type LineOptions } from './line.ts';
import { encodeReply, type EncodedReply } from './reply.ts';

export const int32 = (n: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(n);
  return bytes;
};

export const int64 = (n: bigint): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64LE(n);
  return bytes;
};

export const double = (n: number): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleLE(n);
  return bytes;
};

export const timestamp = (t: number, i: number): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt32LE(i, 0);
  bytes.writeUInt32LE(t, 4);
  return bytes;
};

export const cstring = (text: string | Uint8Array): Buffer => Buffer.concat([Buffer.from(text as string), Buffer.alloc(1)]);

export const string = (text: string | Uint8Array): Buffer => Buffer.concat([int32(Buffer.from(text as string).length + 1), cstring(text)]);

export const binary = (subtype: number, data: Uint8Array): Buffer => Buffer.concat([int32(data.length), Buffer.from([subtype]), data]);

export const element = (type: number, key: string | Uint8Array, value: Uint8Array = Buffer.alloc(0)): Buffer =>
  Buffer.concat([Buffer.from([type]), cstring(key), value]);

export const documentOf = (...elements: readonly Uint8Array[]): Buffer => {
  const length = 5 + elements.reduce((sum, part) => sum + part.length, 0);
  return Buffer.concat([int32(length), ...elements, Buffer.alloc(1)]);
};

/** @param values type and bytes of each member */
export const arrayOf = (...values: readonly (readonly [type: number, value: Uint8Array])[]): Buffer =>
  documentOf(...values.map(([type, value], i) => element(type, String(i), value)));

export const SECOND = 1_795_247_101;

const hex8 = (n: number): string => n.toString(16).padStart(8, '0').toUpperCase();

/** A position as a server makes them. */
export const positionOf = (t: number, i: number): string => `82${hex8(t)}${hex8(i)}2B042C0100296E5A1004AB`;

export const tokenOf = (data: string): Buffer => documentOf(element(0x02, '_data', string(data)));

export const namespaceOf = (db: string, coll?: string): Buffer =>
  documentOf(element(0x02, 'db', string(db)), ...(coll === undefined ? [] : [element(0x02, 'coll', string(coll))]));

/** An insert at ordinal `i` of {@link SECOND}, with `rest` as its further elements. */
export const eventOf = (i: number, ...rest: readonly Uint8Array[]): Buffer =>
  documentOf(
    element(0x03, '_id', tokenOf(positionOf(SECOND, i))),
    element(0x02, 'operationType', string('insert')),
    element(0x11, 'clusterTime', timestamp(SECOND, i)),
    element(0x03, 'ns', namespaceOf('shop', 'orders')),
    ...rest,
  );

/** A cursor as a server sends it. */
export const cursorOf = (events: readonly Uint8Array[], key = 'nextBatch', token: Uint8Array = tokenOf(positionOf(SECOND, 0xffff))): Buffer =>
  documentOf(
    element(0x04, key, arrayOf(...events.map((event) => [0x03, event] as const))),
    element(0x03, 'postBatchResumeToken', token),
    element(0x12, 'id', int64(77n)),
    element(0x02, 'ns', string('shop.orders')),
  );

export const encoderOf = (options: Partial<LineOptions> = {}): LineEncoder =>
  new LineEncoder({ json: 'relaxed', maxLineBytes: 100 * 1024 * 1024, database: null, collection: null, ...options });

export const linesOf = ({ events }: EncodedReply): string[] =>
  Array.from({ length: events.count }, (_, i) => events.lines.toString('utf8', i === 0 ? 0 : events.ends[i - 1], events.ends[i]));

/** The line of one event, without its newline. */
export const lineOf = (event: Uint8Array, options: Partial<LineOptions> = {}): string => {
  const [line] = linesOf(encodeReply(cursorOf([event]), encoderOf(options)));
  return line!.slice(0, -1);
};

/** How one value is written, and whether the line says that it is lossy. */
export const valueOf = (type: number, value: Uint8Array, json: LineOptions['json'] = 'relaxed'): { text: string; lossy: boolean } => {
  const line = lineOf(eventOf(1, element(type, 'x', value)), { json });
  const at = line.indexOf('"v":1},"x":');
  return { text: line.slice(at + '"v":1},"x":'.length, -1), lossy: line.slice(0, at).endsWith('"lossy":true,') };
};
