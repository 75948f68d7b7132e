/**
 * A real Spark for tests, in local mode: pyspark in a Python of its own, and Spark's reader for Avro, which comes through Maven.
 *
 * It needs Java 17, python3 with venv and pip and, once, Maven. Where they are absent the tests that need Spark are reported as skipped,
 * with {@link whyNoSpark} as the reason; under CI they fail. As for mongod, a folder of the cache with its final name is complete.
 */
import { spawn, spawnSync, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { access, mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { SPARK_AVRO } from '../src/render/spark.ts';

const [GROUP, ARTIFACT, VERSION] = SPARK_AVRO.split(':') as [string, string, string];
const own = process.env['SLUICE_CACHE'];
const CACHE = own !== undefined && own !== '' ? own : join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'sluice');
const FOLDER = join(CACHE, `pyspark-${VERSION}`);
const JAR = join(FOLDER, `${ARTIFACT}-${VERSION}.jar`);

/** Why no Spark can be started here; `null` when one can, and under CI, where the start then fails with the reason. */
export async function whyNoSpark(): Promise<string | null> {
  const reason = await absent();
  if (reason === null || process.env['CI'] === 'true') return null;
  process.stderr.write(`SKIPPED, no Spark: ${reason}\n`);
  return reason;
}

async function absent(): Promise<string | null> {
  if (spawnSync('java', ['-version']).error !== undefined) return '`java` is not on PATH (openjdk-17-jre-headless)';
  if (await isThere()) return null;
  if (spawnSync('python3', ['-c', 'import ensurepip, venv']).status !== 0) return 'python3 with venv and pip is needed';
  return spawnSync('mvn', ['-v']).error === undefined ? null : '`mvn` is not on PATH (maven), and Spark is not in the cache';
}

function isThere(): Promise<boolean> {
  return access(join(FOLDER, '.complete')).then(
    () => true,
    () => false,
  );
}

function run(command: string, args: readonly string[], cwd: string): void {
  const made = spawnSync(command, args, { cwd, encoding: 'utf8', maxBuffer: 16 * 1024 ** 2 });
  if (made.status !== 0) throw new Error(`no Spark: ${command} ${args.join(' ')}: ${made.error?.message ?? ''} ${made.stdout} ${made.stderr}`);
}

/** Fetches it into the cache, once. */
export async function fetchSpark(): Promise<void> {
  if (await isThere()) return;
  await mkdir(CACHE, { recursive: true });
  // A virtual environment knows its own path; only its Python is used, which finds its packages wherever it lies.
  const claim = await mkdtemp(join(CACHE, '.fetch-pyspark-'));
  process.stderr.write('fetching Spark through pip and Maven (300 MB, once)\n');
  try {
    run('python3', ['-m', 'venv', '--copies', claim], CACHE);
    run(join(claim, 'bin/python'), ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', `pyspark==${VERSION}`], CACHE);
    const dependency = `<dependency><groupId>${GROUP}</groupId><artifactId>${ARTIFACT}</artifactId><version>${VERSION}</version></dependency>`;
    const project = '<modelVersion>4.0.0</modelVersion><groupId>sluice</groupId><artifactId>spark</artifactId><version>1</version>';
    await writeFile(join(claim, 'pom.xml'), `<project>${project}<dependencies>${dependency}</dependencies></project>`);
    run('mvn', ['-q', '-B', 'dependency:copy-dependencies', '-DoutputDirectory=.', '-DincludeArtifactIds=' + ARTIFACT], claim);
    await writeFile(join(claim, '.complete'), '');
    await rename(claim, FOLDER).catch(async (error: unknown) => {
      if (!(await isThere())) throw error;
    });
  } finally {
    await rm(claim, { recursive: true, force: true });
  }
}

export interface SparkProcess {
  readonly child: ChildProcessByStdio<Writable, Readable, Readable>;
  /** `signal` when it was killed. */
  readonly ended: Promise<{ readonly code: number | null; readonly signal: string | null; readonly out: string; readonly err: string }>;
}

/** As a user does it, with two threads. @param scratch a folder that is the caller's to remove */
export async function sparkSubmit(job: string, args: readonly string[], scratch: string): Promise<SparkProcess> {
  const { home, options, env } = await prepared(scratch);
  return follow(spawn(join(home, 'bin/spark-submit'), [...options, job, ...args], { cwd: scratch, env, stdio: ['pipe', 'pipe', 'pipe'] }));
}

interface Prepared {
  readonly python: string;
  readonly home: string;
  readonly options: readonly string[];
  readonly env: NodeJS.ProcessEnv;
}

async function prepared(scratch: string): Promise<Prepared> {
  await fetchSpark();
  await mkdir(scratch, { recursive: true });
  const python = join(FOLDER, 'bin/python');
  const home = spawnSync(python, ['-c', 'import pyspark; print(pyspark.__path__[0])'], { encoding: 'utf8' }).stdout.trim();
  const settings = {
    'spark.ui.enabled': 'false',
    'spark.log.level': 'ERROR',
    'spark.sql.shuffle.partitions': '2',
    'spark.driver.host': '127.0.0.1',
    'spark.driver.bindAddress': '127.0.0.1',
    'spark.local.dir': scratch,
    // Plans are run as they are: to compile each of them takes longer than the few rows that there are.
    'spark.sql.codegen.wholeStage': 'false',
    'spark.driver.extraJavaOptions': `-XX:TieredStopAtLevel=1 -Djava.io.tmpdir=${scratch}`,
  };
  const conf = Object.entries(settings).flatMap(([name, value]) => ['--conf', `${name}=${value}`]);
  const env = {
    ...process.env,
    SPARK_HOME: home,
    PYSPARK_PYTHON: python,
    PYSPARK_DRIVER_PYTHON: python,
    SPARK_LOCAL_IP: '127.0.0.1',
    TMPDIR: scratch,
  };
  return { python, home, env, options: ['--master', 'local[2]', '--driver-memory', '1g', '--jars', JAR, ...conf] };
}

function follow(child: SparkProcess['child']): SparkProcess {
  const texts = { out: '', err: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => void (texts.out += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => void (texts.err += text));
  const ended = once(child, 'close').then(([code, signal]) => ({ code: code as number | null, signal: signal as string | null, ...texts }));
  return { child, ended };
}

/** Runs many jobs in one process, because a JVM takes as long to start as a small job takes. */
export class SparkSession implements AsyncDisposable {
  readonly #process: SparkProcess;
  readonly #lines: AsyncIterator<string>;

  private constructor(process: SparkProcess) {
    this.#process = process;
    this.#lines = createInterface({ input: process.child.stdout })[Symbol.asyncIterator]();
  }

  static async start(scratch: string): Promise<SparkSession> {
    const { python, options, env } = await prepared(scratch);
    const given = { ...env, PYSPARK_SUBMIT_ARGS: `${options.map((option) => `'${option}'`).join(' ')} pyspark-shell` };
    const script = join(import.meta.dirname, 'fakes/spark-session.py');
    return new SparkSession(follow(spawn(python, [script], { cwd: scratch, env: given, stdio: ['pipe', 'pipe', 'pipe'] })));
  }

  /** What it has said. `failed`: what it died of. */
  async run(job: string, args: readonly string[]): Promise<{ readonly failed: string | null; readonly said: readonly string[] }> {
    this.#process.child.stdin.write(`${JSON.stringify([job, ...args])}\n`);
    const said: string[] = [];
    for (;;) {
      const { value, done } = await this.#lines.next();
      if (done === true) throw new Error(`Spark has ended: ${(await this.#process.ended).err}`);
      const ended = /^ENDED (.*)$/.exec(value)?.[1];
      if (ended === undefined) said.push(value);
      else return { failed: ended === '0' ? null : (JSON.parse(ended) as string), said };
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.child.stdin.end();
    await this.#process.ended;
  }
}
