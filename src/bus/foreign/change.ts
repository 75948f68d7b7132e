import type { Namespace } from '../../core/namespace.ts';
import type { Timestamp } from '../../core/time.ts';
import type { Members } from './json-text.ts';

/** What every reader makes of a message. */
export interface Change {
  /** As `_id._data` of a resume token; `null`: the message has none. */
  readonly token: string | null;
  readonly at: Timestamp;
  readonly operationType: string;
  readonly ns: Namespace;
  /** Further facts for `_meta`, compact. */
  readonly meta: Members;
  /** The rest of the line, compact. */
  readonly rest: Members;
}
