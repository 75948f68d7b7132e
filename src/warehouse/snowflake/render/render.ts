/**
 * `sluice render snowflake`: what Snowflake needs, as numbered files that a person reads before anybody runs them.
 *
 * Rules that a test keeps: every statement may run twice; none replaces a table that holds data; what 99_destroy.sql drops
 * is what the other files made, without tables of data, schemas and databases.
 */
import { roles, warehouse, integrations, grants } from './account.ts';
import { asLoader, copyTasks, externalTables, pipes, schemas, stage, tables } from './bronze.ts';
import { id, objectOf, text, type Plan, type PlannedCollection, type RenderedFile } from './plan.ts';
import { dynamicTables, foldedViews, mergeTasks } from './silver.ts';

export function renderSnowflake(plan: Plan): readonly RenderedFile[] {
  const loads = { copy: null, task: copyTasks, dynamic: copyTasks, pipe: pipes, external: externalTables }[plan.mode];
  const folds = { copy: null, task: mergeTasks, dynamic: dynamicTables, pipe: mergeTasks, external: foldedViews }[plan.mode];
  const files: (RenderedFile | null)[] = [
    { name: '01_roles.sql', purpose: 'Roles: one that loads, one that reads. As USERADMIN.', statements: roles(plan) },
    { name: '02_warehouse.sql', purpose: 'Warehouse, sized by volume, and database. As SYSADMIN.', statements: warehouse(plan) },
    { name: '03_integrations.sql', purpose: 'Integrations, and what only an account administrator may grant.', statements: integrations(plan) },
    { name: '04_schemas.sql', purpose: 'Schemas, tables and functions of sluice itself, and pipeline_health.', statements: schemas(plan) },
    { name: '05_stage.sql', purpose: 'File formats and the stage of the lake.', statements: stage(plan) },
    { name: '06_tables.sql', purpose: 'Bronze and silver tables, one of each per collection.', statements: tables(plan) },
    loads === null ? null : { name: '07_load.sql', purpose: `Bronze, mode ${plan.mode}.`, statements: loads(plan) },
    folds === null ? null : { name: '08_silver.sql', purpose: `Silver, mode ${plan.mode}.`, statements: folds(plan) },
    { name: '09_alerts.sql', purpose: 'Alerts on pipeline_health.', statements: alerts(plan) },
    { name: '10_grants.sql', purpose: 'What readers may see.', statements: [...asLoader(plan), ...grants(plan)] },
    { name: '11_start.sql', purpose: 'Starts tasks and alerts: run it last.', statements: start(plan) },
    {
      name: '99_destroy.sql',
      purpose: 'Drops what the other files made. Tables with data, schemas and the database stay.',
      statements: destroy(plan),
    },
  ];
  return files.filter((file) => file !== null);
}

/** As it is written to disk. */
export function fileText({ purpose, statements }: RenderedFile): string {
  return `-- ${purpose}\n-- Written by \`sluice render snowflake\`; every statement may run again.\n\n${statements.map((statement) => `${statement};\n`).join('\n')}`;
}

function alerts(plan: Plan): string[] {
  const unwell = "SELECT collection, health, last_error FROM sluice.pipeline_health WHERE health IN ('STALE', 'ERROR')";
  const mail = `CALL SYSTEM$SEND_EMAIL('SLUICE_MAIL', ${text(plan.mail.join(', '))}, ${text(`sluice ${plan.pipeline}: a collection is not healthy`)}, 'See sluice.pipeline_health.')`;
  return [
    ...asLoader(plan),
    `CREATE TABLE IF NOT EXISTS sluice.alert_log (
  raised_at TIMESTAMP_TZ NOT NULL,
  collection VARCHAR NOT NULL,
  health VARCHAR NOT NULL,
  last_error VARCHAR
)`,
    `CREATE ALERT IF NOT EXISTS sluice.unhealthy
  WAREHOUSE = ${id(plan.warehouse)}
  SCHEDULE = '15 MINUTE'
  IF (EXISTS (${unwell}))
  THEN ${plan.mail.length > 0 ? mail : `INSERT INTO sluice.alert_log SELECT CURRENT_TIMESTAMP, collection, health, last_error FROM (${unwell})`}`,
  ];
}

/** Tasks of a collection, the one that follows first: a task can be resumed only when those before it are still. */
function tasksOf(plan: Plan, collection: PlannedCollection): string[] {
  const suffixes = { copy: [], task: ['merge', 'load'], dynamic: ['load'], pipe: ['merge', 'load', 'refresh'], external: ['refresh'] }[plan.mode];
  return suffixes.map((suffix) => objectOf(collection, suffix));
}

function start(plan: Plan): string[] {
  return [
    ...asLoader(plan),
    ...plan.collections.flatMap((collection) => tasksOf(plan, collection).map((task) => `ALTER TASK IF EXISTS ${task} RESUME`)),
    'ALTER ALERT IF EXISTS sluice.unhealthy RESUME',
  ];
}

function destroy(plan: Plan): string[] {
  const { mode, lake } = plan;
  const of = (suffix: string): ((collection: PlannedCollection) => string) => {
    return (collection) => objectOf(collection, suffix);
  };
  const drop = (kind: string, name: (collection: PlannedCollection) => string, after = ''): string[] =>
    plan.collections.map((collection) => `DROP ${kind} IF EXISTS ${name(collection)}${after}`);
  return [
    ...asLoader(plan),
    'DROP ALERT IF EXISTS sluice.unhealthy',
    ...plan.collections.flatMap((collection) =>
      tasksOf(plan, collection)
        .toReversed()
        .map((task) => `DROP TASK IF EXISTS ${task}`),
    ),
    ...(mode === 'pipe' ? [...drop('PIPE', of('pipe')), ...drop('STREAM', of('arrivals')), ...drop('PROCEDURE', of('load_arrivals'), '()')] : []),
    ...(mode === 'task' || mode === 'pipe' ? [...drop('STREAM', of('changes')), ...drop('PROCEDURE', of('merge_changes'), '()')] : []),
    ...(mode === 'task' || mode === 'dynamic' ? drop('PROCEDURE', of('load_recent'), '(NUMBER)') : []),
    ...(mode === 'dynamic' ? drop('DYNAMIC TABLE', ({ tables: { silver } }) => silver.text) : []),
    ...(mode === 'external' ? drop('VIEW', ({ tables: { stem } }) => `silver.${id(`${stem}_live`)}`) : []),
    ...(mode === 'external' ? drop('EXTERNAL TABLE', ({ tables: { stem } }) => `bronze.${id(`${stem}_files`)}`) : []),
    lake === null ? 'DROP STAGE IF EXISTS sluice.incoming' : 'DROP STAGE IF EXISTS sluice.lake',
    'DROP FILE FORMAT IF EXISTS sluice.lines',
    'DROP FILE FORMAT IF EXISTS sluice.manifests',
    'USE ROLE ACCOUNTADMIN',
    ...(mode === 'pipe' ? ['DROP INTEGRATION IF EXISTS SLUICE_EVENTS'] : []),
    ...(plan.mail.length > 0 ? ['DROP INTEGRATION IF EXISTS SLUICE_MAIL'] : []),
    ...(lake === null ? [] : ['DROP INTEGRATION IF EXISTS SLUICE_LAKE']),
    `DROP WAREHOUSE IF EXISTS ${id(plan.warehouse)}`,
  ];
}
