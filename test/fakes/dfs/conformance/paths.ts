/** Rename, delete, list, properties, containers, the account. */
import { B, append, appendFlush, container, create, directory, etag, head, leased, list, listBlobs, on, put, remove, rename } from './steps.ts';
import type { Lab, Row, Step } from './table.ts';

/** Names in a list of paths, without the row's folder. */
const names = (...wanted: readonly string[]): RegExp =>
  new RegExp(`^\\{"paths":\\[${wanted.map((name) => `\\{[^}]*"name":"[^"]*row\\d+/${name}"[^}]*\\}`).join(',')}\\]\\}`);

const RENAMING: readonly Row[] = [
  {
    rule: 'rename.moves',
    given: [create(), appendFlush(0, 'one'), create({ path: 'to' })],
    ask: rename('f', 'to'),
    gets: { is: '201', headers: { etag: null } },
    after: [
      [head('to'), { is: '200', headers: (lab) => ({ etag: etag(lab, 1), 'content-length': '3' }) }],
      [head(), { is: '404 BlobNotFound' }],
    ],
  },
  {
    rule: 'rename.exists',
    given: [create(), create({ path: 'to' })],
    ask: rename('f', 'to', { 'if-none-match': '*' }),
    gets: { is: '409 PathAlreadyExists' },
  },
  {
    rule: 'rename.none-match-current',
    given: [create(), create({ path: 'to' })],
    ask: on('PUT', 'dfs', {
      path: 'to',
      query: { mode: 'legacy' },
      headers: (lab) => ({ 'x-ms-rename-source': `/${lab.at}/f`, 'if-none-match': etag(lab, 1) }),
    }),
    gets: { is: '412 ConditionNotMet' },
  },
  {
    rule: 'rename.source-lease',
    given: [create(), leased()],
    ask: rename('f', 'to', { 'x-ms-source-lease-id': B }),
    gets: { is: '412 LeaseIdMismatch' },
  },
  { rule: 'rename.no-source', given: [directory('d')], ask: rename('f', 'd/to'), gets: { is: '404 SourcePathNotFound' } },
  { rule: 'rename.no-parent', given: [create()], ask: rename('f', 'd/to'), gets: { is: '404 RenameDestinationParentPathNotFound' } },
  {
    rule: 'rename.source-etag',
    given: [create()],
    ask: rename('f', 'to', { 'x-ms-source-if-match': '"0x0"' }),
    gets: { is: '412 SourceConditionNotMet' },
  },
];

const DELETING: readonly Row[] = [
  {
    rule: 'delete.done',
    given: [create()],
    ask: remove('f', false),
    gets: { is: '200', headers: { 'x-ms-delete-type-permanent': 'true' } },
    after: [[head(), { is: '404 BlobNotFound' }]],
  },
  { rule: 'delete.missing', ask: remove('d/f', false), gets: { is: '404 PathNotFound' } },
  {
    rule: 'delete.not-empty',
    given: [create({ path: 'd/f' })],
    ask: remove('d', false),
    gets: { is: '409 DirectoryNotEmpty' },
    after: [[remove('d', true), { is: '200' }]],
  },
  { rule: 'delete.leased-no-id', given: [create(), leased()], ask: remove('f', false), gets: { is: '412 LeaseIdMissing' } },
];

const LISTING: readonly Row[] = [
  {
    rule: 'list.shape',
    given: [create(), appendFlush(0, 'one'), directory('g')],
    ask: list(),
    gets: {
      is: '200',
      body: /"contentLength":"3".*"creationTime":"\d+","etag":"0x[0-9A-F]+".*"isDirectory":"true"/,
      headers: { 'x-ms-continuation': null, 'content-type': /^application\/json/ },
    },
    after: [[list({}, '/g'), { is: '200', body: '{"paths":[]}' }]],
  },
  {
    rule: 'list.order',
    given: [create({ path: 'b/1' }), create({ path: 'a/2' }), create({ path: 'a/1' })],
    ask: list(),
    gets: { is: '200', body: names('a', 'a/1', 'a/2', 'b', 'b/1') },
  },
  {
    rule: 'list.order-dash',
    given: [create({ path: 'a-b' }), create({ path: 'a/1' })],
    ask: list(),
    gets: { is: '200', body: names('a', 'a/1', 'a-b') },
  },
  {
    rule: 'list.pages',
    given: [create({ path: '1' }), create({ path: '2' }), create({ path: '3' }), list({ maxResults: '2' })],
    ask: (lab) => withQuery(lab, list(), { continuation: lab.seen[3]?.headers['x-ms-continuation'] ?? 'none' }),
    gets: { is: '200', body: names('3') },
  },
  { rule: 'list.missing', given: [create()], ask: list({}, '/none'), gets: { is: '404 PathNotFound' } },
];

function withQuery(lab: Lab, step: Step, query: Readonly<Record<string, string>>): ReturnType<Extract<Step, (lab: Lab) => unknown>> {
  if (typeof step !== 'function') throw new Error('a wait has no query');
  const sent = step(lab);
  return { ...sent, query: { ...sent.query, ...query } };
}

