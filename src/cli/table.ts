/**
 * Tables on a terminal.
 */
import { stripVTControlCharacters, styleText } from 'node:util';
import type { Terminal } from './io.ts';

const CELL_CHARS_MAX = 60;
const GAP = '  ';

/** A column is not cut below this: what is left would say nothing. */
const COLUMN_CHARS_MIN = 8;

/**
 * Numbers to the right, all else to the left; a cell that is too long is cut. On a terminal the widest columns give way until the
 * table fits; when it cannot, each row is a block of lines. Control characters never reach the terminal.
 */
export function renderTable(columns: readonly string[], rows: readonly (readonly unknown[])[], to: Terminal): string {
  const texts = rows.map((row) => row.map(cellText));
  const right = columns.map((_, at) => rows.length > 0 && rows.every((row) => row[at] === null || isNumber(row[at])));
  const wanted = columns.map((name, at) => Math.max(name.length, ...texts.map((row) => (row[at] ?? '').length)));
  const widths = to.isTTY ? fitted(wanted, right, to.columns) : wanted;
  if (widths === null) return renderBlocks(columns, texts, to);
  const line = (cells: readonly string[]): string =>
    cells
      .map((text, at) => cut(text, widths[at] ?? 0))
      .map((text, at) => (right[at] === true ? text.padStart(widths[at] ?? 0) : text.padEnd(widths[at] ?? 0)))
      .join(GAP)
      .trimEnd();
  const head = line(columns);
  const rule = widths.map((width) => '─'.repeat(width)).join(GAP);
  return [to.isTTY ? styleText('bold', head) : head, rule, ...texts.map(line)].map((text) => `${text}\n`).join('');
}

/** Also one that is written for people: `1,234`, `1.5 MB`. */
function isNumber(value: unknown): boolean {
  return typeof value === 'number' || (typeof value === 'string' && /^(?:\d{1,3}(?:,\d{3})*|[\d.]+ [kMGTP]?B)?$/.test(value));
}

/** Widths that fit, the widest texts cut first; `null`: there are none. Numbers are not cut: they would be others. */
function fitted(wanted: readonly number[], right: readonly boolean[], columns: number): readonly number[] | null {
  const widths = [...wanted];
  const room = columns - GAP.length * (widths.length - 1);
  for (let excess = widths.reduce((sum, width) => sum + width, 0) - room; excess > 0; excess -= 1) {
    let widest = -1;
    for (const [at, width] of widths.entries()) {
      if (right[at] !== true && width > COLUMN_CHARS_MIN && width > (widths[widest] ?? 0)) widest = at;
    }
    if (widest < 0) return null;
    widths[widest] = (widths[widest] ?? 0) - 1;
  }
  return widths;
}

function renderBlocks(columns: readonly string[], texts: readonly (readonly string[])[], to: Terminal): string {
  const width = Math.max(...columns.map((name) => name.length));
  const block = (row: readonly string[]): string =>
    columns
      .map(
        (name, at) =>
          `${styleText('bold', name.padEnd(width))}${GAP}${cut(row[at] ?? '', Math.max(COLUMN_CHARS_MIN, to.columns - width - GAP.length))}\n`,
      )
      .join('');
  return texts.map(block).join('\n');
}

function cut(text: string, width: number): string {
  return text.length > width ? `${text.slice(0, width - 1)}…` : text;
}

function cellText(value: unknown): string {
  if (value === null || value === undefined) return '';
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  // What is in a document must not be able to move the cursor.
  const plain = stripVTControlCharacters(text).replaceAll(/[\u0000-\u001f\u007f-\u009f]+/g, ' ');
  return cut(plain, CELL_CHARS_MAX);
}

/** `1 file`, `2,000 files`. */
export function countOf(n: number, one: string): string {
  return `${formatCount(n)} ${one}${n === 1 ? '' : 's'}`;
}

/** `1,234,567`. */
export function formatCount(n: number): string {
  return n.toLocaleString('en-US');
}

/** `1.5 MB`, three digits. */
export function formatSize(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
  let value = bytes;
  let at = 0;
  while (value >= 1000 && at < units.length - 1) {
    value /= 1000;
    at += 1;
  }
  return `${at === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[at] ?? ''}`;
}

/** `3s`, `2m 5s`, `1h 3m`, `4d 2h`. */
export function formatAge(totalSeconds: number): string {
  const s = Math.max(0, Math.round(totalSeconds));
  if (s < 60) return `${s}s`;
  if (s < 3600) return `${Math.floor(s / 60)}m ${s % 60}s`;
  if (s < 86_400) return `${Math.floor(s / 3600)}h ${Math.floor((s % 3600) / 60)}m`;
  return `${Math.floor(s / 86_400)}d ${Math.floor((s % 86_400) / 3600)}h`;
}
