/**
 * Builds the dashboard into dist/web, from where the process serves it. Runs after `npm ci` in a checkout and by `npm run build`.
 *
 * An install without development dependencies has no bundler: then what is there already is left as it is.
 */
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const root = join(import.meta.dirname, '../..');

function findVite() {
  try {
    return createRequire(join(root, 'package.json')).resolve('vite');
  } catch {
    return null;
  }
}

const vite = findVite();
if (vite === null) {
  process.stdout.write('The dashboard is not built: there are no development dependencies.\n');
} else {
  const { build } = await import(pathToFileURL(vite).href);
  await build({ configFile: join(root, 'web/vite.config.ts') });
}
