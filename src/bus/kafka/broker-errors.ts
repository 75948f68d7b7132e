/**
 * What the broker or the client said, as an error of ours: decided by code, never by message.
 */
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
];

/** The client's own: whatever it says of a login, and of what it was asked for. */
const CLIENT_KINDS: readonly (readonly [string, ErrorKind])[] = [['PLT_KFK_AUTHENTICATION', BUS_DENIED]];
/** Of a question for a topic: there is none. While a broker starts, it may say so of any: elsewhere that passes. */
const NO_SUCH_TOPIC = 'PLT_KFK_USER';

const REASONS_MAX = 4;

export function busError(error: unknown, what: string): SluiceError {
  if (SluiceError.is(error)) return error;
  const all = [...within(error)];
  const own = all.find((each) => SluiceError.is(each));
  if (SluiceError.is(own)) return own;
  const find = (name: 'apiId' | 'code', kinds: typeof KINDS): ErrorKind | undefined =>
    kinds.find(([id]) => all.some((each: Error & { readonly apiId?: unknown; readonly code?: unknown }) => each[name] === id))?.[1];
  const kind = find('apiId', KINDS) ?? find('code', CLIENT_KINDS) ?? BUS_UNAVAILABLE;
  // The outermost alone says only that something failed.
  const reasons = [...new Set(all.filter((each) => !(each instanceof AggregateError)).map(reasonOf))];
  return new SluiceError(kind, `${what}: ${reasons.slice(0, REASONS_MAX).join('; ')}`, { cause: error });
}

/** As {@link busError}, of the first question for the topic. */
export function topicError(error: unknown, what: string): SluiceError {
  const isUnknown = [...within(error)].some((each) => (each as NodeJS.ErrnoException).code === NO_SUCH_TOPIC);
  return isUnknown ? new SluiceError(BUS_TOPIC, what, { cause: error }) : busError(error, what);
}

/** An error and those that it is made of. */
function* within(error: unknown): Generator<Error> {
  if (!(error instanceof Error)) return;
  yield error;
  if (error instanceof AggregateError) for (const each of error.errors) yield* within(each);
  yield* within(error.cause);
}
