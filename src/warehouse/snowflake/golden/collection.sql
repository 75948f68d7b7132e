CREATE TABLE IF NOT EXISTS bronze."shop__Orders of 2026" (
  file VARCHAR NOT NULL,
  row_number BIGINT NOT NULL,
  position VARCHAR NOT NULL,
  operation VARCHAR NOT NULL,
  "at" TIMESTAMPTZ NOT NULL,
  cluster_time_t BIGINT NOT NULL,
  cluster_time_i BIGINT NOT NULL,
  key VARCHAR,
  doc VARCHAR(134217728) NOT NULL,
  year SMALLINT NOT NULL,
  month SMALLINT NOT NULL,
  day SMALLINT NOT NULL,
  hour SMALLINT NOT NULL,
  batch BIGINT NOT NULL,
  removed_before BIGINT,
  removed_since TIMESTAMPTZ
);

CREATE TABLE IF NOT EXISTS silver."shop__Orders of 2026" (
  key VARCHAR NOT NULL,
  doc VARCHAR(134217728),
  doc_position VARCHAR,
  operation VARCHAR NOT NULL,
  position VARCHAR NOT NULL,
  "at" TIMESTAMPTZ NOT NULL,
  version_number BIGINT NOT NULL,
  is_current BOOLEAN NOT NULL,
  deleted_at TIMESTAMPTZ,
  first_seen_at TIMESTAMPTZ NOT NULL,
  loaded_at TIMESTAMPTZ NOT NULL
);

CREATE OR REPLACE VIEW silver."shop__Orders of 2026_history" AS
WITH ends AS (
  SELECT position, "at" FROM sluice.baselines
  WHERE collection IN ('shop.Orders of 2026', 'shop') AND cause <> 'snapshot'
), snapshots AS (
  SELECT position, "at" FROM sluice.baselines
  WHERE collection = 'shop.Orders of 2026' AND cause = 'snapshot' AND files IS NULL
), versions AS (
  SELECT
    r.key, r.doc AS line, r.operation, r.position, r."at", r.removed_before,
    e.position AS end_position, e."at" AS end_at, n."at" AS snapshot_at
  FROM bronze."shop__Orders of 2026" r
    LEFT JOIN ends e ON e.position > r.position
    LEFT JOIN snapshots n ON n.position > r.position
  WHERE r.key IS NOT NULL AND r.operation IN ('insert', 'update', 'replace', 'delete', 'snapshot')
  QUALIFY row_number() OVER (PARTITION BY r.file, r.row_number ORDER BY e.position, n.position) = 1
), followed AS (
  SELECT
    *,
    CAST(sum(1 + coalesce(removed_before, 0)) OVER (PARTITION BY key, end_position ORDER BY position ROWS UNBOUNDED PRECEDING) AS BIGINT) AS version_number,
    coalesce(lead("at") OVER (PARTITION BY key, end_position ORDER BY position), end_at) AS next_at
  FROM versions
), numbered AS (
  SELECT *, CASE WHEN next_at IS NULL OR snapshot_at < next_at THEN snapshot_at ELSE next_at END AS valid_to
  FROM followed
)
SELECT
  key,
  CASE WHEN sluice.type_at(line, '/fullDocument') = 'OBJECT' THEN sluice.member(CAST(line AS VARCHAR), 'fullDocument') END AS doc,
  operation,
  position,
  "at",
  version_number,
  "at" AS valid_from,
  valid_to
FROM numbered
WHERE operation <> 'delete'
  AND coalesce(valid_to > (SELECT g.bronze_from FROM sluice.collection_registry g WHERE g.collection = 'shop.Orders of 2026'), TRUE);
