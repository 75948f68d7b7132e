import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CONFIG_INVALID, CONFIG_NOT_FOUND, USAGE } from '../core/errors.ts';
import { runCommandLine } from './main.ts';
import { testIo } from './test-io.ts';

let cwd: string;
beforeAll(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'sluice-cli-'));
  await writeFile(
    join(cwd, 'sluice.yaml'),
    'pipeline: shop\nsource: { uri: "mongodb://u:hunter2@localhost:1/?serverSelectionTimeoutMS=50" }\nlake: { url: "file:./lake" }\n',
  );
  await writeFile(join(cwd, 'bad.yaml'), 'pipeline: shop\nsource: { uri: "http://u:hunter2@h", inclde: [] }\nlake: { url: "file:./lake" }\n');
});
afterAll(() => rm(cwd, { recursive: true }));

async function run(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const io = testIo({ cwd });
  const code = await runCommandLine(io, args);
  return { code, out: io.out(), err: io.err() };
}

describe('sluice', () => {
  it('alone shows help with examples', async () => {
    const { code, out, err } = await run();
    expect([code, err]).toEqual([0, '']);
    expect(out).toContain('Usage: sluice');
    expect(out).toContain('sluice demo ');
    expect(out).toContain('Exit codes: 0 fine');
  });

  it('shows the same for --help, and the help of a command with the options of all', async () => {
    expect((await run('--help')).out).toBe((await run()).out);
    const { code, out } = await run('run', '--help');
    expect(code).toBe(0);
    for (const flag of ['--role', '--until-idle', '--no-wait', '--take-over', '--accept-gap', '--config', '--log-level']) expect(out).toContain(flag);
  });

  it('prints its version', async () => expect((await run('--version')).out).toMatch(/^\d+\.\d+\.\d+\n$/));

  it.each([
    [['rnu'], "unknown command 'rnu'; did you mean run?"],
    [['enableimages'], 'did you mean enable-images?'],
    [['config', 'chekc'], 'did you mean check?'],
    [['xyzzy'], "unknown command 'xyzzy'"],
    [['run', '--until-idel', '5'], 'Did you mean --until-idle?'],
    [['run', 'extra'], 'too many arguments'],
    [['run', '--role', 'boss'], 'Allowed choices are all, capture, produce, consume, load'],
    [['run', '--until-idle', 'soon'], 'It must be a number of seconds'],
    [['query'], "missing required argument 'sql'"],
    [['query', 'x', '--limit', '0'], 'whole number between 1 and'],
    [['load', '--hour', 'noon'], '20261121-07'],
    [['load', '--recent', '-1'], 'whole number'],
    [['load', '--hour', '20261121-07', '--recent', '2'], 'Give one of them'],
    [['load', '--from', '20261121-07', '--to', '20261121-06'], '--from lies after --to'],
    [['completion', 'tcsh'], 'Allowed choices are bash, zsh, fish'],
    [['--log-level', 'loud', 'status'], 'Allowed choices are silent'],
  ])('refuses %j', async (args, words) => {
    const { code, out, err } = await run(...args);
    expect(code).toBe(2);
    expect(err).toMatch(new RegExp(`^${USAGE.code}  `));
    expect(err).toContain(words);
    expect(err).toContain('\n→ ');
    expect(out).toBe('');
  });

  it.each(['produce', 'consume'])('says that --role %s needs a bus', async (role) => {
    const { code, err } = await run('run', '--role', role);
    expect(code).toBe(2);
    expect(err).toContain('Add a `bus`');
  });
});

