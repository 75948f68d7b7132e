/**
 * How large the image will be, without Docker: installs what the Dockerfile installs, thins it as the Dockerfile does, loads every
 * dependency from what is left, and says where the rest lies. `npm run image:size [-- --without snowflake-sdk]`
 */
import { execFileSync } from 'node:child_process';
import { cpSync, globSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '..');
const MIB = 2 ** 20;
const SHOWN = 12;

const without = process.argv.flatMap((arg, i, all) => (all[i - 1] === '--without' ? [arg] : []));
const folder = mkdtempSync(join(tmpdir(), 'sluice-image-'));
try {
  for (const path of ['package.json', 'package-lock.json', '.npmrc', 'bin', 'src', 'dist/web', 'deploy/docker', 'tools']) {
    mkdirSync(join(folder, path, '..'), { recursive: true });
    cpSync(join(ROOT, path), join(folder, path), { recursive: true, filter: (from) => !/\.test\.ts$|\/golden(\/|$)/.test(from) });
  }
  npm('ci', '--omit=dev');
  if (without.length > 0) npm('uninstall', '--no-save', '--omit=dev', ...without);
  const modules = join(folder, 'node_modules');
  const installed = bytesBelow(modules);
  execFileSync('sh', [join(folder, 'deploy/docker/prune.sh'), modules], { stdio: 'inherit' });
  const { dependencies } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { readonly dependencies: Record<string, string> };
  const loaded = Object.keys(dependencies).filter((name) => !without.includes(name));
  execFileSync(process.execPath, ['--input-type=module', '--eval', loaded.map((name) => `await import(${JSON.stringify(name)});`).join('')], {
    cwd: folder,
    stdio: 'inherit',
  });
  const said = execFileSync(process.execPath, ['bin/sluice.js', '--version'], { cwd: folder, encoding: 'utf8' }).trim();
  const compressed = execFileSync('sh', ['-c', 'tar -c bin src dist node_modules package.json | gzip -6 | wc -c'], { cwd: folder, encoding: 'utf8' });
  report(modules, installed, said, Number(compressed));
} finally {
  rmSync(folder, { recursive: true, force: true });
}

function npm(...args: readonly string[]): void {
  execFileSync('npm', [...args, '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: folder,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
}

function bytesBelow(path: string): number {
  const stat = lstatSync(path);
  return stat.isDirectory() ? readdirSync(path).reduce((sum, name) => sum + bytesBelow(join(path, name)), 0) : stat.size;
}

function mib(bytes: number): string {
  return `${(bytes / MIB).toFixed(1)} MiB`;
}

function report(modules: string, installed: number, said: string, compressed: number): void {
  const packages = globSync(['*/', '@*/*/'], { cwd: modules }).filter((name) => !/^@[^/\\]+\/?$/.test(name));
  const sizes = packages.map((name) => [name, bytesBelow(join(modules, name))] as const).toSorted(([, a], [, b]) => b - a);
  const own = ['bin', 'src', 'dist'].reduce((sum, name) => sum + bytesBelow(join(folder, name)), 0);
  const lines = [
    `sluice ${said} on top of its base image (node, about 80 MB compressed)`,
    `  installed, with what the checkout needs  ${mib(installed)}`,
    `  thinned                                  ${mib(bytesBelow(modules))}`,
    `  sluice itself                            ${mib(own)}`,
    `  all of it, compressed                    ${mib(compressed)}`,
    `the ${SHOWN} largest of ${packages.length} packages:`,
    ...sizes.slice(0, SHOWN).map(([name, bytes]) => `  ${name.padEnd(40)} ${mib(bytes)}`),
  ];
  process.stdout.write(`${lines.join('\n')}\n`);
}
