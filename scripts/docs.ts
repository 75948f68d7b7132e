/**
 * Writes the pages of docs/ that the code can tell better than a person: `npx node scripts/docs.ts`.
 * With `--check` nothing is written: exit 1 when a page is not what the code says.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import type { Argument, Command, Option } from 'commander';
import { COMMAND_EXAMPLES } from '../src/cli/examples.ts';
import { EXAMPLES, buildProgram } from '../src/cli/program.ts';
import { Secrets } from '../src/config/redact.ts';
import { configJsonSchema, configReference } from '../src/config/reference.ts';
import type { ErrorKind, ExitCode } from '../src/core/error.ts';
import { allErrors } from '../src/core/errors.ts';
import { metricsReference } from '../src/http/metrics.ts';
import { securityPage } from './licences.ts';
import { mutationsPage } from './mutation-list.ts';
import { troubleshootingPage } from './troubleshooting.ts';

const SECTIONS: readonly (readonly [string, string])[] = [
  ['10', 'Usage and configuration'],
  ['11', 'Lake'],
  ['12', 'Source'],
  ['13', 'Warehouse'],
  ['14', 'Pipeline and proof'],
  ['15', 'Serving and tools'],
  ['16', 'Bus'],
  ['19', 'Everything else'],
];

const EXIT_CODES: Readonly<Record<ExitCode, string>> = {
  0: 'fine',
  1: 'something is wrong with the data, or a check failed',
  2: 'bad usage or configuration',
  69: 'a service is unavailable or refuses us',
  74: 'reading or writing failed for good (disk full)',
  75: 'another owner has the pipeline',
  78: 'history lost',
  130: 'interrupted',
};

function exitTable(): string {
  return ['| exit | meaning |', '|---|---|', ...Object.entries(EXIT_CODES).map(([code, meaning]) => `| ${code} | ${meaning} |`)].join('\n');
}

/** Codes whose number follows the server's code, and so lies in another section's range. */
const ELSEWHERE: Readonly<Record<string, string>> = { 'SLC-1334': '12' };

function sectionOf(kind: ErrorKind): string {
  return ELSEWHERE[kind.code] ?? kind.code.slice(4, 6);
}

/** Errors by section, in the order of their numbers' sections. */
function bySection(): (readonly [title: string, kinds: readonly ErrorKind[]])[] {
  return SECTIONS.map(([digits, title]) => [title, allErrors().filter((kind) => sectionOf(kind) === digits)]);
}

function errorsReference(): string {
  const parts = bySection().map(([title, kinds]) => {
    const entries = kinds.map(
      (kind) =>
        `### ${kind.code}\n\n**${kind.title}.** ${kind.next}\n\nExit code ${kind.exit}.${kind.retry ? ' May pass by itself: the same command can succeed later.' : ''}\n`,
    );
    return `## ${title}\n\n${entries.join('\n')}`;
  });
  return `# Errors

<!-- Written by scripts/docs.ts from src/core/errors.ts. -->

Every error has a code, one sentence on what happened and one on what to do. With \`--json\` it is a JSON object on standard
error: \`{ "code", "message", "next", "exit" }\`. A stack trace comes with \`--log-level debug\` alone; secrets never appear.

${exitTable()}

${parts.join('\n')}`;
}

function optionRow(option: Option): string {
  const choices = option.argChoices === undefined ? '' : ` One of ${option.argChoices.map((choice) => `\`${choice}\``).join(', ')}.`;
  const shown = option.defaultValueDescription ?? String(option.defaultValue);
  const fallback = option.defaultValue === undefined || option.defaultValue === false || option.negate ? '' : ` Default: \`${shown}\`.`;
  const variable = option.envVar === undefined ? '' : ` Environment: \`${option.envVar}\`.`;
  return `| \`${option.flags}\` | ${cell(sentence(option.description) + choices + fallback + variable)} |`;
}

