/**
 * A lake with one file per event, seen as if each index held the events that it names: then what is asked of parts can be
 * asked of it. What is off on the way is told.
 */
import { sha256 } from './schedule-world.ts';

const INDEX = /^(?<folder>[^/]+\/[^/]+\/year=\d{4}\/month=\d\d\/day=\d\d)\/_index-(?<day>\d{8})-(?<hour>\d\d)(?<part>\.part-\d{4})?\.jsonl$/;

interface IndexLine {
  readonly _meta: { readonly position: string };
  readonly file: { readonly path: string; readonly bytes: number; readonly sha256: string };
}

/** Files as they are, but for indexes, their events and their manifests, which become parts of the `hive` layout. */
export function indexesAsParts(files: ReadonlyMap<string, Buffer>, found: string[]): ReadonlyMap<string, Buffer> {
  const seen = new Map<string, string>();
  const out = new Map<string, Buffer>();
  for (const [path, bytes] of files) {
    const groups = INDEX.exec(path)?.groups;
    if (groups === undefined) {
      if (!path.endsWith('.json') || path.startsWith('_sluice')) out.set(path, bytes);
      continue;
    }
    const events: Buffer[] = [];
    for (const text of bytes.toString('utf8').split('\n').slice(0, -1)) {
      const { _meta: meta, file } = JSON.parse(text) as IndexLine;
      if (seen.has(file.path)) found.push(`${file.path} is named by ${seen.get(file.path)} and by ${path}`);
      seen.set(file.path, path);
      const event = files.get(file.path);
      if (event === undefined) found.push(`${path} names ${file.path}, which is not there`);
      else if (event.length !== file.bytes || sha256(event) !== file.sha256) found.push(`${file.path} is not what ${path} says`);
      else if (!event.toString('utf8').includes(meta.position)) found.push(`${file.path} is not the event at ${meta.position}`);
      events.push(event ?? Buffer.alloc(0));
    }
    const { folder, day, hour, part = '' } = groups;
    out.set(`${folder}/hour=${hour}/events-${day}-${hour}${part}.jsonl`, Buffer.concat(events));
  }
  for (const path of files.keys()) {
    if (path.endsWith('.json') && !path.startsWith('_sluice') && !path.endsWith('/_manifest.json') && !seen.has(path)) {
      found.push(`${path} is named by no index`);
    }
  }
  for (const [path, bytes] of files) {
    const m = /^_sluice\/p\/manifests\/([^/]+)\/([^/]+)\/(\d{4})(\d\d)(\d\d)-(\d\d)\.json$/.exec(path);
    if (m === null) continue;
    const folder = `${m[1]}/${m[2]}/year=${m[3]}/month=${m[4]}/day=${m[5]}/hour=${m[6]}`;
    out.set(`${folder}/_SUCCESS`, Buffer.alloc(0));
    out.set(`${folder}/_manifest.json`, Buffer.from(bytes.toString('utf8').replace(/day=\d\d\/_index-(\d{8})-(\d\d)/g, (whole, day: string, hour: string) => `${whole.slice(0, 6)}/hour=${hour}/events-${day}-${hour}`))); // prettier-ignore
  }
  return out;
}
