#!/usr/bin/env node
// Plain JavaScript that any Node.js can read: it must be able to say that the Node.js is too old.
import { existsSync } from 'fs';
import module from 'module';

const NEEDED = [24, 6];

/** The same words and exit code as NODE_TOO_OLD in src/core/errors.ts, which an old Node.js cannot read. */
function refuse(what) {
  const error = {
    code: 'SLC-1008',
    message: 'This Node.js is too old for sluice: ' + what,
    next: 'Install Node.js ' + NEEDED.join('.') + ' or newer.',
    exit: 2,
  };
  process.stderr.write(
    process.argv.includes('--json') ? JSON.stringify(error) + '\n' : error.code + '  ' + error.message + '.\n→ ' + error.next + '\n',
  );
  process.exit(error.exit);
}

const version = process.versions.node.split('.').map(Number);
if (version[0] < NEEDED[0] || (version[0] === NEEDED[0] && version[1] < NEEDED[1])) {
  refuse('it is ' + process.versions.node + ', at ' + process.execPath);
}

// A checkout runs its sources; what is installed from the registry has been built.
const source = new URL('../src/cli/main.ts', import.meta.url);
const fromSource = existsSync(source);
if (fromSource && !process.features.typescript) refuse('it cannot run TypeScript (is it started with --no-strip-types?)');

// From the second start on nothing is compiled again. Without a folder for it, it starts a little slower.
module.enableCompileCache();

import(fromSource ? source.href : new URL('../dist/cli/main.js', import.meta.url).href).then(
  ({ main }) => main(process.argv.slice(2)),
  (error) => {
    // The same words as UNEXPECTED in src/core/errors.ts. In a checkout this is a missing `npm ci` as a rule.
    process.stderr.write(
      'SLC-1999  Something went wrong that sluice did not foresee: ' +
        error.message +
        '\n→ In a checkout, run `npm ci`; else install sluice again.\n',
    );
    process.exit(1);
  },
);
