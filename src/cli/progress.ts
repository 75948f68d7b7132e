/**
 * The line that shows that something is happening: rewritten in place, below the log.
 */
import { styleText } from 'node:util';
import type { Progress } from '../app/types.ts';
import type { Terminal } from './io.ts';
import { countOf, formatAge, formatCount } from './table.ts';

const CLEAR_LINE = '\r\u001b[2K';

export class ProgressLine {
  readonly #to: Terminal;
  readonly #now: () => number;
  #last: { readonly events: number; readonly atMs: number } | null = null;
  #rate = 0;
  #shown = '';

  constructor(to: Terminal, now: () => number = Date.now) {
    this.#to = to;
    this.#now = now;
  }

  /** Where log lines go meanwhile, so that they do not run into the line. */
  readonly log = {
    write: (line: string): void => {
      this.#to.write(`${this.#shown === '' ? '' : CLEAR_LINE}${line}${this.#shown}`);
    },
  };

  show(progress: Progress): void {
    const nowMs = this.#now();
    const { events } = progress;
    if (this.#last !== null && nowMs > this.#last.atMs) this.#rate = ((events - this.#last.events) * 1000) / (nowMs - this.#last.atMs);
    this.#last = { events, atMs: nowMs };
    // One column is left free: a full line would wrap and could not be rewritten.
    const text = describe(progress, this.#rate, nowMs).slice(0, Math.max(20, this.#to.columns - 1));
    const [state = '', ...rest] = text.split(' ');
    this.#shown = `${styleText(progress.state === 'running' ? 'green' : 'yellow', state)} ${rest.join(' ')}`;
    this.#to.write(`${CLEAR_LINE}${this.#shown}`);
  }

  /** The last state stays on the screen. */
  end(): void {
    if (this.#shown !== '') this.#to.write('\n');
    this.#shown = '';
  }
}

function describe(progress: Progress, rate: number, nowMs: number): string {
  const { state, events, partsOpen, partsSealed, rowsLoaded, snapshotsOpen, snapshotRows, watermark } = progress;
  const parts = [
    countOf(events, 'event'),
    `${formatCount(Math.round(rate))}/s`,
    `${countOf(partsOpen, 'file')} open, ${formatCount(partsSealed)} sealed`,
    `${countOf(rowsLoaded, 'row')} loaded`,
    ...(snapshotsOpen === 0 ? [] : [`${countOf(snapshotsOpen, 'collection')} to be read whole, ${countOf(snapshotRows, 'document')} so far`]),
    ...(watermark === null ? [] : [`lag ${formatAge(nowMs / 1000 - watermark.t)}`]),
  ];
  return `${state} ${parts.join(' · ')}`;
}
