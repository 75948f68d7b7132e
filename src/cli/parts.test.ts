import { execFile } from 'node:child_process';
import { promisify, stripVTControlCharacters } from 'node:util';
import { describe, expect, it } from 'vitest';
import type { PipelineStatus } from '../app/types.ts';
import { newStats } from '../ops/stats.ts';
import { hour, recentHours, seconds } from './args.ts';
import { renderChecks } from './commands/doctor.ts';
import { hoursOf } from './commands/load.ts';
import { jsonLines } from './commands/query.ts';
import { renderScreen, renderStatus } from './commands/status.ts';
import { renderReport } from './commands/verify.ts';
import { asSluiceError } from './print-error.ts';
import { ProgressLine } from './progress.ts';
import { countOf, formatAge, formatSize, renderTable } from './table.ts';
import { testIo } from './test-io.ts';

it('a number of things is in words that fit it', () => {
  expect([0, 1, 2000].map((n) => countOf(n, 'file'))).toEqual(['0 files', '1 file', '2,000 files']);
});

describe('an error that is none of ours', () => {
  it('has the code of what is not foreseen', () => expect(asSluiceError(new Error('boom'))).toMatchObject({ code: 'SLC-1999' }));

  it('names the package that an image was built without', async () => {
    const script = "import('sdk-left-out').catch((error) => process.stdout.write(JSON.stringify([error.code, error.message])))";
    const { stdout } = await promisify(execFile)(process.execPath, ['--eval', script]);
    const [code, message] = JSON.parse(stdout) as [string, string];
    const shown = asSluiceError(Object.assign(new Error(message), { code }));
    expect([shown.code, shown.message]).toEqual(['SLC-1530', 'A package that this configuration needs is not installed: sdk-left-out']);
  });
});

describe('an hour on the command line', () => {
  const expected = Date.parse('2026-11-21T07:00:00Z') / 3_600_000;
  it.each(['20261121-07', '2026-11-21T07', '2026-11-21 07:59', '2026-11-21T07:30:00Z', '2026-11-21T08:30+01:00'])('%s', (text) =>
    expect(hour(text)).toBe(expected),
  );
  it('of a day alone is its first', () => expect(hour('2026-11-21')).toBe(expected - 7));
  it.each(['', 'noon', '2026-11-21T25', '20261121'])('is not %j', (text) => expect(() => hour(text)).toThrow('It must be an hour'));

  it('may be a span, open at one end', () => {
    const nowMs = Date.parse('2026-11-21T07:30:00Z');
    expect(recentHours(3, nowMs)).toEqual({ from: expected - 2, to: expected });
    expect(hoursOf({}, nowMs)).toBeNull();
    expect(hoursOf({ hour: 5 }, nowMs)).toEqual({ from: 5, to: 5 });
    expect(hoursOf({ from: 5 }, nowMs)).toEqual({ from: 5, to: expected });
    expect(hoursOf({ to: 5 }, nowMs)).toEqual({ from: 0, to: 5 });
  });
});

describe('seconds on the command line', () => {
  it.each([
    ['5', 5000],
    ['0.25', 250],
    ['0', 0],
    ['500ms', 500],
    ['2m', 120_000],
  ])('%s', (text, ms) => expect(seconds(text)).toBe(ms));
  it.each(['', 'soon', '-1'])('are not %j', (text) => expect(() => seconds(text)).toThrow('number of seconds'));
});

describe('a table on a terminal', () => {
  const columns = ['collection', 'rows', 'size', 'reason'];
  const row = ['shop.a_collection_with_a_long_name', 1234567, '19.2 MB', 'Conversion Error: could not cast "12,50" to DECIMAL(18,2)'];

  it.each([140, 100, 80, 60])('fits %i columns: texts give way, numbers do not', (width) => {
    const lines = stripVTControlCharacters(renderTable(columns, [row, ['b', 1, '', null]], testIo({ tty: true, columns: width }).stdout)).split('\n');
    expect(lines.filter((line) => line.length > width)).toEqual([]);
    expect(lines[2]).toContain('1234567');
    expect(lines[2]).toContain('19.2 MB');
    expect(lines[2]?.includes('…')).toBe(width < 111);
  });

  it('that is too narrow for it shows a block of lines for each row', () => {
    const lines = stripVTControlCharacters(renderTable(columns, [row, ['b', 1, '', null]], testIo({ tty: true, columns: 34 }).stdout)).split('\n');
    expect(lines.filter((line) => line.length > 34)).toEqual([]);
    expect(lines.slice(0, 2)).toEqual(['collection  shop.a_collection_wit…', 'rows        1234567']);
  });

  it('is whole in a pipe, however long its lines', () => {
    expect(renderTable(columns, [row], testIo({ columns: 20 }).stdout)).toContain(row.join('  ').slice(0, 60));
  });
});

