/**
 * Dead letters: messages of the bus that could not be read. The list says why; what is in one is data, and asks for the token.
 */
import { useEffect, useRef, useState } from 'preact/hooks';
import type { DeadLettersReport } from '../../src/app/types.ts';
import type { Action } from '../../src/http/actions.ts';
import type { DeadLetter } from '../../src/pipeline/dead-letters.ts';
import { TokenField, type Asked } from './ask.tsx';
import { get, hasToken, post, Refusal, setToken } from './client.ts';
import { moment, plural, size } from './format.ts';
import { Trouble, troubleOf, type Said } from './outcome.tsx';

interface Props {
  /** As the overview counts them: another number, and the list is read again. */
  readonly total: number;
  /** How they are sent again; `null`: not now. */
  readonly replay: Action | null;
  readonly nowMs: number;
  readonly onAsk: (asked: Asked) => void;
  readonly onClose: () => void;
}

export function Letters({ total, replay, nowMs, onAsk, onClose }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [report, setReport] = useState<DeadLettersReport | Said | null>(null);
  const [opened, setOpened] = useState<string | null>(null);
  useEffect(() => dialog.current?.showModal(), []);
  useEffect(() => {
    const stop = new AbortController();
    get<DeadLettersReport>('/api/dead-letters', stop.signal).then(setReport, (error: unknown) => {
      if (!stop.signal.aborted) setReport(troubleOf(error));
    });
    return () => stop.abort();
  }, [total]);
  const ask = (names: readonly string[], subject: string): void => {
    if (replay !== null) onAsk({ action: replay, subject, body: { names } });
  };
  return (
    <dialog
      ref={dialog}
      class="drawer"
      aria-labelledby="letters-title"
      onClose={onClose}
      onClick={(event) => event.target === dialog.current && dialog.current?.close()}
    >
      <div class="inside">
        <header>
          <h2 id="letters-title">Dead letters</h2>
          <button type="button" class="close" aria-label="Close" onClick={() => dialog.current?.close()}>
            ✕
          </button>
        </header>
        <p class="note">
          Messages that could not be read. They are kept on the lake, and reading goes on. Mend the cause first: a replay with the same cause brings
          them back.
        </p>
        {replay === null || total === 0 ? null : (
          <p class="buttons">
            <button type="button" onClick={() => ask([], `all ${plural(total, 'message')}`)}>
              Send all again
            </button>
          </p>
        )}
        {report === null ? <p class="note">Reading the lake…</p> : null}
        {report !== null && 'tone' in report ? <Trouble said={report} /> : null}
        {report !== null && 'letters' in report ? (
          <>
            {report.total === 0 ? <p class="note">None: every message could be read.</p> : null}
            <ul class="letters">
              {report.letters
                .toSorted((a, b) => b.at.localeCompare(a.at))
                .map(({ name, at, bytes, reason, detail }) => (
                  <li key={name}>
                    <button type="button" class="letter" aria-expanded={opened === name} onClick={() => setOpened(opened === name ? null : name)}>
                      <b>{called(name)}</b>
                      <span class="fine">
                        {moment(at, nowMs)} · {size(bytes)}
                      </span>
                      <span class="why">
                        <code>{reason}</code> {detail}
                      </span>
                    </button>
                    {opened === name ? <Letter name={name} canReplay={replay !== null} onReplay={() => ask([name], called(name))} /> : null}
                  </li>
                ))}
            </ul>
            {report.total > report.letters.length ? (
              <p class="note">
                The newest {report.letters.length} of {report.total}; <code>sluice dead-letters list</code> shows all.
              </p>
            ) : null}
          </>
        ) : null}
      </div>
    </dialog>
  );
}

/** `p003-00000000000000001003`, to be read. */
function called(name: string): string {
  const [, partition, offset] = /^p(\d+)-(\d+)$/.exec(name) ?? [];
  return partition === undefined || offset === undefined ? name : `partition ${Number(partition)}, offset ${BigInt(offset)}`;
}

function Letter({ name, canReplay, onReplay }: { name: string; canReplay: boolean; onReplay: () => void }) {
  const [letter, setLetter] = useState<DeadLetter | Said | null>(null);
  const [needsToken, setNeedsToken] = useState(!hasToken());
  const [given, setGiven] = useState('');
  const read = async (): Promise<void> => {
    try {
      setLetter(await post<DeadLetter>('dead-letter', { name }));
    } catch (error) {
      if (error instanceof Refusal && error.status === 401) {
        setToken(null);
        setNeedsToken(true);
      }
      setLetter(troubleOf(error));
    }
  };
  useEffect(() => {
    if (!needsToken) void read();
  }, []);
  if (needsToken) {
    return (
      <form
        class="open"
        onSubmit={(event) => {
          event.preventDefault();
          setToken(given.trim());
          setNeedsToken(false);
          void read();
        }}
      >
        <p class="note">What is in it is data: it is shown to those with the token.</p>
        <TokenField value={given} onInput={setGiven} />
        {letter !== null && 'tone' in letter ? <Trouble said={letter} /> : null}
        <p class="buttons">
          <button type="submit" class="primary" disabled={given.trim() === ''}>
            Show
          </button>
        </p>
      </form>
    );
  }
  if (letter === null) return <p class="open note">Reading it…</p>;
  if ('tone' in letter)
    return (
      <div class="open">
        <Trouble said={letter} />
      </div>
    );
  const { topic, key, headers, value } = letter;
  return (
    <div class="open">
      <p class="fine">
        {topic} · {name}
      </p>
      <dl class="headers">
        <div>
          <dt>key</dt>
          <dd>{shown(key)}</dd>
        </div>
        {headers.map(([header, text]) => (
          <div key={header}>
            <dt>{header}</dt>
            <dd>{shown(text)}</dd>
          </div>
        ))}
      </dl>
      <pre tabIndex={0} aria-label="Value">
        {shown(value)}
      </pre>
      {canReplay ? (
        <p class="buttons">
          <button type="button" onClick={onReplay}>
            Send again
          </button>
        </p>
      ) : null}
    </div>
  );
}

const CHARS_SHOWN = 64_000;
const BYTES_PER_LINE = 16;
const BYTES_SHOWN = 4_096;

/** As text, or as hexadecimal digits when it is none. */
function shown(base64: string | null): string {
  if (base64 === null) return '(none)';
  const bytes = Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
  if (bytes.length === 0) return '(empty)';
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    return text.length > CHARS_SHOWN ? `${text.slice(0, CHARS_SHOWN)}\n… ${size(bytes.length)} in all` : text;
  } catch {
    const lines: string[] = [];
    for (let at = 0; at < Math.min(bytes.length, BYTES_SHOWN); at += BYTES_PER_LINE)
      lines.push([...bytes.subarray(at, at + BYTES_PER_LINE)].map((byte) => byte.toString(16).padStart(2, '0')).join(' '));
    return [...lines, ...(bytes.length > BYTES_SHOWN ? [`… ${size(bytes.length)} in all`] : [])].join('\n');
  }
}
