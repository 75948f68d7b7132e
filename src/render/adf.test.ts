/** What is rendered for Data Factory: as it was, against Azure's own models, and calling what `render snowflake` makes. */
import { describe, expect, it } from 'vitest';
import { syntaxError } from '../../test/snowflake-sql.ts';
import { templateProblems } from '../../test/azure-models.ts';
import { shellProblem } from '../../test/shell.ts';
import { renderAdf, type AdfPlan } from './adf.ts';

const PLAN: AdfPlan = {
  pipeline: 'shop',
  account: 'myorg-myaccount',
  database: 'ANALYTICS',
  warehouse: 'SLUICE_WH',
  role: 'SLUICE_LOADER',
  user: 'SLUICE',
  collections: [
    { name: 'shop.orders', load: 'sluice.shop__orders_load_recent', merge: 'sluice.shop__orders_merge_changes' },
    { name: "shop.it's", load: `sluice."shop__it's_load_recent"`, merge: `sluice."shop__it's_merge_changes"` },
  ],
  minute: 12,
};

interface Activity {
  readonly name: string;
  readonly type: string;
  readonly dependsOn?: readonly { readonly activity: string }[];
  readonly typeProperties: {
    readonly activities?: readonly Activity[];
    readonly ifTrueActivities?: readonly Activity[];
    readonly scripts?: readonly { readonly text: unknown }[];
  };
}

describe('Data Factory', () => {
  const files = new Map(renderAdf(PLAN).map((file) => [file.name, file.text]));
  const template = JSON.parse(files.get('adf.json')!) as { resources: { type: string; properties: { activities?: Activity[] } }[] };
  const activities = template.resources.find(({ type }) => type.endsWith('/pipelines'))!.properties.activities!;

  it('is as it was', async () => {
    await expect([...files].map(([file, content]) => `==== ${file}\n${content}`).join('\n')).toMatchFileSnapshot('golden/adf.txt');
  });

  it('has no property that Azure does not know, and no name that is not declared', () => {
    const given = { parameters: { factoryName: { value: 'f' }, vaultUrl: { value: 'v' }, keySecret: { value: 'k' } } };
    expect(templateProblems(template, given)).toEqual([]);
  });

  it('goes from discovery over the lookup to each collection, copies, then merges, then looks at the health', () => {
    const order = activities.map(({ name, dependsOn }) => [dependsOn?.map((one) => one.activity).join() ?? '', name]);
    expect(order).toEqual([
      ['', 'Discover'],
      ['Discover', 'Lookup'],
      ['Lookup', 'ForEachCollection'],
      ['ForEachCollection', 'Health'],
      ['Health', 'Verdict'],
    ]);
    expect(activities[2]!.typeProperties.activities!.map(({ name, dependsOn }) => [name, dependsOn?.map((one) => one.activity)])).toEqual([
      ['Copy', []],
      ['Merge', ['Copy']],
    ]);
  });

  it('asks Snowflake in SQL that parses', () => {
    const texts = activities.flatMap(({ typeProperties }) => typeProperties.scripts?.map(({ text }) => text) ?? []);
    const plain = texts.filter((text) => typeof text === 'string');
    expect(plain.length).toBe(3);
    expect(plain.map(syntaxError)).toEqual([null, null, null]);
  });

  it('has commands that a shell can read', () => expect(shellProblem(files.get('deploy.sh')!)).toBeNull());
});
