/** What is rendered for Terraform: the files as they were, read by HashiCorp's parser, held against what the providers declare. */
import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { terraformProblems } from '../../test/terraform.ts';
import { renderTerraform, type TerraformPlan } from './terraform.ts';

const EVERYTHING: TerraformPlan = {
  pipeline: 'shop',
  lake: { account: 'acmelake', container: 'lake', prefix: 'prod/', hierarchical: true },
  eventHubs: { namespace: 'acme', hub: 'shop', group: 'sluice', partitions: 8, login: 'keys' },
  snowflake: { database: 'ANALYTICS', warehouse: 'SLUICE_WH', loader: 'SLUICE_LOADER', user: 'SLUICE' },
};
const CASES: readonly (readonly [name: string, plan: TerraformPlan])[] = [
  ['everything', EVERYTHING],
  ['a lake alone', { ...EVERYTHING, eventHubs: null, snowflake: null, lake: { ...EVERYTHING.lake!, hierarchical: false } }],
  ['identities on the bus', { ...EVERYTHING, snowflake: null, eventHubs: { ...EVERYTHING.eventHubs!, login: 'identity' } }],
  ['Snowflake over a local lake', { ...EVERYTHING, lake: null, eventHubs: null, snowflake: { ...EVERYTHING.snowflake!, user: null } }],
];
const terraformMissing = spawnSync('terraform', ['version'], { stdio: 'ignore' }).error !== undefined;

describe.each(CASES)('Terraform for %s', (name, plan) => {
  const files = new Map(renderTerraform(plan).map((file) => [file.name, file.text]));

  it('is as it was', async () => {
    const written = [...files].map(([file, content]) => `# ==== ${file}\n${content}`).join('\n');
    await expect(written).toMatchFileSnapshot(`golden/terraform-${name.replaceAll(/\W+/g, '-').toLowerCase()}.tf`);
  });

  it('can be parsed, has only what the providers have, and names only what it declares', async () => {
    expect(await terraformProblems(files)).toEqual([]);
  });

  it.skipIf(terraformMissing)('is written as terraform fmt writes it (where terraform is installed)', () => {
    for (const [file, content] of files) {
      const { stdout } = spawnSync('terraform', ['fmt', '-'], { input: content, encoding: 'utf8' });
      expect(stdout, file).toBe(content);
    }
  });
});

describe('the gate', () => {
  it('sees attributes that there are not, what is missing, and names that nobody declares', async () => {
    const resource =
      'resource "azurerm_eventhub" "x" {\n  name = var.nobody\n  partitions = 4\n  namespace_id = azurerm_eventhub_namespace.y.id\n}\n';
    expect((await terraformProblems(new Map([['x.tf', resource]]))).toSorted()).toEqual([
      'azurerm_eventhub.x has no partitions',
      'azurerm_eventhub.x lacks partition_count',
      'azurerm_eventhub_namespace.y is not declared',
      'var.nobody is not declared',
    ]);
  });

  it('sees what cannot be parsed', async () => {
    await expect(terraformProblems(new Map([['x.tf', 'resource "a" {']]))).rejects.toThrow();
  });
});
