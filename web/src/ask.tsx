/**
 * Before something is done: what will happen, and the token, once.
 */
import { useEffect, useRef, useState } from 'preact/hooks';
import type { Action } from '../../src/http/actions.ts';
import { hasToken, post, Refusal, setToken } from './client.ts';
import { tell, Trouble, troubleOf, type Said } from './outcome.tsx';

export interface Asked {
  readonly action: Action;
  /** What it is about, in words; `null`: the whole pipeline. */
  readonly subject: string | null;
  readonly body: object;
}

interface Props {
  readonly asked: Asked;
  /** What came of it: maybe long after this was closed. */
  readonly onSaid: (said: Said) => void;
  readonly onClose: () => void;
}

export function Ask({ asked, onSaid, onClose }: Props) {
  const { action, subject, body } = asked;
  const dialog = useRef<HTMLDialogElement>(null);
  const isOpen = useRef(true);
  const [isBusy, setIsBusy] = useState(false);
  const [trouble, setTrouble] = useState<Said | null>(null);
  const [needsToken, setNeedsToken] = useState(!hasToken());
  const [given, setGiven] = useState('');
  useEffect(() => {
    dialog.current?.showModal();
    return () => {
      isOpen.current = false;
    };
  }, []);

  const go = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (needsToken) setToken(given.trim());
    setIsBusy(true);
    setTrouble(null);
    try {
      const result = await post<unknown>(action.name, body);
      onSaid(tell(action, subject, result));
      if (isOpen.current) onClose();
    } catch (error) {
      const isStranger = error instanceof Refusal && error.status === 401;
      if (isStranger) setToken(null);
      const said = troubleOf(error);
      // Hidden meanwhile: then the page says it.
      if (!isOpen.current) return onSaid({ ...said, text: `${action.label}${subject === null ? '' : ` ${subject}`}: ${said.text}` });
      if (isStranger) setNeedsToken(true);
      setTrouble(said);
      setIsBusy(false);
    }
  };

  return (
    <dialog ref={dialog} class="ask" aria-labelledby="ask-title" onClose={onClose}>
      <form onSubmit={(event) => void go(event)}>
        <h2 id="ask-title">
          {action.label}
          {subject === null ? (
            '?'
          ) : (
            <>
              {' '}
              <em>{subject}</em>?
            </>
          )}
        </h2>
        <p>{action.confirm}</p>
        {needsToken ? <TokenField value={given} onInput={setGiven} /> : null}
        {trouble === null ? null : <Trouble said={trouble} />}
        {isBusy ? <p class="note">It goes on while this page is open, also when this is hidden.</p> : null}
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
