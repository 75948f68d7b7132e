UPDATE sluice.control SET last_batch = last_batch + 1 RETURNING last_batch AS batch;

SELECT
  r.collection, r.db, r.coll, r.table_name, r.last_batch, r.merged_batch, coalesce(r.learnt_batch, 0) AS learnt_batch, r.baseline_applied, r.complete_through, r.bronze_from,
  coalesce((SELECT max(b.position) FROM sluice.baselines b WHERE b.collection IN (?, ?) AND b.cause <> 'snapshot'), '') AS baseline
FROM sluice.collection_registry r WHERE r.collection = ?;
-- ["shop.Orders of 2026","shop","shop.Orders of 2026"]

SELECT batch, sum("rows") AS "rows", sum(bytes) AS bytes FROM sluice.load_ledger
WHERE collection = ? AND batch > ? GROUP BY batch ORDER BY batch;
-- ["shop.Orders of 2026",3]

SELECT l."rows", l.lowest, e.snapshots, e.newest
FROM (SELECT count(*) AS "rows", min(position) AS lowest FROM bronze."shop__Orders of 2026" WHERE batch > ? AND batch <= ?
  AND key IS NOT NULL AND operation IN ('insert', 'update', 'replace', 'delete', 'snapshot')
  AND position > ?) l, (
  SELECT count(CASE WHEN n.batch > ? THEN 1 END) AS snapshots, coalesce(max(n.position), '') AS newest
  FROM (SELECT position, "at", coalesce(batch, 0) AS batch FROM sluice.baselines
  WHERE collection = ? AND cause = 'snapshot' AND files IS NULL AND coalesce(batch, 0) <= ?) n
) e;
-- [3,7,"826B00DF00000000012B0229296E04",3,"shop.Orders of 2026",7]

DELETE FROM silver."shop__Orders of 2026"
WHERE position <= ?;
-- ["826B00DF00000000012B0229296E04"]

UPDATE silver."shop__Orders of 2026" SET version_number = c.versions, first_seen_at = c.first_seen
FROM (
  SELECT key AS counted, CAST(sum(1 + coalesce(removed_before, 0)) AS BIGINT) AS versions, min(CASE WHEN removed_since < "at" THEN removed_since ELSE "at" END) AS first_seen
  FROM bronze."shop__Orders of 2026" WHERE batch > ? AND batch <= ?
    AND key IS NOT NULL AND operation IN ('insert', 'update', 'replace', 'delete', 'snapshot')
    AND position > ?
  GROUP BY key
) AS c
WHERE key = c.counted;
-- [3,7,"826B00DF00000000012B0229296E04"]

UPDATE silver."shop__Orders of 2026" SET doc = NULL, doc_position = NULL, total = NULL, "order" = NULL
WHERE doc_position <= ?;
-- ["826B00DF00000000012B0229296E04"]

CREATE TEMPORARY TABLE temp.sluice_merging AS
WITH states AS (
  SELECT
    key,
    max(position) AS position,
    max_by(operation, position) AS operation,
    max_by("at", position) AS "at",
    CAST(sum(1 + coalesce(removed_before, 0)) AS BIGINT) AS version_number,
    min(CASE WHEN removed_since < "at" THEN removed_since ELSE "at" END) AS first_seen_at,
    max(CASE WHEN json_type(doc, '/fullDocument') = 'OBJECT' THEN position END) AS doc_position,
    max_by(rowid, CASE WHEN json_type(doc, '/fullDocument') = 'OBJECT' THEN position END) AS bronze_row
  FROM bronze."shop__Orders of 2026" WHERE batch > ? AND batch <= ?
    AND key IS NOT NULL AND operation IN ('insert', 'update', 'replace', 'delete', 'snapshot')
    AND position > ?
  GROUP BY key
)
SELECT
  b.key,
  b.bronze_row,
  b.doc_position,
  s.rowid AS silver_row,
  s.rowid IS NULL OR coalesce(b.doc_position > coalesce(s.doc_position, ''), FALSE) AS is_replaced,
  CASE WHEN b.position <= s.position THEN s.operation ELSE b.operation END AS operation,
  CASE WHEN b.position <= s.position THEN s.position ELSE b.position END AS position,
  CASE WHEN b.position <= s.position THEN s."at" ELSE b."at" END AS "at",
  CASE WHEN b.position <= s.position THEN s.is_current ELSE b.operation <> 'delete' END AS is_current,
  CASE WHEN b.position <= s.position THEN s.deleted_at WHEN b.operation = 'delete' THEN b."at" END AS deleted_at,
  coalesce(s.version_number, 0) + b.version_number AS version_number,
  least(s.first_seen_at, b.first_seen_at) AS first_seen_at
