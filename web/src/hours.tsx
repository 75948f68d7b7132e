/**
 * The picture of completeness: a row per collection, a column per hour.
 *
 * Drawn in chunks of rows, of which only those near the window exist: a page with 500 collections has as many elements as one
 * with 50, and a chunk scrolls with its canvas without being drawn again.
 */
import { memo } from 'preact/compat';
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks';
import type { CollectionOverview, Overview } from '../../src/app/overview-types.ts';
import { columnsOf, decode, STATES, verifiedBefore, WORDS, type State } from './cells.ts';
import { ago, clock, day, plural, short } from './format.ts';
import { useTheme } from './theme.ts';

const ROWS_PER_CHUNK = 20;
const ROW_WIDE = 26;
const ROW_NARROW = 46;
/** Of the strip within a row. */
const STRIP = 14;
/** A column is not narrower than this: hours share it then. */
const COLUMN_MIN = 1.5;

export const RANGES = [
  { hours: 48, label: '48 h' },
  { hours: 168, label: '7 days' },
  { hours: 720, label: '30 days' },
] as const;

export interface Row extends CollectionOverview {
  readonly codes: Uint8Array;
}

export interface Cursor {
  readonly row: number;
  readonly hour: number;
}

interface Props {
  readonly overview: Overview;
  readonly rows: readonly Row[];
  readonly range: number;
  readonly nowMs: number;
  readonly onOpen: (namespace: string, hour: number | null) => void;
}

export function rowsOf(overview: Overview): Row[] {
  const verified = verifiedBefore(overview);
  const { from } = overview.hours;
  return overview.collections.map((each) => ({ ...each, codes: decode(each.cells, from, verified, overview.warehouse !== null) }));
}

export function Hours({ overview, rows, range, nowMs, onOpen }: Props) {
  const scroller = useRef<HTMLDivElement>(null);
  const [view, setView] = useState({ top: 0, height: 600, width: 0 });
  const [cursor, setCursor] = useState<Cursor | null>(null);
  const theme = useTheme();
  const isNarrow = view.width < 720;
  const rowHeight = isNarrow ? ROW_NARROW : ROW_WIDE;
  const end = overview.hours.from + overview.hours.count;

  useLayoutEffect(() => {
    const element = scroller.current;
    if (element === null) return;
    const measure = (): void => setView({ top: element.scrollTop, height: element.clientHeight, width: element.clientWidth });
    measure();
    const resized = new ResizeObserver(measure);
    resized.observe(element);
    element.addEventListener('scroll', measure, { passive: true });
    return () => {
      resized.disconnect();
      element.removeEventListener('scroll', measure);
    };
  }, []);

  const move = (rowsBy: number, hoursBy: number): void => {
    const from = cursor ?? { row: 0, hour: end - 1 - hoursBy };
    const row = Math.min(Math.max(0, from.row + rowsBy), rows.length - 1);
    setCursor({ row, hour: Math.min(Math.max(end - range, from.hour + hoursBy), end - 1) });
    const element = scroller.current;
    if (element === null) return;
    const top = row * rowHeight;
    if (top < element.scrollTop) element.scrollTop = top;
    else if (top + rowHeight > element.scrollTop + element.clientHeight) element.scrollTop = top + rowHeight - element.clientHeight;
  };

  const onKey = (event: KeyboardEvent): void => {
    const page = Math.max(1, Math.floor(view.height / rowHeight) - 1);
    const moves: Readonly<Record<string, readonly [number, number]>> = {
      ArrowUp: [-1, 0],
      ArrowDown: [1, 0],
      ArrowLeft: [0, -1],
      ArrowRight: [0, 1],
      PageUp: [-page, 0],
      PageDown: [page, 0],
      Home: [0, -range],
      End: [0, range],
    };
    const by = moves[event.key];
    const chosen = cursor === null ? undefined : rows[cursor.row];
    if (by !== undefined) move(by[0], by[1]);
    else if ((event.key === 'Enter' || event.key === ' ') && cursor !== null && chosen !== undefined) onOpen(chosen.namespace, cursor.hour);
    else return;
    event.preventDefault();
  };

  const chunks = Math.ceil(rows.length / ROWS_PER_CHUNK);
  const chunkHeight = ROWS_PER_CHUNK * rowHeight;
  const first = Math.max(0, Math.floor(view.top / chunkHeight) - 1);
  const last = Math.min(chunks - 1, Math.floor((view.top + view.height) / chunkHeight) + 1);
  const pointed = cursor === null ? undefined : rows[cursor.row];
  return (
    <div class={`grid${isNarrow ? ' narrow' : ''}`}>
      <Axis end={end} range={range} />
      <div
        ref={scroller}
        class="scroller"
        role="grid"
        tabIndex={0}
        aria-label="Hours of each collection. Arrow keys move, Enter opens."
        aria-rowcount={rows.length}
        aria-activedescendant={cursor === null ? undefined : `row-${cursor.row}`}
        onKeyDown={onKey}
        onFocus={() => cursor ?? setCursor({ row: Math.floor(view.top / rowHeight), hour: end - 1 })}
      >
        <div class="rows" style={{ height: `${rows.length * rowHeight}px` }}>
          {Array.from({ length: Math.max(0, last - first + 1) }, (_, n) => first + n).map((at) => (
            <Chunk
              key={at}
              index={at}
              rows={rows.slice(at * ROWS_PER_CHUNK, (at + 1) * ROWS_PER_CHUNK)}
              rowHeight={rowHeight}
              range={range}
              end={end}
              width={view.width}
              theme={theme}
              cursor={cursor !== null && Math.floor(cursor.row / ROWS_PER_CHUNK) === at ? cursor : null}
              nowMinute={Math.floor(nowMs / 60_000)}
              onPoint={setCursor}
              onOpen={onOpen}
            />
          ))}
        </div>
      </div>
      <p class="readout" aria-live="polite">
        {pointed === undefined || cursor === null ? (
          'Point at an hour, or use the arrow keys.'
        ) : (
          <Readout row={pointed} hour={cursor.hour} hours={overview.hours} />
        )}
      </p>
    </div>
  );
}

