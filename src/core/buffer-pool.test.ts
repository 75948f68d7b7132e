import { describe, expect, it } from 'vitest';
import { BufferPool, freeNow } from './buffer-pool.ts';

describe('memory that is used again', () => {
  it('is given out to one at a time, as large as is wanted, and kept up to a bound', () => {
    const pool = new BufferPool(1024 * 1024);
    const [one, two] = [pool.take(300_000), pool.take(300_000)];
    expect(one.buffer).not.toBe(two.buffer);
    expect(one.length).toBeGreaterThanOrEqual(300_000);
    pool.give(one);
    expect(pool.take(600_000)).not.toBe(one);
    expect(pool.take(200_000)).toBe(one);
    const large = pool.take(2_000_000);
    pool.give(large);
    expect(pool.take(2_000_000)).not.toBe(large);
  });

  it('is given back at once, of a piece that is all of it alone', () => {
    const whole = Buffer.allocUnsafeSlow(65_536);
    freeNow(whole);
    expect(whole).toHaveLength(0);
    const larger = Buffer.from('of something larger');
    const piece = larger.subarray(0, 2);
    freeNow(piece);
    expect([piece.toString(), larger.toString()]).toEqual(['of', 'of something larger']);
  });
});
