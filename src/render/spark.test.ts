/** What is rendered for Spark, as text; test/e2e/spark.test.ts runs it. */
import { describe, expect, it } from 'vitest';
import { shellProblem } from '../../test/shell.ts';
import { renderSpark, type SparkPlan } from './spark.ts';

const PLAN: SparkPlan = {
  pipeline: 'shop',
  lake: 'abfss://lake@acme.dfs.core.windows.net/shop',
  capture: 'abfss://capture@acme.dfs.core.windows.net',
  staging: 'abfss://staging@acme.dfs.core.windows.net/shop',
  claims: null,
  pattern: '{Namespace}/{EventHub}/{PartitionId}',
  regex: String.raw`(?<PartitionId>\d+)"'""\\`,
  rollBytes: 67_108_864,
  adoptFrom: 'abfss://staging@acme.dfs.core.windows.net/shop',
};

describe('a job for Spark', () => {
  const files = new Map(renderSpark(PLAN).map(({ name, text }) => [name, text]));

  it('is submitted by a script that a shell can read, as it was', async () => {
    expect(shellProblem(files.get('submit.sh')!)).toBeNull();
    await expect(files.get('submit.sh')!).toMatchFileSnapshot('golden/spark.txt');
  });

  it('has its settings as they were given, whatever is in them', () => {
    const [, settings = ''] = /json\.loads\(r"""(.*)"""\)/.exec(files.get('sluice_reshape.py')!) ?? [];
    const { pipeline, lake, pattern, regex, rollBytes } = PLAN;
    expect(JSON.parse(settings)).toEqual({ pipeline, lake, pattern, regex, rollBytes });
    // What would end the text of Python early.
    expect(settings).not.toContain('"""');
  });
});
