/**
 * One collection: its state, what can be done with it, and its files as the ledger has them.
 */
import { useEffect, useRef, useState } from 'preact/hooks';
import type { FilesReport } from '../../src/app/overview-types.ts';
import type { Action } from '../../src/http/actions.ts';
import type { Asked } from './ask.tsx';
import { get } from './client.ts';
import { ago, clock, count, day, moment, plural, size } from './format.ts';
import { Trouble, troubleOf } from './outcome.tsx';
import type { Row } from './rows.ts';

interface Props {
  readonly row: Row;
  /** `null`: the newest files. */
  readonly hour: number | null;
  readonly actions: readonly Action[];
  readonly hasWarehouse: boolean;
  readonly nowMs: number;
  readonly onHour: (hour: number | null) => void;
  readonly onAsk: (asked: Asked) => void;
  readonly onClose: () => void;
}

const HEALTH = { fine: 'Fine', behind: 'Behind: sealed hours are not loaded', paused: 'Paused: captured, not loaded', error: 'In error' } as const;

export function Drawer({ row, hour, actions, hasWarehouse, nowMs, onHour, onAsk, onClose }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  const offered = actions.filter(({ scope, from }) => scope === 'collection' && (from === undefined || from.includes(row.status ?? '')));
  return (
    <dialog
      ref={dialog}
      class="drawer"
      aria-labelledby="drawer-title"
      onClose={onClose}
      onClick={(event) => event.target === dialog.current && dialog.current?.close()}
    >
      <div class="inside">
        <header>
          <h2 id="drawer-title">{row.namespace}</h2>
          <button type="button" class="close" aria-label="Close" onClick={() => dialog.current?.close()}>
            ✕
          </button>
        </header>
        <p class="health">
          <span class={`dot ${row.health}`} aria-hidden="true" /> {HEALTH[row.health]}
          {row.reason === null ? null : <span class="reason">{row.reason}</span>}
        </p>
        <dl class="facts">
          <Fact name="last event" value={row.lastEventAt === null ? 'none in 30 days' : ago(row.lastEventAt, nowMs)} />
          {hasWarehouse ? (
            <Fact name="complete through" value={row.completeThrough === null ? 'not yet' : `${moment(row.completeThrough, nowMs)} UTC`} />
          ) : null}
          <Fact name="sealed, 30 days" value={`${plural(row.filesSealed, 'file')}, ${plural(row.rowsSealed, 'row')}, ${size(row.bytesSealed)}`} />
          <Fact name="open" value={plural(row.partsOpen, 'file')} />
          {row.rowsLoaded === null ? null : <Fact name="loaded" value={plural(row.rowsLoaded, 'row')} />}
        </dl>
        {offered.length === 0 ? null : (
          <p class="buttons">
            {offered.map((action) => (
              <button
                key={action.name}
                type="button"
                onClick={() => onAsk({ action, subject: row.namespace, body: { collections: [row.namespace] } })}
              >
                {action.label}
              </button>
            ))}
          </p>
        )}
        <Files namespace={row.namespace} hour={hour} onHour={onHour} revision={row.filesSealed} />
      </div>
    </dialog>
  );
}

function Fact({ name, value }: { name: string; value: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}

function Files({
  namespace,
  hour,
  onHour,
  revision,
}: {
  namespace: string;
  hour: number | null;
  onHour: (hour: number | null) => void;
  revision: number;
}) {
  const [report, setReport] = useState<FilesReport | Error | null>(null);
  const busy = useRef(false);
  const [again, setAgain] = useState(0);
  const wanted = useRef('');
  const latest = useRef(revision);
  latest.current = revision;
  useEffect(() => {
    setReport(null);
    busy.current = false;
  }, [namespace, hour]);
  useEffect(() => {
    // What is asked already may answer first: else news that come faster than answers would let none through.
    if (busy.current) return;
    busy.current = true;
    const query = new URLSearchParams({ collection: namespace, ...(hour === null ? {} : { hour: String(hour) }) });
    const asked = `${namespace} ${hour}`;
    wanted.current = asked;
    const take = (result: FilesReport | Error): void => {
      if (wanted.current !== asked) return;
      busy.current = false;
      setReport(result);
      if (latest.current !== revision) setAgain((n) => n + 1);
    };
    get<FilesReport>(`/api/files?${query.toString()}`).then(take, take);
  }, [namespace, hour, revision, again]);
  const at = hour === null ? null : new Date(hour * 3_600_000);
  return (
    <section class="files">
      <h3>
        {at === null ? 'Newest files' : `Files of ${day(at)} ${clock(at)} UTC`}
        {at === null ? null : (
          <button type="button" class="quiet" onClick={() => onHour(null)}>
            show the newest
          </button>
        )}
      </h3>
      <FileList report={report} isHour={hour !== null} />
    </section>
  );
}

function FileList({ report, isHour }: { report: FilesReport | Error | null; isHour: boolean }) {
  if (report === null) return <p class="note">Reading the ledger…</p>;
  if (report instanceof Error) return <Trouble said={troubleOf(report)} />;
  if (report.files.length === 0) return <p class="note">{isHour ? 'Nothing is sealed of this hour.' : 'Nothing is sealed yet.'}</p>;
  return (
    <>
      <ul>
        {report.files.map((file) => (
          <li key={file.path}>
            <p class="path">{file.path}</p>
            <p class="numbers">
              <b>{plural(file.rows, 'row')}</b> {size(file.bytes)}
              {file.loaded === null ? null : <span class={file.loaded ? 'tag good' : 'tag'}>{file.loaded ? 'loaded' : 'not loaded'}</span>}
            </p>
            <p class="fine">
              {file.firstAt === null || file.lastAt === null ? '' : `${clock(new Date(file.firstAt))}–${clock(new Date(file.lastAt))} · `}
              {Object.entries(file.ops)
                .map(([op, n]) => `${count(n ?? 0)} ${op}`)
                .join(', ')}{' '}
              · owner {file.epoch} · <span title={file.sha256}>sha256 {file.sha256.slice(0, 12)}…</span>
            </p>
          </li>
        ))}
      </ul>
      {report.truncated ? <p class="note">There are more; choose an hour in the grid.</p> : null}
    </>
  );
}
