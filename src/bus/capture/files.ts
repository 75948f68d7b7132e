/**
 * Which Capture files there are: by partition, in the order in which they were written.
 *
 * Capture names files by a pattern of the hub's owner, whose parts may come in any order; sluice is told the same pattern. The time in
 * a name only orders the files of a partition: what is in them is decided by sequence numbers.
 */
import { SluiceError } from '../../core/error.ts';
import { CAPTURE_PATTERN } from '../../core/errors.ts';
import type { Lake, LakePath } from '../../core/lake.ts';

/** What Azure has when nobody has chosen. */
export const DEFAULT_PATTERN = '{Namespace}/{EventHub}/{PartitionId}/{Year}/{Month}/{Day}/{Hour}/{Minute}/{Second}';
const TIME = ['Year', 'Month', 'Day', 'Hour', 'Minute', 'Second'] as const;
const TOKENS: Readonly<Record<string, string>> = {
  Namespace: '[^/]+',
  EventHub: '[^/]+',
  PartitionId: String.raw`\d+`,
  Year: String.raw`\d{4}`,
  ...Object.fromEntries(TIME.slice(1).map((name) => [name, String.raw`\d{1,2}`])),
};

export interface CaptureFile {
  readonly path: LakePath;
  readonly partition: number;
  /** Year to second, and then the path. */
  readonly order: string;
}

/** @throws CAPTURE_PATTERN */
export function patternRegex(pattern: string): RegExp {
  const missing = ['PartitionId', ...TIME].filter((name) => !pattern.includes(`{${name}}`));
  if (missing.length > 0) throw new SluiceError(CAPTURE_PATTERN, `${pattern} lacks ${missing.map((name) => `{${name}}`).join(', ')}`);
  const seen = new Set<string>();
  const source = pattern.replace(/^\/|\/$/g, '').replace(/\{(\w+)\}|[^\w/]/g, (whole, name: string | undefined) => {
    if (name === undefined) return whole.replace(/[^\w]/g, String.raw`\$&`);
    const token = TOKENS[name];
    if (token === undefined) throw new SluiceError(CAPTURE_PATTERN, `${pattern} has {${name}}, known are ${Object.keys(TOKENS).join(', ')}`);
    if (seen.has(name)) return token;
    seen.add(name);
    return `(?<${name}>${token})`;
  });
  // Some writers add a number to the name.
  return new RegExp(String.raw`(?:^|/)${source}[^/]*\.(?:avro|parquet)$`, 'i');
}

/** By partition, oldest first. Files of other names are left alone. */
export async function captureFiles(lake: Lake, pattern: RegExp, signal: AbortSignal): Promise<Map<number, CaptureFile[]>> {
  const found: CaptureFile[] = [];
  for await (const { path, size } of lake.list('', signal)) {
    const groups = size === 0 ? undefined : pattern.exec(path)?.groups;
    if (groups === undefined) continue;
    const time = TIME.map((name) => (groups[name] ?? '').padStart(4, '0')).join('');
    found.push({ path, partition: Number(groups['PartitionId']), order: `${time} ${path}` });
  }
  found.sort((a, b) => (a.order < b.order ? -1 : 1));
  return Map.groupBy(found, ({ partition }) => partition);
}
