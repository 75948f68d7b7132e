/**
 * A folder of a test's own, with a configuration and a lake in it. Removed when it is disposed.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Config } from '../../src/config/config.ts';
import { parseConfig } from '../../src/config/load.ts';
import { openLocalLake } from '../../src/lake/local/local.ts';
import { checkpointPath, decodeCheckpoint, type Checkpoint, type Scope } from '../../src/pipeline/checkpoint.ts';
import { verifyLake } from '../../src/pipeline/verify-lake.ts';

/** Keys of a configuration file; `pipeline`, `lake.url` and `http.port` are given. */
export interface Settings {
  readonly source: Readonly<Record<string, unknown>>;
  readonly lake?: Readonly<Record<string, unknown>>;
  readonly warehouse?: Readonly<Record<string, unknown>>;
  readonly bus?: Readonly<Record<string, unknown>>;
  readonly checkpoint?: Readonly<Record<string, unknown>>;
  readonly dump?: Readonly<Record<string, unknown>>;
}

export const PIPELINE = 'shop';

export class Workspace implements AsyncDisposable {
  readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
  }

  static async make(): Promise<Workspace> {
    return new Workspace(await mkdtemp(join(tmpdir(), 'sluice-e2e-')));
  }

  /** Where the lake's files are. */
  get lake(): string {
    return join(this.folder, 'lake');
  }

  config(settings: Settings): Config {
    return parseConfig(text(settings), { folder: this.folder });
  }

  /** For a process of its own. @returns the file's path */
  async writeConfig(settings: Settings): Promise<string> {
    const path = join(this.folder, 'sluice.yaml');
    await writeFile(path, text(settings));
    return path;
  }

  async checkpoint(scope: Scope = null): Promise<Checkpoint> {
    const path = checkpointPath(PIPELINE, scope);
    return decodeCheckpoint(await readFile(join(this.lake, path)), path);
  }

  /** What the product's own proof finds wrong with the lake. */
  async verify(): Promise<readonly string[]> {
    await using lake = await openLocalLake(this.lake);
    const report = await verifyLake(lake, PIPELINE, { signal: new AbortController().signal });
    return report.findings.map(({ check, path, detail }) => `${check}: ${path}: ${detail}`);
  }

  /** By a process, which may be this one. */
  async isOwned(scope: Scope = null): Promise<boolean> {
    await using lake = await openLocalLake(this.lake);
    await using ownership = await lake.own(checkpointPath(PIPELINE, scope), { takeOver: false }, new AbortController().signal);
    return ownership === null;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** JSON is YAML, too. */
function text({ lake, ...rest }: Settings): string {
  return JSON.stringify({ pipeline: PIPELINE, ...rest, lake: { url: 'file:./lake', ...lake }, http: { port: 0 } });
}
