/**
 * What changes by the second, for those who look: server-sent events.
 *
 * Nothing runs while nobody looks. One clock serves all; who reads too slowly misses samples and holds nothing up, because
 * the next one is taken when it asks.
 */
import type { Control } from '../app/control.ts';
import type { Live } from '../app/overview-types.ts';
import type { Clock } from '../core/clock.ts';

const SAMPLE_MS = 1000;
export const LISTENERS_MAX = 32;

export class LiveFeed {
  readonly #control: Control;
  readonly #clock: Clock;
  readonly #stop: AbortSignal;
  #listeners = 0;
  #next: Promise<string> | null = null;

  constructor(control: Control, clock: Clock, stop: AbortSignal) {
    this.#control = control;
    this.#clock = clock;
    this.#stop = stop;
  }

  get isFull(): boolean {
    return this.#listeners >= LISTENERS_MAX;
  }

  /** Events until the reader goes or the server stops. */
  stream(gone: AbortSignal): ReadableStream<Uint8Array> {
    this.#listeners += 1;
    const ends = AbortSignal.any([gone, this.#stop]);
    let left = false;
    const leave = (): void => {
      if (!left) this.#listeners -= 1;
      left = true;
    };
    ends.addEventListener('abort', leave, { once: true });
    let first = true;
    return new ReadableStream({
      pull: async (stream) => {
        const text = first ? this.#sample() : await this.#soon();
        first = false;
        if (ends.aborted) return stream.close();
        stream.enqueue(Buffer.from(text));
      },
      cancel: leave,
    });
  }

  /** The next sample, the same for all who wait for it. */
  #soon(): Promise<string> {
    this.#next ??= this.#clock.sleep(SAMPLE_MS, this.#stop).then(
      () => {
        this.#next = null;
        return this.#sample();
      },
      () => '',
    );
    return this.#next;
  }

  #sample(): string {
    return `event: live\ndata: ${JSON.stringify(liveOf(this.#control, this.#clock.now()))}\n\n`;
  }
}

export function liveOf({ stats, revision }: Control, atMs: number): Live {
  const { state, epoch, events, eventBytes, eventsReplayed, appends, partsOpen, partsSealed, filesLoaded, rowsLoaded, rowsMerged } = stats;
  const { loadErrors, reconnects, linesLossy, linesOversize, gapsOpen, lastEventAtMs, watermark, flushSeconds, lake, oplogHeadroomSeconds } = stats;
  return {
    atMs,
    state,
    epoch,
    events,
    eventBytes,
    eventsReplayed,
    appends,
    partsOpen,
    partsSealed,
    filesLoaded,
    rowsLoaded,
    rowsMerged,
    loadErrors,
    reconnects,
    linesLossy,
    linesOversize,
    gapsOpen,
    lastEventAtMs,
    flushSeconds: flushSeconds.sum,
    flushes: flushSeconds.count,
    lagSeconds: watermark === null ? null : Math.max(0, Math.round(atMs / 1000 - watermark.t)),
    lakeAwaySeconds: lake.awaySinceMs === null ? 0 : Math.max(0, (atMs - lake.awaySinceMs) / 1000),
    oplogHeadroomSeconds,
    memoryBytes: process.memoryUsage.rss(),
    revision,
  };
}
