/**
 * What became of one request to the storage: done, refused, or nobody knows.
 *
 * Invariant: `refused` is said only of answers by which the service promises that nothing has changed. A lost connection, a
 * time-out and every 5xx may have been carried out, or may still be.
 */
import { SluiceError, reasonOf } from '../../core/error.ts';
import {
  LAKE_BROKEN,
  LAKE_CONTAINER_DELETED,
  LAKE_DENIED,
  LAKE_IMMUTABLE,
  LAKE_LOGIN,
  LAKE_NETWORK,
  LAKE_NOT_HIERARCHICAL,
  LAKE_OTHER_WRITER,
  LAKE_SAS_EXPIRED,
} from '../../core/errors.ts';
import type { ErrorKind } from '../../core/error.ts';

export interface Refused {
  readonly is: 'refused';
  readonly status: number;
  /** `x-ms-error-code`. */
  readonly code: string;
  readonly error: unknown;
}
export interface Unknown {
  readonly is: 'unknown';
  /** What the service asks for before the next try. */
  readonly retryAfterMs: number;
  readonly error: unknown;
}
export type Reply<T> = { readonly is: 'ok'; readonly value: T } | Refused | Unknown;

interface RestErrorLike {
  readonly name: string;
  readonly message: string;
  readonly code?: string;
  readonly statusCode?: number;
  readonly request?: { readonly url: string };
  readonly response?: { readonly headers: { get(name: string): string | undefined }; readonly bodyAsText?: string | null };
}

/** Refusals that nothing but a change by hand can mend, wherever they come. */
const FOR_GOOD: Readonly<Record<string, ErrorKind>> = {
  AuthenticationFailed: LAKE_LOGIN,
  InvalidAuthenticationInfo: LAKE_LOGIN,
  NoAuthenticationInformation: LAKE_LOGIN,
  KeyBasedAuthenticationNotPermitted: LAKE_LOGIN,
  AccountIsDisabled: LAKE_LOGIN,
  AuthorizationPermissionMismatch: LAKE_DENIED,
  AuthorizationProtocolMismatch: LAKE_DENIED,
  AuthorizationResourceTypeMismatch: LAKE_DENIED,
  AuthorizationServiceMismatch: LAKE_DENIED,
  InsufficientAccountPermissions: LAKE_DENIED,
  UnauthorizedBlobOverwrite: LAKE_DENIED,
  AuthorizationFailure: LAKE_NETWORK,
  AuthorizationSourceIPMismatch: LAKE_NETWORK,
  PublicAccessNotPermitted: LAKE_LOGIN,
  BlobImmutableDueToPolicy: LAKE_IMMUTABLE,
  PathImmutableDueToPolicy: LAKE_IMMUTABLE,
  ContainerBeingDeleted: LAKE_CONTAINER_DELETED,
  FilesystemBeingDeleted: LAKE_CONTAINER_DELETED,
  HierarchicalNamespaceNotEnabled: LAKE_NOT_HIERARCHICAL,
  InvalidBlobType: LAKE_OTHER_WRITER,
  InvalidAppendOperation: LAKE_OTHER_WRITER,
  InvalidFlushOperation: LAKE_OTHER_WRITER,
  BlobOperationNotSupported: LAKE_OTHER_WRITER,
};

const GONE = new Set(['BlobNotFound', 'PathNotFound', 'ResourceNotFound', 'SourcePathNotFound']);
const NO_CONTAINER = new Set(['ContainerNotFound', 'FilesystemNotFound']);
const EXISTS = new Set(['BlobAlreadyExists', 'PathAlreadyExists', 'ResourceAlreadyExists']);

export const isGone = (reply: Refused): boolean => GONE.has(reply.code) || (reply.status === 404 && !NO_CONTAINER.has(reply.code));
export const isContainerGone = (reply: Refused): boolean => NO_CONTAINER.has(reply.code);
/** The condition of a conditional request does not hold. */
export const isUnmet = (reply: Refused): boolean => EXISTS.has(reply.code) || reply.status === 412 || reply.status === 304;
/** The lease that went with the request is not the one that holds, or there is none. */
export const isLeaseLost = (reply: Refused): boolean => /^Lease(?!AlreadyPresent|NotPresentWithLeaseOperation)/.test(reply.code);
export const isLeased = (reply: Refused): boolean => /^Lease(AlreadyPresent|IsBreaking|AlreadyBroken|IsBroken)/.test(reply.code);

