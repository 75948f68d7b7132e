/**
 * Tables on a terminal.
 */
import { stripVTControlCharacters, styleText } from 'node:util';
import type { Terminal } from './io.ts';

const CELL_CHARS_MAX = 60;
const GAP = '  ';

/** Numbers to the right, all else to the left; a cell that is too long is cut. Control characters never reach the terminal. */
export function renderTable(columns: readonly string[], rows: readonly (readonly unknown[])[], to: Terminal): string {
  const texts = rows.map((row) => row.map(cellText));
  const right = columns.map((_, at) => rows.length > 0 && rows.every((row) => row[at] === null || typeof row[at] === 'number'));
  const widths = columns.map((name, at) => Math.max(name.length, ...texts.map((row) => (row[at] ?? '').length)));
  const line = (cells: readonly string[]): string =>
    cells
      .map((text, at) => (right[at] === true ? text.padStart(widths[at] ?? 0) : text.padEnd(widths[at] ?? 0)))
      .join(GAP)
      .trimEnd();
  const head = line(columns);
  const rule = widths.map((width) => '─'.repeat(width)).join(GAP);
  return [to.isTTY ? styleText('bold', head) : head, rule, ...texts.map(line)].map((text) => `${text}\n`).join('');
}

function cellText(value: unknown): string {
  if (value === null || value === undefined) return '';
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  // What is in a document must not be able to move the cursor.
  const plain = stripVTControlCharacters(text).replaceAll(/[\u0000-\u001f\u007f-\u009f]+/g, ' ');
  return plain.length > CELL_CHARS_MAX ? `${plain.slice(0, CELL_CHARS_MAX - 1)}…` : plain;
}

/** `1,234,567`. */
/** `1 file`, `2,000 files`. */
export function countOf(n: number, one: string): string {
  return `${formatCount(n)} ${one}${n === 1 ? '' : 's'}`;
}

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
