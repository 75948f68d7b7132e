import { describe, expect, it } from 'vitest';
import { planStream, type StreamOptions } from './stream-plan.ts';

const plan = (include: string[], more: Partial<StreamOptions> = {}) =>
  planStream({ include, exclude: [], match: {}, fullDocument: 'updateLookup', fullDocumentBeforeChange: 'off', ...more });

describe('a stream', () => {
  it.each([
    [['shop.orders'], 'collection', 'shop', 'orders'],
    [['shop.orders', 'shop.stock'], 'database', 'shop', null],
    [['shop.*'], 'database', 'shop', null],
    [['shop.*', 'crm.*'], 'cluster', 'admin', null],
    [['*.orders'], 'cluster', 'admin', null],
    [['sh*.orders'], 'cluster', 'admin', null],
  ])('of %j is opened on the %s', (include, level, database, collection) => {
    expect(plan(include)).toMatchObject({ level, database, collection });
  });

  it('asks for exact namespaces where it can: they are cheaper for the server', () => {
    const [match] = plan(['shop.orders', 'shop.stock']).stages;
    expect(JSON.stringify(match)).toContain('{"ns":{"$in":[{"db":"shop","coll":"orders"},{"db":"shop","coll":"stock"}]}}');
  });

  it.each([
    [['shop.*'], [], 0],
    [['shop.*', 'shop.orders'], [], 0],
    [['*.*'], [], 0],
    [['crm.orders', '*.*'], [], 0],
    [['shop.orders'], ['shop.x'], 0],
    [['shop.*'], ['shop.x'], 1],
    [['shop.*', 'crm.*'], [], 1],
    [['*.orders'], [], 1],
    [['shop.o*'], [], 1],
  ])('of %j without %j has no condition that every event of its level meets', (include, exclude, stages) => {
    expect(plan(include, { exclude }).stages).toHaveLength(stages);
  });

  it('puts the user’s own conditions behind the namespaces', () => {
    expect(plan(['shop.*'], { match: { operationType: 'insert' } }).stages.at(-1)).toEqual({ $match: { operationType: 'insert' } });
  });

  it('leaves out what is off and asks for expanded events always', () => {
    expect(plan(['shop.*'], { fullDocument: 'off' }).changeStream).toEqual({ showExpandedEvents: true });
    expect(plan(['*.*'], { fullDocumentBeforeChange: 'required' }).changeStream).toEqual({
      showExpandedEvents: true,
      allChangesForCluster: true,
      fullDocument: 'updateLookup',
      fullDocumentBeforeChange: 'required',
    });
  });

  it('has another digest when anything that it reads is another', () => {
    const digests = [
      plan(['shop.*']),
      plan(['shop.*'], { exclude: ['shop.x'] }),
      plan(['shop.*', 'crm.*']),
      plan(['shop.*'], { match: { a: 1 } }),
      plan(['shop.*'], { fullDocument: 'off' }),
      plan(['shop.*'], { fullDocumentBeforeChange: 'whenAvailable' }),
    ].map(({ digest }) => digest);
    expect(new Set(digests).size).toBe(digests.length);
    expect(plan(['shop.*']).digest).toBe(digests[0]);
  });

  it('has another digest when a glob is another', () => {
    expect(plan(['shop.a*']).digest).not.toBe(plan(['shop.b*']).digest);
  });
});
