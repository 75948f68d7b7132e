/** One request, done to the account in one step: rights first, then the container, then the operation. */
import type { Account } from './account.ts';
import { authorize, type Tokens } from './auth.ts';
import * as blobs from './blobs.ts';
import * as containers from './containers.ts';
import * as paths from './dfs-paths.ts';
import * as writes from './dfs-writes.ts';
import { refusal, type Reply } from './replies.ts';
import { endpointOf, type FakeRequest } from './request.ts';

/** @throws Refusal nothing has changed */
export function apply(account: Account, tokens: Tokens, request: FakeRequest): Reply {
  const granted = authorize(account, tokens, request);
  // Bytes in the frames of a structured message must not be taken for the content.
  if (request.headers['x-ms-structured-body'] !== undefined) throw refusal('fake.not-built', { message: 'structured messages (CRC64 in the body)' });
  switch (request.operation) {
    case 'account.info':
      return containers.accountInfo(account);
    case 'account.containers':
      return containers.listContainers(account, request);
    case 'dfs.filesystem-create':
    case 'dfs.filesystem-head':
    case 'dfs.filesystem-delete':
    case 'container.create':
    case 'container.head':
    case 'container.delete':
      return containers.container(account, request);
    default:
      return endpointOf(request) === 'dfs' ? applyDfs(account, request) : applyBlob(account, request, granted.createOnly);
  }
}

function applyDfs(account: Account, request: FakeRequest): Reply {
  const container = account.container(request.container, 'dfs');
  if (!account.hierarchical) throw refusal(request.operation === 'dfs.acl' ? 'flat.acl' : 'flat.path');
  switch (request.operation) {
    case 'dfs.create':
      return paths.create(account, container, request);
    case 'dfs.rename':
      return paths.rename(account, container, request);
    case 'dfs.append':
    case 'dfs.append-flush':
      return writes.append(account, container, request);
    case 'dfs.flush':
      return writes.flush(account, container, request);
    case 'dfs.delete':
      return paths.remove(account, container, request);
    case 'dfs.list':
      return paths.list(container, request);
    case 'dfs.lease':
      return paths.lease(account, container, request);
    case 'dfs.status':
    case 'dfs.acl':
      return paths.status(account, container, request);
    default:
      throw refusal('dfs.method');
  }
}

function applyBlob(account: Account, request: FakeRequest, createOnly: boolean): Reply {
  const container = account.container(request.container, 'blob');
  switch (request.operation) {
    case 'container.list':
      return containers.listBlobs(account, container, request);
    case 'blob.put':
    case 'blob.append-create':
      return blobs.put(account, container, request, createOnly);
    case 'blob.append-block':
      return blobs.appendBlock(account, container, request);
    case 'blob.put-block':
    case 'blob.seal':
      return blobs.putBlock(account, container, request);
    case 'blob.get':
    case 'blob.head':
      return blobs.read(account, container, request);
    case 'blob.delete':
      return blobs.remove(account, container, request);
    case 'blob.metadata':
      return blobs.setMetadata(account, container, request);
    case 'blob.lease':
      return paths.lease(account, container, request);
    default:
      throw refusal('fake.not-built', { message: `${request.method} ${request.rawPath}: not in the fake` });
  }
}
