UPDATE sluice.control SET last_batch = last_batch + 1;

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

MERGE INTO silver."shop__Orders of 2026" AS s
USING (
  WITH states AS (
    SELECT
      key,
      max(position) AS position,
      max_by(operation, position) AS operation,
      max_by("at", position) AS "at",
      CAST(sum(1 + coalesce(removed_before, 0)) AS BIGINT) AS version_number,
      min(CASE WHEN removed_since < "at" THEN removed_since ELSE "at" END) AS first_seen_at,
      max(CASE WHEN sluice.type_at(doc, '/fullDocument') = 'OBJECT' THEN position END) AS doc_position
    FROM bronze."shop__Orders of 2026" WHERE batch > ? AND batch <= ?
      AND key IS NOT NULL AND operation IN ('insert', 'update', 'replace', 'delete', 'snapshot')
      AND position > ?
    GROUP BY key
  ), documents AS (
    SELECT r.key, any_value(sluice.member(CAST(r.doc AS VARCHAR), 'fullDocument')) AS doc
    FROM bronze."shop__Orders of 2026" r JOIN states s ON r.key = s.key AND r.position = s.doc_position
    WHERE r.batch > ? AND r.batch <= ?
      AND r.key IS NOT NULL AND r.operation IN ('insert', 'update', 'replace', 'delete', 'snapshot')
      AND r.position > ?
    GROUP BY r.key
  )
  SELECT
    s.*,
    d.doc,
    TRY_CAST(sluice.scalar(sluice.value_at(d.doc, '/total')) AS DECIMAL(18,2)) AS total,
    sluice.uuid(sluice.uuid_text(sluice.value_at(d.doc, '/items/0/order id'))) AS "order"
  FROM states s LEFT JOIN documents d ON d.key = s.key
) AS b ON s.key = b.key
WHEN MATCHED THEN UPDATE SET
  operation = CASE WHEN b.position > s.position THEN b.operation ELSE s.operation END,
  position = CASE WHEN b.position > s.position THEN b.position ELSE s.position END,
  "at" = CASE WHEN b.position > s.position THEN b."at" ELSE s."at" END,
  is_current = CASE WHEN b.position > s.position THEN b.operation <> 'delete' ELSE s.is_current END,
  deleted_at = CASE WHEN b.position <= s.position THEN s.deleted_at WHEN b.operation = 'delete' THEN b."at" END,
  doc = CASE WHEN b.doc_position > coalesce(s.doc_position, '') THEN b.doc ELSE s.doc END,
  doc_position = CASE WHEN b.doc_position > coalesce(s.doc_position, '') THEN b.doc_position ELSE s.doc_position END,
  total = CASE WHEN b.doc_position > coalesce(s.doc_position, '') THEN b.total ELSE s.total END,
  "order" = CASE WHEN b.doc_position > coalesce(s.doc_position, '') THEN b."order" ELSE s."order" END,
  version_number = s.version_number + b.version_number,
  first_seen_at = least(s.first_seen_at, b.first_seen_at),
  loaded_at = CURRENT_TIMESTAMP
WHEN NOT MATCHED THEN INSERT
  (key, doc, doc_position, operation, position, "at", version_number, first_seen_at, total, "order", is_current, deleted_at, loaded_at)
VALUES
  (b.key, b.doc, b.doc_position, b.operation, b.position, b."at", b.version_number, b.first_seen_at, b.total, b."order", b.operation <> 'delete', CASE WHEN b.operation = 'delete' THEN b."at" END, CURRENT_TIMESTAMP);
-- [3,7,"826B00DF00000000012B0229296E04",3,7,"826B00DF00000000012B0229296E04"]

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
