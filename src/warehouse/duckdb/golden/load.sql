UPDATE sluice.control SET last_batch = last_batch + 1 RETURNING last_batch AS batch;

SELECT path, state FROM sluice.load_ledger WHERE path IN (?, ?);
-- ["shop/Orders of 2026/events.jsonl","other.jsonl"]

INSERT INTO bronze."shop__Orders of 2026"
  (file, row_number, position, operation, "at", cluster_time_t, cluster_time_i, key, doc, year, month, day, hour, batch)
SELECT
  ?,
  number,
  facts[1],
  facts[2],
  coalesce(TRY_CAST(facts[3] AS TIMESTAMPTZ), to_timestamp(CAST(facts[4] AS BIGINT))),
  CAST(facts[4] AS BIGINT),
  CAST(facts[5] AS BIGINT),
  sluice.document_key(CAST(line AS VARCHAR)),
  line,
  EXTRACT(YEAR FROM moment),
  EXTRACT(MONTH FROM moment),
  EXTRACT(DAY FROM moment),
  EXTRACT(HOUR FROM moment),
  ?
FROM (SELECT *, make_timestamp(CAST(facts[4] AS BIGINT) * 1000000) AS moment FROM (SELECT 1 AS number, CAST('{}' AS JSON) AS line, ['', '', '', '', ''] AS facts));
-- ["shop/Orders of 2026/events.jsonl",8]

INSERT INTO sluice.load_ledger
  (path, collection, state, hour, bytes, "rows", first_position, last_position, first_at, last_at, sha256, epoch, batch, loaded_at, load_ms)
VALUES (
  ?, ?, 'LOADED', ?, ?, ?, ?, ?,
  CAST(? AS TIMESTAMPTZ), CAST(? AS TIMESTAMPTZ), ?, ?, ?,
  CURRENT_TIMESTAMP, ?
);
-- ["shop/Orders of 2026/events.jsonl","shop.Orders of 2026","20261121-00",4096,12,"826B00DF00000000012B0229296E04","826B00DF00000000012B0229296E04","2026-11-21T00:00:00.000Z","2026-11-21T00:00:00.000Z","e3b0c442",2,8,250]

INSERT INTO sluice.load_ledger (path, collection, state, superseded_by)
VALUES (?, ?, 'SUPERSEDED', ?);
-- ["old.jsonl","shop.Orders of 2026","shop/Orders of 2026/events.jsonl"]

INSERT INTO sluice.load_ledger (path, collection, state, hour, bytes, "rows", sha256, epoch)
VALUES (?, ?, 'SKIPPED', ?, ?, ?, ?, ?);
-- ["shop/Orders of 2026/events.jsonl","shop.Orders of 2026","20261121-00",4096,12,"e3b0c442",2]

INSERT INTO sluice.baselines (collection, position, cause, "at", file)
SELECT ?, position, operation, "at", file
FROM bronze."shop__Orders of 2026" WHERE batch = ? AND operation IN ('drop', 'rename', 'dropDatabase')
UNION ALL
SELECT target, position, operation, "at", file
FROM (
  SELECT *, json_extract_string(doc, '/to/db') || '.' || json_extract_string(doc, '/to/coll') AS target
  FROM bronze."shop__Orders of 2026" WHERE batch = ? AND operation = 'rename'
)
WHERE target IS NOT NULL AND target <> ?;
-- ["shop.Orders of 2026",8,8,"shop.Orders of 2026"]

INSERT INTO sluice.baselines (collection, position, cause, "at", file, files, batch)
SELECT ?, position, 'snapshot', "at", file, NULLIF(CAST(json_extract_string(doc, '/snapshot/files') AS BIGINT), 0), ?
FROM bronze."shop__Orders of 2026" WHERE batch = ? AND operation = 'snapshotEnd';
-- ["shop.Orders of 2026",8,8]

UPDATE sluice.baselines SET files = NULL, batch = c.completed
FROM (
  SELECT b.file AS whole, CAST(? AS BIGINT) AS completed
  FROM sluice.baselines b JOIN sluice.load_ledger l ON l.collection = b.collection
  WHERE b.collection = ? AND b.files IS NOT NULL AND (l.state = 'LOADED' OR (l.state = 'SUPERSEDED' AND left(l.superseded_by, length(left(b.file, position('/end.jsonl' IN b.file)) || 'part-')) <> left(b.file, position('/end.jsonl' IN b.file)) || 'part-'))
    AND left(l.path, length(left(b.file, position('/end.jsonl' IN b.file)) || 'part-')) = left(b.file, position('/end.jsonl' IN b.file)) || 'part-'
  GROUP BY b.file, b.files HAVING count(*) >= b.files
) AS c
WHERE file = c.whole;
-- [8,"shop.Orders of 2026"]

UPDATE sluice.collection_registry SET
  status = CASE WHEN status = 'DISCOVERED' THEN 'ACTIVE' ELSE status END,
  "rows" = "rows" + ?,
  bytes = bytes + ?,
  last_event_at = CASE WHEN last_event_at > CAST(? AS TIMESTAMPTZ) THEN last_event_at ELSE coalesce(CAST(? AS TIMESTAMPTZ), last_event_at) END,
  last_load_at = CURRENT_TIMESTAMP,
  last_batch = coalesce(?, last_batch)
WHERE collection = ?;
-- [12,4096,"2026-11-21T00:00:00.000Z","2026-11-21T00:00:00.000Z",8,"shop.Orders of 2026"]

DELETE FROM sluice.load_errors WHERE path = ?;
-- ["shop/Orders of 2026/events.jsonl"]

INSERT INTO sluice.load_errors (path, collection, reason, failed_at) VALUES (?, ?, ?, CURRENT_TIMESTAMP);
-- ["shop/Orders of 2026/events.jsonl","shop.Orders of 2026","it has 11 rows"]

UPDATE sluice.collection_registry SET status = 'ERROR', reason = ? WHERE collection = ? AND status <> 'PAUSED';
-- ["it has 11 rows","shop.Orders of 2026"]

DELETE FROM sluice.load_errors WHERE path IN (?);
-- ["shop/Orders of 2026/events.jsonl"]

UPDATE sluice.collection_registry SET status = 'ACTIVE', reason = NULL
WHERE collection = ? AND status = 'ERROR' AND NOT EXISTS (SELECT 1 FROM sluice.load_errors WHERE collection = ?);
-- ["shop.Orders of 2026","shop.Orders of 2026"]
