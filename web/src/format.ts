/**
 * Numbers, sizes and times as people read them. Times of the lake are UTC, as its folders are.
 */
const COUNT = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });

export function count(n: number): string {
  return COUNT.format(n);
}

/** `950`, `12.4k`, `3.1M`: at most four letters of digits. */
export function short(n: number): string {
  if (n < 1000) return n < 10 && n % 1 !== 0 ? n.toFixed(1) : String(Math.round(n));
  const units = ['k', 'M', 'G', 'T'];
  let value = n;
  let at = -1;
  while (value >= 1000 && at < units.length - 1) {
    value /= 1000;
    at += 1;
  }
  return `${value >= 100 ? Math.round(value) : value.toFixed(1)}${units[at] ?? ''}`;
}

export function size(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
  let value = bytes;
  let at = 0;
  while (value >= 1000 && at < units.length - 1) {
    value /= 1000;
    at += 1;
  }
  return `${at === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[at] ?? ''}`;
}

/** `3 s`, `2 min`, `1 h 3 min`, `4 d 2 h`. */
export function age(totalSeconds: number): string {
  const s = Math.max(0, Math.round(totalSeconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86_400) return `${Math.floor(s / 3600)} h${s % 3600 < 60 ? '' : ` ${Math.floor((s % 3600) / 60)} min`}`;
  return `${Math.floor(s / 86_400)} d${s % 86_400 < 3600 ? '' : ` ${Math.floor((s % 86_400) / 3600)} h`}`;
}

export function ago(iso: string, nowMs: number): string {
  return `${age((nowMs - Date.parse(iso)) / 1000)} ago`;
}

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const two = (n: number): string => String(n).padStart(2, '0');

/** `21 Nov`. */
export function day(date: Date): string {
  return `${date.getUTCDate()} ${MONTHS[date.getUTCMonth()] ?? ''}`;
}

/** `14:05`. */
export function clock(date: Date): string {
  return `${two(date.getUTCHours())}:${two(date.getUTCMinutes())}`;
}

/** `14:05` of today, `21 Nov 14:05` else. */
export function moment(iso: string, nowMs: number): string {
  const date = new Date(iso);
  return date.toISOString().slice(0, 10) === new Date(nowMs).toISOString().slice(0, 10) ? clock(date) : `${day(date)} ${clock(date)}`;
}

export function plural(n: number, one: string, many = `${one}s`): string {
  return `${count(n)} ${n === 1 ? one : many}`;
}
