/**
 * The dump of one collection's hour while it is made: its record is saved before each file and after it.
 */
import { randomUUID } from 'node:crypto';
import type { Lake, LakeFile, LakePath } from '../core/lake.ts';
import { DumpWriter } from './dump-file.ts';
import { dumpPath, readRecord, type DumpFile, type DumpNames, type DumpRecord } from './dump-record.ts';

export class OpenDump {
  readonly record: DumpRecord;
  readonly #lake: Lake;
  readonly #path: LakePath;
  readonly #names: DumpNames;
  #there: LakeFile | null;

  private constructor(lake: Lake, path: LakePath, record: DumpRecord, names: DumpNames, there: LakeFile | null) {
    this.#lake = lake;
    this.#path = path;
    this.record = record;
    this.#names = names;
    this.#there = there;
  }

  static async open(lake: Lake, path: LakePath, fresh: DumpRecord, names: DumpNames, signal: AbortSignal): Promise<OpenDump> {
    const there = await lake.stat(path);
    return new OpenDump(lake, path, there === null ? fresh : await readRecord(lake, path, signal), names, there);
  }

  /** Names the file, then makes it. @param part 0: the last or only one */
  async begin(part: number, signal: AbortSignal): Promise<DumpWriter> {
    const { ns, hour, content } = this.record;
    const path = dumpPath(this.#names, ns, hour, content, part, randomUUID());
    this.record.writing = path;
    await this.#save();
    return await DumpWriter.create(this.#lake, path, signal);
  }

  get layout(): DumpNames['layout'] {
    return this.#names.layout;
  }

  /** The file is whole. */
  async end(writer: DumpWriter, what: Partial<Pick<DumpRecord, 'done' | 'at' | 'through'>>, endedAt: string): Promise<void> {
    const file: DumpFile = await writer.finish();
    Object.assign(this.record, what, { endedAt, writing: null, files: [...this.record.files, file] });
    await this.#save();
  }

  /** Takes away the file that was being written. */
  async abandon(): Promise<void> {
    if (this.record.writing === null) return;
    if ((await this.#lake.stat(this.record.writing)) !== null) await this.#lake.remove(this.record.writing);
    this.record.writing = null;
    await this.#save();
  }

  async #save(): Promise<void> {
    this.#there = await this.#lake.put(this.#path, Buffer.from(`${JSON.stringify(this.record)}\n`), this.#there ?? 'absent');
  }
}
