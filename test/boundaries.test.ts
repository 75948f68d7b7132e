/**
 * Who may import whom is a rule of the linter (ARCHITECTURE.md). A boundary check that scans nothing also passes, so
 * this plants violations and expects each of them to be told, and counts the files that the linter sees.
 */
import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const ROOT = join(import.meta.dirname, '..');
const BOUNDARY = 'eslint(no-restricted-imports)';

interface Diagnostic {
  readonly code: string;
  readonly filename: string;
  readonly message: string;
}

interface Lint {
  readonly diagnostics: readonly Diagnostic[];
  readonly number_of_files: number;
}

/** What the installed linter says of `src` and `web/src` below `cwd`; it exits with 1 when it has found something. */
async function lint(cwd: string): Promise<Lint> {
  const entry = join(ROOT, 'node_modules', 'oxlint', 'bin', 'oxlint');
  const text = await new Promise<string>((resolve, reject) => {
    execFile(process.execPath, [entry, '--format', 'json', 'src', 'web/src'], { cwd, maxBuffer: 64 * 2 ** 20 }, (error, stdout, stderr) => {
      if (error !== null && error.code !== 1) reject(new Error(stderr, { cause: error }));
      else resolve(stdout);
    });
  });
  return JSON.parse(text) as Lint;
}

const VIOLATIONS: readonly (readonly [what: string, file: string, text: string])[] = [
  [
    'pipeline imports an SDK',
    'src/pipeline/sdk.ts',
    "import { MongoClient } from 'mongodb';\nexport const client = new MongoClient('mongodb://127.0.0.1');\n",
  ],
  ['pipeline passes an SDK on', 'src/pipeline/passed-on.ts', "export { MongoClient } from 'mongodb';\n"],
  [
    'pipeline loads an SDK when it needs it',
    'src/pipeline/later.ts',
    "export const later = async (): Promise<unknown> => await import('mongodb');\n",
  ],
  ['pipeline imports an adapter', 'src/pipeline/adapter.ts', "export { openLocalLake } from '../lake/local/local.ts';\n"],
  ['core imports ops', 'src/core/log.ts', "export type { Logger } from '../ops/log.ts';\n"],
  ['core imports an SDK', 'src/core/sdk.ts', "export { z } from 'zod';\n"],
  ['cli imports pipeline', 'src/cli/commands/direct.ts', "export { Capture } from '../../pipeline/capture.ts';\n"],
  ['lake imports source', 'src/lake/local/peer.ts', "export { MongoSource } from '../../source/mongo/mongo-source.ts';\n"],
  ['source imports the pipeline', 'src/source/mongo/upwards.ts', "export type { Checkpoint } from '../../pipeline/checkpoint.ts';\n"],
  ['render imports the configuration', 'src/render/config.ts', "export type { Config } from '../config/config.ts';\n"],
  ['cli imports render', 'src/cli/commands/files.ts', "export type { TextFile } from '../../render/text-file.ts';\n"],
  ['warehouse imports the lake', 'src/warehouse/duckdb/peer.ts', "export { openLocalLake } from '../../lake/local/local.ts';\n"],
  ['config imports ops', 'src/config/log.ts', "export type { Logger } from '../ops/log.ts';\n"],
  ['http imports the lake', 'src/http/lake.ts', "export { openLocalLake } from '../lake/local/local.ts';\n"],
  ['web imports more than types', 'web/src/values.ts', "export { formatNamespace } from '../../src/core/namespace.ts';\n"],
  ['web imports what no browser has', 'web/src/node.ts', "export { readFileSync } from 'node:fs';\n"],
  ['app imports cli', 'src/app/upwards.ts', "export { main } from '../cli/main.ts';\n"],
];

const CLEAN: readonly (readonly [file: string, text: string])[] = [
  [
    'src/core/clean.ts',
    "import { createHash } from 'node:crypto';\nexport const digest = (text: string): string => createHash('sha256').update(text).digest('hex');\n",
  ],
  ['src/pipeline/clean.ts', "export { digest } from '../core/clean.ts';\n"],
  ['src/source/mongo/clean.ts', "export { MongoClient } from 'mongodb';\nexport { digest } from '../../core/clean.ts';\n"],
  ['src/app/clean.ts', "export { digest } from '../pipeline/clean.ts';\n"],
  ['web/src/clean.ts', "export type { Namespace } from '../../src/core/namespace.ts';\n"],
  ['src/cli/clean.ts', "export { digest } from '../app/clean.ts';\n"],
];

describe('the rule on who may import whom', () => {
  let folder: string;
  let found: Lint;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sluice-boundaries-'));
    await cp(join(ROOT, '.oxlintrc.json'), join(folder, '.oxlintrc.json'));
    // The linter looks for its type-aware half, and for the SDKs, from where it is started.
    await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'), 'junction');
    for (const [file, text] of [...VIOLATIONS.map(([, name, content]) => [name, content] as const), ...CLEAN]) {
      await mkdir(dirname(join(folder, file)), { recursive: true });
      await writeFile(join(folder, file), text);
    }
    found = await lint(folder);
  });

  afterAll(async () => {
    await rm(folder, { recursive: true, force: true });
  });

  it.each(VIOLATIONS)('is broken when %s', (_what, file) => {
    const here = found.diagnostics.filter(({ filename }) => filename === file);
    expect(here.map(({ code }) => code)).toEqual([BOUNDARY]);
  });

  it('lets pass what it allows', () => {
    const clean = new Set(CLEAN.map(([file]) => file));
    expect(found.diagnostics.filter(({ filename }) => clean.has(filename))).toEqual([]);
    expect(found.number_of_files).toBe(VIOLATIONS.length + CLEAN.length);
  });

  it('is kept by every file of this repository, none of which is left out', async () => {
    const { diagnostics, number_of_files: scanned } = await lint(ROOT);
    expect(diagnostics.filter(({ code }) => code === BOUNDARY)).toEqual([]);
    const folders = await Promise.all(['src', 'web/src'].map((each) => readdir(join(ROOT, each), { recursive: true })));
    const files = folders.flat().filter((name) => /\.(?:tsx?|[jt]s)$/.test(name));
    expect(files.length).toBeGreaterThan(50);
    expect(scanned).toBe(files.length);
  });
});
