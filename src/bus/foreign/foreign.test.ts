/**
 * Messages as other producers send them, in the forms that their documentation shows.
 */
import { describe, expect, it } from 'vitest';
import { documentKeyOf, parseLine } from '../../core/line.ts';
import { asPosition } from '../../core/event.ts';
import type { BusRecord } from '../../core/bus.ts';
import { readForeign, type ForeignFormat } from './foreign.ts';

const TOKEN = '826B0147BD000000032B022C0100296E5A1004E45733DEEECB43BEA45838BE67E4020A46645F696400646B01FBAAE6AE8E094722DE480004';
const AT = { t: 0x6b0147bd, i: 3 };
const TIME_MS = 1_795_248_000_500;

function record(value: string | null, key: string | null = null): BusRecord {
  const bytes = (text: string | null): Buffer | null => (text === null ? null : Buffer.from(text));
  return { offset: 7n, timeMs: TIME_MS, key: bytes(key), value: bytes(value), header: () => null, headers: () => [] };
}

function lineOf(value: string, { key = null, format = 'detect' }: { key?: string | null; format?: ForeignFormat } = {}): string {
  const event = readForeign(format, record(value, key))!;
  const line = event.line(event.token ?? asPosition('made-here'));
  const facts = parseLine(line);
  expect([facts.op, facts.at, facts.ns]).toEqual([event.op, event.at, event.ns]);
  expect(line.at(-1)).toBe(0x0a);
  return line.toString().trimEnd();
}

const changeEvent = (more: string, clusterTime = `"clusterTime":{"$timestamp":{"t":${AT.t},"i":${AT.i}}},`): string =>
  `{"_id":{"_data":"${TOKEN}"},"operationType":"update",${clusterTime}"wallTime":{"$date":"2026-11-21T07:45:01.120Z"},"ns":{"db":"shop","coll":"orders"},${more}}`;
const META = `{"_meta":{"position":"${TOKEN}","operationType":"update","ns":{"db":"shop","coll":"orders"},"at":"${new Date(AT.t * 1000).toISOString()}","clusterTime":{"$timestamp":{"t":${AT.t},"i":3}},"wallTime":{"$date":{"$numberLong":"1795247101120"}},"v":1}`;

describe('a change event of Atlas Stream Processing', () => {
  it('in relaxed JSON becomes the line, digits, doubled keys and their order as they came', () => {
    const document = '"fullDocument":{"_id":5,"10":1,"2":9007199254740993,"a":1.0,"a":{"$date":"2026-11-21T07:45:01Z"}}';
    const stream = '"_stream_meta":{"source":{"type":"atlas"}}';
    const read = lineOf(changeEvent(`"documentKey":{"_id":5,"shard":5000000000},${document},${stream}`));
    expect(read).toBe(`${META},"documentKey":{"_id":{"$numberInt":"5"},"shard":{"$numberLong":"5000000000"}},${document}}`);
  });

  it('in canonical JSON does so, also with white space', () => {
    const event = changeEvent(
      '"documentKey":{"_id":{"$oid":"6b0147bd1f3c5a0012345678"}},\n "fullDocument": {"text": "a b\\n", "n": {"$numberInt": "5"}}',
    );
    expect(lineOf(event)).toBe(
      `${META},"documentKey":{"_id":{"$oid":"6b0147bd1f3c5a0012345678"}},"fullDocument":{"text":"a b\\n","n":{"$numberInt":"5"}}}`,
    );
  });

  it('whose time a $project has left out has that of its token, and without a token that of the message', () => {
    expect(lineOf(changeEvent('"documentKey":{"_id":"x"}', ''))).toBe(`${META},"documentKey":{"_id":"x"}}`);
    const event = readForeign('changeEvents', record('{"operationType":"insert","ns":{"db":"shop","coll":"a"},"fullDocument":{}}'))!;
    expect([event.token, event.at]).toEqual([null, { t: Math.floor(TIME_MS / 1000), i: 0 }]);
  });
});