describe('status on a screen', () => {
  it('shows what is not well first, and says how much did not fit', () => {
    const collection = {
      reason: null,
      partsOpen: 0,
      filesSealed: 1,
      rowsSealed: 5,
      bytesSealed: 9,
      rowsLoaded: 5,
      lastEventAt: '2026-11-21T20:00:01.000Z',
      completeThrough: null,
    };
    const collections = Array.from({ length: 100 }, (_, n) => ({
      ...collection,
      namespace: `shop.c${n}`,
      status: n === 77 ? ('ERROR' as const) : ('ACTIVE' as const),
    }));
    const status: PipelineStatus = {
      pipeline: 'shop',
      state: 'running',
      pid: 1,
      loader: null,
      epoch: 2,
      position: null,
      watermark: null,
      lagSeconds: null,
      checkpointSavedAt: null,
      gaps: [],
      snapshots: [],
      oplogHours: null,
      oplogHeadroomSeconds: null,
      storage: null,
      deadLetters: null,
      verification: null,
      retention: { hoursBefore: null, held: [] },
      collections,
    };
    const text = stripVTControlCharacters(renderScreen(status, testIo({ tty: true, columns: 100, rows: 24 }).stdout));
    const lines = text.split('\n');
    expect(lines.length).toBeLessThanOrEqual(24);
    expect(lines.findIndex((line) => line.startsWith('shop.c77 '))).toBeLessThan(lines.findIndex((line) => line.startsWith('shop.c0 ')));
    const shown = lines.filter((line) => line.startsWith('shop.c')).length;
    expect(lines.at(-2)).toBe(`and ${100 - shown} more: \`sluice status\`, or the dashboard`);
    expect(text).toContain('2026-11-21T20:00:01Z');
  });
});

describe('a table', () => {
  it('puts numbers to the right and cuts what is long', () => {
    const text = renderTable(
      ['name', 'n'],
      [
        ['a', 1],
        ['b'.repeat(100), 1000],
      ],
      testIo().stdout,
    );
    const [head, , first, second] = text.split('\n');
    expect(head).toMatch(/^name +n$/);
    expect(first).toMatch(/^a {61,}1$/);
    expect(second).toMatch(/^b{59}… {2}1000$/);
  });

  it('lets nothing in a document move the cursor', () => {
    const text = renderTable(['x'], [['a\u001b[2Jb\nc\u0007'], [{ k: '\u001b[31m' }], [null]], testIo().stdout);
    expect(text).toMatch(/^[^\u0000-\u0009\u000b-\u001f]*$/);
    expect(text.split('\n')[2]).toBe('ab c');
  });

  it('shows sizes and ages as people say them', () => {
    expect([0, 999, 1500, 300_601, 268_435_456, 5e12].map(formatSize)).toEqual(['0 B', '999 B', '1.5 kB', '301 kB', '268 MB', '5.0 TB']);
    expect([0, 59.4, 125, 3725, 360_000].map(formatAge)).toEqual(['0s', '59s', '2m 5s', '1h 2m', '4d 4h']);
  });
});

describe('query in a pipe', () => {
  it('gives one object a row and keeps columns of one name apart', () => {
    expect(jsonLines({ columns: ['a', 'a', 'b'], rows: [[1, 2, null]], truncated: false })).toBe('{"a":1,"a_2":2,"b":null}\n');
    expect(jsonLines({ columns: ['a'], rows: [], truncated: false })).toBe('');
  });
});

