import { describe, expect, it } from 'vitest';
import { asPosition } from '../core/event.ts';
import { openMemoryLake } from '../lake/memory/memory.ts';
import { newStats } from '../ops/stats.ts';
import { Committer } from './committer.ts';
import { decodeCheckpoint, encodeCheckpoint, newCheckpoint } from './checkpoint.ts';

const never = new AbortController().signal;

const whole = () => ({
  ...newCheckpoint('p', '{db}'),
  epoch: 7,
  resume: { position: asPosition('82AA'), clusterTime: { t: 5, i: 6 }, token: Buffer.from([5, 0, 0, 0, 0]) },
});

describe('a checkpoint', () => {
  it('survives its file, the whole token included', () => {
    expect(decodeCheckpoint(encodeCheckpoint(whole()), 'x')).toEqual(whole());
    expect(decodeCheckpoint(encodeCheckpoint(newCheckpoint('p', 'l')), 'x')).toEqual(newCheckpoint('p', 'l'));
  });

  it('is told, never guessed at, when it is cut anywhere', () => {
    const bytes = encodeCheckpoint(whole());
    for (let length = 0; length < bytes.length; length += 1) {
      expect(() => decodeCheckpoint(bytes.subarray(0, length), 'x')).toThrow(expect.objectContaining({ code: 'SLC-1109' }));
    }
  });

  it('is told, never guessed at, when any byte of it is another one', () => {
    const bytes = encodeCheckpoint(whole());
    for (let at = 0; at < bytes.length; at += 1) {
      for (const bit of [1, 2, 16, 128]) {
        const changed = Buffer.from(bytes);
        changed[at]! ^= bit;
        expect(() => decodeCheckpoint(changed, 'x'), `byte ${at}, bit ${bit}`).toThrow(
          expect.objectContaining({ code: expect.stringMatching(/SLC-11(09|10)/) }),
        );
      }
    }
  });

  it('of the version before is read, and written as this one', () => {
    const raw = JSON.parse(encodeCheckpoint(whole()).toString()) as Record<string, unknown>;
    delete raw['sum'];
    const old = Buffer.from(JSON.stringify({ ...raw, v: 1 }, null, 1));
    expect(decodeCheckpoint(old, 'x')).toEqual(whole());
    expect(() => decodeCheckpoint(Buffer.from(JSON.stringify(raw, null, 1)), 'x')).toThrow(expect.objectContaining({ code: 'SLC-1109' }));
  });

  it('is never the same for two owners that begin at the same moment', async () => {
    const lake = await openMemoryLake();
    const begin = (): Promise<Committer> => Committer.load(lake, 'p', '{db}', { now: () => 0, sleep: async () => {} }, newStats(), never);
    const saved: string[] = [];
    const put = lake.put.bind(lake);
    lake.put = async (path, bytes, expect_) => {
      saved.push(Buffer.from(bytes).toString());
      return await put(path, bytes, expect_);
    };
    const [one, two] = [await begin(), await begin()];
    await one.save('epoch');
    await expect(two.save('epoch')).rejects.toThrow(expect.objectContaining({ code: 'SLC-1108' }));
    expect(saved[0]).not.toBe(saved[1]);
  });

  it.each(['pipeline', 'epoch', 'watermark', 'parts', 'hours', 'ledger', 'cleanStop', 'nextHour', 'fingerprint'])(
    'is refused without %s',
    (field) => {
      const raw = JSON.parse(encodeCheckpoint(whole()).toString()) as Record<string, unknown>;
      delete raw[field];
      expect(() => decodeCheckpoint(Buffer.from(JSON.stringify(raw)), 'x')).toThrow(
        expect.objectContaining({ code: 'SLC-1109', message: expect.stringContaining(field) }),
      );
    },
  );

  it('of a newer version is left alone', () => {
    expect(() => decodeCheckpoint(Buffer.from('{"v":3}'), 'x')).toThrow(expect.objectContaining({ code: 'SLC-1110' }));
  });
});
