/**
 * Who may do this: Shared Key, SAS (account; service with `sr` b, c, d), bearer tokens with a role.
 *
 * Signatures are really computed. User delegation SAS and stored access policies are refused, for nothing here makes them. The age of
 * `x-ms-date` is not judged: the clock of the fake is the test's.
 */
import type { Account } from './account.ts';
import { refusal } from './replies.ts';
import { OPERATIONS, type FakeRequest } from './request.ts';
import { accountSasSignature, serviceSasSignature, sharedKeySignature } from './signing.ts';

/** Built-in roles of Azure. `Reader` reads no data, but what the account is; the roles for data do not. `none`: a valid token without any. */
export type Role = 'Storage Blob Data Owner' | 'Storage Blob Data Contributor' | 'Storage Blob Data Reader' | 'Reader' | 'none';

/** Token → roles. */
export type Tokens = ReadonlyMap<string, Role | readonly Role[]>;

export interface Granted {
  readonly by: 'key' | 'sas' | 'token';
  /** A SAS that may create but not write: nothing that exists may be replaced. */
  readonly createOnly: boolean;
}

const CHALLENGE = {
  'www-authenticate': 'Bearer authorization_uri=https://login.microsoftonline.com/common/oauth2/authorize resource_id=https://storage.azure.com',
};

/** @throws Refusal 401 or 403 */
export function authorize(account: Account, tokens: Tokens, request: FakeRequest): Granted {
  const authorization = request.headers['authorization'];
  if (authorization?.startsWith('SharedKey ')) return byKey(account, request, authorization);
  if (authorization?.startsWith('Bearer ')) return byToken(tokens, request, authorization.slice('Bearer '.length));
  if (request.query['sig'] !== undefined) return bySas(account, request);
  throw refusal('auth.none', { headers: CHALLENGE });
}

function byKey(account: Account, request: FakeRequest, authorization: string): Granted {
  const wanted = `SharedKey ${account.name}:${sharedKeySignature(account.key, account.name, request)}`;
  const isDated = request.headers['x-ms-date'] !== undefined || request.headers['date'] !== undefined;
  if (!isDated || authorization !== wanted) throw refusal('auth.signature');
  return { by: 'key', createOnly: false };
}

function byToken(tokens: Tokens, request: FakeRequest, token: string): Granted {
  const found = tokens.get(token);
  if (!request.tls || found === undefined) throw refusal('auth.token', { headers: CHALLENGE });
  const roles = typeof found === 'string' ? [found] : found;
  const has = (...wanted: readonly Role[]): boolean => wanted.some((role) => roles.includes(role));
  if (request.operation === 'account.info') {
    if (!has('Reader')) throw refusal('auth.account-info');
  } else {
    const { sas } = OPERATIONS[request.operation];
    const isRead = sas === 'r' || sas === 'l';
    if (!has('Storage Blob Data Owner', 'Storage Blob Data Contributor') && !(isRead && has('Storage Blob Data Reader')))
      throw refusal('auth.permission');
  }
  return { by: 'token', createOnly: false };
}

function bySas(account: Account, request: FakeRequest): Granted {
  const { query } = request;
  const isAccount = query['ss'] !== undefined;
  const wanted = isAccount
    ? accountSasSignature(account.key, account.name, query)
    : serviceSasSignature(account.key, query, resourceOf(account, request));
  if (query['sig'] !== wanted || (query['sv'] ?? '') < '2018-11-09' || query['skoid'] !== undefined) throw refusal('auth.signature');
  const nowMs = account.clock.now();
  const begins = query['st'];
  const ends = query['se'];
  if (ends === undefined || nowMs >= Date.parse(ends) || (begins !== undefined && nowMs < Date.parse(begins))) throw refusal('auth.signature');
  if (query['spr'] === 'https' && !request.tls) throw refusal('auth.protocol');
  const { sas, level } = OPERATIONS[request.operation];
  const isList = request.operation === 'dfs.list' || request.operation === 'container.list';
  if (isAccount) {
    if (!query['ss']!.includes('b')) throw refusal('auth.service');
    if (!query['srt']?.includes(level)) throw refusal('auth.resource-type');
  } else if (level !== 'o' && !isList) throw refusal('auth.scope');
  const permissions = query['sp'] ?? '';
  if (!Array.from(sas).some((letter) => permissions.includes(letter))) throw refusal('auth.permission');
  return { by: 'sas', createOnly: !permissions.includes('w') };
}

/** What the signature of a service SAS must name for this request: out of its scope the signature is another one. */
function resourceOf(account: Account, request: FakeRequest): string {
  const container = `/blob/${account.name}/${request.container}`;
  if (request.query['sr'] === 'c') return container;
  // A list by DFS names its directory in the query.
  const path = request.operation === 'dfs.list' ? (request.query['directory'] ?? '') : request.path;
  if (request.query['sr'] !== 'd') return `${container}/${path}`;
  return `${container}/${path
    .split('/')
    .slice(0, Number(request.query['sdd'] ?? 0))
    .join('/')}`;
}
