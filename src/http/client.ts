/**
 * Asks the owner of a pipeline that runs on this machine.
 */
import { request } from 'node:http';
import { reasonOf, SluiceError } from '../core/error.ts';
import { allErrors, OWNER_UNREACHABLE } from '../core/errors.ts';
import type { RunFile } from './run-file.ts';

const ANSWER_BYTES_MAX = 1024 * 1024 * 1024;

export type OwnerPath =
  | '/api/status'
  | '/api/seal'
  | '/api/snapshot'
  | '/api/dump'
  | '/api/retain'
  | '/api/erase'
  | '/api/restore'
  | '/api/load'
  | '/api/merge'
  | '/api/query'
  | '/api/verify'
  | '/api/pause'
  | '/api/resume'
  | '/api/discover'
  | '/api/collections'
  | '/api/schema';

/**
 * The owner's answer. `status` is read, all else is done.
 * Waits as long as the owner works: a proof of a large lake may take hours, so there is no time limit but `signal`.
 * @throws the owner's own SluiceError, or OWNER_UNREACHABLE
 */
export async function callOwner(owner: RunFile, path: OwnerPath, body: object, signal: AbortSignal): Promise<unknown> {
  const { status, text } = await send(owner, path, body, signal);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new SluiceError(OWNER_UNREACHABLE, `${owner.url} answered ${status} with something that is not JSON`, { cause: error });
  }
  if (status === 200) return value;
  throw asError(value, owner, status);
}

function send(owner: RunFile, path: OwnerPath, body: object, signal: AbortSignal): Promise<{ status: number; text: string }> {
  const reading = path === '/api/status';
  const payload = reading ? '' : JSON.stringify(body);
  const headers = {
    authorization: `Bearer ${owner.token}`,
    ...(reading ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload) }),
  };
  return new Promise((resolve, reject) => {
    const fail = (error: unknown): void =>
      reject(
        signal.aborted
          ? (signal.reason as Error)
          : new SluiceError(OWNER_UNREACHABLE, `${owner.url} (process ${owner.pid}): ${reasonOf(error)}`, { cause: error }),
      );
    const call = request(`${owner.url}${path}`, { method: reading ? 'GET' : 'POST', headers, signal }, (answer) => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      answer.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > ANSWER_BYTES_MAX) answer.destroy(new Error(`the answer is larger than ${ANSWER_BYTES_MAX} bytes; use a smaller limit`));
        else chunks.push(chunk);
      });
      answer.on('end', () => resolve({ status: answer.statusCode ?? 0, text: Buffer.concat(chunks).toString('utf8') }));
      answer.on('error', fail);
    });
    call.on('error', fail);
    call.end(payload);
  });
}

function asError(value: unknown, owner: RunFile, status: number): SluiceError {
  const { code, message, next } = (value ?? {}) as { code?: unknown; message?: unknown; next?: unknown };
  const kind = allErrors().find((known) => known.code === code);
  if (kind === undefined || typeof message !== 'string') return new SluiceError(OWNER_UNREACHABLE, `${owner.url} answered ${status}`);
  const detail = message.startsWith(`${kind.title}: `) ? message.slice(kind.title.length + 2) : undefined;
  return new SluiceError(kind, detail, typeof next === 'string' ? { next } : {});
}
