/**
 * What the schema says about itself: the JSON schema for editors, docs/config.md, and the names of all keys.
 */
import { z } from 'zod';
import { FileSchema } from './schema.ts';

/** The parts of JSON schema that zod writes for our schema, and the two notes that schema.ts adds. */
interface Node {
  type?: string | string[];
  description?: string;
  default?: unknown;
  enum?: unknown[];
  const?: unknown;
  properties?: Record<string, Node>;
  additionalProperties?: Node | boolean;
  required?: string[];
  oneOf?: Node[];
  anyOf?: Node[];
  items?: Node;
  pattern?: string;
  shape?: string;
  shownDefault?: string;
  [other: string]: unknown;
}

let made: Node | null = null;

function schemaTree(): Node {
  // JSON text in between: zod shares sub-schemas, and what follows changes the tree.
  made ??= JSON.parse(JSON.stringify(z.toJSONSchema(FileSchema, { io: 'input', target: 'draft-7' }))) as Node;
  return made;
}

/** The JSON schema (draft 7, which editors understand) of a configuration file. */
export function configJsonSchema(): Record<string, unknown> {
  const tree = structuredClone(schemaTree());
  allowReferences(tree);
  const { $schema, ...rest } = tree;
  return { $schema, title: 'sluice configuration', ...rest };
}

const REFERENCE = '\\$\\{[^{}]+\\}';

/** Any single value may be written as `${NAME}`: an editor must not underline that. */
function allowReferences(node: Node): void {
  delete node.shape;
  delete node.shownDefault;
  const inner = [
    ...Object.values(node.properties ?? {}),
    ...(node.oneOf ?? []),
    ...(node.anyOf ?? []),
    ...(node.items === undefined ? [] : [node.items]),
  ];
  for (const child of inner) allowReferences(child);
  if (typeof node.additionalProperties === 'object') allowReferences(node.additionalProperties);
  if (node.enum !== undefined && !node.enum.includes('off')) {
    const { type, enum: values } = node;
    delete node.type;
    delete node.enum;
    node.anyOf = [
      { ...(type === undefined ? {} : { type }), enum: values },
      { type: 'string', pattern: REFERENCE },
    ];
  } else if (node.enum !== undefined) {
    const values = node.enum;
    delete node.type;
    delete node.enum;
    // `off` may be written as false.
    node.anyOf = [{ enum: [...values, false] }, { type: 'string', pattern: REFERENCE }];
  } else if (node.type === 'array' && node.items?.type === 'string') {
    const { items } = node;
    delete node.type;
    delete node.items;
    node.anyOf = [{ type: 'array', items }, { type: 'string' }];
  }
}

/** Names of the keys of the document at `path`; with `null`, every key of the file as a dotted path. */
export function knownKeys(path: readonly string[] | null): readonly string[] {
  if (path === null) return rows(schemaTree(), '').map((row) => row.key);
  let nodes: Node[] = [schemaTree()];
  for (const step of path) {
    nodes = nodes.flatMap((node) => {
      const next = node.properties?.[step] ?? (typeof node.additionalProperties === 'object' ? node.additionalProperties : undefined);
      return next === undefined ? [] : [next, ...(next.oneOf ?? []), ...(next.anyOf ?? [])];
    });
  }
  return [...new Set(nodes.flatMap((node) => Object.keys(node.properties ?? {})))];
}

interface Row {
  readonly key: string;
  readonly node: Node;
  readonly required: boolean;
}

function rows(node: Node, prefix: string): Row[] {
  return Object.entries(node.properties ?? {}).flatMap(([name, child]) => {
    const key = `${prefix}${name}`;
    return [{ key, node: child, required: node.required?.includes(name) ?? false }, ...rows(child, `${key}.`)];
  });
}

