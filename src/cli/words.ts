/**
 * Whether a command line of a page or of a file in deploy/ is one that this version has: its commands and options are looked up in
 * the definitions that `sluice` itself is made of. Nothing is run.
 */
import type { Command } from 'commander';

/** @param program `buildProgram(io)` @param words what stands behind `sluice` @returns what there is not; `null`: all of it is there */
export function unknownWord(program: Command, words: readonly string[]): string | null {
  let command = program;
  const chain: Command[] = [command];
  let isName = true;
  for (let i = 0; i < words.length; i += 1) {
    const word = words[i]!;
    if (word === '--') return null;
    if (word.startsWith('-')) {
      const [flag] = word.split('=');
      const option = chain.flatMap((one) => one.options).find((one) => one.long === flag || one.short === flag);
      if (option === undefined) return ['--help', '-h'].includes(word) ? null : `${command.name()} has no option ${flag}`;
      if (option.required && !word.includes('=')) i += 1;
      continue;
    }
    const child = isName ? command.commands.find((one) => one.name() === word || one.aliases().includes(word)) : undefined;
    if (child === undefined) {
      // `sluice help <command>`; a name that is no command is an argument, if arguments are taken.
      if (chain.length === 1 && word === 'help') return null;
      if (command.registeredArguments.length === 0) return `${command.name()} has no command ${word}`;
      isName = false;
      continue;
    }
    command = child;
    chain.push(child);
  }
  return null;
}

/** Words of a line as a POSIX shell would part them; quotes are taken away, variables stay. */
export function shellWords(line: string): string[] {
  return [...line.matchAll(/'([^']*)'|"((?:[^"\\]|\\.)*)"|(#.*$)|([^\s'"]+)/g)].flatMap(([, single, double, comment, bare]) =>
    comment !== undefined ? [] : [single ?? double ?? bare ?? ''],
  );
}

/** Every call of sluice in a script, without what comes after a pipe, a `;` or `&&`. */
export function sluiceCalls(script: string): string[][] {
  return script
    .replaceAll(/\\\n\s*/g, ' ')
    .split('\n')
    .flatMap((line) => line.split(/\s(?:\||&&|\|\||;|>)\s|(?<=\S);(?=\s|$)/))
    .flatMap((call) => {
      const words = shellWords(call.trim());
      if (words[0] === 'sudo') words.splice(0, words[1] === '-u' ? 3 : 1);
      while (/^(npx|\w+=.*|\$)$/.test(words[0] ?? '')) words.shift();
      return words[0] === 'sluice' ? [words.slice(1)] : [];
    });
}
