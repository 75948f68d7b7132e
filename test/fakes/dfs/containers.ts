/** Containers (filesystems) on both endpoints, lists of blobs, the account. */
import { inTreeOrder, type Account, type Container, type Named, type PathNode } from './account.ts';
import { propertiesOf } from './dfs-paths.ts';
import { httpDate, quoted } from './dfs-writes.ts';
import { endpointOf, type FakeRequest } from './request.ts';
import { refusal, reply, xml, type Reply } from './replies.ts';

const LIST_MAX = 5000;
const XML = { 'content-type': 'application/xml' };

export function container(account: Account, request: FakeRequest): Reply {
  const endpoint = endpointOf(request);
  switch (request.operation) {
    case 'dfs.filesystem-create':
    case 'container.create': {
      const made = account.createContainer(request.container, endpoint, endpoint === 'dfs' ? propertiesOf(request) : {});
      return reply(201, { ...about(made), ...(endpoint === 'dfs' && namespace(account)) });
    }
    case 'dfs.filesystem-delete':
    case 'container.delete':
      account.deleteContainer(request.container, endpoint);
      return reply(202);
    case 'dfs.filesystem-head':
      return reply(200, { ...about(account.container(request.container, endpoint)), ...namespace(account) });
    default: {
      const found = account.container(request.container, endpoint);
      const blob = {
        'x-ms-lease-status': 'unlocked',
        'x-ms-lease-state': 'available',
        'x-ms-has-immutability-policy': String(found.immutable),
        'x-ms-has-legal-hold': 'false',
      };
      return reply(200, { ...about(found), ...blob });
    }
  }
}

function about(found: Container): Record<string, string> {
  return { etag: quoted(found.etag), 'last-modified': httpDate(found.lastModifiedMs) };
}

const namespace = (account: Account): Record<string, string> => ({ 'x-ms-namespace-enabled': String(account.hierarchical) });

export function accountInfo(account: Account): Reply {
  return reply(200, { 'x-ms-sku-name': 'Standard_LRS', 'x-ms-account-kind': 'StorageV2', 'x-ms-is-hns-enabled': String(account.hierarchical) });
}

export function listContainers(account: Account, request: FakeRequest): Reply {
  if (request.query['comp'] !== 'list') throw refusal('fake.not-built', { message: 'only lists of containers and account information are there' });
  const prefix = request.query['prefix'] ?? '';
  const found = [...account.containers.values()]
    .filter((one) => one.deletedUntilMs === null && one.name.startsWith(prefix))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  const items = found.map(
    (one) =>
      `<Container><Name>${one.name}</Name><Properties><Last-Modified>${httpDate(one.lastModifiedMs)}</Last-Modified><Etag>${quoted(one.etag)}</Etag></Properties></Container>`,
  );
  return reply(200, XML, [
    Buffer.from(
      `<?xml version="1.0" encoding="utf-8"?><EnumerationResults ServiceEndpoint="/"><Containers>${items.join('')}</Containers><NextMarker /></EnumerationResults>`,
    ),
  ]);
}

/** Flat, or by `delimiter`. A hierarchical account shows its directories as well. */
export function listBlobs(account: Account, found: Container, request: FakeRequest): Reply {
  const prefix = request.query['prefix'] ?? '';
  const delimiter = request.query['delimiter'];
  const order = account.hierarchical ? inTreeOrder : (a: Named, b: Named) => (a.name === b.name ? 0 : a.name < b.name ? -1 : 1);
  const nodes = [...found.nodes.values()].filter((node) => node.name.startsWith(prefix)).sort(order);
  const entries: { readonly key: string; readonly item: string }[] = [];
  const seen = new Set<string>();
  for (const node of nodes) {
    const cut = delimiter === undefined || delimiter === '' ? -1 : node.name.indexOf(delimiter, prefix.length);
    const folder = cut >= 0 ? node.name.slice(0, cut + 1) : node.kind === 'directory' && delimiter !== undefined ? `${node.name}/` : null;
    if (folder === null) entries.push({ key: node.name, item: blobItem(account, node) });
    else if (!seen.has(folder)) {
      seen.add(folder);
      entries.push({ key: folder, item: `<BlobPrefix><Name>${xml(folder)}</Name></BlobPrefix>` });
    }
  }
  const marker = request.query['marker'];
  // The marker is the last name of the page before: what came or went since moves nothing else.
  const last = marker === undefined ? '' : Buffer.from(marker, 'base64').toString('utf8');
  const rest = last === '' ? entries : entries.filter((entry) => order({ name: entry.key }, { name: last }) > 0);
  const page = rest.slice(0, Math.min(Number(request.query['maxresults'] ?? LIST_MAX), LIST_MAX));
  const next = page.length < rest.length ? Buffer.from(page.at(-1)?.key ?? '').toString('base64') : '';
  const body = `<?xml version="1.0" encoding="utf-8"?><EnumerationResults ServiceEndpoint="/" ContainerName="${found.name}"><Prefix>${xml(prefix)}</Prefix>${
    delimiter === undefined ? '' : `<Delimiter>${xml(delimiter)}</Delimiter>`
  }<Blobs>${page.map((entry) => entry.item).join('')}</Blobs><NextMarker>${next}</NextMarker></EnumerationResults>`;
  return reply(200, XML, [Buffer.from(body)]);
}

function blobItem(account: Account, node: PathNode): string {
  const nowMs = account.clock.now();
  const lease = node.lease.headers(nowMs);
  const properties = [
    ['Creation-Time', httpDate(node.createdMs)],
    ['Last-Modified', httpDate(node.lastModifiedMs)],
    ['Etag', node.etag],
    ...(account.hierarchical ? [['ResourceType', node.kind]] : []),
    ['Content-Length', String(node.bytes.length)],
    ['Content-Type', node.contentType ?? 'application/octet-stream'],
    ['BlobType', node.blobType],
    ['LeaseStatus', lease['x-ms-lease-status']!],
    ['LeaseState', lease['x-ms-lease-state']!],
    ['ServerEncrypted', 'true'],
  ];
  return `<Blob><Name>${xml(node.name)}</Name><Properties>${properties.map(([key, value]) => `<${key}>${xml(value!)}</${key}>`).join('')}</Properties></Blob>`;
}
