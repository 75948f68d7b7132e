import { describe, expect, it } from 'vitest';
import { isSecretPath } from './redact.ts';
import { configJsonSchema, configReference, knownKeys } from './reference.ts';

interface Node {
  readonly description?: string;
  readonly properties?: Record<string, Node>;
}

describe('the JSON schema', () => {
  it('refuses unknown keys and knows every section', () => {
    const schema = configJsonSchema() as { additionalProperties: boolean; required: string[]; properties: Record<string, Node> };
    expect(schema.additionalProperties).toBe(false);
    expect(schema.required).toEqual(['pipeline', 'source', 'lake']);
    expect(Object.keys(schema.properties)).toEqual(['pipeline', 'source', 'lake', 'checkpoint', 'bus', 'warehouse', 'dump', 'verify', 'http']);
  });

  it('describes every key', () => {
    const undescribed = (node: Node, path: string): string[] =>
      Object.entries(node.properties ?? {}).flatMap(([name, child]) => [
        ...((child.description ?? '').length > 10 ? [] : [`${path}${name}`]),
        ...undescribed(child, `${path}${name}.`),
      ]);
    expect(undescribed(configJsonSchema() as Node, '')).toEqual([]);
  });

  it('lets any single value be a reference to the environment', () => {
    expect(JSON.stringify(configJsonSchema())).toContain('\\\\$\\\\{');
    expect(JSON.stringify(configJsonSchema())).not.toMatch(/"shape"|"shownDefault"/);
  });
});

describe('docs/config.md', () => {
  it('has a row for every key', () => {
    const text = configReference();
    for (const key of knownKeys(null).filter((k) => k.includes('.'))) expect(text).toContain(`| \`${key}\` |`);
  });

  it('calls secret what redaction hides', () => {
    expect(configReference()).toContain('| `http.token` | text, secret |');
    expect(isSecretPath(['http', 'token'])).toBe(true);
    for (const m of configReference().matchAll(/(\w+)\?? \(secret\)/g)) expect(isSecretPath(['lake', 'auth', m[1] ?? ''])).toBe(true);
  });
});
