/**
 * Named places around every durable step where a test ends the process, as a power cut would.
 *
 * `SLUICE_FAILPOINT=<name>[:<nth time>]` kills this process with SIGKILL the nth time (default: first) it gets there.
 * Without the variable a failpoint is one comparison.
 */
const armed = process.env['SLUICE_FAILPOINT'] ?? '';
const colon = armed.lastIndexOf(':');
const name = colon < 0 ? armed : armed.slice(0, colon);
let left = colon < 0 ? 1 : Number(armed.slice(colon + 1));

export function failpoint(at: string): void {
  if (name === '' || at !== name) return;
  left -= 1;
  if (left <= 0) process.kill(process.pid, 'SIGKILL');
}
