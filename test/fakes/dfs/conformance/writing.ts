/** Create, append, flush through DFS. */
import { createHash } from 'node:crypto';
import { A, B, append, appendFlush, create, directory, etag, flush, get, head, lease, leased, on, otherThan, put, withLease } from './steps.ts';
import type { Row } from './table.ts';

const MADE = { etag: /^"0x[0-9A-F]+"$/, 'last-modified': /GMT$/ };
const LEASE_HEADERS = { 'x-ms-proposed-lease-id': A, 'x-ms-lease-duration': '15' };
const MD5_ONE = createHash('md5').update('one').digest('base64');
const MD5_NONE = createHash('md5').digest('base64');

const CREATING: readonly Row[] = [
  { rule: 'create.new', ask: create(), gets: { is: '201', headers: MADE, body: '' } },
  { rule: 'dfs.encrypted', does: 'create', ask: create(), gets: { is: '201', headers: { 'x-ms-request-server-encrypted': 'true' } } },
  { rule: 'create.exists', given: [create()], ask: create({ headers: { 'if-none-match': '*' } }), gets: { is: '409 PathAlreadyExists' } },
  {
    rule: 'create.truncates',
    given: [create(), appendFlush(0, 'one')],
    ask: create(),
    gets: { is: '201' },
    after: [[get(), { is: '200', body: '' }]],
  },
  {
    rule: 'create.none-match-current',
    given: [create()],
    ask: create({ headers: (lab) => ({ 'if-none-match': etag(lab, 0) }) }),
    gets: { is: '412 ConditionNotMet' },
  },
  { rule: 'create.leased-wrong-id', given: [create(), leased()], ask: create({ headers: withLease(B) }), gets: { is: '412 LeaseIdMismatch' } },
  {
    rule: 'create.leased-right-id',
    given: [create(), leased()],
    ask: create({ headers: withLease(A) }),
    gets: { is: '201' },
    after: [[head(), { is: '200', headers: { 'x-ms-lease-state': 'leased' } }]],
  },
  { rule: 'create.leased-no-id', given: [create(), leased()], ask: create(), gets: { is: '412 LeaseIdMissing' } },
  {
    rule: 'create.metadata',
    ask: create({ headers: { 'x-ms-properties': 'epoch=Nw==,nonce=YWJj' } }),
    gets: { is: '201' },
    after: [[head(), { is: '200', headers: { 'x-ms-meta-epoch': '7', 'x-ms-meta-nonce': 'abc' } }]],
  },
  {
    rule: 'create.content-type',
    given: [create({ headers: { 'x-ms-content-type': 'application/x-ndjson' } }), create({ path: 'plain' })],
    ask: head(),
    gets: { is: '200', headers: { 'content-type': 'application/x-ndjson' } },
    after: [[head('plain'), { is: '200', headers: { 'content-type': 'application/octet-stream' } }]],
  },
  {
    rule: 'create.lease',
    ask: create({ headers: LEASE_HEADERS }),
    gets: { is: '201' },
    after: [[head(), { is: '200', headers: { 'x-ms-lease-state': 'leased' } }]],
  },
  {
    rule: 'create.parents',
    ask: create({ path: 'a/b/f' }),
    gets: { is: '201' },
    after: [[head('a/b'), { is: '200', headers: { 'x-ms-resource-type': 'directory' } }]],
  },
  { rule: 'create.path-conflict', does: 'below a file', given: [create()], ask: create({ path: 'f/below' }), gets: { is: '409 PathConflict' } },
  { rule: 'create.path-conflict', does: 'a file where a directory is', given: [directory('f')], ask: create(), gets: { is: '409 PathConflict' } },
];