describe('a change event of the MongoDB Kafka connector', () => {
  const legacy = `"documentKey":{"_id":{"$binary":"AAAA","$type":"04"}},"fullDocument":{"y":{"$date":1683793627000}}`;
  const expected = `,"documentKey":{"_id":{"$binary":{"base64":"AAAA","subType":"04"}}},"fullDocument":{"y":{"$date":1683793627000}}}`;

  it.each([
    ['as text', (json: string) => json],
    ['as a text within JSON', (json: string) => JSON.stringify(json)],
    ['beside its schema', (json: string) => JSON.stringify({ schema: { type: 'string', optional: false }, payload: json })],
  ])('is read in the legacy form that is its default: %s', (_, wrap) => {
    expect(lineOf(wrap(changeEvent(legacy)))).toBe(`${META}${expected}`);
  });
});

describe('an event of Debezium', () => {
  const source = `"source":{"version":"2.7.0.Final","connector":"mongodb","name":"fulfillment","ts_ms":${AT.t * 1000},"snapshot":"false","db":"inventory","rs":"rs0","collection":"customers","ord":31,"lsid":null,"txnNumber":null}`;
  const key = '{"schema":{"type":"struct"},"payload":{"id":"{\\"$oid\\": \\"596e275826f08b2730779e1f\\"}"}}';
  const documentKey = '"documentKey":{"_id":{"$oid":"596e275826f08b2730779e1f"}}';
  const meta = (operation: string): string =>
    `{"_meta":{"position":"made-here","operationType":"${operation}","ns":{"db":"inventory","coll":"customers"},"at":"${new Date(AT.t * 1000).toISOString()}","clusterTime":{"$timestamp":{"t":${AT.t},"i":31}},"v":1}`;
  const after = JSON.stringify('{"_id" : {"$oid" : "596e275826f08b2730779e1f"},"first_name" : "Anne"}');
  const document = '{"_id":{"$oid":"596e275826f08b2730779e1f"},"first_name":"Anne"}';

  it('that made a document, with its schema', () => {
    const value = `{"schema":{"type":"struct","fields":[]},"payload":{"after":${after},${source},"op":"c","ts_ms":1558965515240}}`;
    expect(lineOf(value, { key })).toBe(`${meta('insert')},${documentKey},"fullDocument":${document}}`);
  });

  it('that changed one, before and after', () => {
    const description = `"updateDescription":{"removedFields":null,"updatedFields":"{\\"first_name\\": \\"Anne\\"}","truncatedArrays":null}`;
    const value = `{"op":"u","ts_ms":1,${source},"before":${after},"after":${after},${description}}`;
    const update = '"updateDescription":{"updatedFields":{"first_name":"Anne"},"removedFields":[],"truncatedArrays":[]}';
    expect(lineOf(value, { key })).toBe(
      `${meta('update')},${documentKey},"fullDocument":${document},"fullDocumentBeforeChange":${document},${update}}`,
    );
  });

  it('that replaced, deleted or read one', () => {
    const of = (op: string, more: string): string => lineOf(`{"op":"${op}",${source},${more}}`, { key, format: 'debezium' });
    expect(of('u', `"after":${after},"updateDescription":null`)).toBe(`${meta('replace')},${documentKey},"fullDocument":${document}}`);
    expect(of('d', '"before":null,"after":null')).toBe(`${meta('delete')},${documentKey}}`);
    expect(of('r', `"after":${after}`)).toBe(`${meta('snapshot')},${documentKey},"fullDocument":${document}}`);
  });

  it('whose key is a number or a text', () => {
    const of = (id: string): string | null => documentKeyOf(Buffer.from(lineOf(`{"op":"d",${source}}`, { key: JSON.stringify({ id }) })));
    expect(of('1004')).toBe('{"_id":{"$numberInt":"1004"}}');
    expect(of('plain text')).toBe('{"_id":"plain text"}');
  });
});

describe('a message', () => {
  it('without a value is the tombstone after a delete, and nothing', () => {
    expect(readForeign('detect', record(null))).toBeNull();
  });

  it.each([
    ['not JSON', '{"a":', 'JSON'],
    ['no object', '[1]', 'no JSON object'],
    ['no operation', '{"ns":{"db":"a","coll":"b"}}', 'operationType'],
    ['no namespace', '{"operationType":"insert"}', 'namespace'],
    ['an operation of Debezium that is not known', '{"op":"t","source":{"db":"a"}}', 'the operation t'],
    ['no time of Debezium', '{"op":"c","source":{"db":"a","collection":"b"}}', 'ts_ms'],
  ])('that cannot be read says why: %s', (_, value, reason) => {
    expect(() => readForeign('detect', record(value))).toThrow(reason);
  });
});
