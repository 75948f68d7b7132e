SELECT CAST(floor(cluster_time_t / 3600) AS BIGINT) AS hour, count(*) AS "rows"
FROM bronze."shop__Orders of 2026" WHERE cluster_time_t >= ? AND cluster_time_t < ?
GROUP BY 1 ORDER BY 1;
-- [1795219200,1795305600]

SELECT coalesce(max(position), '') AS position FROM sluice.baselines
WHERE collection IN (?, ?) AND cause <> 'snapshot' AND "at" < CAST(? AS TIMESTAMPTZ);
-- ["shop.Orders of 2026","shop","2026-11-21T00:00:00.000Z"]

SELECT count(*) AS "rows" FROM (
  SELECT
    r.file, r.row_number, r.key,
    CASE WHEN r.position <= ? THEN NULL WHEN r.position < r.newest_document THEN r.newest_document ELSE r.newest END AS counted_by,
    1 + coalesce(r.removed_before, 0) AS events,
    CASE WHEN r.removed_since < r."at" THEN r.removed_since ELSE r."at" END AS first_at
  FROM (
    SELECT
      o.*,
      max(o.position) OVER (PARTITION BY o.key) AS newest,
      max(o.document_position) OVER (PARTITION BY o.key) AS newest_document,
      first_value(o.operation) OVER (PARTITION BY o.key ORDER BY o.position DESC) AS newest_operation
    FROM (
      SELECT
        b.file, b.row_number, b.key, b.position, b.operation, b."at", b.removed_before, b.removed_since,
        CASE WHEN b.position > ? AND json_type(b.doc, '/fullDocument') = 'OBJECT' THEN b.position END AS document_position
      FROM bronze."shop__Orders of 2026" b
      WHERE b.cluster_time_t < ? AND b.key IS NOT NULL AND b.operation IN ('insert', 'update', 'replace', 'delete', 'snapshot') AND (
        b.position <= ? OR b.key IN (
          SELECT t.key FROM bronze."shop__Orders of 2026" t WHERE t.cluster_time_t >= ? AND t.cluster_time_t < ?
        )
      )
    ) o
  ) r
  WHERE r.position <= ? OR (r.position <> r.newest AND r.position <> coalesce(r.newest_document, '')) OR (r.newest_operation = 'delete' AND NOT EXISTS (SELECT 1 FROM silver."shop__Orders of 2026" s WHERE s.key = r.key))
) g;
-- ["826B00DF00000000012B0229296E04","826B00DF00000000012B0229296E04",1795305600,"826B00DF00000000012B0229296E04",1795219200,1795305600,"826B00DF00000000012B0229296E04"]

DELETE FROM sluice.superseded;

INSERT INTO sluice.superseded (file, row_number, key, counted_by, events, first_at)
SELECT
  r.file, r.row_number, r.key,
  CASE WHEN r.position <= ? THEN NULL WHEN r.position < r.newest_document THEN r.newest_document ELSE r.newest END AS counted_by,
  1 + coalesce(r.removed_before, 0) AS events,
  CASE WHEN r.removed_since < r."at" THEN r.removed_since ELSE r."at" END AS first_at
FROM (
  SELECT
    o.*,
    max(o.position) OVER (PARTITION BY o.key) AS newest,
    max(o.document_position) OVER (PARTITION BY o.key) AS newest_document,
    first_value(o.operation) OVER (PARTITION BY o.key ORDER BY o.position DESC) AS newest_operation
  FROM (
    SELECT
      b.file, b.row_number, b.key, b.position, b.operation, b."at", b.removed_before, b.removed_since,
      CASE WHEN b.position > ? AND json_type(b.doc, '/fullDocument') = 'OBJECT' THEN b.position END AS document_position
    FROM bronze."shop__Orders of 2026" b
    WHERE b.cluster_time_t < ? AND b.key IS NOT NULL AND b.operation IN ('insert', 'update', 'replace', 'delete', 'snapshot') AND (
      b.position <= ? OR b.key IN (
        SELECT t.key FROM bronze."shop__Orders of 2026" t WHERE t.cluster_time_t >= ? AND t.cluster_time_t < ?
      )
    )
  ) o
) r
WHERE r.position <= ? OR (r.position <> r.newest AND r.position <> coalesce(r.newest_document, ''));
-- ["","",1795305600,"",1795219200,1795305600,""]

SELECT c.file AS path, c."rows" AS found, coalesce(l.left_rows, l."rows" - coalesce(l.erased_rows, 0)) AS expected
FROM (
  SELECT b.file, count(*) AS "rows" FROM bronze."shop__Orders of 2026" b
  WHERE b.file IN (SELECT file FROM sluice.superseded) GROUP BY b.file
) c LEFT JOIN sluice.load_ledger l ON l.path = c.file
WHERE c."rows" IS DISTINCT FROM coalesce(l.left_rows, l."rows" - coalesce(l.erased_rows, 0))
ORDER BY 1 LIMIT 1;