describe('an error', () => {
  it('has a code, a sentence and what to do next', async () => {
    expect(await run('status', '--config', 'none.yaml')).toEqual({
      code: 2,
      out: '',
      err: `${CONFIG_NOT_FOUND.code}  ${CONFIG_NOT_FOUND.title}: ${join(cwd, 'none.yaml')} does not exist\n→ ${CONFIG_NOT_FOUND.next}\n`,
    });
  });

  it('is a JSON object with --json', async () => {
    const { code, err } = await run('status', '--json', '--config', 'bad.yaml');
    expect(code).toBe(2);
    expect(JSON.parse(err)).toEqual({
      code: CONFIG_INVALID.code,
      message: expect.stringContaining('did you mean `include`?'),
      next: CONFIG_INVALID.next,
      exit: 2,
    });
  });

  it('has a stack with --log-level debug alone, and never a secret', async () => {
    const calm = await run('run', '--config', 'bad.yaml');
    const loud = await run('run', '--config', 'bad.yaml', '--log-level', 'debug');
    expect(calm.err).not.toContain('    at ');
    expect(loud.err).toContain('    at ');
    expect(calm.err + loud.err).not.toContain('hunter2');
  });

  it('of a server that does not answer never holds the password', async () => {
    const { code, out, err } = await run('enable-images', '--log-level', 'debug', '--yes');
    expect(code).toBe(69);
    expect(err).toContain('SLC-1201');
    expect(out + err).not.toContain('hunter2');
  });

  it('after Ctrl-C is an interruption', async () => {
    const io = testIo({ cwd, signal: AbortSignal.abort(new Error('stop')) });
    expect(await runCommandLine(io, ['enable-images', '--yes'])).toBe(130);
    expect(io.err()).toContain('SLC-1505');
  });
});

describe('config', () => {
  it('schema prints the JSON schema', async () => {
    const { code, out } = await run('config', 'schema');
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ title: 'sluice configuration', required: ['pipeline', 'source', 'lake'] });
  });

  it('check says that a file is valid', async () => {
    expect(await run('config', 'check')).toEqual({ code: 0, err: '', out: '✓ sluice.yaml is valid: pipeline shop, lake file:./lake\n' });
  });

  it('check shows the normal form to programs, without secrets', async () => {
    const { code, out } = await run('config', 'check', '--json');
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({
      ok: true,
      config: { source: { uri: expect.stringContaining('mongodb://u:***@localhost:1') }, lake: { root: join(cwd, 'lake') } },
    });
  });

  it('check tells every problem, to people and to programs', async () => {
    const people = await run('config', 'check', '--config', 'bad.yaml');
    expect(people.code).toBe(2);
    expect(people.err).toContain('bad.yaml:2:16: source.uri must begin with');
    expect(people.err).toContain('bad.yaml:2:38: source.inclde is not a key here');
    const programs = await run('config', 'check', '--config', 'bad.yaml', '--json');
    expect(programs.code).toBe(2);
    expect(JSON.parse(programs.out)).toMatchObject({
      ok: false,
      problems: [
        { key: 'source.uri', line: 2 },
        { key: 'source.inclde', line: 2 },
      ],
    });
    expect(people.err + programs.out).not.toContain('hunter2');
  });

  it('is found through SLUICE_CONFIG', async () => {
    const io = testIo({ cwd: '/', env: { SLUICE_CONFIG: join(cwd, 'sluice.yaml') } });
    expect(await runCommandLine(io, ['config', 'check'])).toBe(0);
  });
});

describe('init', () => {
  it('does not write over a file, and asks nobody where there is no terminal', async () => {
    const before = await readFile(join(cwd, 'sluice.yaml'), 'utf8');
    expect((await run('init', '--yes')).err).toContain('exists already');
    expect((await run('init', '--config', 'new.yaml')).err).toContain('there is no terminal to ask at');
    expect(await readFile(join(cwd, 'sluice.yaml'), 'utf8')).toBe(before);
  });

  it('writes nothing when the server does not answer', async () => {
    const { code, err } = await run('init', '--yes', '--config', 'new.yaml', '--uri', 'mongodb://u:hunter2@127.0.0.1:1/?serverSelectionTimeoutMS=50');
    expect([code, err.slice(0, 8)]).toEqual([69, 'SLC-1201']);
    expect(err).not.toContain('hunter2');
    await expect(stat(join(cwd, 'new.yaml'))).rejects.toThrow('ENOENT');
  });

  it('says which variable is missing', async () => {
    const { code, err } = await run('init', '--yes', '--config', 'new.yaml', '--uri', '${NOPE}');
    expect([code, err.includes('NOPE')]).toEqual([2, true]);
  });
});

describe('a log file', () => {
  it('that cannot be written is told with a code', async () => {
    const folder = join(cwd, 'closed');
    await writeFile(folder, '');
    await chmod(folder, 0o400);
    const { code, err } = await run('status', '--log-file', join(folder, 'x.log'));
    expect(code).toBe(2);
    expect(err).toContain('--log-file');
  });
});
