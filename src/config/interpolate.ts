/**
 * `${NAME}`, `${NAME:-default}`, `${file:/path}` and `${keyvault:vault/secret}` inside a value of the configuration.
 *
 * One pass: what comes out of a variable is never looked at again, so a password that contains `${` stays as it is.
 * `$${` stands for a plain `${`.
 */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { systemCode } from '../core/error.ts';

export interface InterpolateFrom {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Folder that relative paths in `${file:…}` start from. */
  readonly folder: string;
  /** What Azure Key Vault has under `vault/secret`, read before; why not; `undefined`: nobody has asked it. */
  readonly vault: (reference: string) => string | Error | undefined;
  /** Told of every value that came out of a file or a vault: those are secrets. */
  readonly onSecret: (value: string) => void;
}

export interface Interpolated {
  readonly text: string;
  /** What could not be found, one sentence each. */
  readonly missing: readonly string[];
}

const REFERENCE = /\$?\$\{([^{}]*)\}/g;
const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

export function interpolate(text: string, from: InterpolateFrom): Interpolated {
  const missing: string[] = [];
  const result = text.replace(REFERENCE, (whole, inner: string) => {
    if (whole.startsWith('$$')) return whole.slice(1);
    if (inner.startsWith('file:')) return readSecret(inner.slice('file:'.length), from, missing);
    if (inner.startsWith('keyvault:')) return vaultSecret(inner.slice('keyvault:'.length), from, missing);
    const dash = inner.indexOf(':-');
    const name = dash < 0 ? inner : inner.slice(0, dash);
    if (!NAME.test(name)) {
      missing.push(`has a \${…} without the name of a variable, NAME:-default or file:/path in it; write $\${ for a plain \${`);
      return '';
    }
    const value = from.env[name];
    // As in a shell: `:-` takes its default for an empty variable too.
    if (dash >= 0) return value === undefined || value === '' ? inner.slice(dash + 2) : value;
    if (value === undefined) missing.push(`needs the environment variable ${name}, which is not set`);
    return value ?? '';
  });
  return { text: result, missing };
}

function vaultSecret(reference: string, from: InterpolateFrom, missing: string[]): string {
  const value = from.vault(reference);
  if (typeof value === 'string') {
    from.onSecret(value);
    return value;
  }
  missing.push(`needs the secret ${reference} of Azure Key Vault${value === undefined ? ', which cannot be asked for here' : `: ${value.message}`}`);
  return '';
}

function readSecret(path: string, from: InterpolateFrom, missing: string[]): string {
  const file = resolve(from.folder, path);
  try {
    // Editors and `echo` leave a newline at the end; it is never part of the secret.
    const value = readFileSync(file, 'utf8').replace(/\r?\n$/, '');
    from.onSecret(value);
    return value;
  } catch (error) {
    missing.push(`needs the file ${file}, which cannot be read (${systemCode(error) ?? 'unknown reason'})`);
    return '';
  }
}