const APPENDING: readonly Row[] = [
  {
    rule: 'append.staged',
    given: [create()],
    ask: append(0, 'one'),
    gets: { is: '202', headers: { etag: null } },
    after: [[head(), { is: '200', headers: { 'content-length': '0' } }]],
  },
  {
    rule: 'append.staged',
    does: 'the ETag of the file does not change',
    given: [create(), append(0, 'one')],
    ask: head(),
    gets: { is: '200', headers: (lab) => ({ etag: etag(lab, 0) }) },
  },
  {
    rule: 'dfs.encrypted',
    does: 'append',
    given: [create()],
    ask: append(0, 'one'),
    gets: { is: '202', headers: { 'x-ms-request-server-encrypted': 'true' } },
  },
  {
    rule: 'append.flush',
    given: [create()],
    ask: appendFlush(0, 'one'),
    gets: { is: '202', headers: MADE },
    after: [[get(), { is: '200', body: 'one' }]],
  },
  {
    rule: 'append.content-type',
    given: [create()],
    ask: appendFlush(0, 'one', { headers: { 'content-type': 'application/json' } }),
    gets: { is: '202' },
    after: [[head(), { is: '200', headers: { 'content-type': 'application/json' } }]],
  },
  {
    rule: 'append.same-position',
    given: [create(), append(0, 'longer')],
    ask: append(0, 'one'),
    gets: { is: '202' },
    after: [
      [flush(3), { is: '200' }],
      [get(), { is: '200', body: 'one' }],
    ],
  },
  { rule: 'append.below-committed', given: [create(), appendFlush(0, 'one')], ask: append(0, 'one'), gets: { is: '202' } },
  {
    rule: 'append.below-committed-bytes',
    given: [create(), appendFlush(0, 'one'), append(0, 'TWO')],
    ask: flush(3),
    gets: { is: '200' },
    after: [[get(), { is: '200', body: 'TWO' }]],
  },
  {
    rule: 'append.replay',
    given: [create(), appendFlush(0, 'one')],
    ask: appendFlush(0, 'one'),
    gets: { is: '202', headers: (lab) => ({ etag: otherThan(lab, 1) }) },
    after: [[get(), { is: '200', body: 'one' }]],
  },
  {
    rule: 'append.replay-late',
    given: [create(), appendFlush(0, 'one'), appendFlush(3, 'two')],
    ask: appendFlush(0, 'one'),
    gets: { is: '400 InvalidFlushPosition' },
  },
  {
    rule: 'append.gap',
    given: [create(), append(3, 'two')],
    ask: append(0, 'one'),
    gets: { is: '202' },
    after: [
      [flush(6), { is: '200' }],
      [get(), { is: '200', body: 'onetwo' }],
    ],
  },
  {
    rule: 'append.gap-flush',
    given: [create()],
    ask: appendFlush(5, 'one'),
    gets: { is: '400 InvalidFlushPosition' },
    after: [[get(), { is: '200', body: '' }]],
  },
  { rule: 'append.empty', given: [create()], ask: append(0, ''), gets: { is: '400 InvalidHeaderValue', body: /Content-Length/i } },
  { rule: 'append.missing', ask: append(0, 'one'), gets: { is: '404 PathNotFound' } },
  { rule: 'append.directory', given: [directory('f')], ask: append(0, 'one'), gets: { is: '409 InvalidAppendOperation' } },
  { rule: 'append.leased-no-id', given: [create(), leased()], ask: append(0, 'one'), gets: { is: '412 LeaseIdMissing' } },
  {
    rule: 'append.leased-wrong-id',
    given: [create(), leased()],
    ask: appendFlush(0, 'one', { headers: withLease(B) }),
    gets: { is: '412 LeaseIdMismatch' },
  },
  { rule: 'append.id-no-lease', given: [create()], ask: append(0, 'one', { headers: withLease(A) }), gets: { is: '412 LeaseNotPresent' } },
  {
    rule: 'append.lease-lost',
    given: [create(), leased(), lease('break', { 'x-ms-lease-break-period': '0' })],
    ask: append(0, 'one', { headers: withLease(A) }),
    gets: { is: '412 LeaseLost' },
  },
  {
    rule: 'append.md5',
    given: [create()],
    ask: append(0, 'one', { headers: { 'content-md5': MD5_ONE } }),
    gets: { is: '202', headers: { 'content-md5': MD5_ONE } },
  },
  {
    rule: 'append.md5-mismatch',
    given: [create()],
    ask: append(0, 'one', { headers: { 'content-md5': MD5_NONE } }),
    gets: { is: '400 Md5Mismatch' },
  },
  {
    rule: 'append.too-large',
    given: [create()],
    ask: append(0, 'one', { headers: { 'content-length': String(4001 * 1024 * 1024) } }),
    gets: { is: '413 RequestBodyTooLarge' },
  },
  {
    rule: 'append.if-match',
    given: [create(), create()],
    ask: appendFlush(0, 'one', { headers: (lab) => ({ 'if-match': etag(lab, 0) }) }),
    gets: { is: '412 ConditionNotMet' },
  },
];

const action = (name: string, more: Readonly<Record<string, string>> = {}): { readonly headers: Readonly<Record<string, string>> } => ({
  headers: { 'x-ms-lease-action': name, ...more },
});

const LEASE_ACTIONS: readonly Row[] = [
  {
    rule: 'append.lease-acquire',
    given: [create()],
    ask: append(0, 'one', action('acquire', LEASE_HEADERS)),
    gets: { is: '202' },
    after: [
      [append(0, 'two'), { is: '412 LeaseIdMissing' }],
      [append(0, 'two', { headers: withLease(A) }), { is: '202' }],
    ],
  },
  {
    rule: 'append.lease-renew',
    given: [create(), leased()],
    ask: append(0, 'one', action('auto-renew', withLease(A))),
    gets: { is: '202', headers: { 'x-ms-lease-renewed': /^(true|false)$/ } },
  },
  {
    rule: 'append.lease-release',
    given: [create(), leased()],
    ask: appendFlush(0, 'one', action('release', withLease(A))),
    gets: { is: '202' },
    after: [[head(), { is: '200', headers: { 'x-ms-lease-state': 'available' } }]],
  },
  {
    rule: 'append.lease-release',
    does: 'acquire-release holds it for the one request',
    given: [create()],
    ask: appendFlush(0, 'one', action('acquire-release', LEASE_HEADERS)),
    gets: { is: '202' },
    after: [[head(), { is: '200', headers: { 'x-ms-lease-state': 'available', 'content-length': '3' } }]],
  },
  {
    rule: 'append.lease-held',
    given: [create(), leased()],
    ask: append(0, 'one', action('acquire', { 'x-ms-proposed-lease-id': B, 'x-ms-lease-duration': '15' })),
    gets: { is: '409 LeaseAlreadyPresent' },
    after: [[flush(3, { headers: withLease(A) }), { is: '400 InvalidFlushPosition' }]],
  },
];

