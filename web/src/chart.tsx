/**
 * One line over the last ten minutes.
 */
import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import { short } from './format.ts';

interface Props {
  readonly title: string;
  readonly unit: string;
  /** Newest last. */
  readonly at: readonly number[];
  readonly values: readonly (number | null)[];
}

const HEIGHT = 120;
const SECONDS_MIN = 60;
const SECONDS_MAX = 600;

export function Chart({ title, unit, at, values }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const last = values.at(-1) ?? null;

  useEffect(() => {
    const element = box.current;
    if (element === null) return;
    const draw = (): void => {
      const before = plot.current?.data;
      plot.current?.destroy();
      plot.current = new uPlot(options(element), before ?? [[], []], element);
    };
    draw();
    const resized = new ResizeObserver(() => plot.current?.setSize({ width: element.clientWidth, height: HEIGHT }));
    resized.observe(element);
    const dark = matchMedia('(prefers-color-scheme: dark)');
    dark.addEventListener('change', draw);
    return () => {
      resized.disconnect();
      dark.removeEventListener('change', draw);
      plot.current?.destroy();
      plot.current = null;
    };
  }, []);

  useEffect(() => {
    const now = at.at(-1) ?? Date.now() / 1000;
    // Seconds before now: their ticks are round numbers.
    plot.current?.setData([at.map((second) => second - now), [...values]], false);
    const max = Math.max(1, ...values.map((value) => value ?? 0));
    plot.current?.batch(() => {
      // From the first sample on: what nobody has seen is no empty space.
      const seconds = Math.min(SECONDS_MAX, Math.max(SECONDS_MIN, now - (at[0] ?? now)));
      plot.current?.setScale('x', { min: -seconds, max: 0 });
      plot.current?.setScale('y', { min: 0, max: max * 1.1 });
    });
  }, [at.at(-1)]);

  return (
    <figure class="chart" aria-label={`${title}: ${last === null ? 'not known' : `${short(last)} ${unit}`}`}>
      <figcaption>
        {title}
        <b>{last === null ? '–' : `${short(last)} ${unit}`}</b>
      </figcaption>
      <div ref={box} class="plot" aria-hidden="true" />
      {at.length === 0 ? <p class="note">Drawn from now on, while this page is open.</p> : null}
    </figure>
  );
}

function options(element: HTMLElement): uPlot.Options {
  const style = getComputedStyle(element);
  const colour = (name: string): string => style.getPropertyValue(name).trim();
  const axis = { stroke: colour('--muted'), font: '11px system-ui', grid: { stroke: colour('--line'), width: 1 }, ticks: { show: false } };
  return {
    width: element.clientWidth,
    height: HEIGHT,
    legend: { show: false },
    cursor: { show: false },
    padding: [8, 16, 0, 0],
    scales: { x: { time: false, auto: false }, y: { auto: false } },
    axes: [
      { ...axis, grid: { show: false }, size: 22, space: 80, incrs: [10, 30, 60, 120], values: (_, ticks) => ticks.map(before) },
      { ...axis, size: 44, space: 30, values: (_, ticks) => ticks.map((tick) => short(tick)) },
    ],
    series: [{}, { stroke: colour('--accent'), width: 1.5, fill: colour('--accent-soft'), points: { show: false } }],
  };
}

function before(tick: number): string {
  if (tick === 0) return 'now';
  return tick > -90 ? `−${-tick} s` : `−${Math.round(-tick / 60)} min`;
}
