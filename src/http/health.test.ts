import { describe, expect, it } from 'vitest';
import { newStats } from '../ops/stats.ts';
import { Heartbeat, illness } from './health.ts';

describe('a heartbeat', () => {
  it('notices that the loop stood still, and forgives after a while', async () => {
    let nowMs = 1000;
    let wake: () => void = () => undefined;
    const clock = { now: () => nowMs, sleep: () => new Promise<void>((resolve) => (wake = resolve)) };
    const heartbeat = new Heartbeat(clock);
    const stop = new AbortController();
    const running = heartbeat.run(stop.signal);
    const beat = async (afterMs: number): Promise<void> => {
      nowMs += afterMs;
      wake();
      await new Promise(setImmediate);
    };
    await beat(1000);
    expect(heartbeat.stuck).toBe(false);
    await beat(11_000);
    expect(illness(newStats(), heartbeat)).toBe('the event loop stood still');
    for (let i = 0; i < 31; i += 1) await beat(1000);
    expect(heartbeat.stuck).toBe(false);
    stop.abort();
    wake();
    await running;
  });
});
