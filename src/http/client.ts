/**
 * Asks the owner of a pipeline that runs on this machine.
 */
import { request, type IncomingMessage, type OutgoingHttpHeaders } from 'node:http';
import { reasonOf, SluiceError } from '../core/error.ts';
import { allErrors, ANSWER_TOO_LARGE, OWNER_BROKE_OFF, OWNER_UNREACHABLE } from '../core/errors.ts';
import { INSTANCE_HEADER, type RunFile } from './run-file.ts';

const ANSWER_BYTES_MAX = 1024 * 1024 * 1024;
const SILENCE_MS_MAX = 5_000;

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

/** One thing that is asked of an owner. */
interface Call {
  readonly owner: RunFile;
  readonly path: OwnerPath | '/healthz';
  readonly signal: AbortSignal;
}

/**
 * The owner's answer. `status` is read, all else is done.
 * Waits as long as the owner works: a proof of a large lake may take hours, so there is no time limit but `signal`.
 * @throws the owner's own SluiceError; OWNER_UNREACHABLE when it has not begun, or can be asked elsewhere as well; OWNER_BROKE_OFF when
 * it has; ANSWER_TOO_LARGE
 */
export async function callOwner(owner: RunFile, path: OwnerPath, body: object, signal: AbortSignal): Promise<unknown> {
  const call = { owner, path, signal };
  const answer = await begin(call, body);
  const value = await valueOf(answer, call);
  if (answer.statusCode === 200) return value;
  throw asError(value, call, answer.statusCode ?? 0);
}

/** The owner's answer as it comes, of any length. @throws as {@link callOwner}, also while it is read */
export async function streamOwner(owner: RunFile, path: OwnerPath, body: object, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
  const call = { owner, path, signal };
  const answer = await begin(call, body);
  if (answer.statusCode === 200) return chunksOf(answer, call);
  throw asError(await valueOf(answer, call), call, answer.statusCode ?? 0);
}

/** Whether it is the owner who answers at its address, whom the run file names: it is of a time before, perhaps. */
export async function answers(owner: RunFile, signal: AbortSignal): Promise<boolean> {
  // What has the port now may be anything, and never say a word.
  const patience = AbortSignal.timeout(SILENCE_MS_MAX);
  try {
    const answer = await send({ owner, path: '/healthz', signal: AbortSignal.any([signal, patience]) }, 'GET', {}, '');
    answer.destroy();
    return isBy(owner, answer);
  } catch (error) {
    signal.throwIfAborted();
    if (patience.aborted || SluiceError.is(error, OWNER_UNREACHABLE)) return false;
    throw error;
  }
}

function isBy(owner: RunFile, answer: IncomingMessage): boolean {
  return answer.headers[INSTANCE_HEADER] === owner.instance;
}

/** The token goes to the owner alone, and so does what is to be done. */
async function begin(call: Call, body: object): Promise<IncomingMessage> {
  const { owner, path, signal } = call;
  const other = new SluiceError(OWNER_UNREACHABLE, `process ${owner.pid} does not answer at ${owner.url}`);
  if (!(await answers(owner, signal))) throw other;
  const method = path === '/api/status' ? 'GET' : 'POST';
  const payload = method === 'GET' ? '' : JSON.stringify(body);
  const type = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload) };
  const answer = await send(call, method, { authorization: `Bearer ${owner.token}`, ...(method === 'GET' ? {} : type) }, payload);
  if (isBy(owner, answer)) return answer;
  answer.destroy();
  throw other;
}

function send(call: Call, method: 'GET' | 'POST', headers: OutgoingHttpHeaders, payload: string): Promise<IncomingMessage> {
  const { owner, path, signal } = call;
  return new Promise((resolve, reject) => {
    // A connection of its own: one that was kept may have ended meanwhile, and nobody could say what has arrived.
    const options = { method, headers: { ...headers, [INSTANCE_HEADER]: owner.instance }, agent: false, signal };
    const sent = request(`${owner.url}${path}`, options, resolve);
    let isConnected = false;
    sent.on('socket', (socket) => socket.once('connect', () => (isConnected = true)));
    sent.on('error', (error) => reject(isConnected ? cutOff(error, call) : unreachable(error, call)));
    sent.end(payload);
  });
}

function unreachable(error: unknown, { owner, signal }: Call): Error {
  if (signal.aborted) return signal.reason as Error;
  return new SluiceError(OWNER_UNREACHABLE, `${owner.url} (process ${owner.pid}): ${reasonOf(error)}`, { cause: error });
}

/** It may have done what it was asked to: nobody does it a second time unasked. What is only read is read by somebody else. */
function cutOff(error: unknown, call: Call): Error {
  const { owner, path, signal } = call;
  if (signal.aborted || path === '/healthz' || path === '/api/status') return unreachable(error, call);
  return new SluiceError(OWNER_BROKE_OFF, `${path} of ${owner.url} (process ${owner.pid}): ${reasonOf(error)}`, { cause: error });
}

async function* chunksOf(answer: IncomingMessage, call: Call): AsyncGenerator<Uint8Array> {
  try {
    yield* answer as AsyncIterable<Buffer>;
  } catch (error) {
    throw cutOff(error, call);
  }
}

async function valueOf(answer: IncomingMessage, call: Call): Promise<unknown> {
  const chunks: Uint8Array[] = [];
  // As it says itself, before anything of it is read.
  let bytes = Number(answer.headers['content-length'] ?? 0);
  if (bytes <= ANSWER_BYTES_MAX) {
    bytes = 0;
    for await (const chunk of chunksOf(answer, call)) {
      bytes += chunk.length;
      if (bytes > ANSWER_BYTES_MAX) break;
      chunks.push(chunk);
    }
  }
  if (bytes > ANSWER_BYTES_MAX) {
    answer.destroy();
    throw new SluiceError(ANSWER_TOO_LARGE, `it is larger than ${ANSWER_BYTES_MAX} bytes`);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch (error) {
    throw cutOff(error, call);
  }
}

function asError(value: unknown, call: Call, status: number): Error {
  const { code, message, next } = (value ?? {}) as { code?: unknown; message?: unknown; next?: unknown };
  const kind = allErrors().find((known) => known.code === code);
  if (kind === undefined || typeof message !== 'string') return cutOff(new Error(`it answered ${status} with an error that is not known here`), call);
  const detail = message.startsWith(`${kind.title}: `) ? message.slice(kind.title.length + 2) : undefined;
  return new SluiceError(kind, detail, typeof next === 'string' ? { next } : {});
}
