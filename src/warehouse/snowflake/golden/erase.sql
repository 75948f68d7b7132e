SELECT DISTINCT key FROM bronze."shop__Orders of 2026" WHERE key IS NOT NULL AND cluster_time_t < ?;
-- [1795219200]

SELECT count(*) AS "rows" FROM bronze."shop__Orders of 2026" WHERE key IN (?, ?) AND cluster_time_t < ?;
-- ["\"a\"","\"b\"",1795219200]

DELETE FROM bronze."shop__Orders of 2026" WHERE key IN (?, ?) AND cluster_time_t < ?;
-- ["\"a\"","\"b\"",1795219200]

DELETE FROM silver."shop__Orders of 2026" WHERE key IN (?, ?);
-- ["\"a\"","\"b\""]

SELECT l."rows", l.lowest, e.snapshots, e.newest
FROM (SELECT count(*) AS "rows", min(position) AS lowest FROM bronze."shop__Orders of 2026" WHERE batch > ? AND batch <= ?
  AND key IS NOT NULL AND operation IN ('insert', 'update', 'replace', 'delete', 'snapshot')
  AND position > ? AND key IN (?, ?)) l, (
  SELECT count(CASE WHEN n.batch > ? THEN 1 END) AS snapshots, coalesce(max(n.position), '') AS newest
  FROM (SELECT position, "at", coalesce(batch, 0) AS batch FROM sluice.baselines
  WHERE collection = ? AND cause = 'snapshot' AND files IS NULL AND coalesce(batch, 0) <= ?) n
) e;
-- [3,7,"826B00DF00000000012B0229296E04","\"a\"","\"b\"",3,"shop.Orders of 2026",7]

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
      AND position > ? AND key IN (?, ?)
    GROUP BY key
  ), documents AS (
    SELECT r.key, any_value(sluice.member(CAST(r.doc AS VARCHAR), 'fullDocument')) AS doc
    FROM bronze."shop__Orders of 2026" r JOIN states s ON r.key = s.key AND r.position = s.doc_position
    WHERE r.batch > ? AND r.batch <= ?
      AND r.key IS NOT NULL AND r.operation IN ('insert', 'update', 'replace', 'delete', 'snapshot')
      AND r.position > ? AND r.key IN (?, ?)
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
-- [0,7,"826B00DF00000000012B0229296E04","\"a\"","\"b\"",0,7,"826B00DF00000000012B0229296E04","\"a\"","\"b\""]

SELECT path, state, bytes, batch FROM sluice.load_ledger WHERE path IN (?, ?);
-- ["shop/Orders of 2026/events.jsonl","old.jsonl"]

DELETE FROM sluice.load_ledger WHERE path IN (?, ?);
-- ["shop/Orders of 2026/events.jsonl","old.jsonl"]

INSERT INTO sluice.load_ledger (path, collection, state, superseded_by) VALUES (?, ?, 'ERASED', ?), (?, ?, 'ERASED', ?);
-- ["old.jsonl","shop.Orders of 2026","shop/Orders of 2026/events.jsonl","older.jsonl","shop.Orders of 2026","shop/Orders of 2026/events.jsonl"]

UPDATE bronze."shop__Orders of 2026" SET file = n.new_file, row_number = n.number, batch = n.new_batch
FROM (
  SELECT CAST(? AS VARCHAR) AS new_file, CAST(? AS BIGINT) AS new_batch, file AS old_file, row_number AS old_number, row_number() OVER (ORDER BY CASE file WHEN ? THEN 0 WHEN ? THEN 1 END, row_number) AS number
  FROM bronze."shop__Orders of 2026" WHERE file IN (?, ?)
) AS n
WHERE file = n.old_file AND row_number = n.old_number;
-- ["shop/Orders of 2026/events.jsonl",7,"old.jsonl","older.jsonl","old.jsonl","older.jsonl"]

UPDATE sluice.baselines SET file = ? WHERE file IN (?, ?);
-- ["shop/Orders of 2026/events.jsonl","old.jsonl","older.jsonl"]

SELECT count(*) AS "rows" FROM bronze."shop__Orders of 2026" WHERE file = ?;
-- ["shop/Orders of 2026/events.jsonl"]

UPDATE sluice.collection_registry SET "rows" = "rows" + ?, bytes = bytes + ? WHERE collection = ?;
-- [-3,0,"shop.Orders of 2026"]
