import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, expect, it } from 'vitest';
import { audit, told, type Package } from '../scripts/audit.ts';
import { dependencies } from '../scripts/dependencies.ts';

interface Question {
  readonly queries: readonly {
    readonly version: string;
    readonly package: { readonly name: string; readonly ecosystem: string };
    readonly page_token?: string;
  }[];
}

const BAD = {
  id: 'GHSA-aaaa-bbbb-cccc',
  aliases: ['CVE-2026-1234'],
  summary: 'It reads what it should not',
  affected: [
    { package: { name: 'one' }, ranges: [{ type: 'SEMVER', events: [{ introduced: '0' }, { fixed: '1.2.4' }] }] },
    { package: { name: 'another' }, ranges: [{ type: 'SEMVER', events: [{ introduced: '0' }, { fixed: '9.9.9' }] }] },
  ],
  database_specific: { severity: 'HIGH' },
};
const WITHDRAWN = { id: 'GHSA-dddd-eeee-ffff', withdrawn: '2026-01-01T00:00:00Z' };
const LATER = { id: 'GHSA-gggg-hhhh-iiii', summary: 'On the second page' };

let server: Server;
const asked: Question[] = [];

/** Answers as OSV does: names of advisories in the order of the questions, in pages; each by itself. */
async function osv(known: Readonly<Record<string, readonly string[]>>): Promise<string> {
  const advisories = new Map([BAD, WITHDRAWN, LATER].map((each) => [each.id, each]));
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const json = (body: object): void => void response.setHeader('content-type', 'application/json').end(JSON.stringify(body));
    if (request.url !== '/v1/querybatch') return json(advisories.get(request.url?.split('/').at(-1) ?? '') ?? {});
    const question = JSON.parse(await text(request)) as Question;
    asked.push(question);
    const results = question.queries.map(({ package: { name }, version, page_token: page }) => {
      const ids = known[`${name}@${version}`] ?? [];
      if (page !== undefined) return { vulns: [{ id: LATER.id, modified: '' }] };
      // Nothing known: an empty object.
      return ids.length === 0
        ? {}
        : {
            vulns: ids.filter((id) => id !== LATER.id).map((id) => ({ id, modified: '' })),
            ...(ids.includes(LATER.id) && { next_page_token: 'p2' }),
          };
    });
    return json({ results });
  };
  server = createServer((request, response) => void answer(request, response)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

afterEach(() => {
  server?.closeAllConnections();
  server?.close();
  asked.length = 0;
});

const packages: readonly Package[] = [
  { name: 'one', version: '1.2.3' },
  { name: 'two', version: '2.0.0' },
  { name: '@scope/three', version: '3.0.0' },
];

it('finds what is known of each package in its very version, over all pages, without what was withdrawn', async () => {
  const url = await osv({ 'one@1.2.3': [BAD.id, WITHDRAWN.id], 'one@1.2.4': [LATER.id], '@scope/three@3.0.0': [LATER.id] });
  const findings = await audit(packages, url);
  expect(findings.map(({ name, ids, severity, fixed }) => [name, ids, severity, fixed])).toEqual([
    ['one', ['CVE-2026-1234', BAD.id], 'HIGH', ['1.2.4']],
    ['@scope/three', [LATER.id], 'not rated', []],
  ]);
  expect(told(3, findings)).toContain('one@1.2.3  HIGH  CVE-2026-1234');
  expect(told(3, findings)).toContain('2 known, in 3 packages.');
  expect(told(3, [])).toBe('Nothing is known about the 3 packages, in these versions.\n');
});

it('does not take half an answer for nothing being known', async () => {
  const url = await osv({});
  server.removeAllListeners('request').on('request', (_, response) => response.end('{"results":[{}]}'));
  await expect(audit(packages, url)).rejects.toThrow('3 packages were asked about, and 1 answered for');
});

async function run(osvUrl: string): Promise<{ code: unknown; out: string; err: string }> {
  const script = join(import.meta.dirname, '../scripts/audit.ts');
  const child = spawn(process.execPath, [script], { env: { ...process.env, SLUICE_OSV: osvUrl }, stdio: ['ignore', 'pipe', 'pipe'] });
  const [out, err, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  return { code, out, err };
}

it('asks about everything that is shipped, and nothing more; exits 1 when something is known, and 69 when nobody answers', async () => {
  const [first] = dependencies();
  const url = await osv({ [`${first!.name}@${first!.version}`]: [BAD.id] });
  const { code, out } = await run(url);
  expect([code, out]).toEqual([1, expect.stringContaining(`${first!.name}@${first!.version}  HIGH`)]);
  const names = asked.flatMap(({ queries }) => queries.map((query) => `${query.package.name}@${query.version} ${query.package.ecosystem}`));
  expect(names).toEqual(dependencies().map(({ name, version }) => `${name}@${version} npm`));
  // Port 1: nobody listens.
  const away = await run('http://127.0.0.1:1');
  expect([away.code, away.out, away.err]).toEqual([69, '', expect.stringContaining('nothing is known either way')]);
});