function Readout({ row, hour, hours }: { row: Row; hour: number; hours: Overview['hours'] }) {
  const state = STATES[row.codes[hour - hours.from] ?? 0] ?? 'none';
  const words = state === 'none' && hour >= hours.published ? 'no event yet' : WORDS[state];
  const at = new Date(hour * 3_600_000);
  return (
    <>
      <b>{row.namespace}</b> {day(at)} {clock(at)}–{clock(new Date((hour + 1) * 3_600_000))} <span class={`key ${state}`} /> {words}
    </>
  );
}

/** Days, or hours of two days. */
function Axis({ end, range }: { end: number; range: number }) {
  const every = range <= 48 ? 12 : range <= 168 ? 24 : 120;
  const ticks: { readonly hour: number; readonly label: string }[] = [];
  for (let hour = end - range; hour < end; hour += 1) {
    const date = new Date(hour * 3_600_000);
    const since = range <= 168 ? hour % every : (hour - 24 * Math.floor((end - 1) / 24)) % every;
    if (since === 0 && end - hour > range * 0.04) ticks.push({ hour, label: range <= 48 && date.getUTCHours() !== 0 ? clock(date) : day(date) });
  }
  return (
    <div class="axis" aria-hidden="true">
      <span class="utc">UTC</span>
      <div>
        {ticks.map(({ hour, label }) => (
          <span key={hour} style={{ left: `${((hour - (end - range)) / range) * 100}%` }}>
            {label}
          </span>
        ))}
      </div>
    </div>
  );
}

