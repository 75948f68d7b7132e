/**
 * What the broker or the client said, as an error of ours: decided by code, never by message.
 */
import { findErrorBy } from '@platformatic/kafka';
import { SluiceError, reasonOf } from '../../core/error.ts';
import { BUS_DENIED, BUS_OFFSET_GONE, BUS_TOO_LARGE, BUS_TOPIC, BUS_UNAVAILABLE } from '../../core/errors.ts';
import type { ErrorKind } from '../../core/error.ts';

/** Kafka's own names; whatever is not here may pass (network, time-outs, elections), so that it is tried again. */
const KINDS: readonly (readonly [string, ErrorKind])[] = [
  ['OFFSET_OUT_OF_RANGE', BUS_OFFSET_GONE],
  ['MESSAGE_TOO_LARGE', BUS_TOO_LARGE],
  ['RECORD_LIST_TOO_LARGE', BUS_TOO_LARGE],
  ['SASL_AUTHENTICATION_FAILED', BUS_DENIED],
  ['UNSUPPORTED_SASL_MECHANISM', BUS_DENIED],
  ['ILLEGAL_SASL_STATE', BUS_DENIED],
  ['TOPIC_AUTHORIZATION_FAILED', BUS_DENIED],
  ['GROUP_AUTHORIZATION_FAILED', BUS_DENIED],
  ['CLUSTER_AUTHORIZATION_FAILED', BUS_DENIED],
  ['INVALID_TOPIC_EXCEPTION', BUS_TOPIC],
  ['UNKNOWN_TOPIC_OR_PARTITION', BUS_TOPIC],
];

export function busError(error: unknown, what: string): SluiceError {
  if (SluiceError.is(error)) return error;
  const thrown = error instanceof Error ? error : new Error(String(error));
  const found = KINDS.find(([id]) => findErrorBy(thrown, 'apiId', id) !== null);
  const kind = found?.[1] ?? (findErrorBy(thrown, 'code', 'PLT_KFK_AUTHENTICATION') === null ? BUS_UNAVAILABLE : BUS_DENIED);
  return new SluiceError(kind, `${what}: ${[...new Set(reasonsOf(thrown))].slice(0, REASONS_MAX).join('; ')}`, { cause: error });
}

const REASONS_MAX = 4;

/** The messages of the errors that this one is made of: the outermost alone says only that something failed. */
function reasonsOf(error: unknown): string[] {
  if (error instanceof AggregateError) return error.errors.flatMap(reasonsOf);
  const { cause } = error as { cause?: unknown };
  return cause === undefined ? [reasonOf(error)] : [reasonOf(error), ...reasonsOf(cause)];
}
