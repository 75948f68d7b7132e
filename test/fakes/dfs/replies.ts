/**
 * Replies and refusals, in the wire shape of the endpoint that was asked: JSON from DFS, XML from Blob.
 */
import { RULES, type Rule, type RuleName } from './rules.ts';

export type Endpoint = 'dfs' | 'blob';

export interface Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: readonly Uint8Array[];
}

export const reply = (status: number, headers: Record<string, string> = {}, body?: readonly Uint8Array[]): Reply => ({
  status,
  headers,
  ...(body && { body }),
});

/** A request that the service refuses; nothing has changed. */
export class Refusal extends Error {
  readonly status: number;
  readonly code: string;
  /** Error detail of DFS: the header that was wrong. */
  readonly header: { readonly name: string; readonly value: string } | undefined;
  /** Headers besides `x-ms-error-code`. */
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    status: number,
    code: string,
    more: { header?: { name: string; value: string }; headers?: Record<string, string>; message?: string } = {},
  ) {
    super(more.message ?? MESSAGES[code] ?? `The service answered ${code}.`);
    this.status = status;
    this.code = code;
    this.header = more.header;
    this.headers = more.headers ?? {};
  }
}

/** The refusal of a rule. */
export function refusal(name: RuleName, more: ConstructorParameters<typeof Refusal>[2] = {}): Refusal {
  const rule: Rule = RULES[name];
  if (rule.refuses === undefined) throw new Error(`rule ${name} refuses nothing`);
  return new Refusal(rule.refuses[0], rule.refuses[1], name === 'fake.not-built' ? { message: rule.says, ...more } : more);
}

const MESSAGES: Readonly<Record<string, string>> = {
  PathNotFound: 'The specified path does not exist.',
  PathAlreadyExists: 'The specified path already exists.',
  PathConflict: 'The specified path, or an element of the path, exists and its resource type is invalid for this operation.',
  FilesystemNotFound: 'The specified filesystem does not exist.',
  FilesystemAlreadyExists: 'The specified filesystem already exists.',
  FilesystemBeingDeleted: 'The specified filesystem is being deleted.',
  ContainerNotFound: 'The specified container does not exist.',
  ContainerAlreadyExists: 'The specified container already exists.',
  ContainerBeingDeleted: 'The specified container is being deleted. Try operation later.',
  BlobNotFound: 'The specified blob does not exist.',
  BlobAlreadyExists: 'The specified blob already exists.',
  ConditionNotMet: 'The condition specified using HTTP conditional header(s) is not met.',
  LeaseIdMissing: 'There is currently a lease on the resource and no lease ID was specified in the request.',
  LeaseIdMismatch: 'The lease ID specified did not match the lease ID for the resource with the specified lease operation.',
  LeaseAlreadyPresent: 'There is already a lease present.',
  LeaseLost: 'A lease ID was specified, but the lease for the resource has expired.',
  LeaseNotPresent: 'There is currently no lease on the resource.',
  InvalidFlushPosition:
    'The uploaded data is not contiguous or the position query parameter value is not equal to the length of the file after appending the uploaded data.',
  InvalidHeaderValue: 'The value for one of the HTTP headers is not in the correct format.',
  AuthenticationFailed:
    'Server failed to authenticate the request. Make sure the value of Authorization header is formed correctly including the signature.',
  AuthorizationPermissionMismatch: 'This request is not authorized to perform this operation using this permission.',
  AuthorizationFailure: 'This request is not authorized to perform this operation.',
  NoAuthenticationInformation: 'Server failed to authenticate the request. Please refer to the information in the www-authenticate header.',
  AppendPositionConditionNotMet: 'The append position condition specified was not met.',
  MaxBlobSizeConditionNotMet: 'The max blob size condition specified was not met.',
  BlockCountExceedsLimit: 'The committed block count cannot exceed the maximum limit of 50,000 blocks.',
  ServerBusy: 'The server is currently unable to receive requests. Please retry your request.',
  InternalError: 'The server encountered an internal error. Please retry the request.',
  OperationTimedOut: 'The operation could not be completed within the permitted time.',
  BlobImmutableDueToPolicy: 'This operation is not permitted as the blob is immutable due to a policy.',
  PathImmutableDueToPolicy: 'This operation is not permitted as the path is immutable due to a policy.',
  HierarchicalNamespaceNotEnabled: 'Hierarchical namespace is not enabled for this account.',
};

const xml = (text: string): string => text.replace(/[<>&]/g, (c) => ({ '<': '&lt;', '>': '&gt;', '&': '&amp;' })[c]!);

/** A refusal as the endpoint words it; 304 has no body. */
export function refusalReply(refused: Refusal, endpoint: Endpoint, about: { readonly requestId: string; readonly at: string }): Reply {
  const headers: Record<string, string> = { 'x-ms-error-code': refused.code, ...refused.headers };
  if (refused.status === 304) return reply(304, headers);
  const message = `${refused.message}\nRequestId:${about.requestId}\nTime:${about.at}`;
  if (endpoint === 'dfs') {
    const detail = refused.header && { HeaderName: refused.header.name, HeaderValue: refused.header.value };
    const body = JSON.stringify({ error: { code: refused.code, message, ...(detail && { detail }) } });
    return reply(refused.status, { ...headers, 'content-type': 'application/json;charset=utf-8' }, [Buffer.from(body)]);
  }
  const detail = refused.header ? `<HeaderName>${xml(refused.header.name)}</HeaderName><HeaderValue>${xml(refused.header.value)}</HeaderValue>` : '';
  const body = `<?xml version="1.0" encoding="utf-8"?><Error><Code>${refused.code}</Code><Message>${xml(message)}</Message>${detail}</Error>`;
  return reply(refused.status, { ...headers, 'content-type': 'application/xml' }, [Buffer.from(body)]);
}

export { xml };
