/**
 * Ctrl-C and SIGTERM: the first asks the command to stop in good order, the second ends the process at once.
 *
 * Ending at once is safe: whatever was acknowledged is durable (docs/guarantees.md). That is why a stop that takes longer
 * than its limit is ended too, before a supervisor does it.
 */
import { SluiceError } from '../core/error.ts';
import { INTERRUPTED } from '../core/errors.ts';

const STOP_MS_MAX = 10_000;

export interface Stop {
  readonly signal: AbortSignal;
  /** Takes the handlers away again. */
  release(): void;
}

/** @param say told, in a line, what the signal did */
export function stopOnSignals(say: (text: string) => void, stopMsMax: number = STOP_MS_MAX): Stop {
  const controller = new AbortController();
  const end = (text: string): never => {
    say(text);
    process.exit(INTERRUPTED.exit);
  };
  const onSignal = (name: NodeJS.Signals): void => {
    if (controller.signal.aborted) end('Ended at once; the next start goes on at the last durable event.');
    if (name === 'SIGINT') say('Stopping; press Ctrl-C again to end at once.');
    controller.abort(new SluiceError(INTERRUPTED));
    setTimeout(() => end(`Not stopped within ${stopMsMax / 1000} s, ended; the next start goes on at the last durable event.`), stopMsMax).unref();
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  return {
    signal: controller.signal,
    release() {
      process.off('SIGINT', onSignal);
      process.off('SIGTERM', onSignal);
    },
  };
}
