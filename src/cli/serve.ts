/**
 * The HTTP server of a run, and the file by which other commands find it.
 */
import type { Serve } from '../app/control.ts';
import type { Role } from '../app/types.ts';
import type { Config } from '../config/config.ts';
import type { Seat } from '../http/run-file.ts';
import type { Logger } from '../ops/log.ts';
import type { Io } from './io.ts';

const WRITES_LAKE: readonly Role[] = ['all', 'capture', 'consume'];

/** @param told the address, as soon as there is one */
export function serveRun(io: Io, config: Config, role: Role, log: Logger, told: (url: string) => void = () => {}): Serve {
  return async (control) => {
    const { startHttp } = await import('../http/server.ts');
    const { lakeName, makeToken, removeRunFile, writeRunFile } = await import('../http/run-file.ts');
    const token = config.http.token ?? makeToken();
    io.secrets.add(token);
    const { host, port } = config.http;
    const server = await startHttp({ host, port, token, control, log, scrub: (text) => io.secrets.scrub(text) });
    told(server.url);
    const runFile = { pid: process.pid, url: server.url, token, instance: server.instance, pipeline: config.pipeline, lake: lakeName(config) };
    const taken = new Map<Seat, Promise<void>>();
    // Without a lock of its own who owns the pipeline has the warehouse, too.
    const isLocked = config.warehouse?.kind === 'duckdb';
    let hasLeft = false;
    const write = async (seat: Seat): Promise<void> => {
      const path = await writeRunFile(config, seat, runFile, io.env);
      if (path === null) log.warn('no folder for the run file is this user’s alone: other commands will not find this process');
      else log.debug({ path }, 'other commands on this machine can find this process');
    };
    const take = (seat: Seat): Promise<void> => {
      const written = write(seat);
      taken.set(seat, written);
      return written;
    };
    const leave = async (seat: Seat): Promise<void> => {
      // What is being written would be there after it was taken away.
      await taken.get(seat)?.catch(() => {});
      if (taken.delete(seat)) await removeRunFile(config, seat, runFile, io.env);
    };
    return {
      async owned() {
        hasLeft = false;
        if (WRITES_LAKE.includes(role)) await take('lake');
      },
      async opened() {
        if (isLocked || !hasLeft) await take('warehouse');
      },
      async leaving() {
        hasLeft = true;
        await leave('lake');
        if (!isLocked) await leave('warehouse');
      },
      async [Symbol.asyncDispose]() {
        for (const seat of taken.keys()) await leave(seat);
        await server[Symbol.asyncDispose]();
      },
    };
  };
}
