/**
 * `sluice render function`: an Azure Function app whose functions ring for commands of sluice.
 *
 * Thin on purpose: functions.json says what rings for which command, function-app/index.js runs it as a process. No function
 * handles data, so that nothing is promised here that the commands do not keep.
 */
import { readFileSync } from 'node:fs';
import { jsonFile, scriptFile, type TextFile } from './text-file.ts';

export type Bell =
  /** NCRONTAB, six fields, in UTC. */
  | { readonly kind: 'timer'; readonly schedule: string }
  | { readonly kind: 'eventHub'; readonly hub: string; readonly group: string }
  /** `container/{name}` */
  | { readonly kind: 'blob'; readonly path: string };

export interface FunctionPlan {
  readonly pipeline: string;
  readonly timeLimitSeconds: number;
  readonly functions: readonly (Bell & { readonly name: string; readonly command: readonly string[] })[];
}

/** The oldest Node of the Functions host that runs sluice. */
const NODE = '24';

export function renderFunction(plan: FunctionPlan): readonly TextFile[] {
  const { pipeline, timeLimitSeconds, functions } = plan;
  return [
    jsonFile('host.json', {
      version: '2.0',
      // A command has its own limit; the host's is the last resort.
      functionTimeout: duration(timeLimitSeconds + 30),
      extensionBundle: { id: 'Microsoft.Azure.Functions.ExtensionBundle', version: '[4.*, 5.0.0)' },
      logging: { applicationInsights: { samplingSettings: { isEnabled: false } } },
      // A command reads all files that there are: more at once would only wait for each other.
      ...(functions.some(({ kind }) => kind === 'blob') && { extensions: { blobs: { maxDegreeOfParallelism: 1 } } }),
    }),
    jsonFile('package.json', {
      name: `sluice-${pipeline.toLowerCase()}-functions`,
      private: true,
      type: 'module',
      main: 'index.js',
      engines: { node: `>=${NODE}.6` },
      dependencies: { '@azure/functions': '^4.16.0' },
    }),
    jsonFile('functions.json', { timeLimitSeconds, functions }),
    { name: 'index.js', text: readFileSync(new URL('function-app/index.js', import.meta.url), 'utf8') },
    { name: '.funcignore', text: 'package.sh\n*.md\n.git*\nlocal.settings.json\n' },
    scriptFile(
      'package.sh',
      [
        `Function app for the pipeline ${pipeline}. Written by \`sluice render function\`.`,
        'Puts sluice and your sluice.yaml into this folder, and publishes it. Needs npm, az and func (Azure Functions Core Tools).',
        'CHECKOUT is a checkout in which `npm ci` was run: CHECKOUT=/path/to/sluice CONFIG=/path/to/sluice.yaml APP=my-function-app sh package.sh',
        `The app: Linux, Node ${NODE}, one instance at most (functionAppScaleLimit 1), settings MONGODB_URI and the others that sluice.yaml names.`,
      ],
      [
        ': "${CHECKOUT:?}" "${CONFIG:?}" "${APP:?}"',
        'rm -rf "$here/sluice"',
        'mkdir "$here/sluice"',
        'for path in package.json package-lock.json .npmrc tools bin src dist LICENSE; do cp -R "$CHECKOUT/$path" "$here/sluice/"; done',
        '(cd "$here/sluice" && npm ci --omit=dev --ignore-scripts --no-audit --no-fund)',
        'sh "$CHECKOUT/deploy/docker/prune.sh" "$here/sluice/node_modules"',
        'cp "$CONFIG" "$here/sluice.yaml"',
        '(cd "$here" && npm install --omit=dev && func azure functionapp publish "$APP")',
      ],
    ),
  ];
}

function duration(seconds: number): string {
  const two = (n: number): string => String(n).padStart(2, '0');
  return `${two(Math.floor(seconds / 3600))}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
}
