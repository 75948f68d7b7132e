/**
 * Dates: `2026-11-21T07:45:01.123Z` by civil-date arithmetic, without a `Date`.
 *
 * Neighbouring events carry dates of the same day, so the text of the last day is kept. Years 1970 to 9999 are written
 * so in relaxed lines; any other date, and every date in canonical lines, is its milliseconds.
 */
import { literal, writeLiteral } from './literal.ts';
import { closeWrapper, writePair, writeWrappedInt64 } from './number.ts';
import type { Tape } from './tape.ts';

const MS_PER_DAY = 86_400_000;
const TWO_32 = 2 ** 32;
/** First millisecond of the year 10000. */
const YEAR_10000_MS = 253_402_300_800_000;

const ZERO = 0x30;
const COLON = 0x3a;
const DOT = 0x2e;
const Z = 0x5a;
const DAY_BYTES = 11;

let cachedDay = -1;
/** `YYYY-MM-DDT` of {@link cachedDay}, and one byte more to make three words. */
const dayText = new DataView(new ArrayBuffer(12));

/**
 * ISO 8601 in UTC, with milliseconds if they are not zero.
 * @param ms integer, from 1970 to 9999
 */
function writeIso(out: DataView, to: number, ms: number): number {
  const day = Math.floor(ms / MS_PER_DAY);
  if (day !== cachedDay) writeDay(day);
  out.setInt32(to, dayText.getInt32(0, true), true);
  out.setInt32(to + 4, dayText.getInt32(4, true), true);
  out.setInt32(to + 8, dayText.getInt32(8, true), true);
  const rest = (ms - day * MS_PER_DAY) | 0;
  const seconds = (rest / 1000) | 0;
  const millis = rest - seconds * 1000;
  const minutes = (seconds / 60) | 0;
  const hours = (minutes / 60) | 0;
  let at = to + DAY_BYTES;
  writePair(out, at, hours);
  out.setUint8(at + 2, COLON);
  writePair(out, at + 3, minutes - hours * 60);
  out.setUint8(at + 5, COLON);
  writePair(out, at + 6, seconds - minutes * 60);
  at += 8;
  if (millis !== 0) {
    const hundreds = (millis / 100) | 0;
    out.setUint8(at, DOT);
    out.setUint8(at + 1, ZERO + hundreds);
    writePair(out, at + 2, millis - hundreds * 100);
    at += 4;
  }
  out.setUint8(at, Z);
  return at + 1;
}

/** Fills {@link dayText}. Days since 1970-01-01, proleptic Gregorian; years are counted from March, so leap days come last. */
function writeDay(day: number): void {
  const sinceMarch0000 = day + 719_468;
  const era = Math.floor(sinceMarch0000 / 146_097);
  const dayOfEra = sinceMarch0000 - era * 146_097;
  const yearOfEra = Math.floor((dayOfEra - Math.floor(dayOfEra / 1460) + Math.floor(dayOfEra / 36_524) - Math.floor(dayOfEra / 146_096)) / 365);
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const monthFromMarch = Math.floor((5 * dayOfYear + 2) / 153);
  const month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9;
  const year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0);
  const century = Math.floor(year / 100);
  writePair(dayText, 0, century);
  writePair(dayText, 2, year - century * 100);
  dayText.setUint8(4, 0x2d);
  writePair(dayText, 5, month);
  dayText.setUint8(7, 0x2d);
  writePair(dayText, 8, dayOfYear - Math.floor((153 * monthFromMarch + 2) / 5) + 1);
  dayText.setUint8(10, 0x54);
  cachedDay = day;
}

const OPEN = literal('{"$date":');
const OPEN_ISO = literal('{"$date":"');
const CLOSE = 0x7d;

export function writeDateValue(tape: Tape, from: number, to: number): number {
  const { inputView: input, outputView: out } = tape;
  const low = input.getInt32(from, true);
  const high = input.getInt32(from + 4, true);
  if (!tape.canonical && high >= 0) {
    const ms = high * TWO_32 + (low >>> 0);
    if (ms < YEAR_10000_MS) return closeWrapper(out, writeIso(out, writeLiteral(out, to, OPEN_ISO), ms));
  }
  const at = writeWrappedInt64(out, writeLiteral(out, to, OPEN), high, low);
  out.setUint8(at, CLOSE);
  return at + 1;
}
