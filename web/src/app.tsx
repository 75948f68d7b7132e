import { useCallback, useRef, useState } from 'preact/hooks';
import type { Action } from '../../src/http/actions.ts';
import { Activity } from './activity.tsx';
import { Ask, TokenField, type Asked } from './ask.tsx';
import { STATES, WORDS } from './cells.ts';
import { Chart } from './chart.tsx';
import { setToken, useContact, useNow, type Contact, type FullOverview } from './client.ts';
import { Drawer } from './drawer.tsx';
import { Flow } from './flow.tsx';
import { age, day, plural } from './format.ts';
import { Letters } from './letters.tsx';
import { Trouble, type Said } from './outcome.tsx';
import { Hours, RANGES } from './hours.tsx';
import { needsAttention, ORDERS, useRows, type Order } from './rows.ts';
import { completeness, freshness, proof, type Verdict } from './verdict.ts';

/** An event comes each second: when several are missing, what is shown is old. */
const STALE_MS = 5_000;

export function App() {
  const { contact, hurry } = useContact();
  const nowMs = useNow();
  const { overview, locked } = contact;
  if (locked && overview === null) return <Locked onToken={hurry} trouble={contact.trouble} />;
  if (overview === null) return contact.trouble === null ? <Loading /> : <Unreachable trouble={contact.trouble} />;
  return <Dashboard overview={overview} contact={contact} nowMs={nowMs} hurry={hurry} />;
}

function Dashboard({ overview, contact, nowMs, hurry }: { overview: FullOverview; contact: Contact; nowMs: number; hurry: () => void }) {
  const { live, history, heardAtMs } = contact;
  const [opened, setOpened] = useState<{ readonly namespace: string; readonly hour: number | null } | null>(null);
  const [asked, setAsked] = useState<Asked | null>(null);
  const [said, setSaid] = useState<Said | null>(null);
  const [showsLetters, setShowsLetters] = useState(false);
  const open = useCallback((namespace: string, hour: number | null) => setOpened({ namespace, hour }), []);
  const isStale = heardAtMs !== null && nowMs - heardAtMs > STALE_MS;
  const replay = isStale ? null : (overview.actions.find(({ scope }) => scope === 'letter') ?? null);
  const state = isStale ? 'silent' : (live?.state ?? overview.state);
  return (
    <>
      <header class="top">
        <h1>
          <span class="mark" aria-hidden="true" />
          sluice <em>{overview.pipeline}</em>
        </h1>
        <span class={`state ${state}`}>{isStale ? `not heard for ${age((nowMs - (heardAtMs ?? nowMs)) / 1000)}` : state}</span>
        <Actions overview={overview} disabled={isStale} onAsk={setAsked} />
      </header>
      {isStale ? (
        <p class="banner" role="alert">
          {contact.trouble ?? 'The process does not answer.'} What you see is as it was {age((nowMs - (heardAtMs ?? nowMs)) / 1000)} ago.
        </p>
      ) : null}
      {said === null ? null : (
        <div class={`said ${said.tone}`} role="status">
          {said.tone === 'bad' ? <Trouble said={said} /> : <p>{said.text}</p>}
          <button type="button" class="quiet" aria-label="Dismiss" onClick={() => setSaid(null)}>
            ✕
          </button>
        </div>
      )}
      <main class={isStale ? 'stale' : ''}>
        <section class="verdicts" aria-label="Verdict">
          <Tile name="Complete" verdict={completeness(overview, nowMs)} />
          <Tile name="Fresh" verdict={freshness(overview, live, nowMs)} />
          <Tile name="Proven" verdict={proof(overview, nowMs)} />
        </section>
        <Flow overview={overview} live={live} history={history} />
        <HoursCard overview={overview} nowMs={nowMs} onOpen={open}>
          {opened === null
            ? () => null
            : (rows) => {
                const row = rows.find(({ namespace }) => namespace === opened.namespace);
                return row === undefined ? null : (
                  <Drawer
                    row={row}
                    hour={opened.hour}
                    actions={isStale ? [] : overview.actions}
                    hasWarehouse={overview.warehouse !== null}
                    nowMs={nowMs}
                    onHour={(hour) => setOpened({ ...opened, hour })}
                    onAsk={setAsked}
                    onClose={() => setOpened(null)}
                  />
                );
              }}
        </HoursCard>
        <div class="charts">
          <Chart title="Events" unit="/s" at={history.map(({ atMs }) => atMs / 1000)} values={history.map(({ events }) => events)} />
          <Chart title="Lag" unit="s" at={history.map(({ atMs }) => atMs / 1000)} values={history.map(({ lag }) => lag)} />
        </div>
        <Activity overview={overview} live={live} nowMs={nowMs} onLetters={() => setShowsLetters(true)} />
      </main>
      <footer>
        sluice {overview.version} · process {overview.pid} · owner {overview.epoch}
        {overview.position === null ? null : (
          <>
            {' '}
            · position <code>{overview.position}</code>
          </>
        )}
      </footer>
      {showsLetters ? (
        <Letters total={overview.deadLetters ?? 0} replay={replay} nowMs={nowMs} onAsk={setAsked} onClose={() => setShowsLetters(false)} />
      ) : null}
      {asked === null ? null : (
        <Ask
          asked={asked}
          onSaid={(what) => {
            setSaid(what);
            hurry();
          }}
          onClose={() => setAsked(null)}
        />
      )}
    </>
  );
}

const BUTTONS = 2;

