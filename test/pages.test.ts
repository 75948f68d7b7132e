/** What the pages tell people to type must be there. */
import { describe, expect, it } from 'vitest';
import { buildProgram } from '../src/cli/program.ts';
import { testIo } from '../src/cli/test-io.ts';
import { sluiceCalls, unknownWord } from '../src/cli/words.ts';
import { fencesOf, pages } from './pages.ts';

const PROGRAM = buildProgram(testIo());
const SHELL = /^(sh|bash)( |$)/;
const calls = pages().flatMap((page) =>
  fencesOf(page)
    .filter(({ kind }) => SHELL.test(kind))
    .flatMap(({ at, text }) => sluiceCalls(text).map((words) => [at, words.join(' '), words] as const)),
);

describe('the commands that the pages show', () => {
  it('are many, and begin in the README', () => {
    expect(calls.length).toBeGreaterThan(15);
    expect(calls[0]![0]).toContain('README.md');
  });

  it.each(calls)('%s: sluice %s', (_at, _line, words) => expect(unknownWord(PROGRAM, words)).toBeNull());
});

describe('calls of sluice in a script', () => {
  it('are found where they stand, with their words', () => {
    const script =
      'cd x && npx sluice run \\\n  --until-idle 5   # once\nFOO=1 sluice query "select 1" | head\necho sluice\nsudo -u sluice sluice status; ls';
    expect(sluiceCalls(script)).toEqual([['run', '--until-idle', '5'], ['query', 'select 1'], ['status']]);
  });
});
