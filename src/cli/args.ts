/**
 * Values on the command line: read once, refused with what would be right.
 */
import { InvalidArgumentError } from 'commander';
import { parseDuration } from '../config/units.ts';
import { SECONDS_PER_HOUR, hourOf, parseHourName, type Hour } from '../core/time.ts';

const ORDINAL_MAX = 2 ** 32 - 1;

export function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const n = /^\d+$/.test(text) ? Number(text) : Number.NaN;
    if (n >= min && n <= max) return n;
    throw new InvalidArgumentError(`It must be a whole number between ${min} and ${max}.`);
  };
}

/** Seconds as a number (`5`, `0.5`) or any duration with its unit (`500ms`, `2m`), in ms. */
export function seconds(text: string): number {
  const ms = /^\d+(\.\d+)?$/.test(text) ? Math.round(Number(text) * 1000) : parseDuration(text);
  if (ms !== null && Number.isSafeInteger(ms)) return ms;
  throw new InvalidArgumentError('It must be a number of seconds, or a time such as 500ms or 2m.');
}

/** `20261121-07`, `2026-11-21T07`, or any ISO 8601 time within the hour; UTC unless a zone is named. */
export function hour(text: string): Hour {
  const named = parseHourName(text);
  if (named !== null) return named;
  const m = /^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2})(?::(\d{2})(?::(\d{2})(?:\.\d+)?)?)?(Z|[+-]\d{2}:?\d{2})?)?$/i.exec(text);
  const at = m === null ? Number.NaN : Date.parse(`${m[1]}T${m[2] ?? '00'}:${m[3] ?? '00'}:${m[4] ?? '00'}${m[5] ?? 'Z'}`);
  if (Number.isNaN(at)) throw new InvalidArgumentError('It must be an hour such as 20261121-07 or 2026-11-21T07 (UTC).');
  return hourOf(Math.floor(at / 1000));
}

/** A moment as a cluster time: `1795247100.3`, or a time in ISO 8601, which means the end of its second; UTC unless a zone is named. */
export function moment(text: string): { readonly t: number; readonly i: number } {
  const exact = /^(\d{1,10})\.(\d{1,10})$/.exec(text);
  if (exact !== null) return { t: Number(exact[1]), i: Number(exact[2]) };
  const m = /^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}):(\d{2})(?::(\d{2})(?:\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?)?$/i.exec(text);
  const at = m === null ? Number.NaN : Date.parse(`${m[1]}T${m[2] ?? '00'}:${m[3] ?? '00'}:${m[4] ?? '00'}${m[5] ?? 'Z'}`);
  if (Number.isNaN(at)) throw new InvalidArgumentError('It must be a time such as 2026-11-21T07:45:00Z, or a cluster time such as 1795247100.3.');
  return { t: Math.floor(at / 1000), i: ORDINAL_MAX };
}

/** Any ISO 8601 time; UTC unless a zone is named. Gives it in UTC. */
export function isoTime(text: string): string {
  const m = /^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?)(Z|[+-]\d{2}:?\d{2})?)?$/i.exec(text.trim());
  const at = m === null ? Number.NaN : Date.parse(`${m[1]}T${m[2] ?? '00:00'}${m[3] ?? 'Z'}`);
  if (Number.isNaN(at)) throw new InvalidArgumentError('It must be a time such as 2026-11-21T07:45:00Z.');
  return new Date(at).toISOString();
}

/** The last `count` hours, the present one included. */
export function recentHours(count: number, nowMs: number): { readonly from: Hour; readonly to: Hour } {
  const to = Math.floor(nowMs / 1000 / SECONDS_PER_HOUR);
  return { from: to - count + 1, to };
}
