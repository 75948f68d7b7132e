import { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import { COMMAND_EXAMPLES } from './examples.ts';
import { runCommandLine } from './main.ts';
import { buildProgram } from './program.ts';
import { testIo } from './test-io.ts';

/** As a shell parts words: quotes hold together what has blanks. */
function wordsOf(line: string): string[] {
  return [...line.matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)].map(([, single, double, bare]) => single ?? double ?? bare ?? '');
}

/** Commands that do something, by their path. */
function leaves(command: Command, path: string): string[] {
  return command.commands.flatMap((child) => {
    const own = `${path} ${child.name()}`.trim();
    const below = leaves(child, own);
    return below.length > 0 ? below : [own];
  });
}

/** The same command line, with nothing behind it. */
function idle(command: Command): void {
  command.action(() => {});
  for (const child of command.commands) idle(child);
}

describe('every command', () => {
  const paths = leaves(buildProgram(testIo()), '');

  it.each(paths)('%s has an example below its help', async (path) => {
    const io = testIo();
    expect(await runCommandLine(io, [...path.split(' '), '--help'])).toBe(0);
    expect(io.out()).toMatch(/^Examples?:\n {2}\S/m);
    expect(io.out()).toContain(`sluice ${path}`);
  });

  it('that examples are written for exists', () => {
    const known = new Set([...paths, 'schema']);
    expect(Object.keys(COMMAND_EXAMPLES).filter((path) => !known.has(path))).toEqual([]);
  });
});

describe('every example', () => {
  const lines = Object.entries(COMMAND_EXAMPLES).flatMap(([path, examples]) => examples.map((line) => [line, path] as const));
  it.each(lines)('%s is a command line of its command', async (line, path) => {
    const program = buildProgram(testIo());
    idle(program);
    const command = line.replace(/^source <\((.*)\)$/, '$1').replace(/^sluice /, '');
    expect(wordsOf(command).join(' ').startsWith(path)).toBe(true);
    await program.parseAsync(wordsOf(command), { from: 'user' });
  });
});
