/**
 * Where the data is on its way, with what moves now.
 */
import type { Live, Overview } from '../../src/app/overview-types.ts';
import type { Sample } from './client.ts';
import { age, count, plural, short, size } from './format.ts';
import { HEADROOM_BAD_SECONDS } from './verdict.ts';

interface Props {
  readonly overview: Overview;
  readonly live: Live | null;
  readonly history: readonly Sample[];
}

/** One second jumps; the mean of a few can be read. */
const SECONDS_MEANT = 5;
const YEAR_SECONDS = 365 * 86_400;

export function Flow({ overview, live, history }: Props) {
  const last = history.slice(-SECONDS_MEANT);
  const mean = (of: (sample: Sample) => number): number | null =>
    last.length === 0 ? null : last.reduce((sum, each) => sum + of(each), 0) / last.length;
  const events = mean((each) => each.events);
  const bytes = mean((each) => each.bytes);
  const rows = mean((each) => each.rows);
  const { warehouse } = overview;
  const headroom = live?.oplogHeadroomSeconds ?? null;
  const isReading = live?.state === 'running';
  return (
    <section class="flow" aria-label="Flow">
      <Stage name="MongoDB" place={overview.include.join(', ')}>
        <Fact name="oplog reaches back" value={overview.oplogHours === null ? 'not known' : age(overview.oplogHours * 3600)} />
        <Fact
          name="headroom"
          title="How long sluice could stand still from now on without losing history"
          value={headroom === null ? 'not known' : headroom > YEAR_SECONDS ? 'over a year' : age(headroom)}
          isBad={headroom !== null && headroom < HEADROOM_BAD_SECONDS}
        />
        <Fact name="reconnects" value={count(live?.reconnects ?? 0)} />
      </Stage>
      <Link isMoving={isReading && (events ?? 0) > 0} isBroken={live?.state === 'reconnecting' || live?.state === 'failed'}>
        <b>{events === null ? '–' : short(events)}</b> events/s
        <span class="second">{bytes === null ? '' : `${size(bytes)}/s`}</span>
      </Link>
      <Stage name="Lake" place={overview.lake}>
        <Fact name="open" value={plural(live?.partsOpen ?? 0, 'file')} />
        <Fact name="sealed" value={plural(live?.partsSealed ?? 0, 'file')} />
        <Fact name="flush" value={live === null || live.flushes === 0 ? '–' : `${short((live.flushSeconds / live.flushes) * 1000)} ms`} />
      </Stage>
      {warehouse === null ? null : (
        <>
          <Link isMoving={(rows ?? 0) > 0} isBroken={false}>
            <b>{rows === null ? '–' : short(rows)}</b> rows/s
          </Link>
          <Stage name="Warehouse" place={warehouse}>
            <Fact name="loaded" value={`${short(live?.rowsLoaded ?? 0)} rows`} />
            <Fact name="merged" value={`${short(live?.rowsMerged ?? 0)} rows`} />
            <Fact name="errors" value={count(live?.loadErrors ?? 0)} isBad={(live?.loadErrors ?? 0) > 0} />
          </Stage>
        </>
      )}
    </section>
  );
}

function Stage({ name, place, children }: { name: string; place: string; children: preact.ComponentChildren }) {
  return (
    <div class="stage">
      <h3>{name}</h3>
      <p class="place" title={place}>
        {place}
      </p>
      <dl>{children}</dl>
    </div>
  );
}

function Fact({ name, value, isBad = false, title }: { name: string; value: string; isBad?: boolean; title?: string }) {
  return (
    <div title={title}>
      <dt>{name}</dt>
      <dd class={isBad ? 'bad' : ''}>{value}</dd>
    </div>
  );
}

function Link({ isMoving, isBroken, children }: { isMoving: boolean; isBroken: boolean; children: preact.ComponentChildren }) {
  return (
    <div class={`link${isMoving ? ' moving' : ''}${isBroken ? ' broken' : ''}`}>
      <p>
        <span>{children}</span>
      </p>
      <i aria-hidden="true" />
    </div>
  );
}
