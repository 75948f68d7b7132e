CREATE SCHEMA IF NOT EXISTS sluice;

CREATE SCHEMA IF NOT EXISTS bronze;

CREATE SCHEMA IF NOT EXISTS silver;

CREATE SCHEMA IF NOT EXISTS gold;

CREATE TABLE IF NOT EXISTS sluice.control (
  schema_version INTEGER NOT NULL,
  last_batch BIGINT NOT NULL
);

INSERT INTO sluice.control SELECT 0, 0 WHERE NOT EXISTS (SELECT 1 FROM sluice.control);

CREATE TABLE IF NOT EXISTS sluice.load_ledger (
  path VARCHAR PRIMARY KEY,
  collection VARCHAR NOT NULL,
  state VARCHAR NOT NULL,
  hour VARCHAR,
  bytes BIGINT,
  "rows" BIGINT,
  first_position VARCHAR,
  last_position VARCHAR,
  first_at TIMESTAMPTZ,
  last_at TIMESTAMPTZ,
  sha256 VARCHAR,
  epoch BIGINT,
  batch BIGINT,
  loaded_at TIMESTAMPTZ,
  load_ms BIGINT,
  superseded_by VARCHAR
);

ALTER TABLE sluice.load_ledger ADD COLUMN IF NOT EXISTS left_rows BIGINT;

ALTER TABLE sluice.load_ledger ADD COLUMN IF NOT EXISTS left_lines VARCHAR;

ALTER TABLE sluice.load_ledger ADD COLUMN IF NOT EXISTS whole_lines VARCHAR;

ALTER TABLE sluice.load_ledger ADD COLUMN IF NOT EXISTS erased_rows BIGINT;

CREATE TABLE IF NOT EXISTS sluice.load_errors (
  path VARCHAR PRIMARY KEY,
  collection VARCHAR NOT NULL,
  reason VARCHAR NOT NULL,
  failed_at TIMESTAMPTZ NOT NULL
);

CREATE TABLE IF NOT EXISTS sluice.collection_registry (
  collection VARCHAR PRIMARY KEY,
  db VARCHAR NOT NULL,
  coll VARCHAR,
  table_name VARCHAR NOT NULL,
  status VARCHAR NOT NULL,
  reason VARCHAR,
  first_seen_at TIMESTAMPTZ NOT NULL,
  last_event_at TIMESTAMPTZ,
  last_load_at TIMESTAMPTZ,
  "rows" BIGINT NOT NULL,
  bytes BIGINT NOT NULL,
  source_count BIGINT,
  source_counted_at TIMESTAMPTZ,
  complete_through TIMESTAMPTZ,
  complete_through_i BIGINT,
  last_batch BIGINT NOT NULL,
  merged_batch BIGINT NOT NULL,
  learnt_batch BIGINT,
  baseline_applied VARCHAR NOT NULL
);

ALTER TABLE sluice.collection_registry ADD COLUMN IF NOT EXISTS source_counted_at TIMESTAMPTZ;

ALTER TABLE sluice.collection_registry ADD COLUMN IF NOT EXISTS learnt_batch BIGINT;

ALTER TABLE sluice.collection_registry ADD COLUMN IF NOT EXISTS bronze_from TIMESTAMPTZ;

ALTER TABLE sluice.collection_registry ADD COLUMN IF NOT EXISTS bronze_removed BIGINT;

ALTER TABLE sluice.collection_registry ADD COLUMN IF NOT EXISTS bronze_removed_at TIMESTAMPTZ;

CREATE TABLE IF NOT EXISTS sluice.superseded (
  file VARCHAR NOT NULL,
  row_number BIGINT NOT NULL,
  key VARCHAR NOT NULL,
  counted_by VARCHAR,
  events BIGINT NOT NULL,
  first_at TIMESTAMPTZ NOT NULL
);

CREATE TABLE IF NOT EXISTS sluice.baselines (
  collection VARCHAR NOT NULL,
  position VARCHAR NOT NULL,
  cause VARCHAR NOT NULL,
  "at" TIMESTAMPTZ NOT NULL,
  file VARCHAR NOT NULL
);

ALTER TABLE sluice.baselines ADD COLUMN IF NOT EXISTS files BIGINT;

ALTER TABLE sluice.baselines ADD COLUMN IF NOT EXISTS batch BIGINT;

CREATE TABLE IF NOT EXISTS sluice.gaps (
  from_at TIMESTAMPTZ,
  to_at TIMESTAMPTZ,
  collections VARCHAR,
  cause VARCHAR NOT NULL,
  repaired_by VARCHAR
);

ALTER TABLE sluice.gaps ADD COLUMN IF NOT EXISTS pipeline VARCHAR;

ALTER TABLE sluice.gaps ADD COLUMN IF NOT EXISTS detected_at TIMESTAMPTZ;

CREATE TABLE IF NOT EXISTS sluice.schema_history (
  collection VARCHAR NOT NULL,
  version BIGINT NOT NULL,
  hash VARCHAR NOT NULL,
  documents BIGINT NOT NULL,
  fields VARCHAR NOT NULL,
  plan VARCHAR NOT NULL,
  valid_from TIMESTAMPTZ NOT NULL,
  updated_at TIMESTAMPTZ NOT NULL
);

