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
    AND position > ? AND key IN (?, ?)
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
-- [0,7,"826B00DF00000000012B0229296E04","\"a\"","\"b\""]

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
-- [0,7]

DROP TABLE temp.sluice_merging;

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
