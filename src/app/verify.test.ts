import { describe, expect, it } from 'vitest';
import { makeSpec, write } from '../../test/fakes/small-lake.ts';
import type { Config } from '../config/config.ts';
import { parseConfig } from '../config/load.ts';
import { openMemoryLake } from '../lake/memory/memory.ts';
import { verifyWith } from './verify.ts';

const never = new AbortController().signal;
const configOf = (more: object): Config =>
  parseConfig(JSON.stringify({ pipeline: 'shop', source: { uri: 'mongodb://h' }, lake: { url: 'file:lake' }, ...more }), { folder: '/' });

describe('verify without a warehouse at hand', () => {
  it.each([
    [{}, 'the configuration has no warehouse'],
    [{ warehouse: { url: 'duckdb:w.duckdb' } }, 'nothing has been loaded yet, or this process does not hold the warehouse'],
  ])('with %j says: %s', async (more, detail) => {
    await using lake = await openMemoryLake();
    await write(lake, makeSpec());
    const verify = async (args: { readonly lake: boolean; readonly warehouse: boolean }) => {
      const { ok, checks } = await verifyWith(configOf(more), lake, null, { ...args, source: false }, never);
      return { ok, checks: checks.map(({ name, outcome, detail: text }) => [name, outcome, ...(name === 'warehouse' ? [text] : [])]) };
    };
    expect(await verify({ lake: false, warehouse: false })).toEqual({
      ok: true,
      checks: [
        ['lake', 'ok'],
        ['warehouse', 'skipped', detail],
      ],
    });
    expect(await verify({ lake: false, warehouse: true })).toEqual({ ok: false, checks: [['warehouse', 'failed', detail]] });
  });
});
