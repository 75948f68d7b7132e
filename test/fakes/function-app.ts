/**
 * A rendered Function app, run for real: its own code and sluice itself, with a host of the tests' own in place of `@azure/functions` that
 * keeps what the app registers and rings once for the function that is named, with what a trigger of its kind hands over.
 */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { TextFile } from '../../src/render/text-file.ts';

const HOST = `
export const registered = [];
const register = (kind) => (name, options) => void registered.push({ kind, name, ...options });
export const app = { timer: register('timer'), eventHub: register('eventHub'), storageBlob: register('blob') };
`;
const RING = `
import { registered } from '@azure/functions';
await import('./index.js');
const said = [];
const [, , name] = process.argv;
const HANDED = {
  timer: { isPastDue: false, schedule: { adjustForDST: true }, scheduleStatus: { last: '', next: '', lastUpdated: '' } },
  eventHub: [{ any: 'message' }, 'or a text'],
  blob: Buffer.from('Obj\\u0001'),
};
const one = registered.find((it) => it.name === name);
const context = { log: (line) => said.push(line), triggerMetadata: { blobTrigger: 'capture/ns/hub/0/2026/11/21/08/00/00.avro' } };
const failed = one === undefined ? null : await one.handler(HANDED[one.kind], context).then(() => null, (error) => error.message);
process.stdout.write(JSON.stringify({ registered, said, failed }));
`;

export interface Rung {
  readonly registered: readonly Readonly<Record<string, unknown>>[];
  readonly said: readonly string[];
  readonly failed: string | null;
}

/** @param config of sluice, as JSON */
export async function makeApp(folder: string, files: readonly TextFile[], config: object): Promise<string> {
  const app = await mkdtemp(join(folder, 'app-'));
  for (const file of files) await writeFile(join(app, file.name), file.text);
  await mkdir(join(app, 'node_modules/@azure/functions'), { recursive: true });
  await writeFile(join(app, 'node_modules/@azure/functions/package.json'), '{ "type": "module", "exports": "./index.js" }');
  await writeFile(join(app, 'node_modules/@azure/functions/index.js'), HOST);
  await writeFile(join(app, 'ring.js'), RING);
  await writeFile(join(app, 'sluice.yaml'), JSON.stringify(config));
  await symlink(join(import.meta.dirname, '../..'), join(app, 'sluice'));
  return app;
}

export async function ring(app: string, name: string): Promise<Rung> {
  const { stdout } = await promisify(execFile)(process.execPath, ['ring.js', name], { cwd: app, maxBuffer: 16 * 1024 ** 2 });
  return JSON.parse(stdout) as Rung;
}
