/**
 * The contract of a source of changes (MongoDB's change stream; later a bus partition).
 */
import type { ChangeBatch, ResumePoint } from './event.ts';
import type { Timestamp } from './time.ts';

/** `oldest`: the first event that the server still has, for going on after a gap. */
export type StartAt =
  | { readonly kind: 'now' }
  | { readonly kind: 'oldest' }
  | { readonly kind: 'time'; readonly at: Timestamp }
  | { readonly kind: 'token'; readonly token: Uint8Array };

export interface SourceIdentity {
  /**
   * What makes positions comparable: replica set, level, options, filter, split stage, token version. Positions read
   * under two fingerprints must not be compared.
   */
  readonly fingerprint: string;
  /** One line for a log: where and what is read. Never a secret. */
  readonly description: string;
}

export interface Source extends AsyncDisposable {
  /** Connects and checks that changes can be read. @throws SluiceError with what is missing */
  open(signal: AbortSignal): Promise<SourceIdentity>;
  /** The point that a start means, before the first event is read. `time` is inclusive. */
  resolve(start: StartAt, signal: AbortSignal): Promise<ResumePoint>;
  /**
   * Strictly after `after`, in order, for ever. An empty batch moves `resume` on. Comes back by itself after a fail-over
   * or a network cut; nothing is skipped, nothing comes twice within one call.
   * Ends (does not throw) when the signal aborts.
   * @throws HISTORY_LOST and other coded errors that need a person; never skips
   */
  changes(after: ResumePoint, signal: AbortSignal): AsyncIterable<ChangeBatch>;
}
