/**
 * Sizes and durations as people write them. Everything inside the program is bytes and milliseconds.
 */

const BYTES_PER: Readonly<Record<string, number>> = {
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
};

const MS_PER: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };

/** `256MiB`, `4 MB` or a plain number of bytes. `null` for anything else. */
export function parseBytes(value: string | number): number | null {
  if (typeof value === 'number') return whole(value);
  const m = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(value.trim());
  if (m === null) return null;
  const unit = (m[2] ?? '').toLowerCase();
  const factor = unit === '' ? 1 : BYTES_PER[unit];
  return factor === undefined ? null : whole(Math.round(Number(m[1]) * factor));
}

/** `500ms`, `1h`, `90d` as milliseconds; a number needs a unit unless it is 0. `null` for anything else. */
export function parseDuration(value: string | number): number | null {
  if (typeof value === 'number') return value === 0 ? 0 : null;
  const m = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(value.trim());
  if (m === null) return null;
  const unit = (m[2] ?? '').toLowerCase();
  const amount = Number(m[1]);
  if (unit === '') return amount === 0 ? 0 : null;
  const factor = MS_PER[unit];
  return factor === undefined ? null : whole(Math.round(amount * factor));
}

/** The shortest exact way to write a size: `256MiB`, `900KB`, `1234B`. */
export function formatBytes(bytes: number): string {
  for (const unit of ['TiB', 'TB', 'GiB', 'GB', 'MiB', 'MB', 'KiB', 'KB']) {
    const factor = BYTES_PER[unit.toLowerCase()] ?? 1;
    if (bytes >= factor && bytes % factor === 0) return `${bytes / factor}${unit}`;
  }
  return `${bytes}B`;
}

/** The shortest exact way to write a duration: `1h`, `90d`, `1500ms`. */
export function formatDuration(ms: number): string {
  for (const unit of ['d', 'h', 'm', 's']) {
    const factor = MS_PER[unit] ?? 1;
    if (ms >= factor && ms % factor === 0) return `${ms / factor}${unit}`;
  }
  return `${ms}ms`;
}

function whole(n: number): number | null {
  return Number.isSafeInteger(n) && n >= 0 ? n : null;
}

const CRON_FIELDS: readonly { readonly min: number; readonly max: number; readonly names: readonly string[] }[] = [
  { min: 0, max: 59, names: [] },
  { min: 0, max: 23, names: [] },
  { min: 1, max: 31, names: [] },
  { min: 1, max: 12, names: ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'] },
  { min: 0, max: 7, names: ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'] },
];

/** Whether `line` is a cron line of five fields: minute, hour, day of month, month, day of week. */
export function isCron(line: string): boolean {
  const fields = line.trim().split(/\s+/);
  return fields.length === CRON_FIELDS.length && fields.every((field, at) => field.split(',').every((item) => isCronItem(item, at)));
}

function isCronItem(item: string, at: number): boolean {
  const spec = CRON_FIELDS[at];
  const m = /^(\*|\w+(?:-\w+)?)(?:\/(\d+))?$/.exec(item);
  if (spec === undefined || m === null || (m[2] !== undefined && Number(m[2]) < 1)) return false;
  if (m[1] === '*') return true;
  const ends = (m[1] ?? '').split('-').map((text) => {
    const named = spec.names.indexOf(text.toLowerCase());
    if (named >= 0) return named + (spec.min === 1 ? 1 : 0);
    return /^\d+$/.test(text) ? Number(text) : Number.NaN;
  });
  const [from = Number.NaN, to = from] = ends;
  return from >= spec.min && to <= spec.max && from <= to;
}
