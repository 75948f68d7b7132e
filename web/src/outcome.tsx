/**
 * What is told after something was done, or could not be: one sentence, with the code and the remedy when there are any.
 */
import type { Action } from '../../src/http/actions.ts';
import { Refusal } from './client.ts';
import { count, plural } from './format.ts';

export interface Said {
  readonly tone: 'good' | 'warn' | 'bad';
  readonly text: string;
  readonly code: string;
  readonly next: string;
}

/** Of an error, as the process or the browser has told it. */
export function troubleOf(error: unknown): Said {
  if (error instanceof Refusal) return { tone: 'bad', text: error.message, code: error.code, next: error.next };
  return { tone: 'bad', text: 'The process does not answer', code: '', next: 'Look whether it still runs.' };
}

export function Trouble({ said }: { said: Said }) {
  return (
    <div class="trouble" role="alert">
      <p>
        {said.code === '' ? null : <code>{said.code}</code>} {said.text}
      </p>
      {said.next === '' ? null : <p class="remedy">{said.next}</p>}
    </div>
  );
}

/** Any of the answers of docs/operating.md, as far as it can be told without knowing which action it was. */
interface Answer {
  readonly files?: readonly string[];
  readonly rows?: number;
  readonly ok?: boolean;
  readonly dumps?: readonly { readonly namespace: string; readonly outcome: string; readonly rows: number; readonly note: string | null }[];
  readonly collections?: readonly unknown[];
  readonly underWay?: readonly string[];
  readonly refused?: readonly { readonly namespace: string; readonly reason: string }[];
  readonly replayed?: readonly string[];
}

export function tell(action: Action, subject: string | null, result: unknown): Said {
  const [tone, text] = toldOf(result ?? {});
  return { tone, text: `${action.label}${subject === null ? '' : ` ${subject}`}: ${text}`, code: '', next: '' };
}

function toldOf(answer: Answer): [Said['tone'], string] {
  const { files, rows = 0, ok, dumps, collections, replayed } = answer;
  if (dumps !== undefined) return dumped(dumps);
  if (replayed !== undefined) return ['good', `${plural(replayed.length, 'message')} sent again.`];
  if (files !== undefined) return ['good', files.length === 0 ? 'nothing was open.' : `${plural(files.length, 'file')}, ${plural(rows, 'row')}.`];
  if (ok !== undefined) return ok ? ['good', 'everything agrees.'] : ['bad', 'something is off, see Last verification.'];
  if (collections !== undefined && answer.refused !== undefined) return snapshot(collections.length, answer.underWay ?? [], answer.refused);
  if (collections !== undefined) return ['good', collections.length === 0 ? 'nothing changed.' : `${plural(collections.length, 'collection')}.`];
  return ['good', 'done.'];
}

function dumped(dumps: NonNullable<Answer['dumps']>): [Said['tone'], string] {
  const failed = dumps.filter(({ outcome }) => outcome === 'failed');
  const written = dumps.filter(({ outcome }) => outcome === 'dumped');
  const there = dumps.length - failed.length - written.length;
  const sums = [
    ...(written.length > 0
      ? [
          `${plural(written.length, 'dump')} written, ${plural(
            written.reduce((sum, { rows }) => sum + rows, 0),
            'row',
          )}`,
        ]
      : []),
    ...(there > 0 ? [`${count(there)} ${there === 1 ? 'was' : 'were'} there already`] : []),
    ...failed.slice(0, 3).map(({ namespace, note }) => `${namespace} failed: ${note ?? 'see the log'}`),
    ...(failed.length > 3 ? [`${failed.length - 3} more failed`] : []),
  ];
  return [failed.length > 0 ? 'bad' : 'good', sums.length === 0 ? 'there was nothing to dump.' : `${sums.join('; ')}.`];
}

function snapshot(begun: number, underWay: readonly string[], refused: NonNullable<Answer['refused']>): [Said['tone'], string] {
  const sums = [
    ...(begun > 0 ? [`begun of ${plural(begun, 'collection')}`] : []),
    ...(underWay.length > 0 ? [`${count(underWay.length)} already under way`] : []),
    ...refused.slice(0, 3).map(({ namespace, reason }) => `${namespace} is left out: ${reason}`),
    ...(refused.length > 3 ? [`${refused.length - 3} more are left out`] : []),
  ];
  return [refused.length > 0 ? 'warn' : 'good', sums.length === 0 ? 'there was nothing to read.' : `${sums.join('; ')}.`];
}
