/** The fake under the SDKs that sluice uses: their own requests, signatures and parsers. */
import { AppendBlobClient, BlobServiceClient, RestError, StorageSharedKeyCredential as BlobKey, type ContainerClient } from '@azure/storage-blob';
import { DataLakeServiceClient, StorageSharedKeyCredential, type DataLakeFileSystemClient } from '@azure/storage-file-datalake';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startDfsServer, type DfsServer } from './server.ts';

const ONCE = { retryOptions: { maxTries: 1 } };

let server: DfsServer;
let lake: DataLakeFileSystemClient;
let blobs: ContainerClient;

beforeAll(async () => {
  server = await startDfsServer();
  const { name, key } = server.account;
  lake = new DataLakeServiceClient(server.url, new StorageSharedKeyCredential(name, key), ONCE).getFileSystemClient('lake');
  blobs = new BlobServiceClient(server.url, new BlobKey(name, key), ONCE).getContainerClient('lake');
  await lake.create();
});

afterAll(() => server[Symbol.asyncDispose]());

/** Status and code of a refusal. */
async function refusedWith(doing: Promise<unknown>): Promise<string> {
  const error = await doing.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof RestError)) throw new Error(`not refused: ${String(error)}`);
  return `${error.statusCode} ${error.code}`;
}

async function textOf(path: string): Promise<string> {
  return (await blobs.getBlobClient(path).downloadToBuffer()).toString();
}

describe('storage-file-datalake over the fake', () => {
  it('makes a file with metadata, grows it, and reads its properties', async () => {
    const file = lake.getFileClient('db/orders/events.jsonl');
    await file.create({ metadata: { epoch: '7', note: 'grün' }, pathHttpHeaders: { contentType: 'application/x-ndjson' } });
    await file.append('one\n', 0, 4);
    expect((await file.getProperties()).contentLength).toBe(0);
    await file.flush(4, { close: true });
    await file.append('two\n', 4, 4, { flush: true });
    const properties = await file.getProperties();
    expect(properties).toMatchObject({ contentLength: 8, contentType: 'application/x-ndjson', metadata: { epoch: '7' }, leaseState: 'available' });
    expect((await file.readToBuffer()).toString()).toBe('one\ntwo\n');
    expect(server.account.events).toContainEqual({ api: 'FlushWithClose', container: 'lake', path: 'db/orders/events.jsonl', length: 4 });
  });

  it('refuses with codes that the SDK reads', async () => {
    const file = lake.getFileClient('twice');
    await file.create();
    expect(await refusedWith(file.create({ conditions: { ifNoneMatch: '*' } }))).toBe('409 PathAlreadyExists');
    expect(await refusedWith(lake.getFileClient('none').append('x', 0, 1))).toBe('404 PathNotFound');
    expect(await refusedWith(file.flush(9))).toBe('400 InvalidFlushPosition');
    expect(await refusedWith(file.flush(0, { conditions: { ifMatch: '"0x0"' } }))).toBe('412 ConditionNotMet');
    expect(await refusedWith(lake.getFileClient('none').getProperties())).toMatch(/^404/);
    expect(await lake.getFileClient('none').exists()).toBe(false);
  });

  it('leases a file: held, changed, broken, taken over', async () => {
    const file = lake.getFileClient('leased');
    await file.create();
    const mine = file.getDataLakeLeaseClient('11111111-1111-1111-1111-111111111111');
    await mine.acquireLease(15);
    const next = '22222222-2222-2222-2222-222222222222';
    expect(await refusedWith(file.append('x', 0, 1, { flush: true }))).toBe('412 LeaseIdMissing');
    await mine.changeLease(next);
    const old = { conditions: { leaseId: '11111111-1111-1111-1111-111111111111' } };
    expect(await refusedWith(file.append('x', 0, 1, { ...old, flush: true }))).toBe('412 LeaseIdMismatch');
    await file.append('y', 0, 1, { conditions: { leaseId: next }, flush: true });
    await file.getDataLakeLeaseClient().breakLease(0);
    expect(await refusedWith(file.append('z', 1, 1, { conditions: { leaseId: next }, flush: true }))).toBe('412 LeaseLost');
    await file.getDataLakeLeaseClient('33333333-3333-3333-3333-333333333333').acquireLease(-1);
    expect((await file.getProperties()).leaseDuration).toBe('infinite');
    expect(await textOf('leased')).toBe('y');
  });

  it('moves, lists by pages, and deletes', async () => {
    for (const name of ['a/1', 'a/2', 'a-b', 'b']) await lake.getFileClient(`tree/${name}`).create();
    await lake.getFileClient('tree/b').move('tree/a/3');
    const pages: string[][] = [];
    for await (const page of lake.listPaths({ path: 'tree', recursive: true }).byPage({ maxPageSize: 2 }))
      pages.push((page.pathItems ?? []).map((item) => `${item.name}${item.isDirectory ? '/' : ''}`));
    expect(pages).toEqual([['tree/a/', 'tree/a/1'], ['tree/a/2', 'tree/a/3'], ['tree/a-b']]);
    expect(await refusedWith(lake.getDirectoryClient('tree').delete(false))).toBe('409 DirectoryNotEmpty');
    await lake.getDirectoryClient('tree').delete(true);
    expect(await lake.getFileClient('tree/a/1').exists()).toBe(false);
  });
});

