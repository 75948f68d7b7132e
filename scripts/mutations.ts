/**
 * Makes each deliberate mistake of scripts/mutation-list.ts in a copy of the repository and runs tests until one fails.
 * Exit 1 when a mistake is noticed by no test, or cannot be made any more: `npm run test:mutations [part of a name…]`.
 *
 * The working tree is never touched. Before anything is changed the same tests are run once: where they fail by
 * themselves, they would "notice" everything.
 */
import { spawn } from 'node:child_process';
import { cp, mkdtemp, readFile, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { BROADER, MUTATIONS, type Mutation } from './mutation-list.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const COPIED = ['bin', 'docs', 'examples', 'scripts', 'src', 'test', 'package.json', 'tsconfig.json', 'vitest.config.ts', '.oxlintrc.json'];
/** A mistake that makes the tests hang has been noticed as well. */
const RUN_MS_MAX = 5 * 60_000;
const TEST_MS_MAX = 30_000;

type Outcome = { readonly kind: 'passed' | 'hung' | 'broken' } | { readonly kind: 'failed'; readonly test: string };

interface TestReport {
  readonly testResults: readonly {
    readonly message: string;
    readonly assertionResults: readonly { readonly status: string; readonly fullName: string }[];
  }[];
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

async function copyRepository(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-mutations-'));
  for (const name of COPIED) await cp(join(ROOT, name), join(folder, name), { recursive: true });
  await symlink(await realpath(join(ROOT, 'node_modules')), join(folder, 'node_modules'));
  return folder;
}

/** @param extra of Vitest */
async function runTests(folder: string, tests: readonly string[], extra: readonly string[], msMax: number): Promise<Outcome> {
  const report = join(folder, 'report.json');
  await rm(report, { force: true });
  const args = [join(folder, 'node_modules/vitest/vitest.mjs'), 'run', ...tests, '--reporter=json', `--outputFile=${report}`, ...extra];
  const child = spawn(process.execPath, args, { cwd: folder, stdio: 'ignore', detached: true });
  const { promise, resolve } = Promise.withResolvers<number | 'hung'>();
  // Its workers are in its process group.
  const timer = setTimeout(() => (process.kill(-child.pid!, 'SIGKILL'), resolve('hung')), msMax);
  child.once('error', () => resolve(1));
  child.once('exit', (code) => resolve(code ?? 1));
  const code = await promise;
  clearTimeout(timer);
  if (code === 'hung') return { kind: 'hung' };
  if (code === 0) return { kind: 'passed' };
  try {
    const { testResults } = JSON.parse(await readFile(report, 'utf8')) as TestReport;
    const failed = testResults.flatMap((file) => file.assertionResults).find(({ status }) => status === 'failed');
    return failed === undefined ? { kind: 'broken' } : { kind: 'failed', test: failed.fullName };
  } catch {
    return { kind: 'broken' };
  }
}

interface Verdict {
  readonly mark: 'killed' | 'SURVIVED' | 'BROKEN' | 'NO TEXT';
  /** What noticed it. */
  readonly by: string;
}

async function judge(folder: string, { tests }: Mutation): Promise<Verdict> {
  for (const [index, stage] of [...tests, BROADER].entries()) {
    const outcome = await runTests(folder, stage, ['--bail=1', `--testTimeout=${TEST_MS_MAX}`], RUN_MS_MAX);
    const where = index < tests.length ? '' : ' (only by the broader set: list its file)';
    if (outcome.kind === 'failed') return { mark: 'killed', by: `${outcome.test}${where}` };
    if (outcome.kind === 'hung') return { mark: 'killed', by: `${stage.join(' ')}: did not end${where}` };
    // A file that cannot even be loaded is noticed by everybody and shows nothing.
    if (outcome.kind === 'broken') return { mark: 'BROKEN', by: `${stage.join(' ')}: failed without a failed test` };
  }
  return { mark: 'SURVIVED', by: '' };
}

async function run(names: readonly string[]): Promise<number> {
  const chosen = MUTATIONS.filter(({ name }) => names.length === 0 || names.some((part) => name.includes(part)));
  const folder = await copyRepository();
  let survived = 0;
  try {
    const all = [...new Set(chosen.flatMap(({ tests }) => tests.flat()))];
    say(`${chosen.length} mutations; first the tests as they are: ${all.join(' ')}`);
    const before = await runTests(folder, all, [], 2 * RUN_MS_MAX);
    if (before.kind !== 'passed') {
      say(`They do not pass by themselves (${before.kind === 'failed' ? before.test : before.kind}): nothing can be told.`);
      return 1;
    }
    for (const mutation of chosen) {
      const path = join(folder, mutation.file);
      const text = await readFile(path, 'utf8');
      const parts = text.split(mutation.find);
      const beganMs = performance.now();
      let verdict: Verdict = { mark: 'NO TEXT', by: '' };
      if (parts.length === 2) {
        await writeFile(path, parts.join(mutation.replace));
        verdict = await judge(folder, mutation);
        await writeFile(path, text);
      }
      if (verdict.mark !== 'killed') survived += 1;
      const seconds = ((performance.now() - beganMs) / 1000).toFixed(1);
      say(`${verdict.mark.padEnd(8)} ${mutation.name} [${mutation.file}, ${seconds} s]${verdict.by === '' ? '' : `\n           by: ${verdict.by}`}`);
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  say(`${chosen.length - survived} killed, ${survived} not`);
  return survived === 0 ? 0 : 1;
}

process.exitCode = await run(process.argv.slice(2));