interface ChunkProps {
  readonly index: number;
  readonly rows: readonly Row[];
  readonly rowHeight: number;
  readonly range: number;
  readonly end: number;
  readonly width: number;
  readonly theme: string;
  readonly cursor: Cursor | null;
  /** Ages are told to the minute: a chunk is not made anew every second. */
  readonly nowMinute: number;
  readonly onPoint: (cursor: Cursor) => void;
  readonly onOpen: (namespace: string, hour: number | null) => void;
}

const Chunk = memo(ChunkOfRows, (a, b) => {
  const isSame = (key: keyof ChunkProps): boolean => a[key] === b[key];
  const rest = (['index', 'rowHeight', 'range', 'end', 'width', 'theme', 'cursor', 'nowMinute'] as const).every(isSame);
  return rest && a.rows.length === b.rows.length && a.rows.every((row, at) => row === b.rows[at]);
});

function ChunkOfRows({ index, rows, rowHeight, range, end, width, theme, cursor, nowMinute, onPoint, onOpen }: ChunkProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const height = rows.length * rowHeight;
  useLayoutEffect(() => {
    const element = canvas.current;
    if (element !== null && element.clientWidth > 0) drawStrips(element, rows, { rowHeight, range, height });
  }, [rows, rowHeight, range, width, theme]);

  const cellAt = (event: MouseEvent): Cursor | null => {
    const box = canvas.current?.getBoundingClientRect();
    if (box === undefined) return null;
    const row = Math.floor((event.clientY - box.top) / rowHeight);
    const hour = end - range + Math.floor(((event.clientX - box.left) / box.width) * range);
    return row >= 0 && row < rows.length && hour >= end - range && hour < end ? { row: index * ROWS_PER_CHUNK + row, hour } : null;
  };
  const local = cursor === null ? -1 : cursor.row - index * ROWS_PER_CHUNK;
  return (
    <div class="chunk" style={{ top: `${index * ROWS_PER_CHUNK * rowHeight}px`, height: `${height}px` }}>
      {rows.map((row, at) => (
        <div
          key={row.namespace}
          id={`row-${index * ROWS_PER_CHUNK + at}`}
          role="row"
          aria-rowindex={index * ROWS_PER_CHUNK + at + 1}
          class={`row${at === local ? ' pointed' : ''}`}
          style={{ top: `${at * rowHeight}px`, height: `${rowHeight}px` }}
        >
          <span role="rowheader" class="head">
            <button type="button" tabIndex={-1} class="name" title={row.namespace} onClick={() => onOpen(row.namespace, null)}>
              <span class={`dot ${row.health}`} role="img" aria-label={row.health} />
              <span class="text">{row.namespace}</span>
            </button>
          </span>
          <span role="gridcell" class="last">
            {row.lastEventAt === null ? '' : ago(row.lastEventAt, nowMinute * 60_000 + 59_999)}
          </span>
          <span role="gridcell" class="sum" title={plural(row.rowsSealed, 'row')}>
            {short(row.rowsSealed)}
          </span>
        </div>
      ))}
      <canvas
        ref={canvas}
        class="strips"
        aria-hidden="true"
        onMouseMove={(event) => {
          const cell = cellAt(event);
          if (cell !== null && (cursor === null || cell.row !== cursor.row || cell.hour !== cursor.hour)) onPoint(cell);
        }}
        onClick={(event) => {
          const cell = cellAt(event);
          const row = cell === null ? undefined : rows[cell.row - index * ROWS_PER_CHUNK];
          if (cell !== null && row !== undefined) onOpen(row.namespace, cell.hour);
        }}
      />
      {cursor !== null && local >= 0 && local < rows.length ? (
        <div class="frame" aria-hidden="true" style={{ top: `${local * rowHeight}px`, height: `${rowHeight}px` }}>
          <i style={{ left: `${((cursor.hour - (end - range)) / range) * 100}%`, width: `${100 / range}%` }} />
        </div>
      ) : null}
    </div>
  );
}

interface Strip {
  readonly rowHeight: number;
  readonly range: number;
  readonly height: number;
}

