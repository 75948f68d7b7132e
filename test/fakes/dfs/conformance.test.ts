/** The fake against the table of what Azure is believed to do; `npm run test:azure-live` asks a real account the same. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestClock } from '../capture-bench.ts';
import { targetOf } from './client.ts';
import { ROWS, WITHOUT_ROW } from './conformance/rows.ts';
import { report } from './conformance/report.ts';
import { nameOf, run } from './conformance/table.ts';
import { RULES } from './rules.ts';
import { startDfsServer, type DfsServer } from './server.ts';

describe.each([{ kind: 'hierarchical', hns: true } as const, { kind: 'flat', hns: false } as const])('the fake as a $kind account', ({ hns }) => {
  const clock = new TestClock();
  let server: DfsServer;
  beforeAll(async () => {
    server = await startDfsServer({ hns, clock });
    server.account.createContainer('lab', 'blob');
  });
  afterAll(() => server[Symbol.asyncDispose]());

  const rows = ROWS.filter((row) => row.on === 'any' || (row.on === 'flat') !== hns);
  it.each(rows.map((row) => [nameOf(row), row] as const))('%s', async (_name, row) => {
    const found = await run(row, {
      target: targetOf(server),
      container: 'lab',
      wait: async (seconds) => clock.move(seconds * 1000),
    });
    expect(found.differences).toEqual([]);
  });
});

it('every rule has a row, or a reason', () => {
  const shown = new Set(ROWS.map((row) => row.rule));
  const bare = Object.keys(RULES).filter((name) => !shown.has(name as keyof typeof RULES) && !(name in WITHOUT_ROW));
  expect(bare).toEqual([]);
  expect(Object.keys(WITHOUT_ROW).filter((name) => shown.has(name as keyof typeof RULES))).toEqual([]);
});

it('a row that expects something else is reported, with what came', async () => {
  await using server = await startDfsServer();
  server.account.createContainer('lab', 'blob');
  const place = { target: targetOf(server), container: 'lab', wait: async () => {} };
  const right = ROWS.find((row) => row.rule === 'append.flush')!;
  const after = right.after![0]!;
  const wrong = {
    ...right,
    gets: { is: '200', headers: { etag: null, 'x-ms-none': 'x' } },
    after: [[after[0], { ...after[1], body: 'two' }]] as const,
  };
  expect((await run(wrong, place)).differences).toEqual([
    '202 instead of 200',
    expect.stringMatching(/^etag: "0x[0-9A-F]+" instead of absent$/),
    'x-ms-none: absent instead of x',
    'after: body one instead of two',
  ]);
  expect((await run({ ...right, given: [right.ask] }, place)).differences).toContain('given: 404 PathNotFound');
});

describe('the report of an account', () => {
  const asked = async (server: DfsServer, clock: TestClock): Promise<{ readonly different: number; readonly lines: string[] }> => {
    const lines: string[] = [];
    const different = await report(
      targetOf(server),
      async (seconds) => clock.move(seconds * 1000),
      (line) => lines.push(line),
    );
    return { different, lines };
  };

  it('says of each row whether the account did the same, and leaves nothing behind', async () => {
    const clock = new TestClock();
    await using server = await startDfsServer({ clock });
    const { different, lines } = await asked(server, clock);
    expect(different).toBe(0);
    expect(lines.filter((line) => line.startsWith('same')).length).toBe(ROWS.filter((row) => row.on !== 'flat').length);
    expect([...server.account.containers.values()].filter((container) => container.deletedUntilMs === null)).toEqual([]);
  });

  it('counts a row that differs, and only shows what differs where nobody knew', async () => {
    const clock = new TestClock();
    await using server = await startDfsServer({ clock });
    server.faults.next({ kind: 'status', status: 418, code: 'Known', match: { operation: 'dfs.append-flush' } });
    server.faults.next({ kind: 'lost-reply', match: { operation: 'dfs.flush' } });
    server.faults.next({ kind: 'lost-request', match: { operation: 'container.delete' } });
    server.faults.next({
      kind: 'status',
      status: 418,
      code: 'Unknown',
      match: {
        when: (request) =>
          request.operation === 'dfs.append' && server.account.containers.get(request.container)?.nodes.get(request.path)?.kind === 'directory',
      },
    });
    const { different, lines } = await asked(server, clock);
    expect(different).toBe(3);
    expect(lines.filter((line) => /^DIFF[^]*418 Known/.test(line)).length).toBe(1);
    expect(lines.filter((line) => /^DIFF[^]*no reply/.test(line)).length).toBe(2);
    expect([...server.account.containers.values()].filter((container) => container.deletedUntilMs === null)).toEqual([]);
    expect(lines.filter((line) => /^NEW [^]*append\.directory[^]*418 Unknown/.test(line)).length).toBe(1);
  });
});
