/**
 * A storage of objects as the schedules need it: conditional puts, leases, appends. Every request is one step that happens
 * as a whole; whether its answer arrives, and when it happens, is the network's business (object-schedules.ts).
 *
 * Two kinds, after Azure: `append blobs` take bytes at an offset in one request; `files` (ADLS Gen2) take them in two, one
 * that stages and one that makes what was staged part of the file.
 */
import type { LakePath } from '../../src/core/lake.ts';

export type StoreKind = 'append blobs' | 'files';

export type ObjectRequest = { readonly path: LakePath } & (
  | { readonly op: 'get' }
  /** `expect`: an etag, or `absent`. */
  | { readonly op: 'put'; readonly bytes: Buffer; readonly expect: string }
  | { readonly op: 'create'; readonly lease: string | null; readonly anyway?: boolean }
  | { readonly op: 'acquire'; readonly lease: string }
  | { readonly op: 'break' }
  | { readonly op: 'change'; readonly from: string; readonly lease: string }
  | { readonly op: 'release'; readonly lease: string }
  | { readonly op: 'append'; readonly bytes: Buffer; readonly at: number; readonly lease: string }
  | { readonly op: 'stage'; readonly bytes: Buffer; readonly at: number; readonly lease: string }
  | { readonly op: 'flush'; readonly to: number; readonly lease: string }
);

/** `no`: the storage has refused, and nothing has changed. */
export type ObjectReply =
  | { readonly is: 'ok'; readonly bytes: Buffer; readonly etag: string }
  | { readonly is: 'absent' }
  | { readonly is: 'no'; readonly why: string };

interface Stored {
  bytes: Buffer;
  etag: string;
  lease: string | null;
  staged: { readonly at: number; readonly bytes: Buffer } | null;
}

const no = (why: string): ObjectReply => ({ is: 'no', why });

export class ObjectStore {
  readonly objects = new Map<LakePath, Stored>();
  /** Called whenever the content of an object changes. */
  onChange: (path: LakePath, before: Buffer | null, after: Buffer) => void = () => {};
  #etags = 0;

  run(request: ObjectRequest): ObjectReply {
    const there = this.objects.get(request.path);
    if (request.op === 'put') return this.#put(request, there);
    if (request.op === 'create') {
      // What a storage does that knows no condition: there, and empty again.
      if (there !== undefined && request.anyway !== true) return no('it exists');
      return this.#write(request.path, Buffer.alloc(0), request.lease);
    }
    if (there === undefined) return { is: 'absent' };
    const { path } = request;
    const answer = (): ObjectReply => ({ is: 'ok', bytes: there.bytes, etag: there.etag });
    switch (request.op) {
      case 'get':
        return answer();
      case 'acquire':
        if (there.lease !== null && there.lease !== request.lease) return no('leased');
        there.lease = request.lease;
        return answer();
      case 'break':
        there.lease = null;
        return answer();
      case 'change':
        if (there.lease !== request.from && there.lease !== request.lease) return no('another lease');
        there.lease = request.lease;
        return answer();
      case 'release':
        if (there.lease === request.lease) there.lease = null;
        return answer();
      case 'append':
        if (there.lease !== request.lease) return no('another lease');
        if (there.bytes.length !== request.at) return no('another length');
        return this.#write(path, Buffer.concat([there.bytes, request.bytes]), there.lease);
      case 'stage':
        if (there.lease !== request.lease) return no('another lease');
        there.staged = { at: request.at, bytes: request.bytes };
        return answer();
      case 'flush':
        return this.#flush(request, there);
    }
  }

  /** Nothing staged, and a flush to the present length: what is staged is dropped. */
  #flush({ path, to, lease }: ObjectRequest & { op: 'flush' }, there: Stored): ObjectReply {
    if (there.lease !== lease) return no('another lease');
    const { staged, bytes } = there;
    if (to === bytes.length) {
      there.staged = null;
      return { is: 'ok', bytes, etag: there.etag };
    }
    if (staged === null || staged.at !== bytes.length || staged.at + staged.bytes.length !== to) return no('another length');
    return this.#write(path, Buffer.concat([bytes, staged.bytes]), there.lease);
  }

  #put({ path, bytes, expect }: ObjectRequest & { op: 'put' }, there: Stored | undefined): ObjectReply {
    if (expect === 'absent' ? there !== undefined : there?.etag !== expect) return no('the condition does not hold');
    return this.#write(path, bytes, there?.lease ?? null);
  }

  #write(path: LakePath, bytes: Buffer, lease: string | null): ObjectReply {
    const before = this.objects.get(path)?.bytes ?? null;
    const etag = String((this.#etags += 1));
    this.objects.set(path, { bytes, etag, lease, staged: null });
    this.onChange(path, before, bytes);
    return { is: 'ok', bytes, etag };
  }
}