describe('storage-blob over the fake', () => {
  it('puts whole blobs under conditions', async () => {
    const blob = blobs.getBlockBlobClient('_sluice/p/checkpoint.json');
    const first = await blob.upload('{"n":1}', 7, { conditions: { ifNoneMatch: '*' } });
    expect(await refusedWith(blob.upload('{}', 2, { conditions: { ifNoneMatch: '*' } }))).toBe('409 BlobAlreadyExists');
    await blob.upload('{"n":2}', 7, { conditions: { ifMatch: first.etag! } });
    expect(await refusedWith(blob.upload('{}', 2, { conditions: { ifMatch: first.etag! } }))).toBe('412 ConditionNotMet');
    expect((await blob.downloadToBuffer(5, 1)).toString()).toBe('2');
    expect(await refusedWith(lake.getFileClient('_sluice/p/checkpoint.json').append('x', 7, 1))).toBe('409 InvalidAppendOperation');
  });

  it('grows an append blob by compare-and-swap', async () => {
    const blob: AppendBlobClient = blobs.getAppendBlobClient('grows.jsonl');
    await blob.createIfNotExists();
    const done = await blob.appendBlock('one\n', 4, { conditions: { appendPosition: 0 } });
    expect(done.blobAppendOffset).toBe('0');
    expect(await refusedWith(blob.appendBlock('two\n', 4, { conditions: { appendPosition: 0 } }))).toBe('412 AppendPositionConditionNotMet');
    expect(await refusedWith(blob.appendBlock('two\n', 4, { conditions: { maxSize: 5 } }))).toBe('412 MaxBlobSizeConditionNotMet');
    await blob.appendBlock('two\n', 4, { conditions: { ifMatch: done.etag!, appendPosition: 4 } });
    expect(await textOf('grows.jsonl')).toBe('one\ntwo\n');
    server.node('lake', 'grows.jsonl').blocks = 50_000;
    expect(await refusedWith(blob.appendBlock('x', 1))).toBe('409 BlockCountExceedsLimit');
  });

  it('lists with a prefix and markers, and says what the account is', async () => {
    for (const name of ['x', 'y', 'z']) await blobs.getBlockBlobClient(`listed/${name}`).upload(name, 1);
    const names: string[] = [];
    for await (const page of blobs.listBlobsFlat({ prefix: 'listed/' }).byPage({ maxPageSize: 2 }))
      names.push(page.segment.blobItems.map((item) => `${item.name}:${item.properties.contentLength}`).join(' '));
    expect(names).toEqual(['listed/x:1 listed/y:1', 'listed/z:1']);
    const info = await blobs.getAccountInfo();
    expect(info.isHierarchicalNamespaceEnabled).toBe(true);
    expect(await blobs.exists()).toBe(true);
    await blobs.deleteBlob('listed/x');
    expect(await blobs.getBlobClient('listed/x').exists()).toBe(false);
  });
});
