/**
 * Whom a command asks, and when it does its work itself.
 */
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseConfig } from '../config/load.ts';
import type { Config } from '../config/config.ts';
import type { OwnerPath } from '../http/client.ts';
import { lakeName, makeToken, writeRunFile, type Seat } from '../http/run-file.ts';
import { askOwnerOr } from './owner.ts';
import { testIo } from './test-io.ts';

let folder: string;
let server: Server;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-owner-'));
  server = createServer((_, answer) => void answer.setHeader('content-type', 'application/json').end('"the owner"'));
  await once(server.listen(0, '127.0.0.1'), 'listening');
});
afterEach(async () => {
  server.close();
  server.closeAllConnections();
  await rm(folder, { recursive: true });
});

const configOf = (warehouse?: string): Config =>
  parseConfig(
    JSON.stringify({
      pipeline: 'shop',
      source: { uri: 'mongodb://h' },
      lake: { url: 'file:lake' },
      ...(warehouse !== undefined && { warehouse: { url: warehouse } }),
    }),
    { folder },
  );

/** Who has done it, beside a process of this machine that has taken these seats. */
async function doneBy(config: Config, seats: readonly Seat[], path: OwnerPath): Promise<string> {
  const env = { XDG_STATE_HOME: folder, HOME: folder };
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  for (const seat of seats)
    await writeRunFile(config, seat, { pid: process.pid, url, token: makeToken(), pipeline: config.pipeline, lake: lakeName(config) }, env);
  return await askOwnerOr(testIo({ env }), config, path, {}, async () => 'the command');
}

describe.each(['/api/verify', '/api/retain', '/api/erase'] as const)('what needs the lake and the warehouse: %s', (path) => {
  it.each([['duckdb:w.duckdb'], ['snowflake://a.snowflakecomputing.com/DB']])(
    'is not asked of a process that has the lake alone, with %s',
    async (warehouse) => {
      expect(await doneBy(configOf(warehouse), ['lake'], path)).toBe('the command');
    },
  );

  it('is asked of whoever has the warehouse', async () => {
    expect(await doneBy(configOf('duckdb:w.duckdb'), ['warehouse'], path)).toBe('the owner');
    expect(await doneBy(configOf('duckdb:w.duckdb'), ['lake', 'warehouse'], path)).toBe('the owner');
  });

  it('is asked of whoever has the lake when there is no warehouse', async () => {
    expect(await doneBy(configOf(), ['lake'], path)).toBe('the owner');
  });

  it('is done by the command when nobody runs', async () => {
    expect(await doneBy(configOf('duckdb:w.duckdb'), [], path)).toBe('the command');
    expect(await doneBy(configOf(), [], path)).toBe('the command');
  });
});
