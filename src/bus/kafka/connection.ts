/**
 * How to reach a broker and log in, from the configuration's URL.
 *
 * `eventhubs://namespace.servicebus.windows.net/hub` is Kafka's protocol over TLS on port 9093, where a connection string is
 * a password of the user `$ConnectionString`, and an Entra identity a bearer token for the namespace.
 */
import type { ConsumerOptions } from '@platformatic/kafka';
import { SluiceError } from '../../core/error.ts';
import { CONFIG_INVALID } from '../../core/errors.ts';

/** A token for a scope, from whoever knows the identity; asked for again before the last one ends. */
export type TokenProvider = (scope: string) => Promise<string>;

export interface BusLogin {
  readonly kind: string;
  readonly [key: string]: string | undefined;
}

export interface KafkaTarget {
  readonly topic: string;
  readonly brokers: string[];
  readonly isEventHubs: boolean;
  readonly options: Pick<ConsumerOptions<Buffer, Buffer, Buffer, Buffer>, 'tls' | 'sasl' | 'tlsServerName'>;
}

const EVENT_HUBS_PORT = 9093;
const KAFKA_PORT = 9092;
const URL_FORM = /^(eventhubs|kafka|kafka\+ssl):\/\/([^/]+)\/([^/]+)$/;

/** @throws CONFIG_INVALID */
export function targetOf(url: string, login: BusLogin, token: TokenProvider): KafkaTarget {
  const [, scheme, hosts, topic] = URL_FORM.exec(url) ?? [];
  if (hosts === undefined || topic === undefined) throw new SluiceError(CONFIG_INVALID, '`bus.url` is not the URL of a bus');
  const isEventHubs = scheme === 'eventhubs';
  const port = isEventHubs ? EVENT_HUBS_PORT : KAFKA_PORT;
  const brokers = hosts.split(',').map((host) => (/:\d+$/.test(host) ? host : `${host}:${port}`));
  const tls = scheme === 'kafka' ? {} : { tls: {}, tlsServerName: true };
  return { topic: decodeURIComponent(topic), brokers, isEventHubs, options: { ...tls, ...saslOf(brokers, isEventHubs, login, token) } };
}

function saslOf(brokers: readonly string[], isEventHubs: boolean, login: BusLogin, token: TokenProvider): Pick<KafkaTarget['options'], 'sasl'> {
  switch (login.kind) {
    case 'none':
      return {};
    case 'connectionString':
      return { sasl: { mechanism: 'PLAIN', username: '$ConnectionString', password: login['value'] ?? '' } };
    case 'plain':
      return { sasl: { mechanism: 'PLAIN', username: login['user'] ?? '', password: login['password'] ?? '' } };
    default: {
      // Without a login given: an Entra identity on Event Hubs, none elsewhere.
      if (!isEventHubs && login.kind === 'default') return {};
      const scope = `https://${brokers[0]!.replace(/:\d+$/, '')}/.default`;
      return { sasl: { mechanism: 'OAUTHBEARER', token: () => token(scope) } };
    }
  }
}
