/** Objects of the account: roles, warehouse, database, integrations, grants. They are the work of an administrator. */
import { id, QUEUE_PLACEHOLDER, TENANT_PLACEHOLDER, text, type Plan } from './plan.ts';

/** By events per day. A loader is idle most of the time: it pays to be small and to be suspended soon. */
const SIZES: readonly (readonly [eventsPerDayMax: number, size: string, suspendSeconds: number])[] = [
  [20_000_000, 'XSMALL', 60],
  [100_000_000, 'SMALL', 60],
  [500_000_000, 'MEDIUM', 120],
  [Number.POSITIVE_INFINITY, 'LARGE', 300],
];
/** From here on bronze is clustered by its hour: below it, pruning on what was loaded together does as well for nothing. */
const CLUSTER_EVENTS_PER_DAY = 50_000_000;

export function isClustered(plan: Plan): boolean {
  return plan.eventsPerDay >= CLUSTER_EVENTS_PER_DAY;
}

export function roles(plan: Plan): string[] {
  const { loader, reader, user } = plan;
  return [
    'USE ROLE USERADMIN',
    `CREATE ROLE IF NOT EXISTS ${id(loader)} COMMENT = 'sluice: loads and merges'`,
    `CREATE ROLE IF NOT EXISTS ${id(reader)} COMMENT = 'sluice: reads silver, gold and the health of the pipeline'`,
    `GRANT ROLE ${id(reader)} TO ROLE ${id(loader)}`,
    `GRANT ROLE ${id(loader)} TO ROLE SYSADMIN`,
    ...(user === null
      ? []
      : [`CREATE USER IF NOT EXISTS ${id(user)} TYPE = SERVICE DEFAULT_ROLE = ${id(loader)} DEFAULT_WAREHOUSE = ${id(plan.warehouse)}`]),
    ...(user === null ? [] : [`GRANT ROLE ${id(loader)} TO USER ${id(user)}`]),
  ];
}

export function warehouse(plan: Plan): string[] {
  const [, size, suspend] = SIZES.find(([max]) => plan.eventsPerDay <= max) ?? ['', 'XSMALL', 60];
  const settings = `WAREHOUSE_SIZE = ${size} AUTO_SUSPEND = ${suspend} AUTO_RESUME = TRUE STATEMENT_TIMEOUT_IN_SECONDS = 3600`;
  return [
    'USE ROLE SYSADMIN',
    `CREATE WAREHOUSE IF NOT EXISTS ${id(plan.warehouse)} ${settings} INITIALLY_SUSPENDED = TRUE COMMENT = 'sluice'`,
    `ALTER WAREHOUSE ${id(plan.warehouse)} SET ${settings}`,
    `GRANT USAGE, OPERATE ON WAREHOUSE ${id(plan.warehouse)} TO ROLE ${id(plan.loader)}`,
    `GRANT USAGE ON WAREHOUSE ${id(plan.warehouse)} TO ROLE ${id(plan.reader)}`,
    `CREATE DATABASE IF NOT EXISTS ${id(plan.database)}`,
    `GRANT USAGE, CREATE SCHEMA ON DATABASE ${id(plan.database)} TO ROLE ${id(plan.loader)}`,
    `GRANT USAGE ON DATABASE ${id(plan.database)} TO ROLE ${id(plan.reader)}`,
  ];
}

export function integrations(plan: Plan): string[] {
  const { lake, loader, mode } = plan;
  const out: string[] = ['USE ROLE ACCOUNTADMIN'];
  const tenant = text(plan.tenant ?? TENANT_PLACEHOLDER);
  if (lake !== null) {
    out.push(
      `CREATE STORAGE INTEGRATION IF NOT EXISTS SLUICE_LAKE TYPE = EXTERNAL_STAGE STORAGE_PROVIDER = 'AZURE' ENABLED = TRUE
  AZURE_TENANT_ID = ${tenant} STORAGE_ALLOWED_LOCATIONS = (${text(locationOf(lake))})`,
      `GRANT USAGE ON INTEGRATION SLUICE_LAKE TO ROLE ${id(loader)}`,
      'DESCRIBE INTEGRATION SLUICE_LAKE',
    );
  }
  if (mode === 'pipe') {
    out.push(
      `CREATE NOTIFICATION INTEGRATION IF NOT EXISTS SLUICE_EVENTS ENABLED = TRUE TYPE = QUEUE NOTIFICATION_PROVIDER = AZURE_STORAGE_QUEUE
  AZURE_STORAGE_QUEUE_PRIMARY_URI = ${text(plan.queue ?? QUEUE_PLACEHOLDER)} AZURE_TENANT_ID = ${tenant}`,
      `GRANT USAGE ON INTEGRATION SLUICE_EVENTS TO ROLE ${id(loader)}`,
      'DESCRIBE INTEGRATION SLUICE_EVENTS',
    );
  }
  if (plan.mail.length > 0) {
    out.push(
      `CREATE NOTIFICATION INTEGRATION IF NOT EXISTS SLUICE_MAIL TYPE = EMAIL ENABLED = TRUE ALLOWED_RECIPIENTS = (${plan.mail.map(text).join(', ')})`,
      `GRANT USAGE ON INTEGRATION SLUICE_MAIL TO ROLE ${id(loader)}`,
    );
  }
  if (mode !== 'copy') {
    out.push(`GRANT EXECUTE TASK ON ACCOUNT TO ROLE ${id(loader)}`);
  }
  out.push(`GRANT EXECUTE ALERT ON ACCOUNT TO ROLE ${id(loader)}`);
  return out;
}

export function locationOf(lake: NonNullable<Plan['lake']>): string {
  return `azure://${lake.account}.blob.core.windows.net/${lake.container}/${lake.prefix}`;
}

/** Least privilege: who reads sees silver, its history, gold and the health, neither bronze nor the ledger. */
export function grants(plan: Plan): string[] {
  const reader = id(plan.reader);
  const silver = 'silver';
  return [
    `GRANT USAGE ON SCHEMA sluice TO ROLE ${reader}`,
    `GRANT USAGE ON SCHEMA ${silver} TO ROLE ${reader}`,
    `GRANT USAGE ON SCHEMA gold TO ROLE ${reader}`,
    `GRANT SELECT ON VIEW sluice.pipeline_health TO ROLE ${reader}`,
    `GRANT USAGE ON ALL FUNCTIONS IN SCHEMA sluice TO ROLE ${reader}`,
    ...['TABLES', 'VIEWS', ...(plan.mode === 'dynamic' ? ['DYNAMIC TABLES'] : [])].flatMap((kind) => [
      `GRANT SELECT ON ALL ${kind} IN SCHEMA ${silver} TO ROLE ${reader}`,
      `GRANT SELECT ON FUTURE ${kind} IN SCHEMA ${silver} TO ROLE ${reader}`,
    ]),
    // A view that is made anew loses what was granted on it alone; what is granted on future ones it has at once.
    `GRANT SELECT ON ALL VIEWS IN SCHEMA gold TO ROLE ${reader}`,
    `GRANT SELECT ON FUTURE VIEWS IN SCHEMA gold TO ROLE ${reader}`,
  ];
}