const FLUSHING: readonly Row[] = [
  {
    rule: 'flush.commits',
    given: [create(), append(0, 'one')],
    ask: flush(3),
    gets: { is: '200', headers: MADE },
    after: [[get(), { is: '200', body: 'one' }]],
  },
  {
    rule: 'dfs.encrypted',
    does: 'flush',
    given: [create(), append(0, 'one')],
    ask: flush(3),
    gets: { is: '200', headers: { 'x-ms-request-server-encrypted': 'false' } },
  },
  { rule: 'flush.hole', does: 'a hole', given: [create(), append(5, 'one')], ask: flush(8), gets: { is: '400 InvalidFlushPosition' } },
  { rule: 'flush.hole', does: 'beyond what is staged', given: [create(), append(0, 'one')], ask: flush(4), gets: { is: '400 InvalidFlushPosition' } },
  {
    rule: 'flush.again',
    given: [create(), appendFlush(0, 'one')],
    ask: flush(3),
    gets: { is: '200', headers: (lab) => ({ etag: otherThan(lab, 1) }) },
  },
  { rule: 'flush.below-committed', given: [create(), appendFlush(0, 'one')], ask: flush(2), gets: { is: '400 InvalidFlushPosition' } },
  {
    rule: 'flush.if-match',
    given: [create(), create(), append(0, 'one')],
    ask: flush(3, { headers: (lab) => ({ 'if-match': etag(lab, 0) }) }),
    gets: { is: '412 ConditionNotMet' },
  },
  {
    rule: 'flush.if-match-old',
    given: [create(), append(0, 'one')],
    ask: flush(3, { headers: (lab) => ({ 'if-match': etag(lab, 0) }) }),
    gets: { is: '200' },
  },
  {
    rule: 'flush.none-match-current',
    given: [create(), append(0, 'one')],
    ask: flush(3, { headers: (lab) => ({ 'if-none-match': etag(lab, 0) }) }),
    gets: { is: '304 ConditionNotMet', body: '' },
  },
  { rule: 'flush.missing', ask: flush(0), gets: { is: '404 PathNotFound' } },
  { rule: 'flush.drops', given: [create(), append(0, 'one'), append(3, 'two'), flush(3)], ask: flush(6), gets: { is: '400 InvalidFlushPosition' } },
  {
    rule: 'flush.retains',
    given: [create(), append(0, 'one'), append(3, 'two'), flush(3, { query: { retainUncommittedData: 'true' } })],
    ask: flush(6),
    gets: { is: '200' },
    after: [[get(), { is: '200', body: 'onetwo' }]],
  },
  {
    rule: 'flush.close',
    given: [create(), append(0, 'one'), flush(3, { query: { close: 'true' } })],
    ask: appendFlush(3, 'two'),
    gets: { is: '202' },
    after: [[get(), { is: '200', body: 'onetwo' }]],
  },
  {
    rule: 'flush.orphan',
    given: [create(), appendFlush(0, 'one'), append(3, 'an orphan, longer'), head()],
    ask: appendFlush(3, 'two'),
    gets: { is: '202' },
    after: [[get(), { is: '200', body: 'onetwo' }]],
  },
  {
    rule: 'flush.orphan',
    does: 'a flush at the committed length drops what a dead writer staged',
    given: [create(), appendFlush(0, 'one'), append(3, 'two'), flush(3)],
    ask: flush(6),
    gets: { is: '400 InvalidFlushPosition' },
  },
];

const MIXING: readonly Row[] = [
  { rule: 'append.blob-written', given: [put('one')], ask: append(3, 'two'), gets: { is: '409 InvalidAppendOperation' } },
  { rule: 'flush.blob-written', given: [put('one')], ask: flush(3), gets: { is: '409 InvalidFlushOperation' } },
  {
    rule: 'blob.overwrites-dfs',
    given: [create(), appendFlush(0, 'one')],
    ask: put('two'),
    gets: { is: '201' },
    after: [[get(), { is: '200', body: 'two' }]],
  },
  {
    rule: 'blob.put-block-on-dfs',
    given: [create(), appendFlush(0, 'one')],
    ask: on('PUT', 'blob', { body: 'x', query: { comp: 'block', blockid: 'MDAx' } }),
    gets: { is: '409 BlobOperationNotSupported' },
  },
  {
    rule: 'append.append-blob-replay',
    given: [create({ query: { blobtype: 'appendblob' } }), append(0, 'one')],
    ask: append(0, 'one'),
    gets: { is: '400 InvalidQueryParameterValue' },
  },
];

export const WRITING: readonly Row[] = [...CREATING, ...APPENDING, ...LEASE_ACTIONS, ...FLUSHING, ...MIXING];