function typeOf(node: Node): string {
  if (node.shape !== undefined) return node.shape === 'secret' ? 'text, secret' : node.shape;
  if (node.enum !== undefined) return node.enum.map((value) => `\`${String(value)}\``).join(', ');
  if (node.oneOf !== undefined) return '{ kind, … }';
  if (node.type === 'string') return 'text';
  if (node.type === 'object') return node.properties === undefined ? 'document' : 'section';
  return 'list';
}

function defaultOf(row: Row): string {
  const { node } = row;
  if (row.required) return '**required**';
  if (node.shownDefault !== undefined) return node.shownDefault;
  if (node.properties !== undefined) return '';
  if (node.default === undefined) return 'unset';
  return `\`${typeof node.default === 'string' ? node.default : JSON.stringify(node.default)}\``;
}

function authTable(node: Node): string[] {
  return (node.oneOf ?? []).map((form) => {
    const names = Object.entries(form.properties ?? {})
      .filter(([name]) => name !== 'kind')
      .map(([name, key]) => `${name}${form.required?.includes(name) === true ? '' : '?'}${key.shape === 'secret' ? ' (secret)' : ''}`);
    return `  - \`${String(form.properties?.['kind']?.const)}\`${names.length === 0 ? '' : `: ${names.join(', ')}`}`;
  });
}

const INTRODUCTION = `# Configuration

<!-- Written by scripts/docs.ts from src/config/schema.ts. -->

One YAML file, \`sluice.yaml\` unless \`--config\` or \`SLUICE_CONFIG\` names another. \`sluice init\` writes one;
\`sluice config check\` reads it without running anything and tells every problem at once, with its line and column.
Relative paths start from the folder of the file. For completion in an editor, put this on the first line:

\`\`\`yaml
# yaml-language-server: $schema=./docs/config.schema.json
\`\`\`

(\`sluice config schema\` prints the same schema.)

- **Values from outside.** \`\${NAME}\` and \`\${NAME:-default}\` come from the environment, \`\${file:/run/secrets/x}\` from a file
  (a newline at its end is dropped). \`$\${\` stands for a plain \`\${\`. A \`.env\` file beside the configuration is read; the environment wins over it.
- **Keys from the environment.** \`SLUICE_LAKE__ROLL__MAX_BYTES=64MiB\` sets \`lake.roll.maxBytes\`: two underscores go one level
  down, one joins words. Lists and documents are written as JSON: \`SLUICE_SOURCE__INCLUDE='["shop.*"]'\`.
- **Sizes**: \`256MiB\`, \`4 MB\`, or a number of bytes. **Durations**: \`500ms\`, \`30s\`, \`5m\`, \`1h\`, \`90d\`.
- **Secrets** (passwords in URLs, keys, tokens, everything from \`\${file:…}\`) are taken out of every message, log and error.
`;

/** docs/config.md. */
export function configReference(): string {
  const lines = [INTRODUCTION];
  const top = Object.entries(schemaTree().properties ?? {});
  const required = schemaTree().required ?? [];
  const table = (list: readonly Row[]): void => {
    lines.push('| key | type | default | meaning |', '|---|---|---|---|');
    for (const row of list)
      lines.push(`| \`${row.key}\` | ${cell(typeOf(row.node))} | ${cell(defaultOf(row))} | ${cell(row.node.description ?? '')} |`);
    lines.push('');
    for (const row of list.filter((r) => r.node.oneOf !== undefined))
      lines.push(`\`${row.key}.kind\`, and what goes with it:`, ...authTable(row.node), '');
  };
  table(top.filter(([, node]) => node.properties === undefined).map(([key, node]) => ({ key, node, required: required.includes(key) })));
  for (const [key, node] of top.filter(([, child]) => child.properties !== undefined)) {
    lines.push(`## ${key}`, '', `${node.description ?? ''}${required.includes(key) ? '' : ' Optional.'}`, '');
    table(rows(node, `${key}.`));
  }
  return `${lines.join('\n').trimEnd()}\n`;
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|');
}