describe('reports', () => {
  const to = testIo().stdout;

  it('of doctor: a mark, the fix, the count of failures', () => {
    const text = renderChecks(
      [
        { area: 'source', name: 'login', outcome: 'ok', detail: 'u', fix: null },
        { area: 'lake', name: 'folder', outcome: 'failed', detail: 'no', fix: 'do this' },
        { area: 'lake', name: 'lock', outcome: 'skipped', detail: 'later', fix: null },
      ],
      to,
    );
    expect(text).toBe(
      'source\n  ✓ login: u\nlake\n  ✗ folder: no\n      → do this\n  - lock: later\n1 of 3 checks failed: see the lines marked ✗.\n',
    );
  });

  it('of verify: each finding below its check', () => {
    const text = renderReport({ ok: false, checks: [{ name: 'lake', outcome: 'failed', detail: '1 file', findings: ['x.jsonl: torn'] }] }, to);
    expect(text).toBe('✗ lake: 1 file\n    x.jsonl: torn\nSomething is off: see the lines marked ✗.\n');
  });

  it('of status: facts, gaps and a row for each collection', () => {
    const text = renderStatus(
      {
        pipeline: 'shop',
        state: 'running',
        pid: 7,
        loader: null,
        epoch: 3,
        position: '82AB',
        watermark: '2026-11-21T07:00:00.000Z',
        lagSeconds: 125,
        checkpointSavedAt: null,
        collections: [
          {
            namespace: 'shop.orders',
            status: 'ERROR',
            reason: 'bad file',
            partsOpen: 1,
            filesSealed: 2,
            rowsSealed: 1234,
            bytesSealed: 5000,
            rowsLoaded: 1000,
            lastEventAt: null,
            completeThrough: null,
          },
        ],
        gaps: [
          { from: 'A', to: 'B', cause: 'oplog', repaired: null },
          { from: 'C', to: 'D', cause: 'oplog', repaired: 'E' },
        ],
        snapshots: [
          {
            namespace: 'shop.orders',
            cause: 'repair',
            at: 'D',
            begunAt: 'D',
            documents: 2000,
            rows: 500,
            ranges: { done: 1, total: 4 },
            secondsLeft: 90,
            failed: null,
          },
        ],
        deadLetters: 2,
        retention: {
          hoursBefore: '20261120-00',
          held: [{ collection: 'shop.paused', hour: '20261119-03', since: '2026-11-21T07:00:00.000Z', reason: 'the warehouse has not loaded it' }],
        },
        verification: {
          begunAt: 'F',
          endedAt: 'G',
          ok: false,
          failure: null,
          before: 0,
          checks: [
            { name: 'lake', outcome: 'failed', detail: '', findings: [], counts: { order: 1200, duplicate: 1 }, checked: 5 },
            { name: 'events', outcome: 'ok', detail: '', findings: [], counts: {}, checked: 7 },
          ],
        },
        oplogHours: 12.34,
        oplogHeadroomSeconds: 3600,
        storage: { writes: 1400, reads: 20, lists: 3, writesPerMillionEvents: 380 },
      },
      to,
    );
    for (const words of [
      'state          running, process 7, owner 3',
      '(2m 5s ago)',
      'oplog          12.3 hours of history; it has what is needed for 1h 0m more if capture stands still',
      'storage        1,400 writes, 20 reads, 3 lists since the owner began; 380 writes per million events',
      'verified       G: something is off: 1,200 order, 1 duplicate; see `sluice verify`',
      'gap  A to B: oplog\n',
      'gap  C to D: oplog; mended E',
      'snapshot  shop.orders: 500 documents of about 2,000 read, 1 of 4 ranges, about 1m 30s to go',
      'ERROR: bad file',
      '1,234',
      '5.0 kB',
    ]) {
      expect(text).toContain(words);
    }
  });
});

describe('the progress line', () => {
  it('shows the rate since the last time, fits the terminal, and gives way to log lines', () => {
    const io = testIo({ tty: true });
    let nowMs = 1_000_000;
    const line = new ProgressLine({ ...io.stderr, columns: 60 }, () => nowMs);
    const stats = { ...newStats(), state: 'running' as const };
    line.log.write('first\n');
    line.show(stats);
    nowMs += 2000;
    line.show({ ...stats, events: 5000, watermark: { t: 990, i: 0 } });
    line.log.write('second\n');
    line.end();
    const shown = io.err().replaceAll(/\u001b\[\d+m/g, '');
    expect(shown.startsWith('first\n\r\u001b[2Krunning 0 events')).toBe(true);
    expect(shown).toContain('5,000 events · 2,500/s');
    for (const piece of shown.split(/\r\u001b\[2K|\n/)) expect(piece.length).toBeLessThan(60);
    expect(shown).toMatch(/\r\u001b\[2Ksecond\nrunning 5,000[^\n]*\n$/);
  });
});
