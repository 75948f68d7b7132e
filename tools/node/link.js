/**
 * Makes sure that `node_modules/.bin/node` is the Node that sluice runs on.
 *
 * Some versions of npm (10, which comes with Node 20) install the platform's package of the workspace and do not link its
 * binary. Runs after `npm ci` in a checkout, under whatever Node is installed, so it is plain JavaScript.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '../..');
const bin = join(root, 'node_modules/.bin', process.platform === 'win32' ? 'node.cmd' : 'node');
const names = Object.keys(JSON.parse(readFileSync(join(import.meta.dirname, 'package.json'), 'utf8')).optionalDependencies);
const installed = names.filter((name) => existsSync(join(root, 'node_modules', name)));

if (!existsSync(bin) && installed.length > 0) {
  const npm = process.env.npm_execpath;
  const [command, args] = npm ? [process.execPath, [npm]] : ['npm', []];
  const { status } = spawnSync(command, [...args, 'rebuild', ...installed], { cwd: root, stdio: 'inherit' });
  process.exitCode = status ?? 1;
}