UPDATE sluice.load_ledger SET
  left_rows = c.staying, left_lines = c.lines_left, whole_lines = CASE WHEN left_rows IS NULL THEN c.lines_whole ELSE whole_lines END
FROM (
  SELECT
    b.file AS of_file,
    count(CASE WHEN s.file IS NULL THEN 1 END) AS staying,
    CAST(coalesce(sum(CASE WHEN s.file IS NULL THEN md5_number_upper(CAST(b.row_number AS VARCHAR) || ':' || CAST(b.doc AS VARCHAR)) END), 0) AS VARCHAR) || ':' || CAST(coalesce(sum(CASE WHEN s.file IS NULL THEN md5_number_lower(CAST(b.row_number AS VARCHAR) || ':' || CAST(b.doc AS VARCHAR)) END), 0) AS VARCHAR) AS lines_left,
    CAST(coalesce(sum(md5_number_upper(CAST(b.row_number AS VARCHAR) || ':' || CAST(b.doc AS VARCHAR))), 0) AS VARCHAR) || ':' || CAST(coalesce(sum(md5_number_lower(CAST(b.row_number AS VARCHAR) || ':' || CAST(b.doc AS VARCHAR))), 0) AS VARCHAR) AS lines_whole
  FROM bronze."shop__Orders of 2026" b LEFT JOIN sluice.superseded s ON s.file = b.file AND s.row_number = b.row_number
  WHERE b.file IN (SELECT file FROM sluice.superseded)
  GROUP BY b.file
) AS c
WHERE path = c.of_file;

UPDATE bronze."shop__Orders of 2026" SET
  removed_before = coalesce(removed_before, 0) + c.removed,
  removed_since = CASE WHEN removed_since < c.since THEN removed_since ELSE c.since END
FROM (
  SELECT key AS of_key, counted_by, sum(events) AS removed, min(first_at) AS since, CAST(? AS BIGINT) AS ends
  FROM sluice.superseded WHERE counted_by IS NOT NULL GROUP BY key, counted_by
) AS c
WHERE key = c.of_key AND position = c.counted_by AND cluster_time_t < c.ends;
-- [1795305600]

DELETE FROM bronze."shop__Orders of 2026"
WHERE (file, row_number) IN (SELECT file, row_number FROM sluice.superseded);

UPDATE sluice.collection_registry SET
  bronze_from = CAST(? AS TIMESTAMPTZ), bronze_removed = coalesce(bronze_removed, 0) + ?, bronze_removed_at = CURRENT_TIMESTAMP,
  "rows" = "rows" - ?
WHERE collection = ?;
-- ["2026-11-21T00:00:00.000Z",12,12,"shop.Orders of 2026"]

UPDATE sluice.load_ledger SET left_rows = c.staying, left_lines = c.lines_left
FROM (
  SELECT p.path AS of_file, count(b.file) AS staying, CAST(coalesce(sum(CASE WHEN b.file IS NOT NULL THEN md5_number_upper(CAST(b.row_number AS VARCHAR) || ':' || CAST(b.doc AS VARCHAR)) END), 0) AS VARCHAR) || ':' || CAST(coalesce(sum(CASE WHEN b.file IS NOT NULL THEN md5_number_lower(CAST(b.row_number AS VARCHAR) || ':' || CAST(b.doc AS VARCHAR)) END), 0) AS VARCHAR) AS lines_left
  FROM sluice.load_ledger p LEFT JOIN bronze."shop__Orders of 2026" b ON b.file = p.path
  WHERE p.path IN (?, ?) GROUP BY p.path
) AS c
WHERE path = c.of_file;
-- ["shop/Orders of 2026/events.jsonl","old.jsonl"]

UPDATE sluice.load_ledger SET erased_rows = coalesce(erased_rows, 0) + c.erasing
FROM (
  SELECT file AS of_file, count(*) AS erasing FROM bronze."shop__Orders of 2026"
  WHERE key IN (?, ?) AND cluster_time_t < ? GROUP BY file
) AS c
WHERE path = c.of_file;
-- ["\"a\"","\"b\"",1795219200]

SELECT path FROM sluice.load_ledger WHERE left_rows IS NOT NULL AND path IN (
  SELECT file FROM bronze."shop__Orders of 2026" WHERE key IN (?, ?) AND cluster_time_t < ?
);
-- ["\"a\"","\"b\"",1795219200]

ALTER TABLE bronze."shop__Orders of 2026" ADD COLUMN IF NOT EXISTS removed_before BIGINT;

ALTER TABLE bronze."shop__Orders of 2026" ADD COLUMN IF NOT EXISTS removed_since TIMESTAMPTZ;
