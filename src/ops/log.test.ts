import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from '../../test/fast-check.ts';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Secrets } from '../config/redact.ts';
import { SluiceError } from '../core/error.ts';
import { LAKE_FULL } from '../core/errors.ts';
import type { LogLevel } from './log-levels.ts';
import { makeLog } from './log.ts';

let folder: string;
beforeEach(async () => void (folder = await mkdtemp(join(tmpdir(), 'sluice-log-'))));
afterEach(() => rm(folder, { recursive: true }));

/** Every key, text and number. */
function textsIn(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return [String(value)];
  return Object.entries(value).flatMap(([key, item]) => [key, ...textsIn(item)]);
}

function without(line: Record<string, unknown>, ...keys: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(Object.entries(line).filter(([key]) => !keys.includes(key)));
}

const scrub = (text: string): string => text.replaceAll('hunter2', '***').replaceAll('":', '***');

function logTo(name: string, level: LogLevel, pretty: boolean) {
  return makeLog({ level, destination: { file: join(folder, 'logs', name) }, pretty, scrub });
}

async function linesOf(name: string): Promise<string[]> {
  return (await readFile(join(folder, 'logs', name), 'utf8')).trimEnd().split('\n');
}

describe('a log', () => {
  it('is one JSON object a line, with a level and a time that people can read', async () => {
    const log = logTo('a', 'info', false);
    log.info({ part: 'x' }, 'sealed');
    log.debug('not asked for');
    const lines = await linesOf('a');
    expect(lines).toHaveLength(1);
    expect(JSON.parse(lines[0] ?? '')).toEqual({
      level: 'info',
      time: expect.stringMatching(/^\d{4}-.*Z$/),
      pid: process.pid,
      part: 'x',
      msg: 'sealed',
    });
  });

  it('never holds a secret, in whatever it is logged, and stays JSON', async () => {
    const log = logTo('a', 'debug', false);
    log.child({ uri: 'mongodb://u:hunter2@h' }).info({ deep: [{ pw: 'hunter2' }], odd: 'a":b' }, 'with hunter2');
    log.error({ err: new Error('hunter2', { cause: new Error('cause hunter2') }) }, 'failed');
    const lines = await linesOf('a');
    expect(lines.join('\n')).not.toContain('hunter2');
    expect(lines.map((line) => JSON.parse(line) as unknown)).toMatchObject([
      { deep: [{ pw: '***' }], odd: 'a***b', msg: 'with ***' },
      { err: { message: '***', cause: 'cause ***' } },
    ]);
  });

  it('never holds a secret of any kind, wherever it stands: in words, fields, keys, numbers, errors, causes, stacks', () => {
    const secret = fc.oneof(
      fc.string({ minLength: 3, maxLength: 24, unit: 'binary' }).filter((text) => text.trim().length >= 3),
      fc.integer({ min: 100_000 }).map(String),
      fc.constantFrom('":"', '\\"}', 'p@s"s/w{rd', "it's\nmine", '$&$1', '%41%42'),
    );
    fc.assert(
      fc.property(secret, fc.constantFrom<LogLevel>('info', 'trace'), (password, level) => {
        const secrets = new Secrets();
        secrets.add(password);
        // What every line has anyway, and what stands in a secret's place, is not taken for a leak.
        fc.pre(!['***', 'level', 'time', 'error', 'info', 'pid', 'msg'].some((own) => own.includes(password)));
        const lines: string[] = [];
        const log = makeLog({ level, destination: { write: (line) => void lines.push(line) }, pretty: false, scrub: (text) => secrets.scrub(text) });
        const error = new SluiceError(LAKE_FULL, `at ${password}`, { next: `try ${password}`, cause: new Error(`from ${password}`) });
        log
          .child({ uri: `mongodb://u:${password}@h` })
          .info({ [password]: 1, deep: [{ is: password }], n: Number(password) || 0 }, `with ${password}!`);
        log.error({ err: error }, 'failed');
        log.error({ err: error.cause }, password);
        const texts = lines.flatMap((line) => textsIn(without(JSON.parse(line) as Record<string, unknown>, 'time', 'pid')));
        expect(texts.filter((text) => text.includes(password))).toEqual([]);
        expect(lines).toHaveLength(3);
      }),
      { numRuns: 500 },
    );
  });

  it('shows an error by code and next step, and its stack only at debug', async () => {
    const error = new SluiceError(LAKE_FULL, '/data');
    logTo('info', 'info', false).error({ err: error }, 'stopping');
    logTo('debug', 'debug', false).error({ err: error }, 'stopping');
    expect(JSON.parse((await linesOf('info'))[0] ?? '').err).toEqual({
      code: 'SLC-1104',
      next: LAKE_FULL.next,
      message: `${LAKE_FULL.title}: /data`,
    });
    expect(JSON.parse((await linesOf('debug'))[0] ?? '').err.stack).toContain('log.test.ts');
  });

  it('says on every line what it is told to say, and to people only what differs from line to line', async () => {
    const fields = { pipeline: 'shop' };
    makeLog({ level: 'info', destination: { file: join(folder, 'logs', 'a') }, pretty: false, scrub, fields })
      .child({ collection: 'a.b' })
      .info('sealed');
    makeLog({ level: 'info', destination: { file: join(folder, 'logs', 'b') }, pretty: true, scrub, fields }).info({ rows: 1 }, 'sealed');
    expect(JSON.parse((await linesOf('a'))[0] ?? '')).toMatchObject({ pipeline: 'shop', collection: 'a.b', msg: 'sealed' });
    expect((await linesOf('b'))[0]).toMatch(/sealed.* rows=1/);
    expect((await linesOf('b'))[0]).not.toContain('shop');
  });

  it('can be written for people', async () => {
    const log = logTo('a', 'info', true);
    log.warn({ part: 'x', n: 3 }, 'rolled');
    log.error({ err: new SluiceError(LAKE_FULL) }, 'stopping');
    const lines = await linesOf('a');
    expect(lines[0]).toMatch(/^\d\d:\d\d:\d\d\.\d{3} .*warn.* rolled.* part=x.* n=3/);
    expect(lines.slice(2)).toEqual([`      SLC-1104 ${LAKE_FULL.title}.`, `      → ${LAKE_FULL.next}`]);
  });
});
