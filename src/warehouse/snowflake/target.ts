/** `snowflake://account/database?warehouse=…&role=…`, taken apart. */
import { SluiceError } from '../../core/error.ts';
import { CONFIG_INVALID } from '../../core/errors.ts';

export interface Target {
  readonly account: string;
  readonly database: string;
  readonly warehouse: string | null;
  readonly role: string | null;
  /** A stage over the lake (`SLUICE.LAKE`): then files are copied from where they are. `null`: they are put into a stage of ours. */
  readonly stage: string | null;
  /** Where the account answers, if not at its usual address: private link, or a stand-in on this machine. */
  readonly accessUrl: string | null;
  /** For messages. */
  readonly description: string;
}

const PARAMETERS = ['warehouse', 'role', 'stage', 'accessUrl'] as const;
const STAGE = /^(?:[A-Za-z_][A-Za-z0-9_$]*\.){0,2}[A-Za-z_][A-Za-z0-9_$]*(?:\/[A-Za-z0-9_./=-]*)?$/;

/** @throws CONFIG_INVALID */
export function parseTarget(url: string): Target {
  const match = /^snowflake:\/\/([^/?#]+)\/([^/?#]+)(?:\?([^#]*))?$/.exec(url);
  const [account, database, query] = [match?.[1], match?.[2], match?.[3]];
  if (account === undefined || database === undefined) throw bad('must be snowflake://account/database?warehouse=…&role=…');
  const parameters = new URLSearchParams(query ?? '');
  for (const name of parameters.keys()) {
    if (!PARAMETERS.some((known) => known === name)) throw bad(`has the unknown parameter ${name}; known are ${PARAMETERS.join(', ')}`);
  }
  const of = (name: (typeof PARAMETERS)[number]): string | null => parameters.get(name) || null;
  const accessUrl = of('accessUrl');
  if (accessUrl !== null && !/^https:\/\/|^http:\/\/(127\.0\.0\.1|localhost|\[::1\])(:|\/|$)/.test(accessUrl))
    throw bad('has an accessUrl without https');
  const stage = of('stage');
  if (stage !== null && !STAGE.test(stage)) throw bad('has a stage that is no plain name such as LAKES.PUBLIC.SHOP or LAKES.PUBLIC.SHOP/prefix');
  const decoded = decodeURIComponent(database);
  return {
    account,
    database: decoded,
    warehouse: of('warehouse'),
    role: of('role'),
    stage,
    accessUrl,
    description: `snowflake://${account}/${decoded}`,
  };
}

function bad(what: string): SluiceError {
  return new SluiceError(CONFIG_INVALID, `warehouse.url ${what}`);
}
