/**
 * The contract of a source of changes (MongoDB's change stream, a partition of a bus).
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
   * under two fingerprints must not be compared. Its first word names the deployment, by its id where that may be asked.
   */
  readonly fingerprint: string;
  /** One line for a log: where and what is read. Never a secret. */
  readonly description: string;
}

/** 24 hexadecimal digits. A name tells nothing: there are many `rs0`. */
const DEPLOYMENT_ID = /^[0-9a-f]{24}(?= )/;

/** Were these two fingerprints surely taken on two deployments? Also one that was made anew from a backup is another. */
export function isOtherDeployment(a: string, b: string): boolean {
  const [one, other] = [DEPLOYMENT_ID.exec(a)?.[0], DEPLOYMENT_ID.exec(b)?.[0]];
  return one !== undefined && other !== undefined && one !== other;
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
