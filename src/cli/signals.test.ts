import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';

const MODULE = new URL('./signals.ts', import.meta.url).href;

/** A process that is told to stop and does `onAbort` about it; ends with code 7 when it stops by itself. */
async function stubborn(onAbort: string, stopMsMax: number, signals: readonly NodeJS.Signals[]): Promise<{ code: number | null; said: string }> {
  const program = `
    import { stopOnSignals } from ${JSON.stringify(MODULE)};
    const stop = stopOnSignals((text) => process.stdout.write(text + '\\n'), ${stopMsMax});
    setInterval(() => {}, 1000);
    stop.signal.addEventListener('abort', () => { process.stdout.write('aborted: ' + stop.signal.reason.code + '\\n'); ${onAbort} });
    process.stdout.write('ready\\n');`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: ['ignore', 'pipe', 'inherit'] });
  const left = [...signals];
  let said = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said += text;
    // One signal when it is ready, the next once it has noticed that one.
    const noticed = said.includes('aborted') ? 1 : 0;
    if (signals.length - left.length <= noticed) {
      const next = left.shift();
      if (next !== undefined) child.kill(next);
    }
  });
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, said };
}

describe('a signal', () => {
  it.each(['SIGINT', 'SIGTERM'] as const)('%s asks for a stop in good order', async (signal) => {
    const { code, said } = await stubborn('process.exit(7);', 60_000, [signal]);
    expect(code).toBe(7);
    expect(said).toContain('aborted: SLC-1505');
  });

  it('that comes a second time ends the process at once', async () => {
    const { code, said } = await stubborn('', 60_000, ['SIGINT', 'SIGINT']);
    expect(code).toBe(130);
    expect(said).toContain('press Ctrl-C again');
    expect(said).toContain('Ended at once');
  });

  it('ends a process that does not stop within the limit', async () => {
    const { code, said } = await stubborn('', 100, ['SIGTERM']);
    expect(code).toBe(130);
    expect(said).toContain('Not stopped within 0.1 s');
  });
});
