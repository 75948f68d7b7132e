/** What is rendered for Event Hubs: the files as they were, and each against Azure's own models. */
import { describe, expect, it } from 'vitest';
import { modelProblems, templateProblems } from '../../test/azure-models.ts';
import { shellProblem } from '../../test/shell.ts';
import { renderEventHubs, type EventHubsPlan } from './eventhubs.ts';

const PLAN: EventHubsPlan = {
  pipeline: 'shop',
  namespace: 'acme',
  hub: 'shop',
  group: 'sluice',
  sku: 'Standard',
  units: 2,
  partitions: 8,
  retentionHours: 168,
  login: 'keys',
  policies: 'split',
  capture: null,
};
const CAPTURE = { account: 'acmelake', container: 'capture' };

const CASES: readonly (readonly [name: string, plan: EventHubsPlan])[] = [
  ['keys', PLAN],
  ['one process', { ...PLAN, policies: 'one' }],
  ['identity, Premium, Capture', { ...PLAN, login: 'identity', sku: 'Premium', retentionHours: 720, capture: CAPTURE }],
  ['keys and Capture', { ...PLAN, capture: CAPTURE }],
];

describe.each(CASES)('Event Hubs: %s', (name, plan) => {
  const files = new Map(renderEventHubs(plan).map((file) => [file.name, file.text]));
  const template: unknown = JSON.parse(files.get('eventhubs.json')!);
  const text = JSON.stringify(template);

  it('is as it was', async () => {
    const written = [...files].map(([file, content]) => `==== ${file}\n${content}`).join('\n');
    await expect(written).toMatchFileSnapshot(`golden/eventhubs-${name.replaceAll(/\W+/g, '-').toLowerCase()}.txt`);
  });

  it('has no property that Azure does not know, and no name that is not declared', () => {
    expect(templateProblems(template, JSON.parse(files.get('eventhubs.parameters.json')!))).toEqual([]);
  });

  it('has commands that a shell can read', () => expect(shellProblem(files.get('deploy.sh')!)).toBeNull());

  it('gives nobody more than the pipeline needs', () => {
    expect(text).not.toContain('Manage');
    // Rights are on the hub, not on the namespace.
    expect(text).not.toContain('namespaces/authorizationRules');
    expect(text.includes('"disableLocalAuth":true')).toBe(plan.login === 'identity');
    expect(text.includes('authorizationRules')).toBe(plan.login === 'keys');
  });
});

describe('the gate', () => {
  it.each<readonly [what: string, value: object, problem: RegExp]>([
    ['a misspelt property', { properties: { partitonCount: 4 } }, /partitonCount is not known/],
    ['a wrong type', { properties: { partitionCount: 'four' } }, /partitionCount is no number/],
    ['a value that there is not', { properties: { captureDescription: { encoding: 'avro' } } }, /encoding.*not one of/],
    ['what only Azure may set', { properties: { createdAt: 'now' } }, /createdAt is read-only/],
  ])('sees %s', (_what, value, problem) => expect(modelProblems('eventHub', 'Eventhub', value).join()).toMatch(problem));

  it('sees a parameter that is not declared, one without a value, and a bracket too many', () => {
    const template = {
      parameters: { a: { type: 'string' } },
      resources: [],
      outputs: { x: { type: 'string', value: "[concat(parameters('b'))]" }, y: { type: 'string', value: "[concat('(']" } },
    };
    expect(templateProblems(template, { parameters: {} }).toSorted()).toEqual([
      "brackets of [concat('(']",
      'parameter a has no value',
      'parameter a is not used',
      'parameter b is not declared',
    ]);
  });

  it('sees a script that a shell cannot read', () => expect(shellProblem('if true; then\necho')).not.toBeNull());
});
