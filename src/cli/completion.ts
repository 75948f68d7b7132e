/**
 * Shell completion, made from the commands and options that the program has.
 */
import type { Command } from 'commander';

export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

interface Entry {
  /** `''` for the program itself, `config check` for a command of a command. */
  readonly path: string;
  readonly summary: string;
  readonly words: readonly string[];
  readonly options: readonly { readonly flag: string; readonly description: string; readonly choices: readonly string[] }[];
}

function entries(command: Command, path: string): Entry[] {
  const options = command.options
    .filter((option) => option.long !== undefined)
    .map((option) => ({ flag: option.long ?? '', description: option.description, choices: option.argChoices ?? [] }));
  const choices = command.registeredArguments.flatMap((argument) => argument.argChoices ?? []);
  const own = { path, summary: command.summary() || command.description(), words: [...command.commands.map((c) => c.name()), ...choices], options };
  return [own, ...command.commands.flatMap((child) => entries(child, `${path} ${child.name()}`.trim()))];
}

export function completionScript(program: Command, shell: Shell): string {
  const all = entries(program, '');
  const globals = all[0]?.options ?? [];
  if (shell === 'bash') return bash(all, globals);
  return shell === 'zsh' ? zsh(all, globals) : fish(all, globals);
}

type Options = Entry['options'];

/** The commands on the line so far, without options: `config check`. Values of options do not matter: they are no commands. */
function cases(all: readonly Entry[], globals: Options, line: (entry: Entry, words: readonly string[]) => string): string {
  return all
    .map((entry) => {
      const options = entry.path === '' ? entry.options : [...entry.options, ...globals];
      return line(entry, [...entry.words, ...options.map((option) => option.flag), '--help']);
    })
    .join('\n');
}

function known(all: readonly Entry[]): string {
  return all
    .filter((entry) => entry.path !== '')
    .map((entry) => `"${entry.path}"`)
    .join('|');
}

function bash(all: readonly Entry[], globals: Options): string {
  return `# bash completion for sluice
_sluice() {
  local cur="\${COMP_WORDS[COMP_CWORD]}" prev="\${COMP_WORDS[COMP_CWORD-1]}" path="" word next
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    next="\${path:+$path }$word"
    case "$next" in ${known(all)}) path="$next" ;; esac
  done
  case "$prev" in
    --config|--log-file) COMPREPLY=($(compgen -f -- "$cur")); return ;;
${choiceCases(all, (flag, choices) => `    ${flag}) COMPREPLY=($(compgen -W "${choices.join(' ')}" -- "$cur")); return ;;`)}
  esac
  case "$path" in
${cases(all, globals, (entry, words) => `    "${entry.path}") COMPREPLY=($(compgen -W "${words.join(' ')}" -- "$cur")) ;;`)}
  esac
}
complete -F _sluice sluice
`;
}

function choiceCases(all: readonly Entry[], line: (flag: string, choices: readonly string[]) => string): string {
  const seen = new Map(
    all.flatMap((entry) => entry.options.filter((option) => option.choices.length > 0).map((option) => [option.flag, option.choices] as const)),
  );
  return [...seen].map(([flag, choices]) => line(flag, choices)).join('\n');
}

function zsh(all: readonly Entry[], globals: Options): string {
  return `#compdef sluice
_sluice() {
  local path="" word next
  for word in "\${words[@]:1:$((CURRENT-2))}"; do
    next="\${path:+$path }$word"
    case "$next" in ${known(all)}) path="$next" ;; esac
  done
  case "\${words[CURRENT-1]}" in
    --config|--log-file) _files; return ;;
${choiceCases(all, (flag, choices) => `    ${flag}) compadd -- ${choices.join(' ')}; return ;;`)}
  esac
  case "$path" in
${cases(all, globals, (entry, words) => `    "${entry.path}") compadd -- ${words.join(' ')} ;;`)}
  esac
}
if [ "$funcstack[1]" = "_sluice" ]; then _sluice "$@"; else compdef _sluice sluice; fi
`;
}

function fish(all: readonly Entry[], globals: Options): string {
  const quote = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
  const option = (condition: string, { flag, description, choices }: Options[number]): string =>
    `complete -c sluice${condition} -l ${flag.slice(2)} -d ${quote(description)}${choices.length > 0 ? ` -x -a ${quote(choices.join(' '))}` : ''}`;
  const lines = ['# fish completion for sluice', 'complete -c sluice -f'];
  for (const global of globals) lines.push(option('', global));
  lines.push('complete -c sluice -l config -r -F', 'complete -c sluice -l log-file -r -F');
  for (const entry of all.filter((e) => e.path !== '')) {
    const [name = '', child] = entry.path.split(' ');
    const seen = child === undefined ? ` -n '__fish_use_subcommand'` : ` -n '__fish_seen_subcommand_from ${name}'`;
    lines.push(`complete -c sluice${seen} -a ${child ?? name} -d ${quote(entry.summary)}`);
    const words = entry.words.filter((word) => !all.some((other) => other.path === `${entry.path} ${word}`));
    if (words.length > 0) lines.push(`complete -c sluice -n '__fish_seen_subcommand_from ${child ?? name}' -a ${quote(words.join(' '))}`);
    for (const own of entry.options) lines.push(option(` -n '__fish_seen_subcommand_from ${child ?? name}'`, own));
  }
  return `${lines.join('\n')}\n`;
}
