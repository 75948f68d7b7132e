/** HCL as `terraform fmt` writes it, for the few forms that are needed here. */

/** Attributes are HCL expressions (`text()` for a string). `null`: left out. */
export interface Block {
  readonly head: string;
  readonly attributes: Readonly<Record<string, string | null>>;
  readonly blocks?: readonly Block[];
}

export function text(value: string): string {
  // `${` and `%{` would be templates.
  return JSON.stringify(value).replaceAll('${', '$${').replaceAll('%{', '%%{');
}

export function list(values: readonly string[]): string {
  return `[${values.join(', ')}]`;
}

export function hcl(blocks: readonly Block[], comment: readonly string[] = []): string {
  const head = comment.map((line) => `# ${line}\n`).join('');
  return `${head}${head === '' ? '' : '\n'}${blocks.map((block) => printed(block, '')).join('\n')}`;
}

function printed({ head, attributes, blocks = [] }: Block, indent: string): string {
  const given = Object.entries(attributes).filter((entry): entry is [string, string] => entry[1] !== null);
  const width = Math.max(0, ...given.map(([name]) => name.length));
  const lines = given.map(([name, value]) => `${indent}  ${name.padEnd(width)} = ${value}\n`);
  const inner = blocks.map((block) => printed(block, `${indent}  `));
  return `${indent}${head} {\n${[lines.join(''), ...inner].filter((part) => part !== '').join('\n')}${indent}}\n`;
}