/** The first are at hand, the others, which cost more or are needed less, one step further. */
function Actions({ overview, disabled, onAsk }: { overview: FullOverview; disabled: boolean; onAsk: (asked: Asked) => void }) {
  const menu = useRef<HTMLDetailsElement>(null);
  const isFor = ({ from }: Action): boolean => from === undefined || overview.collections.some(({ status }) => from.includes(status ?? ''));
  const actions = overview.actions.filter((action) => action.scope === 'pipeline' && isFor(action));
  const button = (action: Action) => (
    <button
      key={action.name}
      type="button"
      disabled={disabled}
      onClick={() => {
        menu.current?.removeAttribute('open');
        onAsk({ action, subject: null, body: {} });
      }}
    >
      {action.label}
    </button>
  );
  const leave = (event: FocusEvent): void => {
    if (!(event.relatedTarget instanceof Node && menu.current?.contains(event.relatedTarget))) menu.current?.removeAttribute('open');
  };
  const close = (event: KeyboardEvent): void => {
    if (event.key !== 'Escape') return;
    menu.current?.removeAttribute('open');
    menu.current?.querySelector('summary')?.focus();
  };
  return (
    <nav aria-label="Actions">
      {actions.slice(0, BUTTONS).map(button)}
      {actions.length <= BUTTONS ? null : (
        <details ref={menu} class="menu" onFocusOut={leave} onKeyDown={close}>
          <summary>More</summary>
          <div>{actions.slice(BUTTONS).map(button)}</div>
        </details>
      )}
    </nav>
  );
}

const MARKS = { good: '✓', busy: '…', warn: '!', bad: '✗', none: '–' } as const;

function Tile({ name, verdict }: { name: string; verdict: Verdict }) {
  return (
    <div class={`tile ${verdict.tone}`}>
      <p class="label">
        <span class="sign" aria-hidden="true">
          {MARKS[verdict.tone]}
        </span>
        {name}
      </p>
      <p class="title">{verdict.title}</p>
      <p class="detail">{verdict.detail}</p>
    </div>
  );
}

interface HoursCardProps {
  readonly overview: FullOverview;
  readonly nowMs: number;
  readonly onOpen: (namespace: string, hour: number | null) => void;
  readonly children: (rows: ReturnType<typeof useRows>['all']) => preact.ComponentChildren;
}

function HoursCard({ overview, nowMs, onOpen, children }: HoursCardProps) {
  const [range, setRange] = useState<number>(168);
  const [search, setSearch] = useState('');
  const [only, setOnly] = useState(false);
  const [order, setOrder] = useState<Order>('attention');
  const { all, shown } = useRows(overview, search, only, order);
  const { hours } = overview;
  const attention = all.filter(needsAttention).length;
  const legend = STATES.filter((state) => state !== 'none' && (state !== 'loaded' || overview.warehouse !== null)).toReversed();
  return (
    <section class="card hours" aria-labelledby="hours-title">
      <div class="tools">
        <h2 id="hours-title">
          Hours <small>{plural(overview.collections.length, 'collection')}</small>
        </h2>
        <input
          type="search"
          placeholder="Find a collection"
          aria-label="Find a collection"
          value={search}
          onInput={(event) => setSearch(event.currentTarget.value)}
        />
        <label class={`check${attention > 0 ? ' some' : ''}`}>
          <input type="checkbox" checked={only} onInput={(event) => setOnly(event.currentTarget.checked)} /> needs attention ({attention})
        </label>
        <select aria-label="Order" value={order} onInput={(event) => setOrder(event.currentTarget.value as Order)}>
          {Object.entries(ORDERS).map(([key, label]) => (
            <option key={key} value={key}>
              {label}
            </option>
          ))}
        </select>
        <div class="ranges" role="group" aria-label="Range">
          {RANGES.map(({ hours, label }) => (
            <button key={hours} type="button" aria-pressed={range === hours} onClick={() => setRange(hours)}>
              {label}
            </button>
          ))}
        </div>
      </div>
      <p class="legend">
        {legend.map((state) => (
          <span key={state}>
            <i class={`key ${state}`} aria-hidden="true" /> {WORDS[state]}
          </span>
        ))}
        {hours.knownFrom > hours.from ? (
          <span class="reading" role="status">
            Reading the ledger: known from {day(new Date(hours.knownFrom * 3_600_000))} on
          </span>
        ) : null}
      </p>
      {overview.collections.length === 0 ? (
        <p class="empty">
          No collection yet. The first change in <b>{overview.include.join(', ')}</b> makes the first row.
        </p>
      ) : shown.length === 0 ? (
        <p class="empty">No collection is like that. {only ? 'Nothing needs attention.' : ''}</p>
      ) : (
        <Hours hours={hours} rows={shown} range={range} nowMinute={Math.floor(nowMs / 60_000)} onOpen={onOpen} />
      )}
      {children(all)}
    </section>
  );
}

function Loading() {
  return (
    <div class="loading-page" role="status">
      <p>Asking the process…</p>
    </div>
  );
}

function Unreachable({ trouble }: { trouble: string }) {
  return (
    <div class="loading-page" role="alert">
      <h1>{trouble}</h1>
      <p>
        Trying again. <code>sluice status</code> on its machine says more.
      </p>
    </div>
  );
}

function Locked({ onToken, trouble }: { onToken: () => void; trouble: string | null }) {
  const [given, setGiven] = useState('');
  return (
    <form
      class="loading-page locked"
      onSubmit={(event) => {
        event.preventDefault();
        setToken(given.trim());
        onToken();
      }}
    >
      <h1>This address needs the token</h1>
      <TokenField value={given} onInput={setGiven} />
      {trouble === null || given === '' ? null : <p class="trouble">{trouble}</p>}
      <p class="buttons">
        <button type="submit" class="primary" disabled={given.trim() === ''}>
          Open
        </button>
      </p>
    </form>
  );
}
