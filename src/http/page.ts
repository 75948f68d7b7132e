/**
 * The files of the dashboard, as `npm run build` has left them: read once, then served from memory.
 *
 * Only names that were there at the start are served: a path out of the folder names none of them.
 */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { extname } from 'node:path';
import { systemCode } from '../core/error.ts';

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
};

/**
 * Scripts and styles of our own files alone, and no other host. Styles that scripts set on an element (uPlot, Preact) go through the
 * object model, which needs no `unsafe-inline`.
 */
export const CONTENT_SECURITY_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

export interface PageFile {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly type: string;
  readonly etag: string;
  /** Its name changes with its content. */
  readonly isImmutable: boolean;
}

/** By path, `/` for the page itself; empty when the dashboard was not built. */
export type Page = ReadonlyMap<string, PageFile>;

/** In a checkout (src/http) and in the package (dist/http) alike: dist/web below the root. */
const FOLDER = new URL('../../dist/web/', import.meta.url);

export function readPage(folder: URL = FOLDER): Page {
  return new Map(filesIn(folder).map((name) => [name === 'index.html' ? '/' : `/${name}`, readPageFile(new URL(name, folder), name)]));
}

function filesIn(folder: URL): string[] {
  try {
    const names = readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((name) => name.replaceAll('\\', '/'));
    return names.filter((name) => Object.hasOwn(TYPES, extname(name)));
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return [];
    throw error;
  }
}

function readPageFile(file: URL, name: string): PageFile {
  const bytes = Uint8Array.from(readFileSync(file));
  const etag = `"${createHash('sha256').update(bytes).digest('base64url').slice(0, 22)}"`;
  return { bytes, type: TYPES[extname(name)] ?? 'application/octet-stream', etag, isImmutable: name.startsWith('assets/') };
}

export const NOT_BUILT_PAGE = `<!doctype html><meta charset="utf-8"><title>sluice</title>
<p>sluice runs, but its dashboard was not built. In a checkout: <code>npm run build</code>, then start it again.</p>
<p>There are <a href="/api/status">/api/status</a>, <a href="/metrics">/metrics</a> and <code>sluice status</code>.</p>
`;
