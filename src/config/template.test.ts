import fc from '../../test/fast-check.ts';
import { describe, expect, it } from 'vitest';
import { LAYOUT_PRESETS, partPath } from '../core/layout.ts';
import { templateProblems } from './template.ts';

describe('a layout template', () => {
  it.each([
    LAYOUT_PRESETS.hive,
    LAYOUT_PRESETS.hourly,
    '{db}.{coll}/{yyyyMMdd}/{HH}{part}.jsonl',
    '{db}/{coll}/{yyyy}/{MM}/{dd}/events-{yyyyMMdd}{part}.jsonl',
    'x/{db}/{coll}-{yyyyMMdd}-{HH}{part}.jsonl',
  ])('%s is fine', (template) => expect(templateProblems(template)).toEqual([]));

  it.each([
    ['{db}/{coll}/{yyyyMMdd}.jsonl', 'needs {part}'],
    ['{part}/{coll}/{yyyyMMdd}.jsonl', 'needs {part}'],
    ['{coll}/{yyyyMMdd}{part}{part}', 'needs {part} once'],
    ['{db}/{yyyyMMdd}{part}', 'needs {coll}'],
    ['{coll}/{HH}{part}', 'needs a day'],
    ['{coll}/{yyyy}/{MM}{part}', 'needs a day'],
    ['{coll}/{hour}/{yyyyMMdd}{part}', 'has {hour}, which is none of'],
    ['{db}-{coll}/{yyyyMMdd}{part}', 'must have a /'],
    ['{coll}.{db}/{yyyyMMdd}{part}', 'must have a /'],
    ['{yyyyMMdd}/{coll}{part}', 'must not have {part} beside {coll}'],
    ['/{coll}/{yyyyMMdd}{part}', 'must be relative'],
    ['../{coll}/{yyyyMMdd}{part}', 'must be relative'],
    ['_sluice/{coll}/{yyyyMMdd}{part}', 'must not have names that begin with _ or .'],
    ['{db}/{coll}/{yyyyMMdd}-{HH}/_manifest{part}.json', 'must not have names that begin with _ or .'],
    ['{db}/{coll}/.tmp-{yyyyMMdd}-{HH}{part}.jsonl', 'must not have names that begin with _ or .'],
    ['{db}/{coll}/{yyyyMMdd}-{HH}/{part}', 'must not begin the file name with {part}'],
    ['{coll}/a\\b{yyyyMMdd}{part}', 'does not belong in a path'],
    ['{coll}/a:b{yyyyMMdd}{part}', 'does not belong in a path'],
  ])('%s is not: %s', (template, problem) => expect(templateProblems(template).join('; ')).toContain(problem));

  it('that is accepted never gives two collections, hours or parts one path', () => {
    const between = fc.constantFrom('', '/', '/', '-', '.', 'a', '/x/', '1');
    const order = fc.shuffledSubarray(['{db}', '{coll}', '{yyyyMMdd}', '{HH}', '{part}'], { minLength: 5 });
    // What a path could be confused by: dates inside names, names that end like parts, names that begin like others end.
    const names = ['a', 'b', 'a-b', '20260101', 'a-20260101', '00', '1', '11', 'a/b', 'ab', 'aa'];
    const places = names.flatMap((db) =>
      [...names, 'a.b', 'a.part-0001', '.part-0001'].flatMap((coll) =>
        [490_000, 490_001, 490_024].flatMap((hour) => [0, 1].map((part) => ({ db, coll, hour, part }))),
      ),
    );
    let accepted = 0;
    fc.assert(
      fc.property(order, fc.array(between, { minLength: 5, maxLength: 5 }), (placeholders, gaps) => {
        const template = placeholders.map((placeholder, at) => `${at === 0 ? '' : gaps[at]}${placeholder}`).join('');
        if (templateProblems(template).length > 0) return;
        accepted += 1;
        const paths = new Set(places.map(({ db, coll, hour, part }) => partPath(template, { db, coll }, hour, part, '')));
        expect(paths.size, template).toBe(places.length);
      }),
      { numRuns: 3000 },
    );
    expect(accepted).toBeGreaterThan(50);
  });
});
