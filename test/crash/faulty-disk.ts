/**
 * A disk that fails at a step of the test's choice: an error of the system, half a write, the end of the process, a power
 * cut. It stands between the product and `node:fs/promises` (`vi.mock`) and knows what is durable: the content of a file
 * up to its last sync, the names of a folder up to the folder's.
 *
 * A power cut keeps what is durable and, as a real one does, any part of the rest: a prefix of what was written behind it,
 * a prefix of the names that were made, moved and removed. A sync that fails loses what it should have written for good,
 * and says so once: a later sync of the same file succeeds and keeps nothing of it, as Linux does it.
 */
import { existsSync, lstatSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

type Fs = typeof import('node:fs/promises');

/** `short`: half of a write arrives and the rest finds the disk full. `torn`: half of it arrives and the process ends. */
export type DiskFault = 'EIO' | 'ENOSPC' | 'short' | 'torn' | 'end';

/** What the process that has ended would have thrown, were it still there. */
class Ended extends Error {}

interface Inode {
  durable: Buffer;
  /** Bytes from here on were lost by a sync that failed. */
  badFrom: number;
}

type Entry = Inode | 'folder';
type Rename = readonly [name: string, entry: Entry | null];

class Disk {
  #root = '';
  #fault: { readonly kind: DiskFault; readonly at: number } | null = null;
  #ended = false;
  #shortened = '';
  #steps = 0;
  /** What was done at each step, for messages. */
  #log: string[] = [];
  #files = new Map<string, Inode>();
  #durable = new Map<string, Map<string, Entry>>();
  #pending = new Map<string, Rename[]>();

  /** An empty folder, everything in it durable. */
  begin(root: string): void {
    this.#root = root;
    this.#files = new Map();
    this.#durable = new Map();
    this.#pending = new Map();
    this.plug(null, 0);
  }

  /** A new process; its steps are counted from 1. */
  plug(kind: DiskFault | null, at: number): void {
    this.#fault = kind === null ? null : { kind, at };
    this.#ended = false;
    this.#shortened = '';
    this.#steps = 0;
    this.#log = [];
  }

  get steps(): number {
    return this.#steps;
  }

  /** The step at which the fault came. */
  get fault(): string {
    return this.#fault === null ? 'none' : `${this.#fault.kind} at step ${this.#fault.at}, ${this.#log[this.#fault.at - 1]}`;
  }

  /** Was a step of this kind? `what` is how it begins. */
  is(what: string, step: number): boolean {
    return this.#log[step - 1]?.startsWith(what) ?? false;
  }

  get hasFailed(): boolean {
    return this.#fault !== null && this.#steps >= this.#fault.at;
  }

  get hasEnded(): boolean {
    return this.#ended;
  }

  covers(path: string): boolean {
    return this.#root !== '' && (path === this.#root || path.startsWith(`${this.#root}/`));
  }

  /** Counts a step; `half` does as much of it as a torn write does. @throws what the system would say */
  async step<T>(what: string, path: string, work: () => Promise<T>, half?: () => Promise<T>): Promise<T> {
    if (this.#ended) throw new Ended();
    this.#steps += 1;
    this.#log.push(`${what} ${path.slice(this.#root.length + 1)}`);
    if (this.#fault === null) return await work();
    const { kind, at } = this.#fault;
    if (this.#steps !== at) {
      // The rest of a write that came to half only; other files may be written meanwhile.
      if (this.#shortened === path && half !== undefined) throw systemError('ENOSPC', what);
      return await work();
    }
    if (kind === 'short' && half !== undefined) {
      this.#shortened = path;
      return await half();
    }
    if (kind === 'torn' || kind === 'end') {
      this.#ended = true;
      if (kind === 'torn') await half?.();
      throw new Ended();
    }
    // A full disk and a full quota are the same to whoever writes.
    throw systemError(kind === 'EIO' ? kind : at % 2 === 0 ? 'ENOSPC' : 'EDQUOT', what);
  }

  made(path: string): Inode {
    const inode: Inode = { durable: Buffer.alloc(0), badFrom: Infinity };
    this.named(path, inode);
    return inode;
  }

  named(path: string, entry: Entry | null): void {
    if (entry === null) this.#files.delete(path);
    else if (entry !== 'folder') this.#files.set(path, entry);
    const folder = dirname(path);
    const pending = this.#pending.get(folder) ?? [];
    this.#pending.set(folder, [...pending, [basename(path), entry]]);
  }

  inodeAt(path: string): Inode | null {
    return this.#files.get(path) ?? null;
  }

  synced(path: string, inode: Inode): void {
    inode.durable = readFileSync(path).subarray(0, Math.min(inode.badFrom, Number.MAX_SAFE_INTEGER));
  }

  syncedFolder(folder: string): void {
    const entries = this.#durable.get(folder) ?? new Map<string, Entry>();
    apply(entries, this.#pending.get(folder) ?? []);
    this.#durable.set(folder, entries);
    this.#pending.delete(folder);
  }

  /** @param random in [0, 1): how much of what is not durable survives, each time it is asked */
  cutPower(random: () => number): void {
    const contents = new Map<Inode, Buffer>();
    for (const [path, inode] of this.#files) {
      const now = readFileSync(path).subarray(0, Math.min(inode.badFrom, Number.MAX_SAFE_INTEGER));
      const grown = now.length >= inode.durable.length && now.subarray(0, inode.durable.length).equals(inode.durable);
      const kept = inode.durable.length + Math.floor(random() * (now.length - inode.durable.length + 1));
      contents.set(inode, grown ? Buffer.from(now.subarray(0, kept)) : random() < 0.5 ? Buffer.from(now) : inode.durable);
    }
    const folders = new Map([...this.#durable].map(([folder, entries]) => [folder, new Map(entries)]));
    for (const [folder, pending] of this.#pending) {
      const entries = folders.get(folder) ?? new Map<string, Entry>();
      apply(entries, pending.slice(0, Math.floor(random() * (pending.length + 1))));
      folders.set(folder, entries);
    }
    rmSync(this.#root, { recursive: true, force: true });
    mkdirSync(this.#root);
    this.#files = new Map();
    this.#durable = new Map();
    this.#pending = new Map();
    this.#restore(this.#root, folders, contents);
  }

  #restore(folder: string, folders: ReadonlyMap<string, ReadonlyMap<string, Entry>>, contents: ReadonlyMap<Inode, Buffer>): void {
    const entries = new Map(folders.get(folder));
    for (const [name, entry] of entries) {
      const path = join(folder, name);
      if (entry === 'folder') {
        mkdirSync(path);
        this.#restore(path, folders, contents);
        continue;
      }
      // A name that was removed from every folder that knows it is in none of `#files`; what it held is what was durable.
      const durable = contents.get(entry) ?? entry.durable;
      writeFileSync(path, durable);
      const inode: Inode = { durable, badFrom: Infinity };
      this.#files.set(path, inode);
      entries.set(name, inode);
    }
    this.#durable.set(folder, entries);
  }

  /** Files by path in the lake, the lock and what a crash left half done aside. */
  files(): Map<string, Buffer> {
    const paths = readdirSync(this.#root, { recursive: true, encoding: 'utf8' });
    const shown = paths.filter(
      (path) => lstatSync(join(this.#root, path)).isFile() && !path.endsWith('/lock') && !basename(path).startsWith('.tmp-'),
    );
    return new Map(shown.map((path) => [path, readFileSync(join(this.#root, path))]));
  }
}

function apply(entries: Map<string, Entry>, renames: readonly Rename[]): void {
  for (const [name, entry] of renames) {
    if (entry === null) entries.delete(name);
    else entries.set(name, entry);
  }
}

function systemError(code: string, what: string): Error {
  return Object.assign(new Error(`${code}: injected, ${what}`), { code, syscall: what });
}

export const disk = new Disk();

/** `node:fs/promises` with the disk in between. */
export function faulty(fs: Fs): Partial<Fs> {
  const open = async (path: string, flags: string): Promise<FileHandle> => {
    if (!disk.covers(path)) return await fs.open(path, flags);
    if (flags === 'r') return withFolderSync(await fs.open(path, flags), path);
    if (!flags.startsWith('wx')) {
      const handle = await fs.open(path, flags);
      return withFaults(handle, path, disk.inodeAt(path)!);
    }
    return await disk.step('open', path, async () => {
      const handle = await fs.open(path, flags);
      return withFaults(handle, path, disk.made(path));
    });
  };
  const link = async (from: string, to: string): Promise<void> => {
    await disk.step('link', to, async () => {
      await fs.link(from, to);
      disk.named(to, disk.inodeAt(from));
    });
  };
  const rename = async (from: string, to: string): Promise<void> => {
    await disk.step('rename', to, async () => {
      await fs.rename(from, to);
      const inode = disk.inodeAt(from);
      disk.named(from, null);
      disk.named(to, inode);
    });
  };
  const unlink = async (path: string): Promise<void> => {
    await disk.step('unlink', path, async () => {
      await fs.unlink(path);
      disk.named(path, null);
    });
  };
  const mkdir = async (path: string, options: object): Promise<string | undefined | void> => {
    // Nothing is made, and so nothing missing, where there is one.
    if (!disk.covers(path) || existsSync(path)) return await fs.mkdir(path, options);
    return await disk.step('mkdir', path, async () => {
      const made = await fs.mkdir(path, options);
      disk.named(path, 'folder');
      return made;
    });
  };
  return { ...fs, open: open as Fs['open'], link: link as Fs['link'], rename: rename as Fs['rename'], unlink: unlink as Fs['unlink'], mkdir: mkdir as Fs['mkdir'] }; // prettier-ignore
}

/** A folder, or a file that is read. */
function withFolderSync(handle: FileHandle, path: string): FileHandle {
  const sync = async (): Promise<void> => {
    await disk.step('sync of the folder', path, async () => disk.syncedFolder(path));
  };
  return replacing(handle, { sync });
}

function withFaults(handle: FileHandle, path: string, inode: Inode): FileHandle {
  const sync = async (): Promise<void> => {
    try {
      await disk.step('sync', path, async () => disk.synced(path, inode));
    } catch (error) {
      if (!disk.hasEnded && readFileSync(path).length > inode.durable.length) inode.badFrom = Math.min(inode.badFrom, inode.durable.length);
      throw error;
    }
  };
  const writev = async (chunks: readonly Uint8Array[], position: number): Promise<{ bytesWritten: number }> => {
    const bytes = Buffer.concat(chunks);
    const write = async (count: number): Promise<{ bytesWritten: number }> => await handle.write(bytes, 0, count, position);
    return await disk.step('write', path, () => write(bytes.length), () => write(bytes.length >> 1)); // prettier-ignore
  };
  const writeFile = async (bytes: Uint8Array): Promise<void> => {
    const half = async (): Promise<void> => {
      await handle.write(bytes, 0, bytes.length >> 1, 0);
      // `writeFile` writes on until the system says why it cannot.
      if (!disk.hasEnded) throw systemError('ENOSPC', 'write');
    };
    if (bytes.length > 0) await disk.step('write', path, () => handle.writeFile(bytes), half);
  };
  const truncate = async (length: number): Promise<void> => {
    await disk.step('truncate', path, async () => {
      await handle.truncate(length);
      if (length <= inode.badFrom) inode.badFrom = Infinity;
    });
  };
  return replacing(handle, { sync, datasync: sync, writev, writeFile, truncate });
}

function replacing(handle: FileHandle, methods: object): FileHandle {
  return new Proxy(handle, {
    get(target, name) {
      const value: unknown = Reflect.get(methods, name) ?? Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}
