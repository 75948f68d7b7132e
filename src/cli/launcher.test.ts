import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { NODE_TOO_OLD } from '../core/errors.ts';
import { completionScript } from './completion.ts';
import { buildProgram } from './program.ts';
import { testIo } from './test-io.ts';

const LAUNCHER = fileURLToPath(new URL('../../bin/sluice.js', import.meta.url));

let cwd: string;
beforeAll(async () => void (cwd = await mkdtemp(join(tmpdir(), 'sluice-launch-'))));
afterAll(() => rm(cwd, { recursive: true }));

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

async function launch(args: readonly string[], nodeArgs: readonly string[] = []): Promise<Ended> {
  return collect(process.execPath, [...nodeArgs, LAUNCHER, ...args]);
}

async function collect(command: string, args: readonly string[]): Promise<Ended> {
  const child = spawn(command, args, { cwd, stdio: ['ignore', 'pipe', 'pipe'] });
  let out = '';
  let err = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, out, err };
}

describe('bin/sluice.js', () => {
  it('shows help and exits 0', async () => {
    const { code, out, err } = await launch([]);
    expect([code, err]).toEqual([0, '']);
    expect(out).toContain('Usage: sluice');
  });

  it('exits 2 for an unknown command and for a bad configuration', async () => {
    await writeFile(join(cwd, 'sluice.yaml'), 'pipeline: [');
    const [unknown, bad] = await Promise.all([launch(['stauts']), launch(['run'])]);
    expect([unknown.code, unknown.err.split('\n')[0]]).toEqual([
      2,
      "SLC-1001  The command line is not right: unknown command 'stauts'; did you mean status?",
    ]);
    expect([bad.code, bad.err.slice(0, 8)]).toEqual([2, 'SLC-1003']);
  });

  it('says so when the Node.js is too old', async () => {
    const older = `data:text/javascript,Object.defineProperty(process,'versions',{value:{...process.versions,node:'20.20.2'}})`;
    const { code, out, err } = await launch(['run'], ['--import', older]);
    expect([code, out]).toEqual([2, '']);
    expect(err).toContain(`${NODE_TOO_OLD.code}  ${NODE_TOO_OLD.title}: it is 20.20.2`);
    expect(err).toContain(NODE_TOO_OLD.next);
    const json = await launch(['--json', 'run'], ['--import', older]);
    expect(JSON.parse(json.err)).toMatchObject({ code: NODE_TOO_OLD.code, exit: 2 });
  });

  it('says so when TypeScript is switched off', async () => {
    const { code, err } = await launch(['run'], ['--no-strip-types']);
    expect([code, err.slice(0, 8)]).toEqual([2, NODE_TOO_OLD.code]);
  });

  it('takes it as the end when its reader has gone', async () => {
    const { code, err } = await collect('sh', ['-c', `"$0" "$1" config schema | head -c 10; exit 0`, process.execPath, LAUNCHER]);
    expect([code, err]).toEqual([0, '']);
  });
});

describe('completion in bash', () => {
  const program = buildProgram(testIo());

  async function complete(...words: string[]): Promise<string[]> {
    const script = `${completionScript(program, 'bash')}\nCOMP_WORDS=(sluice "$@"); COMP_CWORD=$#; _sluice; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const { code, out, err } = await collect('bash', ['-c', script, 'bash', ...words]);
    expect([code, err]).toEqual([0, '']);
    return out.split('\n').filter((line) => line !== '');
  }

  it('knows commands, their options and the values of these', async () => {
    expect(await complete('ru')).toEqual(['run']);
    expect(await complete('run', '--until')).toEqual(['--until-idle']);
    expect(await complete('--json', 'run', '--ta')).toEqual(['--take-over']);
    expect(await complete('run', '--role', 'c')).toEqual(['capture', 'consume']);
    expect(await complete('config', '')).toEqual(expect.arrayContaining(['schema', 'check', '--json']));
    expect(await complete('config', 'check', '--lo')).toEqual(['--log-level', '--log-file']);
    expect(await complete('completion', 'z')).toEqual(['zsh']);
  });

  it('is there for zsh and fish too, with every command', () => {
    for (const shell of ['zsh', 'fish'] as const) {
      const script = completionScript(program, shell);
      for (const command of program.commands) expect(script).toContain(command.name());
    }
  });
});
