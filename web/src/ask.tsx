/**
 * Before something is done: what will happen, and the token, once.
 */
import { useEffect, useRef, useState } from 'preact/hooks';
import type { Action } from '../../src/http/actions.ts';
import { hasToken, post, Refusal, setToken } from './client.ts';

export interface Asked {
  readonly action: Action;
  /** `null` with an action on the whole pipeline. */
  readonly collection: string | null;
}

interface Props {
  readonly asked: Asked;
  /** @param said what to tell, `null` when it was left */
  readonly onDone: (said: string | null) => void;
}

export function Ask({ asked, onDone }: Props) {
  const { action, collection } = asked;
  const dialog = useRef<HTMLDialogElement>(null);
  const [isBusy, setIsBusy] = useState(false);
  const [trouble, setTrouble] = useState<{ readonly message: string; readonly next: string } | null>(null);
  const [needsToken, setNeedsToken] = useState(!hasToken());
  const [given, setGiven] = useState('');
  useEffect(() => dialog.current?.showModal(), []);

  const go = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (needsToken) setToken(given.trim());
    setIsBusy(true);
    setTrouble(null);
    try {
      const result = await post<unknown>(action.name, action.scope === 'pipeline' ? {} : { collections: [collection] });
      onDone(tell(action, collection, result));
    } catch (error) {
      const refused = error instanceof Refusal ? error : null;
      if (refused?.status === 401) {
        setToken(null);
        setNeedsToken(true);
      }
      setTrouble(
        refused === null
          ? { message: 'The process does not answer.', next: 'Look whether it still runs.' }
          : { message: refused.message, next: refused.next },
      );
      setIsBusy(false);
    }
  };

  return (
    <dialog ref={dialog} class="ask" aria-labelledby="ask-title" onClose={() => onDone(null)}>
      <form onSubmit={(event) => void go(event)}>
        <h2 id="ask-title">
          {action.label}
          {collection === null ? (
            '?'
          ) : (
            <>
              {' '}
              <em>{collection}</em>?
            </>
          )}
        </h2>
        <p>{action.confirm}</p>
        {needsToken ? <TokenField value={given} onInput={setGiven} /> : null}
        {trouble === null ? null : (
          <p class="trouble" role="alert">
            {trouble.message}. {trouble.next}
          </p>
        )}
        <div class="buttons">
          <button type="button" onClick={() => dialog.current?.close()}>
            {isBusy ? 'Hide' : 'Cancel'}
          </button>
          <button type="submit" class="primary" disabled={isBusy || (needsToken && given.trim() === '')}>
            {isBusy ? 'Working…' : action.label}
          </button>
        </div>
      </form>
    </dialog>
  );
}

export function TokenField({ value, onInput }: { value: string; onInput: (value: string) => void }) {
  return (
    <label class="token">
      Token
      <input type="password" autocomplete="off" spellcheck={false} required value={value} onInput={(event) => onInput(event.currentTarget.value)} />
      <small>
        <code>http.token</code> of the configuration. Without one: <code>sluice dashboard --token</code> on the machine where it runs. Kept until this
        tab is closed.
      </small>
    </label>
  );
}

/** What came of it, as far as the answer can be read without knowing the action. */
function tell(action: Action, collection: string | null, result: unknown): string {
  const { files, rows, ok, collections } = (result ?? {}) as {
    files?: readonly string[];
    rows?: number;
    ok?: boolean;
    collections?: readonly string[];
  };
  const about = collection === null ? '' : ` ${collection}`;
  if (Array.isArray(files)) return `${action.label}: ${files.length} files, ${rows ?? 0} rows.`;
  if (typeof ok === 'boolean') return `${action.label}: ${ok ? 'everything agrees.' : 'something is off, see below.'}`;
  if (Array.isArray(collections) && collections.length === 0) return `${action.label}${about}: nothing changed.`;
  return `${action.label}${about}: done.`;
}
