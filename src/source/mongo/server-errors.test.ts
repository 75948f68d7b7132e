import * as driver from 'mongodb';
import { MongoNetworkError, MongoServerError } from 'mongodb';
import { describe, expect, it } from 'vitest';
import { SluiceError } from '../../core/error.ts';
import { SOURCE_ORDER } from '../../core/errors.ts';
import { connectError, judge } from './server-errors.ts';

const server = (code: number) => new MongoServerError({ message: 'said so', code, codeName: 'Name' });

/** What the change-stream specification lets a driver resume after, and what only raw commands meet. */
const SPECIFIED = [6, 7, 43, 63, 89, 91, 133, 150, 189, 234, 262, 9001, 10107, 11600, 11602, 13388, 13435, 13436];
const OTHERS = [134, 211, 237, 10058, 50738];
/** Each was given by a real server for a token that was cut, edited, or made up. */
const GARBAGE = [9, 15, 40647, 40648, 40649, 50793, 50795, 50796, 50810, 50811, 50816, 50854, 50872, 51055, 51057];

/** Made without its constructor: only the class and what follows from it decide. */
const made = (name: keyof typeof driver): unknown => Object.create((driver[name] as { prototype: object }).prototype);

describe('what the server says', () => {
  it.each([...SPECIFIED, ...OTHERS])('code %i is a fail-over, a restart or a network: go on at the last token', (code) => {
    expect(judge(server(code))).toEqual({ do: 'resume' });
  });

  it.each<readonly [number, string, number]>([
    [286, 'SLC-1286', 78],
    [136, 'SLC-1286', 78],
    [280, 'SLC-1280', 1],
    [260, 'SLC-1280', 1],
    [10334, 'SLC-1334', 1],
    [13, 'SLC-1213', 69],
    [18, 'SLC-1218', 69],
    [8000, 'SLC-1218', 69],
    [47, 'SLC-1247', 1],
    ...GARBAGE.map((code): readonly [number, string, number] => [code, 'SLC-1280', 1]),
  ])('code %i stops with %s and exit %i', (code, expected, exit) => {
    const verdict = judge(server(code));
    expect(verdict).toMatchObject({ do: 'stop', error: { code: expected, kind: { exit }, message: expect.stringContaining(`code ${code}`) } });
  });

  it('a code that nobody knows is tried again, never skipped', () => {
    expect(judge(server(123_456))).toEqual({ do: 'retry' });
  });

  it('a lost socket is resumed', () => {
    expect(judge(new MongoNetworkError('cut'))).toEqual({ do: 'resume' });
  });

  it('a label or a message alone decides nothing', () => {
    expect(judge(new MongoServerError({ message: 'ChangeStreamHistoryLost', code: 999 }))).toEqual({ do: 'retry' });
    expect(judge(new Error('socket closed'))).toEqual({ do: 'retry' });
  });

  it('an error of our own stays what it is, also where a connection is made', () => {
    const error = new SluiceError(SOURCE_ORDER, 'b after a');
    expect(judge(error)).toEqual({ do: 'stop', error });
    expect(connectError(error, 'here')).toBe(error);
  });

  it('while a connection is made, what may pass is told as unavailable, which may be tried again, and what may not by its code', () => {
    expect(connectError(server(91), 'here')).toMatchObject({ code: 'SLC-1201', kind: { retry: true } });
    expect(connectError(server(18), 'here')).toMatchObject({ code: 'SLC-1218' });
    // Somebody has answered: to ask until it passes might be for ever.
    expect(connectError(server(999), 'here')).toMatchObject({ code: 'SLC-1299', kind: { retry: true } });
    expect(connectError(Object.assign(new Error('querySrv ENOTFOUND'), { code: 'ENOTFOUND' }), 'here')).toMatchObject({ code: 'SLC-1201' });
    // Neither is a mistake in what the driver was given a server that may come back.
    for (const error of [new TypeError('x'), Object.assign(new Error('x'), { code: 'ERR_INVALID_ARG_TYPE' }), made('MongoMissingCredentialsError')])
      expect(connectError(error, 'here')).toMatchObject({ code: 'SLC-1299' });
  });
});

describe('what the driver throws', () => {
  const errors = Object.keys(driver).filter((name) => /^Mongo\w*Error$/.test(name)) as (keyof typeof driver)[];

  it('is resumed when it is about the network, and else tried a few times', () => {
    const resumed = errors.filter((name) => judge(made(name)).do === 'resume');
    expect(resumed.toSorted()).toEqual(['MongoNetworkError', 'MongoNetworkTimeoutError', 'MongoOperationTimeoutError', 'MongoServerSelectionError']);
    expect(errors.length).toBeGreaterThan(30);
    for (const name of errors.filter((each) => !resumed.includes(each))) expect(judge(made(name)), name).toEqual({ do: 'retry' });
  });
});
