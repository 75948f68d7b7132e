import { describe, expect, it } from 'vitest';
import { TestClock } from '../../test/fakes/capture-bench.ts';
import { ScriptedSource } from '../../test/fakes/scripted-source.ts';
import { EventBatchBuilder } from '../core/event-batch.ts';
import { asPosition, type ChangeBatch, type ResumePoint } from '../core/event.ts';
import { SluiceError } from '../core/error.ts';
import { SOURCE_UNAVAILABLE } from '../core/errors.ts';
import type { Timestamp } from '../core/time.ts';
import { silentLog } from '../ops/log.ts';
import { Idle } from './idle.ts';

const never = new AbortController().signal;

/** Says what the time is, when it is asked, or that it cannot. */
class Asked extends ScriptedSource {
  now: Timestamp | null = { t: 100, i: 1 };

  constructor() {
    super({ events: [], batchEvents: 1, end: { t: 0, i: 0 }, fingerprint: 'a' });
  }

  override async resolve(): Promise<ResumePoint> {
    if (this.now === null) throw new SluiceError(SOURCE_UNAVAILABLE, 'away');
    return pointAt(this.now);
  }
}

function pointAt(clusterTime: Timestamp): ResumePoint {
  return { position: asPosition(''), clusterTime, token: Buffer.alloc(0) };
}

function silence(at: Timestamp): ChangeBatch {
  return { events: new EventBatchBuilder().build(), resume: pointAt(at), watermark: at };
}

describe('a source that says nothing', () => {
  const clock = new TestClock();
  const make = (): { source: Asked; idle: Idle } => {
    const source = new Asked();
    return { source, idle: new Idle(2_000, { source, clock, log: silentLog }) };
  };

  it('is idle after long enough, and only once it has come to what there was then', async () => {
    const { source, idle } = make();
    expect(await idle.isLongEnough(silence({ t: 200, i: 1 }), never)).toBe(false);
    clock.move(2_000);
    expect(await idle.isLongEnough(silence({ t: 99, i: 9 }), never)).toBe(false);
    // Time goes on; what happens later is not waited for.
    source.now = { t: 500, i: 1 };
    expect(await idle.isLongEnough(silence({ t: 99, i: 10 }), never)).toBe(false);
    // One tick before what begins now: all that there is.
    expect(await idle.isLongEnough(silence({ t: 100, i: 0 }), never)).toBe(true);
  });

  it('is not while it brings something, nor by what was asked before that', async () => {
    const { source, idle } = make();
    clock.move(2_000);
    expect(await idle.isLongEnough(silence({ t: 99, i: 1 }), never)).toBe(false);
    idle.heard();
    expect(await idle.isLongEnough(silence({ t: 150, i: 1 }), never)).toBe(false);
    source.now = { t: 200, i: 1 };
    clock.move(2_000);
    expect(await idle.isLongEnough(silence({ t: 150, i: 1 }), never)).toBe(false);
    expect(await idle.isLongEnough(silence({ t: 200, i: 1 }), never)).toBe(true);
  });

  it('is not while what is awaited has not come, however long that takes', async () => {
    let mayEnd = false;
    const idle = new Idle(2_000, { source: new Asked(), clock, log: silentLog, mayEnd: () => mayEnd });
    clock.move(60_000);
    expect(await idle.isLongEnough(silence({ t: 200, i: 1 }), never)).toBe(false);
    mayEnd = true;
    clock.move(1_000);
    expect(await idle.isLongEnough(silence({ t: 200, i: 1 }), never)).toBe(false);
    clock.move(1_000);
    expect(await idle.isLongEnough(silence({ t: 200, i: 1 }), never)).toBe(true);
  });

  it('is not where nobody can say what there is, until somebody can', async () => {
    const { source, idle } = make();
    source.now = null;
    clock.move(2_000);
    expect(await idle.isLongEnough(silence({ t: 900, i: 1 }), never)).toBe(false);
    source.now = { t: 100, i: 1 };
    expect(await idle.isLongEnough(silence({ t: 900, i: 1 }), never)).toBe(true);
  });
});
