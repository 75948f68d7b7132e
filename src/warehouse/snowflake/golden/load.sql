UPDATE sluice.control SET last_batch = last_batch + 1;

SELECT path, state FROM sluice.load_ledger WHERE path IN (?, ?);
-- ["shop/Orders of 2026/events.jsonl","other.jsonl"]

CREATE TEMPORARY TABLE IF NOT EXISTS sluice.incoming (
  file VARCHAR NOT NULL,
  number BIGINT NOT NULL,
  line VARCHAR(134217728) NOT NULL
);

DELETE FROM sluice.incoming;

COPY INTO sluice.incoming (file, number, line)
FROM (SELECT METADATA$FILENAME, METADATA$FILE_ROW_NUMBER, $1 FROM '@sluice.incoming/0f')
FILES = ('1.jsonl', 'it''s.jsonl')
FILE_FORMAT = (
  TYPE = CSV COMPRESSION = ZSTD RECORD_DELIMITER = '\n' FIELD_DELIMITER = NONE ESCAPE = NONE ESCAPE_UNENCLOSED_FIELD = NONE
  FIELD_OPTIONALLY_ENCLOSED_BY = NONE TRIM_SPACE = FALSE EMPTY_FIELD_AS_NULL = FALSE NULL_IF = () SKIP_BLANK_LINES = FALSE
  REPLACE_INVALID_CHARACTERS = FALSE SKIP_BYTE_ORDER_MARK = FALSE ENCODING = 'UTF8' MULTI_LINE = FALSE
)
ON_ERROR = ABORT_STATEMENT FORCE = TRUE;

SELECT file, count(*) AS "rows", min_by(bad, CASE WHEN bad IS NOT NULL THEN number END) AS bad
FROM (
  SELECT file, number, 'line ' || CAST(number AS VARCHAR) || ' ' || sluice.problem(line) AS bad FROM sluice.incoming
)
GROUP BY file;

INSERT INTO bronze."shop__Orders of 2026"
  (file, row_number, position, operation, "at", cluster_time_t, cluster_time_i, key, doc, year, month, day, hour, batch)
SELECT
  l.path, l.number, l.position, l.operation, coalesce(TRY_CAST(l.written AS TIMESTAMP_TZ), DATEADD('second', CAST(l.seconds AS BIGINT), CAST('1970-01-01T00:00:00Z' AS TIMESTAMP_TZ))), CAST(l.seconds AS BIGINT), CAST(l.ordinal AS BIGINT), l.key, l.line,
  EXTRACT(YEAR FROM DATEADD('second', CAST(l.seconds AS BIGINT), CAST('1970-01-01T00:00:00Z' AS TIMESTAMP_TZ))), EXTRACT(MONTH FROM DATEADD('second', CAST(l.seconds AS BIGINT), CAST('1970-01-01T00:00:00Z' AS TIMESTAMP_TZ))), EXTRACT(DAY FROM DATEADD('second', CAST(l.seconds AS BIGINT), CAST('1970-01-01T00:00:00Z' AS TIMESTAMP_TZ))), EXTRACT(HOUR FROM DATEADD('second', CAST(l.seconds AS BIGINT), CAST('1970-01-01T00:00:00Z' AS TIMESTAMP_TZ))), ?
FROM (
  SELECT
    p.path,
    i.number,
    i.line,
    sluice.text_at(i.line, '/_meta/position') AS position,
    sluice.text_at(i.line, '/_meta/operationType') AS operation,
    sluice.text_at(i.line, '/_meta/at') AS written,
    sluice.text_at(i.line, '/_meta/clusterTime/$timestamp/t') AS seconds,
    sluice.text_at(i.line, '/_meta/clusterTime/$timestamp/i') AS ordinal,
    sluice.document_key(i.line) AS key
  FROM sluice.incoming i JOIN (
    SELECT ? AS file, ? AS path
    UNION ALL SELECT ? AS file, ? AS path
  ) p ON p.file = i.file
) l;
-- [8,"0f/1.jsonl","shop/Orders of 2026/events.jsonl","0f/2.jsonl","other.jsonl"]

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
  SELECT *, sluice.text_at(doc, '/to/db') || '.' || sluice.text_at(doc, '/to/coll') AS target
  FROM bronze."shop__Orders of 2026" WHERE batch = ? AND operation = 'rename'
)
WHERE target IS NOT NULL AND target <> ?;
-- ["shop.Orders of 2026",8,8,"shop.Orders of 2026"]

INSERT INTO sluice.baselines (collection, position, cause, "at", file, files, batch)
SELECT ?, position, 'snapshot', "at", file, NULLIF(CAST(sluice.text_at(doc, '/snapshot/files') AS BIGINT), 0), ?
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
