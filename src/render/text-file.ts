/**
 * What `sluice render` writes for services of Azure and Atlas: files that a person reads before anybody runs them.
 *
 * Made from a plan alone: the same plan gives the same files, byte for byte. No secret is ever in one; where a service needs
 * one, the script beside it takes it from the environment.
 */

export interface TextFile {
  /** Below the folder; `/` between folders. */
  readonly name: string;
  readonly text: string;
}

export function jsonFile(name: string, value: unknown): TextFile {
  return { name, text: `${JSON.stringify(value, null, 2)}\n` };
}

/** A POSIX shell script that stops at the first failure. @param purpose its first comment, one line each */
export function scriptFile(name: string, purpose: readonly string[], lines: readonly string[]): TextFile {
  return { name, text: ['#!/bin/sh', ...purpose.map((line) => `# ${line}`), 'set -eu', 'here=$(dirname "$0")', '', ...lines, ''].join('\n') };
}

/** A word for a POSIX shell, whatever is in it. */
export function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
