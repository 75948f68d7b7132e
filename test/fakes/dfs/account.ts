/**
 * What the account holds: containers, paths with their committed and staged bytes, and the events that readers would get.
 *
 * Invariant: committed bytes change by whole replacement, by a flush or by an appended block, each in one step; every step gives a new ETag.
 * Nothing waits here, so every request is one step.
 */
import type { Clock } from '../../../src/core/clock.ts';
import { Lease } from './lease.ts';
import { refusal, type Endpoint } from './replies.ts';

/** Bytes that grow at the end, without being copied each time. */
export class Bytes {
  #chunks: Buffer[] = [];
  #length = 0;

  get length(): number {
    return this.#length;
  }

  append(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#length += chunk.length;
  }

  /** Bytes that are there already become others. */
  overwrite(at: number, bytes: Buffer): void {
    const all = this.all();
    bytes.copy(all, at, 0, Math.min(bytes.length, this.#length - at));
    this.#chunks = [all];
  }

  slice(from: number, to: number): Buffer[] {
    const found: Buffer[] = [];
    let at = 0;
    for (const chunk of this.#chunks) {
      const end = at + chunk.length;
      if (end > from && at < to) found.push(chunk.subarray(Math.max(0, from - at), Math.min(chunk.length, to - at)));
      at = end;
    }
    return found;
  }

  all(): Buffer {
    return Buffer.concat(this.#chunks);
  }
}

export interface StorageEvent {
  /** As in Event Grid's `data.api`. */
  readonly api: 'FlushWithClose' | 'PutBlob' | 'DeleteFile' | 'RenameFile' | 'CreateFile';
  readonly container: string;
  readonly path: string;
  readonly length: number;
}

export class PathNode {
  name: string;
  readonly kind: 'file' | 'directory';
  readonly blobType: 'BlockBlob' | 'AppendBlob';
  /** Which endpoint wrote it: appends through DFS to what the Blob endpoint wrote are refused. */
  readonly origin: Endpoint;
  readonly bytes = new Bytes();
  /** Position → bytes; the last appender at a position wins, whoever it was. */
  readonly staged = new Map<number, Buffer>();
  readonly createdMs: number;
  lease = new Lease();
  etag: string;
  lastModifiedMs: number;
  contentType: string | undefined;
  contentMd5: string | undefined;
  metadata: Readonly<Record<string, string>> = {};
  /** Committed blocks of an append blob. */
  blocks = 0;

  constructor(how: {
    name: string;
    kind: 'file' | 'directory';
    origin: Endpoint;
    etag: string;
    nowMs: number;
    blobType?: 'BlockBlob' | 'AppendBlob';
  }) {
    this.name = how.name;
    this.kind = how.kind;
    this.origin = how.origin;
    this.blobType = how.blobType ?? 'BlockBlob';
    this.etag = how.etag;
    this.createdMs = how.nowMs;
    this.lastModifiedMs = how.nowMs;
  }
}

export class Container {
  readonly name: string;
  readonly nodes = new Map<string, PathNode>();
  etag: string;
  lastModifiedMs: number;
  metadata: Readonly<Record<string, string>> = {};
  /** Until then nobody can make it again; everything else finds no container. */
  deletedUntilMs: number | null = null;
  /** An immutability policy: what exists can be neither replaced, appended to nor deleted. */
  immutable = false;

  constructor(name: string, etag: string, nowMs: number) {
    this.name = name;
    this.etag = etag;
    this.lastModifiedMs = nowMs;
  }

  children(folder: string): boolean {
    for (const name of this.nodes.keys()) if (name.startsWith(`${folder}/`)) return true;
    return false;
  }
}

const DELETED_MS = 30_000;

export class Account {
  readonly name: string;
  readonly hierarchical: boolean;
  readonly clock: Clock;
  /** Base64, as the portal shows it. Another key is a rotated one. */
  key: string;
  readonly containers = new Map<string, Container>();
  readonly events: StorageEvent[] = [];
  #etags = 0;

  constructor(how: { readonly name: string; readonly key: string; readonly hierarchical: boolean; readonly clock: Clock }) {
    this.name = how.name;
    this.key = how.key;
    this.hierarchical = how.hierarchical;
    this.clock = how.clock;
  }

  nextEtag(): string {
    this.#etags += 1;
    return `0x8DE${(0x2a_0000_0000 + this.#etags * 0x11).toString(16).toUpperCase().padStart(12, '0')}`;
  }

  container(name: string, endpoint: Endpoint): Container {
    const found = this.containers.get(name);
    if (found === undefined || found.deletedUntilMs !== null) throw refusal(endpoint === 'dfs' ? 'filesystem.missing' : 'container.missing');
    return found;
  }

  createContainer(name: string, endpoint: Endpoint, metadata: Readonly<Record<string, string>> = {}): Container {
    const dfs = endpoint === 'dfs';
    if (!/^(?!-)(?!.*--)[a-z0-9-]{3,63}(?<!-)$/.test(name)) throw refusal('container.name');
    const old = this.containers.get(name);
    if (old !== undefined && old.deletedUntilMs === null) throw refusal(dfs ? 'filesystem.exists' : 'container.exists');
    if (old?.deletedUntilMs && this.clock.now() < old.deletedUntilMs) throw refusal(dfs ? 'filesystem.being-deleted' : 'container.being-deleted');
    const container = new Container(name, this.nextEtag(), this.clock.now());
    container.metadata = metadata;
    this.containers.set(name, container);
    return container;
  }

  deleteContainer(name: string, endpoint: Endpoint): void {
    this.container(name, endpoint).deletedUntilMs = this.clock.now() + DELETED_MS;
  }

  /** A new ETag and time. */
  touch(node: PathNode): void {
    node.etag = this.nextEtag();
    node.lastModifiedMs = this.clock.now();
  }

  /**
   * A new node in the place of whatever is there; missing parents are made on a hierarchical account.
   * A lease stays with its path.
   */
  place(container: Container, name: string, how: { kind: 'file' | 'directory'; origin: Endpoint; blobType?: 'BlockBlob' | 'AppendBlob' }): PathNode {
    if (this.hierarchical) this.#parents(container, name, how.origin);
    const old = container.nodes.get(name);
    const node = new PathNode({ ...how, name, etag: this.nextEtag(), nowMs: this.clock.now() });
    if (old !== undefined) node.lease = old.lease;
    container.nodes.set(name, node);
    return node;
  }

  #parents(container: Container, name: string, endpoint: Endpoint): void {
    const segments = name.split('/');
    const missing: string[] = [];
    for (let depth = 1; depth < segments.length; depth += 1) {
      const parent = segments.slice(0, depth).join('/');
      const node = container.nodes.get(parent);
      if (node?.kind === 'file') throw refusal(endpoint === 'dfs' ? 'create.path-conflict' : 'blob.parent-file');
      if (node === undefined) missing.push(parent);
    }
    for (const parent of missing) {
      container.nodes.set(
        parent,
        new PathNode({ name: parent, kind: 'directory', origin: endpoint, etag: this.nextEtag(), nowMs: this.clock.now() }),
      );
    }
  }

  event(api: StorageEvent['api'], container: Container, node: PathNode): void {
    this.events.push({ api, container: container.name, path: node.name, length: node.bytes.length });
  }
}

export interface Named {
  readonly name: string;
}

/** Segment by segment, a parent before what is below it: `a`, `a/x`, `a-b`. */
export function inTreeOrder(a: Named, b: Named): number {
  const left = a.name.split('/');
  const right = b.name.split('/');
  for (let n = 0; n < Math.min(left.length, right.length); n += 1) {
    if (left[n] !== right[n]) return left[n]! < right[n]! ? -1 : 1;
  }
  return left.length - right.length;
}
