import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { completionScript, SHELLS } from './completion.ts';
import { buildProgram } from './program.ts';
import { testIo } from './test-io.ts';

const program = buildProgram(testIo());

/** What a real bash offers after these words; the last one is being typed. */
function offered(...words: readonly string[]): string[] {
  const script = `${completionScript(program, 'bash')}\nCOMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _sluice; printf '%s\\n' "\${COMPREPLY[@]}"`;
  return execFileSync('bash', ['--norc', '-c', script, 'bash', 'sluice', ...words], { encoding: 'utf8' })
    .trim()
    .split('\n');
}

describe('completion in bash', () => {
  it('offers commands, those of a command, its options and those of all, and the choices of an option', () => {
    expect(offered('st')).toEqual(['status']);
    expect(offered('')).toEqual(expect.arrayContaining(program.commands.map((command) => command.name())));
    expect(offered('config', '')).toEqual(expect.arrayContaining(['check', 'schema']));
    expect(offered('run', '--u')).toEqual(['--until-idle']);
    expect(offered('status', '--')).toEqual(expect.arrayContaining(['--watch', '--json', '--config', '--help']));
    expect(offered('run', '--role', '')).toEqual(['all', 'capture', 'produce', 'consume', 'load']);
    expect(offered('--log-level', 'de')).toEqual(['debug']);
    expect(offered('completion', '')).toEqual(expect.arrayContaining([...SHELLS]));
  });

  it('is not confused by options and their values before', () => {
    expect(offered('--config', 'x.yaml', 'status', '--w')).toEqual(['--watch']);
  });
});

describe.each(['zsh', 'fish'] as const)('completion in %s', (shell) => {
  it('knows every command and every option', () => {
    const script = completionScript(program, shell);
    const names = program.commands.map((command) => command.name());
    const flags = program.commands.flatMap((command) => command.options.map((option) => option.long ?? ''));
    expect(names.filter((name) => !script.includes(name))).toEqual([]);
    expect(flags.filter((flag) => !script.includes(shell === 'fish' ? `-l ${flag.slice(2)}` : flag))).toEqual([]);
  });
});
