/** What folds bronze into silver without sluice: STREAM + TASK + MERGE, or a dynamic table. The fold is the one that sluice runs. */
import { formatNamespace } from '../../../core/namespace.ts';
import { DOCUMENT_OPERATIONS } from '../../sql/collection.ts';
import { applyBaseline, endVanished, foldRange, mergeRange, type Range } from '../../sql/silver.ts';
import { text as trusted } from '../../sql/statement.ts';
import { asLoader, indent } from './bronze.ts';
import { catalog, dialect, id, inline, objectOf, text, type Plan, type PlannedCollection } from './plan.ts';

/** Stand for what is known when it runs. */
const [AFTER, UP_TO, BASELINE] = [424_241, 424_243, '@baseline@'];
const RANGE: Range = { after: AFTER, upTo: UP_TO, baseline: BASELINE };

export function mergeTasks(plan: Plan): string[] {
  return [
    ...asLoader(plan),
    ...plan.collections.flatMap((collection) => [
      `CREATE STREAM IF NOT EXISTS ${objectOf(collection, 'changes')} ON TABLE ${collection.tables.bronze.text} APPEND_ONLY = TRUE`,
      mergeProcedure(collection),
      `CREATE TASK IF NOT EXISTS ${objectOf(collection, 'merge')}
  WAREHOUSE = ${id(plan.warehouse)}
  ALLOW_OVERLAPPING_EXECUTION = FALSE
  USER_TASK_TIMEOUT_MS = 3600000
  COMMENT = 'sluice: bronze into silver'
  AFTER ${objectOf(collection, 'load')}
WHEN
  SYSTEM$STREAM_HAS_DATA(${text(objectOf(collection, 'changes'))})
AS
  CALL ${objectOf(collection, 'merge_changes')}()`,
    ]),
  ];
}

/** The stream is read within the transaction that merges it: what is merged and what is consumed are the same, or neither is. */
function mergeProcedure(collection: PlannedCollection): string {
  const { ns, tables, columns } = collection;
  const name = text(formatNamespace(ns));
  const filled = (statement: string): string =>
    statement
      .replaceAll(text(BASELINE), ':baseline')
      .replaceAll(`batch > ${AFTER}`, 'batch > :merged')
      .replaceAll(`batch <= ${UP_TO}`, 'batch <= :batch')
      .replaceAll(`coalesce(batch, 0) <= ${UP_TO}`, 'coalesce(batch, 0) <= :batch');
  const stream = { ...tables, bronze: trusted(objectOf(collection, 'changes')) };
  const held = applyBaseline(dialect, tables, { ...RANGE, after: 0, upTo: UP_TO }, columns).map((statement) =>
    filled(inline(statement)).replaceAll('batch <= :batch', 'batch <= :merged'),
  );
  return `CREATE OR REPLACE PROCEDURE ${objectOf(collection, 'merge_changes')}()
RETURNS VARCHAR
LANGUAGE SQL
EXECUTE AS OWNER
AS
$$
DECLARE
  batch NUMBER;
  merged NUMBER;
  baseline VARCHAR;
  applied VARCHAR;
BEGIN
  BEGIN TRANSACTION;
  UPDATE sluice.control SET last_batch = last_batch + 1;
  SELECT last_batch, merged_batch, baseline_applied INTO :batch, :merged, :applied FROM sluice.collection_registry WHERE collection = ${name};
  SELECT coalesce(max(position), '') INTO :baseline FROM sluice.baselines WHERE collection IN (${name}, ${text(ns.db)}) AND cause <> 'snapshot';
  IF (baseline > applied) THEN
    ${held.map((statement) => `${indent(statement, 4)};`).join('\n    ')}
  END IF;
  ${indent(filled(inline(mergeRange(dialect, catalog, stream, RANGE, columns))))};
  ${indent(filled(inline(endVanished(catalog, tables, ns, RANGE, 'all'))))};
  UPDATE sluice.collection_registry SET merged_batch = :batch, baseline_applied = :baseline WHERE collection = ${name};
  COMMIT;
  RETURN 'merged up to batch ' || batch;
EXCEPTION
  WHEN OTHER THEN
    ROLLBACK;
    RAISE;
END;
$$`;
}

export function dynamicTables(plan: Plan): string[] {
  return [
    ...asLoader(plan),
    ...plan.collections.map((collection) => {
      const { ns, tables, columns } = collection;
      const baseline = `(SELECT coalesce(max(position), '') FROM sluice.baselines WHERE collection IN (${text(formatNamespace(ns))}, ${text(ns.db)}) AND cause <> 'snapshot')`;
      const fold = inline(foldRange(dialect, catalog, tables, RANGE, columns))
        .replaceAll(text(BASELINE), baseline)
        .replaceAll(new RegExp(`(?:r\\.)?batch > ${AFTER} AND (?:r\\.)?batch <= ${UP_TO}\\s+AND `, 'g'), '');
      return `CREATE DYNAMIC TABLE IF NOT EXISTS ${tables.silver.text}
  TARGET_LAG = '10 minutes'
  WAREHOUSE = ${id(plan.warehouse)}
  REFRESH_MODE = AUTO
  INITIALIZE = ON_SCHEDULE
AS
  SELECT
    b.*,
    b.operation <> 'delete' AND e.position IS NULL AS is_current,
    CASE WHEN b.operation = 'delete' THEN b."at" ELSE e."at" END AS deleted_at
  FROM (
    ${indent(fold, 4)}
  ) b LEFT JOIN (
    SELECT position, "at" FROM sluice.baselines WHERE collection = ${text(formatNamespace(ns))} AND cause = 'snapshot' AND files IS NULL
  ) e ON e.position > b.position AND b.operation <> 'delete'
  QUALIFY row_number() OVER (PARTITION BY b.key ORDER BY e.position) = 1`;
    }),
  ];
}

/** Silver of an external bronze: a view that folds when it is read. */
export function foldedViews(plan: Plan): string[] {
  return [
    ...asLoader(plan),
    ...plan.collections.map((collection) => {
      const files = `bronze.${id(`${collection.tables.stem}_files`)}`;
      return `CREATE OR REPLACE VIEW silver.${id(`${collection.tables.stem}_live`)} AS
WITH events AS (
  SELECT
    sluice.document_key(line) AS key,
    sluice.text_at(line, '/_meta/position') AS position,
    sluice.text_at(line, '/_meta/operationType') AS operation,
    line
  FROM ${files}
)
SELECT
  key, position, operation, operation <> 'delete' AS is_current, sluice.member(line, 'fullDocument') AS doc
FROM events
WHERE key IS NOT NULL AND operation IN ${DOCUMENT_OPERATIONS.text}
QUALIFY row_number() OVER (PARTITION BY key ORDER BY position DESC) = 1`;
    }),
  ];
}
