/**
 * The picture of completeness: a row per collection, a column per hour.
 *
 * Drawn in chunks of rows, of which only those near the window exist: a page with 500 collections has as many elements as one
 * with 50, and a chunk scrolls with its canvas without being drawn again. Invariant: scrolling costs nothing but the chunk that comes
 * near, and what the process tells each second costs only the rows that it changes.
 */
import { memo } from 'preact/compat';
import { useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks';
import type { Overview } from '../../src/app/overview-types.ts';
import { columnsOf, STATES, WORDS, type State } from './cells.ts';
import { ago, clock, day, plural, short } from './format.ts';
import type { Row } from './rows.ts';
import { useTheme } from './theme.ts';

/** Small, so that one that comes near is drawn well within a frame. */
const ROWS_PER_CHUNK = 8;
/** Ready above and below what is seen: a fling gets so far before it is waited for. */
const CHUNKS_AHEAD = 2;
const ROW_WIDE = 26;
const ROW_NARROW = 46;
/** Of the strip within a row. */
const STRIP = 14;
/** A column is not narrower than this: hours share it then. */
const COLUMN_MIN = 1.5;
/** Below, there is no room beside the names. */
const NARROW_MAX = 720;
const VIEW_KEYS = ['width', 'height', 'rowHeight', 'top'] as const;

export const RANGES = [
  { hours: 48, label: '48 h' },
  { hours: 168, label: '7 days' },
  { hours: 720, label: '30 days' },
] as const;

export interface Cursor {
  readonly row: number;
  readonly hour: number;
}

interface Props {
  readonly hours: Overview['hours'];
  readonly rows: readonly Row[];
  readonly range: number;
  readonly nowMinute: number;
  readonly onOpen: (namespace: string, hour: number | null) => void;
}

interface View {
  readonly width: number;
  readonly height: number;
  readonly rowHeight: number;
  /** Chunk that is at the top. */
  readonly top: number;
}

function viewOf({ scrollTop, clientHeight, clientWidth }: HTMLElement): View {
  const rowHeight = clientWidth < NARROW_MAX ? ROW_NARROW : ROW_WIDE;
  return { width: clientWidth, height: clientHeight, rowHeight, top: Math.floor(scrollTop / (ROWS_PER_CHUNK * rowHeight)) };
}

/** The minute alone: a grid is not made anew each second. */
export const Hours = memo(HourGrid, (a, b) => {
  const isSame = (key: keyof Props): boolean => a[key] === b[key];
  return (
    (['rows', 'range', 'nowMinute', 'onOpen'] as const).every(isSame) && a.hours.from === b.hours.from && a.hours.published === b.hours.published
  );
});

function HourGrid({ hours, rows, range, nowMinute, onOpen }: Props) {
  const scroller = useRef<HTMLDivElement>(null);
  const [view, setView] = useState<View>({ width: 0, height: 600, rowHeight: ROW_WIDE, top: 0 });
  const [cursor, setCursor] = useState<Cursor | null>(null);
  const theme = useTheme();
  const { rowHeight } = view;
  const isNarrow = rowHeight === ROW_NARROW;
  const end = hours.from + hours.count;

  useLayoutEffect(() => {
    const element = scroller.current;
    if (element === null) return;
    // Most scrolling stays within a chunk: then nothing is rendered.
    const measure = (): void => {
      const now = viewOf(element);
      setView((last) => (VIEW_KEYS.every((key) => last[key] === now[key]) ? last : now));
    };
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

  // The same arrays as long as the rows are the same: what is pointed at moves, and nothing is drawn anew.
  const chunks = useMemo(() => {
    const count = Math.ceil(rows.length / ROWS_PER_CHUNK);
    return Array.from({ length: count }, (_, at) => rows.slice(at * ROWS_PER_CHUNK, (at + 1) * ROWS_PER_CHUNK));
  }, [rows]);
  const chunkHeight = ROWS_PER_CHUNK * rowHeight;
  const first = Math.max(0, view.top - CHUNKS_AHEAD);
  const last = Math.min(chunks.length - 1, view.top + Math.ceil(view.height / chunkHeight) + CHUNKS_AHEAD);
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
        onFocus={() =>
          cursor ?? setCursor({ row: Math.min(Math.ceil((scroller.current?.scrollTop ?? 0) / rowHeight), rows.length - 1), hour: end - 1 })
        }
      >
        <div class="rows" style={{ height: `${rows.length * rowHeight}px` }}>
          {chunks.slice(first, last + 1).map((ofChunk, n) => (
            <Chunk
              key={first + n}
              index={first + n}
              rows={ofChunk}
              rowHeight={rowHeight}
              range={range}
              end={end}
              width={view.width}
              theme={theme}
              cursor={cursor !== null && Math.floor(cursor.row / ROWS_PER_CHUNK) === first + n ? cursor : null}
              nowMinute={nowMinute}
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
          <Readout row={pointed} hour={cursor.hour} hours={hours} />
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