FROM states b LEFT JOIN silver."shop__Orders of 2026" s ON s.key = b.key;
-- [3,7,"826B00DF00000000012B0229296E04"]

UPDATE silver."shop__Orders of 2026" AS s SET
  operation = m.operation,
  position = m.position,
  "at" = m."at",
  is_current = m.is_current,
  deleted_at = m.deleted_at,
  version_number = m.version_number,
  first_seen_at = m.first_seen_at,
  loaded_at = CURRENT_TIMESTAMP
FROM temp.sluice_merging AS m
WHERE s.rowid = m.silver_row AND NOT m.is_replaced;

DELETE FROM silver."shop__Orders of 2026"
WHERE rowid IN (SELECT silver_row FROM temp.sluice_merging WHERE is_replaced AND silver_row IS NOT NULL);

INSERT INTO silver."shop__Orders of 2026" (key, doc, doc_position, operation, position, "at", is_current, deleted_at, version_number, first_seen_at, loaded_at, total, "order")
SELECT
  key, doc, doc_position, operation, position, "at", is_current, deleted_at, version_number, first_seen_at, CURRENT_TIMESTAMP
  , TRY_CAST(sluice.scalar(json_extract(doc, '/total')) AS DECIMAL(18,2))
  , TRY_CAST(sluice.uuid_text(json_extract(doc, '/items/0/order id')) AS UUID)
FROM (
  SELECT m.*, CAST(sluice.member(CAST(r.doc AS VARCHAR), 'fullDocument') AS JSON) AS doc
  FROM temp.sluice_merging m LEFT JOIN (
    SELECT rowid AS bronze_row, doc FROM bronze."shop__Orders of 2026" WHERE batch > ? AND batch <= ?
  ) r ON r.bronze_row = m.bronze_row
  WHERE m.is_replaced
);
-- [3,7]

DROP TABLE temp.sluice_merging;

UPDATE silver."shop__Orders of 2026" SET is_current = FALSE, deleted_at = c.ended
FROM (
  SELECT key AS vanished, ended FROM (SELECT v.key, min(e."at") AS ended
  FROM silver."shop__Orders of 2026" v JOIN (SELECT position, "at", coalesce(batch, 0) AS batch FROM sluice.baselines
  WHERE collection = ? AND cause = 'snapshot' AND files IS NULL AND coalesce(batch, 0) <= ?) e ON e.position > v.position
  WHERE v.operation <> 'delete' GROUP BY v.key) w
) AS c
WHERE key = c.vanished AND deleted_at IS DISTINCT FROM c.ended AND key IN (SELECT key FROM bronze."shop__Orders of 2026" WHERE batch > ? AND batch <= ?
  AND key IS NOT NULL AND operation IN ('insert', 'update', 'replace', 'delete', 'snapshot')
  AND position > ?);
-- ["shop.Orders of 2026",7,3,7,"826B00DF00000000012B0229296E04"]

UPDATE silver."shop__Orders of 2026" SET is_current = FALSE, deleted_at = c.ended
FROM (
  SELECT key AS vanished, ended FROM (SELECT v.key, min(e."at") AS ended
  FROM silver."shop__Orders of 2026" v JOIN (SELECT position, "at", coalesce(batch, 0) AS batch FROM sluice.baselines
  WHERE collection = ? AND cause = 'snapshot' AND files IS NULL AND coalesce(batch, 0) <= ?) e ON e.position > v.position
  WHERE v.operation <> 'delete' GROUP BY v.key) w
) AS c
WHERE key = c.vanished AND deleted_at IS DISTINCT FROM c.ended;
-- ["shop.Orders of 2026",7]

UPDATE sluice.collection_registry SET merged_batch = ?, baseline_applied = ?
WHERE collection = ?;
-- [7,"826B00DF00000000012B0229296E04","shop.Orders of 2026"]

DELETE FROM silver."shop__Orders of 2026";

DELETE FROM silver."shop__Orders of 2026" WHERE NOT is_current AND deleted_at < CAST(? AS TIMESTAMPTZ);
-- ["2026-11-21T00:00:00.000Z"]

SELECT key, CAST(doc AS VARCHAR) AS doc FROM silver."shop__Orders of 2026" WHERE is_current ORDER BY key;