/** @throws SluiceError when the answer is one that nothing but a change by hand can mend */
export function replyOf(error: unknown, doing: string): Refused | Unknown {
  if (error instanceof SluiceError) throw error;
  // A mistake of ours: to repeat it would only hide it.
  if (error instanceof TypeError || error instanceof RangeError) throw error;
  const rest = error as RestErrorLike;
  const { statusCode } = rest;
  if (statusCode === undefined || statusCode >= 500 || statusCode === 408 || statusCode === 429) {
    if (statusCode === undefined && isCredentialError(rest))
      throw new SluiceError(LAKE_LOGIN, `${doing}: ${firstLine(rest.message)}`, { cause: error });
    return { is: 'unknown', retryAfterMs: retryAfterOf(rest), error };
  }
  const code = codeOf(rest);
  const kind = FOR_GOOD[code] ?? (statusCode === 401 ? LAKE_LOGIN : statusCode === 403 ? LAKE_DENIED : undefined);
  if (kind !== undefined) throw known(kind, rest, `${doing}: ${code}`, error);
  return { is: 'refused', status: statusCode, code, error };
}

/** What was refused and is neither expected nor known. */
export function unexpected(reply: Refused, doing: string): SluiceError {
  return new SluiceError(LAKE_BROKEN, `${doing}: ${reply.status} ${reply.code} (${firstLine(reasonOf(reply.error))})`, {
    cause: reply.error,
    next: 'See the code of the storage in the message; docs/azure.md names what the account must allow. Nothing is lost, start again.',
  });
}

function known(kind: ErrorKind, rest: RestErrorLike, detail: string, cause: unknown): SluiceError {
  // A SAS that is too old and a wrong key have one code; so have, with some servers, a wrong key and a firewall.
  if ((kind === LAKE_LOGIN || kind === LAKE_NETWORK) && isOutOfTime(rest)) return new SluiceError(LAKE_SAS_EXPIRED, detail, { cause });
  const isSignature = kind === LAKE_NETWORK && /failed to authenticate/i.test(rest.message);
  return new SluiceError(isSignature ? LAKE_LOGIN : kind, detail, { cause });
}

/** The service says it in its body, which a HEAD has not; the URL says it as well. */
function isOutOfTime(rest: RestErrorLike): boolean {
  if (/not valid in the specified time frame/i.test(`${rest.message} ${rest.response?.bodyAsText ?? ''}`)) return true;
  const query = new URLSearchParams(rest.request?.url.split('?')[1] ?? '');
  const [from, to] = [query.get('st'), query.get('se')];
  return (to !== null && Date.parse(to) < Date.now()) || (from !== null && Date.parse(from) > Date.now());
}

/** HEAD has no body, so that the header is asked first; the DFS endpoint's errors are named in their JSON as well. */
function codeOf(rest: RestErrorLike): string {
  const header = rest.response?.headers.get('x-ms-error-code');
  if (header !== undefined && header !== '') return header;
  return rest.code ?? '';
}

function retryAfterOf(rest: RestErrorLike): number {
  const headers = rest.response?.headers;
  const ms = Number(headers?.get('retry-after-ms') ?? headers?.get('x-ms-retry-after-ms'));
  if (ms > 0) return ms;
  const written = headers?.get('retry-after');
  if (written === undefined) return 0;
  const seconds = Number(written);
  if (Number.isFinite(seconds)) return Math.max(0, seconds * 1000);
  const at = Date.parse(written);
  return Number.isNaN(at) ? 0 : Math.max(0, at - Date.now());
}

function isCredentialError(rest: RestErrorLike): boolean {
  return ['CredentialUnavailableError', 'AuthenticationError', 'AggregateAuthenticationError', 'AuthenticationRequiredError'].includes(rest.name);
}

function firstLine(text: string): string {
  return text.split('\n', 1)[0] ?? '';
}