const PROPERTIES: readonly Row[] = [
  {
    rule: 'head.directory',
    given: [directory('f')],
    ask: head(),
    gets: { is: '200', headers: { 'x-ms-meta-hdi_isfolder': 'true', 'x-ms-resource-type': 'directory' } },
  },
  {
    rule: 'head.directory',
    does: 'a file',
    given: [create()],
    ask: head(),
    gets: { is: '200', headers: { 'x-ms-meta-hdi_isfolder': null, 'x-ms-resource-type': 'file' } },
  },
  {
    rule: 'head.parent-etag',
    given: [directory('d'), create({ path: 'd/f' })],
    ask: head('d'),
    gets: { is: '200', headers: (lab) => ({ etag: etag(lab, 0) }) },
  },
  {
    rule: 'dfs.error',
    ask: append(0, 'one'),
    gets: {
      is: '404 PathNotFound',
      headers: { 'content-type': /^application\/json;\s?charset=utf-8$/ },
      body: /^\{"error":\{"code":"PathNotFound","message":"[^"]*\\nRequestId:[^"]+\\nTime:[^"]+"\}\}$/,
    },
  },
  { rule: 'dfs.method', given: [create()], ask: on('PATCH', 'dfs', { query: { action: 'sing' } }), gets: { is: '400 InvalidQueryParameterValue' } },
  {
    rule: 'dfs.parameter',
    given: [create()],
    ask: on('PATCH', 'dfs', { query: { action: 'append' }, body: 'one' }),
    gets: { is: '400 MissingRequiredQueryParameter' },
  },
];

const CONTAINERS: readonly Row[] = [
  {
    rule: 'filesystem.exists',
    given: [container('PUT', 'dfs')],
    ask: container('PUT', 'dfs'),
    gets: { is: '409 FilesystemAlreadyExists' },
    after: [[container('DELETE', 'dfs'), { is: '202' }]],
  },
  {
    rule: 'filesystem.missing',
    ask: (lab) => ({ method: 'PUT', endpoint: 'dfs', at: `${lab.own}/f`, query: { resource: 'file' } }),
    gets: { is: '404 FilesystemNotFound' },
  },
  {
    rule: 'filesystem.being-deleted',
    given: [container('PUT', 'dfs'), container('DELETE', 'dfs')],
    ask: container('PUT', 'dfs'),
    gets: { is: '409 FilesystemBeingDeleted' },
  },
  {
    rule: 'filesystem.namespace',
    given: [container('PUT', 'dfs')],
    ask: container('HEAD', 'dfs'),
    gets: { is: '200', headers: { 'x-ms-namespace-enabled': 'true' } },
    after: [[container('DELETE', 'dfs'), { is: '202' }]],
  },
  {
    rule: 'container.exists',
    on: 'any',
    given: [container('PUT', 'blob')],
    ask: container('PUT', 'blob'),
    gets: { is: '409 ContainerAlreadyExists' },
    after: [[container('DELETE', 'blob'), { is: '202' }]],
  },
  { rule: 'container.missing', on: 'any', ask: container('HEAD', 'blob'), gets: { is: '404 ContainerNotFound' } },
  {
    rule: 'container.being-deleted',
    on: 'any',
    given: [container('PUT', 'blob'), container('DELETE', 'blob')],
    ask: container('PUT', 'blob'),
    gets: { is: '409 ContainerBeingDeleted' },
  },
  {
    rule: 'container.name',
    on: 'any',
    ask: () => ({ method: 'PUT', endpoint: 'blob', at: 'no--name', query: { restype: 'container' } }),
    gets: { is: '400 InvalidResourceName' },
  },
  {
    rule: 'account.info',
    ask: (lab) => accountInfo(lab),
    gets: { is: '200', headers: { 'x-ms-is-hns-enabled': 'true', 'x-ms-account-kind': /./, 'x-ms-sku-name': /./ } },
  },
  {
    rule: 'account.info',
    does: 'a flat account says so',
    on: 'flat',
    ask: (lab) => accountInfo(lab),
    gets: { is: '200', headers: { 'x-ms-is-hns-enabled': 'false' } },
  },
  {
    rule: 'blobs.list',
    on: 'any',
    given: [put('1', {}, 'a'), put('2', {}, 'b/c'), put('3', {}, 'd'), listBlobs({ maxresults: '2', delimiter: '/' })],
    ask: listBlobs((lab) => ({ delimiter: '/', marker: /<NextMarker>(.+)<\/NextMarker>/.exec(lab.seen[3]?.body.toString() ?? '')?.[1] ?? 'none' })),
    gets: { is: '200', body: /<Blobs><Blob><Name>row\d+\/d<\/Name>.*<NextMarker ?\/?>/ },
  },
];

const accountInfo = (lab: Lab): ReturnType<Extract<Step, (lab: Lab) => unknown>> => ({
  method: 'GET',
  endpoint: 'blob',
  at: lab.at.split('/')[0]!,
  query: { restype: 'account', comp: 'properties' },
});

const FLAT: readonly Row[] = [
  {
    rule: 'flat.acl',
    on: 'flat',
    ask: on('HEAD', 'dfs', { query: { action: 'getAccessControl' } }),
    gets: { is: '400 HierarchicalNamespaceNotEnabled' },
  },
  { rule: 'flat.path', on: 'flat', ask: create(), gets: { is: '400 HierarchicalNamespaceNotEnabled' } },
];

export const PATHS: readonly Row[] = [...RENAMING, ...DELETING, ...LISTING, ...PROPERTIES, ...CONTAINERS, ...FLAT];
