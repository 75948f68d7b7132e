/**
 * `sluice render spark`: a job that does the heavy part of `sluice reshape` on a cluster, and the commands around it.
 *
 * The job reads, decodes, drops repetitions and sorts; it writes to a staging folder alone. What makes a lake of it (intent, ledger,
 * checkpoints, hours) stays with `sluice adopt`, so that there is one program that knows these rules (docs/adr/0014-spark-stages.md).
 */
import { readFileSync } from 'node:fs';
import { scriptFile, shellWord, type TextFile } from './text-file.ts';

export interface SparkPlan {
  readonly pipeline: string;
  /** As Spark names them. */
  readonly lake: string;
  readonly capture: string;
  readonly staging: string;
  /** Lake of the producer; `null`: the same. */
  readonly claims: string | null;
  /** How Capture names its files, and the same as a regular expression. */
  readonly pattern: string;
  readonly regex: string;
  /** Lines of one staged file, in bytes, about. */
  readonly rollBytes: number;
  /** As sluice names the staging folder. */
  readonly adoptFrom: string;
}

/** What was tried; any Spark from 3.4 on should do. */
export const SPARK_AVRO = 'org.apache.spark:spark-avro_2.12:3.5.5';
const PLACEHOLDER = 'json.loads(r"""{}""")';

export function renderSpark(plan: SparkPlan): readonly TextFile[] {
  const { pipeline, lake, pattern, regex, rollBytes } = plan;
  const job = readFileSync(new URL('spark-job/sluice_reshape.py', import.meta.url), 'utf8');
  const settings = JSON.stringify({ pipeline, lake, pattern, regex, rollBytes });
  const options = [
    `--capture ${shellWord(plan.capture)}`,
    `--staging ${shellWord(plan.staging)}`,
    ...(plan.claims === null ? [] : [`--claims ${shellWord(plan.claims)}`]),
  ];
  return [
    { name: 'sluice_reshape.py', text: job.replace(PLACEHOLDER, () => `json.loads(r"""${settings}""")`) },
    scriptFile(
      'submit.sh',
      [
        `Capture files for the pipeline ${pipeline}, by Spark. Written by \`sluice render spark\`; may run again, also after a run that died.`,
        'Needs spark-submit (Spark 3.4 or newer), and sluice with its sluice.yaml in this folder or in CONFIG.',
        'SPARK_OPTIONS goes to spark-submit: the master, sizes, the login for the storage. AVRO is the Avro reader for your Spark; AVRO=none',
        'where Spark brings it. On Databricks, Synapse or Fabric run sluice_reshape.py as a job with the options below, then the last line.',
      ],
      [
        `avro=\${AVRO:-${SPARK_AVRO}}`,
        'set --',
        '[ "$avro" = none ] || set -- --packages "$avro"',
        '# Options are words: SPARK_OPTIONS is split at spaces on purpose.',
        '# shellcheck disable=SC2086',
        'spark-submit ${SPARK_OPTIONS:-} "$@" "$here/sluice_reshape.py" \\',
        `  ${options.join(' \\\n  ')}`,
        `sluice --config "\${CONFIG:-sluice.yaml}" adopt --from ${shellWord(plan.adoptFrom)}`,
      ],
    ),
  ];
}
