import { MongoNetworkError, MongoServerError } from 'mongodb';
import { describe, expect, it } from 'vitest';
import { judge } from './server-errors.ts';

const server = (code: number) => new MongoServerError({ message: 'said so', code, codeName: 'Name' });

describe('what the server says', () => {
  it.each([43, 91, 189, 10107, 11600, 13435, 50738])('code %i is a fail-over or a restart: go on at the last token', (code) => {
    expect(judge(server(code))).toEqual({ do: 'resume' });
  });

  it.each([
    [286, 'SLC-1286', 78],
    [136, 'SLC-1286', 78],
    [280, 'SLC-1280', 1],
    [260, 'SLC-1280', 1],
    [50811, 'SLC-1280', 1],
    [10334, 'SLC-1334', 1],
    [13, 'SLC-1213', 69],
    [18, 'SLC-1218', 69],
    [47, 'SLC-1247', 1],
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
});