function drawStrips(canvas: HTMLCanvasElement, rows: readonly Row[], { rowHeight, range, height }: Strip): void {
  const scale = devicePixelRatio;
  const width = canvas.clientWidth;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const to = canvas.getContext('2d');
  if (to === null) return;
  to.scale(scale, scale);
  const style = getComputedStyle(canvas);
  const colours = STATES.map((state) => style.getPropertyValue(`--cell-${state}`).trim());
  const columns = Math.min(range, Math.floor(width / COLUMN_MIN));
  const step = width / columns;
  const gap = step >= 6 ? 1 : 0;
  for (const [at, row] of rows.entries()) {
    const codes = columnsOf(row.codes, range, columns);
    // On a narrow screen the strip is below the name.
    const top = at * rowHeight + (rowHeight === ROW_NARROW ? rowHeight - STRIP - 5 : (rowHeight - STRIP) / 2);
    for (let begin = 0; begin < codes.length;) {
      const code = codes[begin] ?? 0;
      let end = begin + 1;
      // Hours that touch are one rectangle.
      const limit = gap === 0 ? codes.length : end;
      while (end < limit && codes[end] === code) end += 1;
      const state: State = STATES[code] ?? 'none';
      const [y, h] =
        state === 'quiet'
          ? [top + STRIP / 2 - 1, 2]
          : state === 'open'
            ? [top + STRIP / 2, STRIP / 2]
            : state === 'gap'
              ? [top - 3, STRIP + 6]
              : [top, STRIP];
      if (state !== 'none') {
        to.fillStyle = colours[code] ?? '';
        // A gap of one hour must be seen among seven hundred.
        const least = state === 'gap' ? 3 : 0;
        to.fillRect(begin * step, y, Math.max(least, (end - begin) * step - gap), h);
      }
      begin = end;
    }
  }
}

/** How the rows are put in order. */
export const ORDERS = {
  attention: 'attention first',
  name: 'by name',
  rows: 'most rows first',
  last: 'last event first',
} as const;
export type Order = keyof typeof ORDERS;

const URGENCY = { error: 0, behind: 1, paused: 2, fine: 3 } as const;

export function needsAttention({ health }: CollectionOverview): boolean {
  return health !== 'fine';
}

export function useRows(
  overview: Overview,
  search: string,
  only: boolean,
  order: Order,
): { readonly all: readonly Row[]; readonly shown: readonly Row[] } {
  const all = useMemo(() => rowsOf(overview), [overview]);
  const kept = useKept(all);
  const shown = useMemo(() => {
    const words = search.toLowerCase().trim();
    const found = kept.filter((row) => row.namespace.toLowerCase().includes(words) && (!only || needsAttention(row)));
    if (order === 'name') return found;
    const by: Readonly<Record<Exclude<Order, 'name'>, (a: Row, b: Row) => number>> = {
      attention: (a, b) => URGENCY[a.health] - URGENCY[b.health] || Number(b.cells.includes('g')) - Number(a.cells.includes('g')),
      rows: (a, b) => b.rowsSealed - a.rowsSealed,
      last: (a, b) => (b.lastEventAt ?? '').localeCompare(a.lastEventAt ?? ''),
    };
    return found.toSorted(by[order]);
  }, [kept, search, only, order]);
  return { all: kept, shown };
}

/** Rows that have not changed stay the same objects: what shows them is not drawn again. */
function useKept(rows: readonly Row[]): readonly Row[] {
  const before = useRef(new Map<string, Row>());
  const kept = useMemo(() => rows.map((row) => same(before.current.get(row.namespace), row)), [rows]);
  useEffect(() => {
    before.current = new Map(kept.map((row) => [row.namespace, row]));
  }, [kept]);
  return kept;
}

function same(before: Row | undefined, row: Row): Row {
  if (before === undefined || before.codes.some((code, at) => code !== row.codes[at])) return row;
  const keys = Object.keys(row) as (keyof Row)[];
  return keys.every((key) => key === 'codes' || before[key] === row[key]) ? before : row;
}
