/**
 * BSON timestamps (cluster time) and the UTC hours that the lake is partitioned by.
 */

/** MongoDB cluster time: seconds since the epoch and an ordinal within that second. */
export interface Timestamp {
  readonly t: number;
  readonly i: number;
}

/** Negative, zero or positive as `a` is before, at or after `b`. */
export function compareTimestamps(a: Timestamp, b: Timestamp): number {
  return a.t - b.t || a.i - b.i;
}

export function laterTimestamp(a: Timestamp, b: Timestamp): Timestamp {
  return compareTimestamps(a, b) >= 0 ? a : b;
}

export const SECONDS_PER_HOUR = 3600;

/** Whole hours since the epoch, UTC. The hour of an event is that of its cluster time. */
export type Hour = number;

export function hourOf(t: number): Hour {
  return Math.floor(t / SECONDS_PER_HOUR);
}

/** First instant after the hour, as cluster time: once the watermark is here the hour can get no more events. */
export function endOfHour(hour: Hour): Timestamp {
  return { t: (hour + 1) * SECONDS_PER_HOUR, i: 0 };
}

/** `YYYYMMDD-HH`, UTC. */
export function hourName(hour: Hour): string {
  const iso = new Date(hour * SECONDS_PER_HOUR * 1000).toISOString();
  return `${iso.slice(0, 4)}${iso.slice(5, 7)}${iso.slice(8, 10)}-${iso.slice(11, 13)}`;
}

/** `YYYYMMDD`, UTC. */
export function dayName(date: Date): string {
  return date.toISOString().slice(0, 10).replaceAll('-', '');
}

/** Inverse of {@link hourName}; `null` for anything else. */
export function parseHourName(name: string): Hour | null {
  const m = /^(\d{4})(\d{2})(\d{2})-(\d{2})$/.exec(name);
  if (!m) return null;
  const ms = Date.parse(`${m[1]}-${m[2]}-${m[3]}T${m[4]}:00:00Z`);
  return Number.isNaN(ms) ? null : ms / 3_600_000;
}
