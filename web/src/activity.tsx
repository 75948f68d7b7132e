/**
 * What has happened: loads, gaps, lines that could not be carried whole, the last proof.
 */
import { useState } from 'preact/hooks';
import type { Live, Overview } from '../../src/app/overview-types.ts';
import { age, ago, count, moment, plural, short } from './format.ts';

interface Props {
  readonly overview: Overview;
  readonly live: Live | null;
  readonly nowMs: number;
  readonly onLetters: () => void;
}

const LOADS_SHOWN = 12;

export function Activity({ overview, live, nowMs, onLetters }: Props) {
  return (
    <div class="activity">
      <div class="column">
        {overview.warehouse === null ? null : <Loads overview={overview} nowMs={nowMs} />}
        <Verification overview={overview} nowMs={nowMs} />
      </div>
      <div class="column">
        <Snapshots overview={overview} />
        <Gaps overview={overview} nowMs={nowMs} />
        <DeadLetters total={overview.deadLetters} onOpen={onLetters} />
        <Lines live={live} />
      </div>
    </div>
  );
}

function Loads({ overview, nowMs }: { overview: Overview; nowMs: number }) {
  const { loads } = overview;
  const [isWhole, setIsWhole] = useState(false);
  return (
    <section class="card">
      <h2>Loads</h2>
      {loads.length === 0 ? <p class="note">None since this process began.</p> : null}
      <ul class="list">
        {loads.slice(0, isWhole ? loads.length : LOADS_SHOWN).map((load) => (
          <li key={`${load.atMs}.${load.of}`} class={load.error === null && load.rejected === 0 ? '' : 'bad'}>
            <time>{moment(new Date(load.atMs).toISOString(), nowMs)}</time>
            <span class="what">{load.error === null ? load.of : `${load.of}: ${load.error}`}</span>
            <span class="much">
              {[
                ...(load.error === null ? [`${short(load.rows)} rows`, plural(load.files, 'file')] : ['failed']),
                ...(load.rejected > 0 ? [`${load.rejected} rejected`] : []),
                load.seconds < 1 ? `${Math.round(load.seconds * 1000)} ms` : age(load.seconds),
              ].join(' · ')}
            </span>
          </li>
        ))}
      </ul>
      {loads.length <= LOADS_SHOWN ? null : (
        <button type="button" class="quiet more" aria-expanded={isWhole} onClick={() => setIsWhole(!isWhole)}>
          {isWhole ? 'Show fewer' : `Show the last ${loads.length}`}
        </button>
      )}
    </section>
  );
}

const CAUSES = { start: 'at the start', asked: 'asked for', repair: 'mends a gap', renamed: 'came by a rename', included: 'included since' } as const;

/** Only while there are any: they are the exception. */
function Snapshots({ overview: { snapshots } }: { overview: Overview }) {
  if (snapshots.length === 0) return null;
  return (
    <section class="card">
      <h2>Snapshots</h2>
      <ul class="list">
        {snapshots.map(({ namespace, cause, documents, rows, secondsLeft, failed }) => (
          <li key={namespace} class={failed === null ? 'snapshot' : 'snapshot bad'}>
            <span class="what">{failed === null ? namespace : `${namespace}: ${failed}`}</span>
            <span class="much">
              {documents === null ? plural(rows, 'document') : `${short(rows)} of ${short(documents)}`} · {CAUSES[cause]}
              {secondsLeft === null || failed !== null ? '' : ` · ${age(secondsLeft)} left`}
            </span>
            {documents === null || failed !== null ? null : (
              <progress max={Math.max(documents, rows, 1)} value={rows} aria-label={`Read of ${namespace}`} />
            )}
          </li>
        ))}
      </ul>
    </section>
  );
}

function DeadLetters({ total, onOpen }: { total: number | null; onOpen: () => void }) {
  if (total === null) return null;
  return (
    <section class="card">
      <h2>Dead letters</h2>
      {total === 0 ? (
        <p class="note">None: every message of the bus could be read.</p>
      ) : (
        <p class="letters-line">
          <b class="bad">{plural(total, 'message')}</b> could not be read.
          <button type="button" onClick={onOpen}>
            Look at {total === 1 ? 'it' : 'them'}
          </button>
        </p>
      )}
    </section>
  );
}

function Gaps({ overview, nowMs }: { overview: Overview; nowMs: number }) {
  return (
    <section class="card">
      <h2>Gaps</h2>
      {overview.gaps.length === 0 ? (
        <p class="note">
          None: the history is whole since {overview.startedAt === null ? 'the beginning' : `${moment(overview.startedAt, nowMs)} UTC`}.
        </p>
      ) : null}
      <ul class="list">
        {overview.gaps.map((gap) => (
          <li key={gap.from} class={gap.repaired === null ? 'bad gap' : 'gap'}>
            <time>
              {moment(gap.from, nowMs)} – {gap.to === null ? 'still open' : moment(gap.to, nowMs)}
              {gap.collections.length === 0 ? '' : ` · ${gap.collections.join(', ')}`}
            </time>
            <span class="what">{gap.cause}</span>
            {gap.repaired === null ? null : (
              <span class="fine">
                Mended by snapshots at {moment(gap.repaired, nowMs)}: what is loaded is as the source is; the events between are gone.
              </span>
            )}
          </li>
        ))}
      </ul>
    </section>
  );
}

function Lines({ live }: { live: Live | null }) {
  const rows: readonly (readonly [string, number, boolean])[] = [
    ['Lines marked lossy: JSON cannot carry all of the document', live?.linesLossy ?? 0, true],
    ['Stub lines in place of events that are too large', live?.linesOversize ?? 0, true],
    ['Events that came again after a restart, dropped', live?.eventsReplayed ?? 0, false],
  ];
  return (
    <section class="card">
      <h2>Not as usual</h2>
      <dl class="counts">
        {rows.map(([name, n, isBad]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd class={isBad && n > 0 ? 'bad' : ''}>{count(n)}</dd>
          </div>
        ))}
      </dl>
      <p class="note">Since this process began.</p>
    </section>
  );
}

function Verification({ overview, nowMs }: { overview: Overview; nowMs: number }) {
  const { verification } = overview;
  return (
    <section class="card">
      <h2>Last verification</h2>
      {verification === null ? (
        <p class="note">
          None yet. <code>sluice verify</code> and the button above make one.
        </p>
      ) : null}
      {verification === null || verification.endedAt === null ? null : <p class="note">{ago(verification.endedAt, nowMs)}</p>}
      <ul class="list checks">
        {verification?.checks.map((check) => (
          <li key={check.name} class={check.outcome === 'failed' ? 'bad' : ''}>
            <b>
              {check.outcome === 'ok' ? '✓' : check.outcome === 'failed' ? '✗' : '–'} {check.name}
            </b>
            <span class="what">{check.detail}</span>
            {check.findings.map((finding) => (
              <code key={finding}>{finding}</code>
            ))}
          </li>
        ))}
      </ul>
    </section>
  );
}
