/**
 * Asks the owner of a pipeline that runs on this machine.
 */
import { request, type IncomingMessage, type OutgoingHttpHeaders } from 'node:http';
import { reasonOf, SluiceError } from '../core/error.ts';
import { allErrors, OWNER_UNREACHABLE } from '../core/errors.ts';
import { INSTANCE_HEADER, type RunFile } from './run-file.ts';

const ANSWER_BYTES_MAX = 1024 * 1024 * 1024;

export type OwnerPath =
  | '/api/status'
  | '/api/seal'
  | '/api/snapshot'
  | '/api/dump'
  | '/api/retain'
  | '/api/erase'
  | '/api/restore'
  | '/api/restore-documents'
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
  const answer = await begin(owner, path, body, signal);
  const value = await valueOf(answer, owner, signal);
  if (answer.statusCode === 200) return value;
  throw asError(value, owner, answer.statusCode ?? 0);
}

/** The owner's answer as it comes, of any length. @throws as {@link callOwner}, also while it is read */
export async function streamOwner(owner: RunFile, path: OwnerPath, body: object, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
  const answer = await begin(owner, path, body, signal);
  if (answer.statusCode === 200) return chunksOf(answer, owner, signal);
  throw asError(await valueOf(answer, owner, signal), owner, answer.statusCode ?? 0);
}

/** Whether it is the owner who answers at its address, whom the run file names: it is of a time before, perhaps. */
export async function answers(owner: RunFile, signal: AbortSignal): Promise<boolean> {
  try {
    const answer = await send(owner, 'GET', '/healthz', {}, '', signal);
    answer.destroy();
    return isBy(owner, answer);
  } catch (error) {
    if (SluiceError.is(error, OWNER_UNREACHABLE)) return false;
    throw error;
  }
}

function isBy(owner: RunFile, answer: IncomingMessage): boolean {
  return answer.headers[INSTANCE_HEADER] === owner.instance;
}

/** The token goes to the owner alone, and so does what is to be done. */
async function begin(owner: RunFile, path: OwnerPath, body: object, signal: AbortSignal): Promise<IncomingMessage> {
  const other = new SluiceError(OWNER_UNREACHABLE, `process ${owner.pid} does not answer at ${owner.url}`);
  if (!(await answers(owner, signal))) throw other;
  const method = path === '/api/status' ? 'GET' : 'POST';
  const payload = method === 'GET' ? '' : JSON.stringify(body);
  const type = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload) };
  const answer = await send(owner, method, path, { authorization: `Bearer ${owner.token}`, ...(method === 'GET' ? {} : type) }, payload, signal);
  if (isBy(owner, answer)) return answer;
  answer.destroy();
  throw other;
}

function send(
  owner: RunFile,
  method: 'GET' | 'POST',
  path: OwnerPath | '/healthz',
  headers: OutgoingHttpHeaders,
  payload: string,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    // A connection of its own: one that was kept may have ended meanwhile, and nobody could say what has arrived.
    const options = { method, headers: { ...headers, [INSTANCE_HEADER]: owner.instance }, agent: false, signal };
    const call = request(`${owner.url}${path}`, options, resolve);
    call.on('error', (error) => reject(failure(error, owner, signal)));
    call.end(payload);
  });
}

function failure(error: unknown, owner: RunFile, signal: AbortSignal): Error {
  if (signal.aborted) return signal.reason as Error;
  return new SluiceError(OWNER_UNREACHABLE, `${owner.url} (process ${owner.pid}): ${reasonOf(error)}`, { cause: error });
}

async function* chunksOf(answer: IncomingMessage, owner: RunFile, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  try {
    yield* answer as AsyncIterable<Buffer>;
  } catch (error) {
    throw failure(error, owner, signal);
  }
}

async function valueOf(answer: IncomingMessage, owner: RunFile, signal: AbortSignal): Promise<unknown> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of chunksOf(answer, owner, signal)) {
    bytes += chunk.length;
    if (bytes > ANSWER_BYTES_MAX) throw failure(new Error(`the answer is larger than ${ANSWER_BYTES_MAX} bytes; use a smaller limit`), owner, signal);
    chunks.push(chunk);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch (error) {
    throw new SluiceError(OWNER_UNREACHABLE, `${owner.url} answered ${answer.statusCode ?? 0} with something that is not JSON`, { cause: error });
  }
}

function asError(value: unknown, owner: RunFile, status: number): SluiceError {
  const { code, message, next } = (value ?? {}) as { code?: unknown; message?: unknown; next?: unknown };
  const kind = allErrors().find((known) => known.code === code);
  if (kind === undefined || typeof message !== 'string') return new SluiceError(OWNER_UNREACHABLE, `${owner.url} answered ${status}`);
  const detail = message.startsWith(`${kind.title}: `) ? message.slice(kind.title.length + 2) : undefined;
  return new SluiceError(kind, detail, typeof next === 'string' ? { next } : {});
}
