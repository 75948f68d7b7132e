import { readFileSync } from 'node:fs';

let known: string | null = null;

/** Of package.json, which lies two folders above in a checkout and in the package. */
export function productVersion(): string {
  known ??= (JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { readonly version: string }).version;
  return known;
}