CREATE TABLE IF NOT EXISTS sluice.views (
  name VARCHAR PRIMARY KEY,
  collection VARCHAR NOT NULL,
  field VARCHAR
);

CREATE OR REPLACE MACRO sluice.member_searched(line, name, following) AS (
  list_transform([struct_pack(opening := ',"' || name || '":', closing := ',' || CAST(to_json(following) AS VARCHAR) || ':')], lambda mark:
    list_transform([string_split(line, mark.opening)], lambda parts:
      list_transform([list_filter(
        list_transform(range(1, len(parts)), lambda i: CAST(list_sum(list_transform(parts[1:i], lambda part: length(part))) AS BIGINT) + (i - 1) * length(mark.opening)),
        lambda size: json_valid(left(line, size) || '}'))[1]], lambda start:
        list_transform([substr(line, start + length(mark.opening) + 1)], lambda rest:
          CASE WHEN following IS NULL THEN left(rest, -1) ELSE
            list_transform([string_split(rest, mark.closing)], lambda ends:
              list_filter(
                list_transform(range(1, len(ends)), lambda j: left(rest, CAST(list_sum(list_transform(ends[1:j], lambda part: length(part))) AS BIGINT) + (j - 1) * length(mark.closing))),
                lambda value: json_valid(value))[1])[1]
          END)[1])[1])[1])[1]);

CREATE OR REPLACE MACRO sluice.member(line, name) AS (
  list_transform([json_keys(line)], lambda names:
    list_transform([struct_pack(
      parts := string_split(line, ',"' || name || '":'),
      following := list_extract(names, list_position(names, name) + 1))], lambda found:
      CASE
        WHEN NOT list_contains(names, name) THEN NULL
        WHEN len(found.parts) = 2 AND found.following IS NULL THEN left(found.parts[2], -1)
        WHEN len(found.parts) = 2 AND len(string_split(found.parts[2], ',' || CAST(to_json(found.following) AS VARCHAR) || ':')) = 2
          THEN split_part(found.parts[2], ',' || CAST(to_json(found.following) AS VARCHAR) || ':', 1)
        ELSE coalesce(sluice.member_searched(line, name, found.following), CAST(json_extract(line, '/' || name) AS VARCHAR))
      END)[1])[1]);

CREATE OR REPLACE MACRO sluice.document_key(line) AS (
  list_transform(['{"":0,' || nullif(substr(sluice.member(line, 'documentKey'), 2), '}')], lambda members: sluice.member(members, '_id'))[1]);

CREATE OR REPLACE MACRO sluice.date_text(value) AS (
  CASE WHEN json_type(value, '/$date') = 'OBJECT'
    THEN strftime(TRY(epoch_ms(TRY_CAST(json_extract_string(value, '/$date/$numberLong') AS BIGINT))), '%Y-%m-%dT%H:%M:%S.%gZ')
    ELSE json_extract_string(value, '/$date') END);

CREATE OR REPLACE MACRO sluice.scalar(value) AS (
  CASE WHEN json_type(value) = 'OBJECT' THEN coalesce(
    json_extract_string(value, '/$numberDecimal'), json_extract_string(value, '/$numberLong'),
    json_extract_string(value, '/$numberInt'), json_extract_string(value, '/$numberDouble'),
    json_extract_string(value, '/$oid'), json_extract_string(value, '/$symbol'), sluice.date_text(value), CAST(value AS VARCHAR))
  ELSE json_extract_string(value, '$') END);

CREATE OR REPLACE MACRO sluice.structure(value) AS (TRY(CAST(json_structure(value) AS VARCHAR)));

CREATE OR REPLACE MACRO sluice.uuid_text(value) AS (
  coalesce(
    json_extract_string(value, '/$uuid'),
    hex(TRY(from_base64(json_extract_string(value, '/$binary/base64')))),
    json_extract_string(value, '$')));

CREATE OR REPLACE VIEW sluice.pipeline_health AS
WITH loads AS (
  SELECT collection, count(*) AS files, avg(load_ms) AS mean_load_ms
  FROM sluice.load_ledger WHERE state = 'LOADED' GROUP BY collection
), failures AS (
  SELECT collection, count(*) AS files_rejected, max_by(reason, failed_at) AS reason
  FROM sluice.load_errors GROUP BY collection
), lags AS (
  SELECT *, CAST(EXTRACT(EPOCH FROM now()) - EXTRACT(EPOCH FROM coalesce(complete_through, first_seen_at)) AS BIGINT) AS lag_seconds
  FROM sluice.collection_registry
)
SELECT
  r.collection,
  CASE
    WHEN r.status IN ('ERROR', 'PAUSED') THEN r.status
    WHEN r.lag_seconds > 7200 THEN 'STALE'
    ELSE 'HEALTHY'
  END AS health,
  r.lag_seconds,
  r."rows",
  r.bytes,
  coalesce(l.files, 0) AS files,
  coalesce(f.files_rejected, 0) AS files_rejected,
  r.last_batch > r.merged_batch AS merge_pending,
  l.mean_load_ms,
  r.last_event_at,
  r.last_load_at,
  r.complete_through,
  coalesce(f.reason, r.reason) AS last_error
FROM lags r
LEFT JOIN loads l ON l.collection = r.collection
LEFT JOIN failures f ON f.collection = r.collection;

UPDATE sluice.control SET schema_version = 5 WHERE schema_version < 5;