function argumentRow(argument: Argument): string {
  return `| \`${argument.required ? `<${argument.name()}>` : `[${argument.name()}${argument.variadic ? '...' : ''}]`}\` | ${cell(sentence(argument.description))} |`;
}

function sentence(text: string): string {
  return `${text.slice(0, 1).toUpperCase()}${text.slice(1)}${text.endsWith('.') ? '' : '.'}`;
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('\n', ' ');
}

function commandSection(command: Command, path: string): string[] {
  const name = `${path} ${command.name()}`;
  const rows = [...command.registeredArguments.map(argumentRow), ...command.options.map(optionRow)];
  const usage = `${name} ${command.usage().replace(' [command]', command.commands.length > 0 ? ' <command>' : '')}`
    .replace('[options] ', command.options.length > 0 ? '[options] ' : '')
    .replace(/ \[options\]$/, command.options.length > 0 ? ' [options]' : '');
  const examples = COMMAND_EXAMPLES[name.replace('sluice ', '')];
  const own = [
    `## ${name.replace('sluice ', '')}\n`,
    `\`${usage}\`\n`,
    `${command.description()}\n`,
    ...(rows.length === 0 ? [] : ['| | |', '|---|---|', ...rows, '']),
    ...(examples === undefined ? [] : ['```text', ...examples, '```', '']),
  ];
  return [...own, ...command.commands.flatMap((child) => commandSection(child, name))];
}

function cliReference(): string {
  const output = { write: (): void => undefined, isTTY: false, columns: 80, rows: 24 };
  const io = {
    env: {},
    cwd: '/',
    stdin: { isTTY: false },
    stdout: output,
    stderr: output,
    secrets: new Secrets(),
    logFields: {},
    signal: new AbortController().signal,
    exitCode: 0,
  };
  const program = buildProgram(io);
  return `# Commands

<!-- Written by scripts/docs.ts from src/cli/. -->

\`sluice <command> [options]\`. ${program.description()} \`sluice help <command>\` shows the same in a terminal.

\`\`\`text
${EXAMPLES.split('\n\n')[0] ?? ''}
\`\`\`

Options of every command:

| | |
|---|---|
${program.options.map(optionRow).join('\n')}

Results go to standard output, logs, progress and errors to standard error. The first Ctrl-C or SIGTERM stops in good order
(within 10 seconds), the second ends the process at once; both are safe. \`sluice run\` that is stopped exits 0.

${exitTable()}

While \`sluice run\` works on this machine, \`status\`, \`seal\`, \`load\`, \`merge\`, \`query\`, \`verify\`, \`pause\` and \`resume\` ask it;
else they do their work themselves.

${program.commands
  .flatMap((command) => commandSection(command, 'sluice'))
  .join('\n')
  .trimEnd()}
`;
}

const PAGES: Readonly<Record<string, () => string>> = {
  'docs/config.md': configReference,
  'docs/errors.md': errorsReference,
  'docs/troubleshooting.md': () => troubleshootingPage(bySection()),
  'docs/specs/metrics.md': metricsReference,
  'docs/cli.md': cliReference,
  'docs/mutations.md': mutationsPage,
  'SECURITY.md': securityPage,
  'docs/config.schema.json': () => `${JSON.stringify(configJsonSchema(), null, 2)}\n`,
};

function isCurrent(file: URL, text: string): boolean {
  try {
    return readFileSync(file, 'utf8') === text;
  } catch {
    // Missing is as stale as old.
    return false;
  }
}

const check = process.argv.includes('--check');
for (const [page, make] of Object.entries(PAGES)) {
  const file = new URL(`../${page}`, import.meta.url);
  const text = make();
  if (isCurrent(file, text)) continue;
  if (check) {
    process.stderr.write(`${page} is not what the code says: run \`npm run docs\`\n`);
    process.exitCode = 1;
  } else {
    writeFileSync(file, text);
    process.stdout.write(`wrote ${page}\n`);
  }
}
