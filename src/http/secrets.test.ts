/**
 * Whatever a configuration keeps secret, no answer shows it: not where it is told on purpose, nor in an error from below.
 */
import fc from '../../test/fast-check.ts';
import { expect, it } from 'vitest';
import type { Control } from '../app/control.ts';
import { parseConfig } from '../config/load.ts';
import { redactConfig, Secrets } from '../config/redact.ts';
import { SluiceError } from '../core/error.ts';
import { LAKE_FULL } from '../core/errors.ts';
import { silentLog } from '../ops/log.ts';
import { newStats } from '../ops/stats.ts';
import { startHttp } from './server.ts';

/** As people and key generators make them; never a part of what the answers say anyway. */
const secret = fc
  .string({ minLength: 6, maxLength: 30, unit: fc.constantFrom(...Array.from('abcXYZ019@:/?#%&="\'\\{}~é€ ')) })
  .filter((text) => text.trim().length >= 6);

/** Tells what it has been given in every way in which it could. */
function indiscreet(secrets: readonly string[], uri: string): Control {
  const told = { uri, list: secrets, [secrets[0] ?? '']: 1, abilities: { captures: true, loads: true } };
  const own: Readonly<Record<string, unknown>> = { pipeline: 'shop', stats: newStats(), revision: '1' };
  const fails = new Set(['seal', 'merge']);
  const failing = (name: string): Promise<never> => {
    const cause = new Error(secrets.join(' '));
    return Promise.reject(name === 'seal' ? new SluiceError(LAKE_FULL, secrets.join(' '), { next: `use ${uri}`, cause }) : cause);
  };
  return new Proxy({} as Control, {
    get: (_, name) => own[String(name)] ?? (() => (fails.has(String(name)) ? failing(String(name)) : Promise.resolve(told))),
  });
}

it('no answer shows a secret of the configuration', async () => {
  await fc.assert(
    fc.asyncProperty(secret, secret, secret, async (password, token, key) => {
      const uri = `mongodb://shop:${encodeURIComponent(password)}@127.0.0.1:1/`;
      const lake = { url: 'https://a.blob.core.windows.net/c/p', auth: { kind: 'accountKey', account: 'acc', key } };
      const known = new Secrets();
      const config = parseConfig(JSON.stringify({ pipeline: 'shop', source: { uri, include: ['a.*'] }, lake, http: { token, port: 0 } }), {
        folder: '/',
        secrets: known,
      });
      const secrets = [password, token, key, encodeURIComponent(password)];
      const scrub = (text: string): string => known.scrub(text);
      await using server = await startHttp({ host: '127.0.0.1', port: 0, token, control: indiscreet(secrets, uri), log: silentLog, scrub });
      const headers = { authorization: `Bearer ${encodeURIComponent(token)}` };
      const post = { method: 'POST', body: '{}', headers };
      const asked: readonly (readonly [string, RequestInit])[] = [
        ['/api/status', {}],
        ['/api/overview', {}],
        ['/api/files?collection=a.b', {}],
        ['/api/dead-letters', {}],
        ['/api/nothing', post],
        ['/metrics', {}],
        ['/healthz', {}],
        ['/readyz', {}],
        ['/', {}],
      ];
      const answers = await Promise.all(asked.map(async ([path, init]) => await (await fetch(`${server.url}${path}`, init)).text()));
      // A token of any letters cannot travel in a header: what it guards is asked with one that can.
      await using plain = await startHttp({ host: '127.0.0.1', port: 0, token: 'plain', control: indiscreet(secrets, uri), log: silentLog, scrub });
      for (const name of ['seal', 'merge', 'load', 'snapshot', 'dump', 'retain', 'verify', 'pause', 'resume', 'discover', 'collections']) {
        const answer = await fetch(`${plain.url}/api/${name}`, { method: 'POST', body: '{}', headers: { authorization: 'Bearer plain' } });
        answers.push(await answer.text());
      }
      for (const text of [...answers, JSON.stringify(redactConfig(config))]) {
        for (const each of secrets) {
          expect(text).not.toContain(each);
          expect(text).not.toContain(JSON.stringify(each).slice(1, -1));
        }
      }
    }),
    { numRuns: 60 },
  );
});
