/** The data flow for Capture files: as it was, against Azure's own models, and its script against what it says of itself. */
import { describe, expect, it } from 'vitest';
import { templateProblems } from '../../test/azure-models.ts';
import { shellProblem } from '../../test/shell.ts';
import { LINE_PREFIX } from '../core/event.ts';
import { SCRIPT, renderDataFlow } from './adf-data-flow.ts';

const PLAN = {
  pipeline: 'shop',
  capture: { account: 'acme', container: 'capture', prefix: '' },
  to: { account: 'acmelake', container: 'look', prefix: 'at/' },
};
/** Functions of the expression language and keywords of the script, from Microsoft's pages on data flow scripts. */
const WORDS =
  'parameters source output derive filter aggregate groupBy sort asc sink input mapColumn partitionBy toString startsWith regexExtract first iif isNull substring'.split(
    ' ',
  );

describe('the data flow for Capture files', () => {
  const files = new Map(renderDataFlow(PLAN).map(({ name, text }) => [name, text]));
  const template = JSON.parse(files.get('capture-flow.json')!) as {
    resources: { type: string; properties: { typeProperties: Record<string, { name: string }[]> } }[];
  };
  const flow = template.resources.find(({ type }) => type.endsWith('/dataflows'))!.properties.typeProperties;
  // A text may hold what looks like code.
  const script = SCRIPT.join('\n').replaceAll(/'[^']*'/g, "''");

  it('is as it was', async () => {
    await expect([...files].map(([file, content]) => `==== ${file}\n${content}`).join('\n')).toMatchFileSnapshot('golden/adf-data-flow.txt');
  });

  it('has no property that Azure does not know, and no name that is not declared', () => {
    const given = { parameters: { factoryName: { value: 'f' }, namespace: { value: 'n' }, hub: { value: 'h' } } };
    expect(templateProblems(template, given)).toEqual([]);
  });

  it('has a script whose steps are those that it declares, each fed by one before it', () => {
    const made = [...script.matchAll(/~> (\w+)/g)].map(([, name]) => name);
    const declared = [...flow['sources']!, ...flow['transformations']!, ...flow['sinks']!].map(({ name }) => name);
    expect(made).toEqual(declared);
    const fed = [...script.matchAll(/^(\w+) (?:derive|filter|aggregate|sort|sink)\(/gm)].map(([, name]) => name);
    expect(fed).toEqual(made.slice(0, -1));
  });

  it('has a script of known words, with every bracket closed', () => {
    const called = [...script.matchAll(/\b([a-zA-Z]+)[({]/g)].map(([, word]) => word!);
    expect(called.filter((word) => !WORDS.includes(word))).toEqual([]);
    for (const [open, close] of ['()', '{}', '[]'] as const) expect(script.split(open!).length).toBe(script.split(close!).length);
    expect(SCRIPT.join('\n').split("'").length % 2).toBe(1);
  });

  it('takes out of a line what the line says', () => {
    const line = `${LINE_PREFIX}8269","operationType":"insert","ns":{"db":"shop","coll":"it.is"},"at":"2026-11-21T07:45:01.000Z","v":1},"fullDocument":{"position":"x"}}`;
    const found = [...SCRIPT.join('\n').matchAll(/(\w+) = regexExtract\(line, '([^']+)', 1\)/g)].map(([, name, regex]) => [
      name,
      new RegExp(regex!).exec(line)?.[1],
    ]);
    expect(Object.fromEntries(found)).toEqual({ position: '8269', db: 'shop', coll: 'it.is', at: '2026-11-21T07:45:01.000Z' });
    expect(SCRIPT.join('\n')).toContain(`startsWith(line, '${LINE_PREFIX}')`);
  });

  it('has commands that a shell can read', () => expect(shellProblem(files.get('deploy-capture-flow.sh')!)).toBeNull());
});
