SELECT count(*) AS tables FROM (SELECT 1 AS one FROM information_schema.tables WHERE lower(table_schema) = lower(?) AND lower(table_name) = lower(?) UNION ALL SELECT 1 AS one FROM information_schema.views WHERE lower(table_schema) = lower(?) AND lower(table_name) = lower(?));
-- ["restored","orders_before","restored","orders_before"]

SELECT count(*) AS schemas FROM information_schema.schemata WHERE lower(schema_name) = lower(?);
-- ["restored"]

CREATE SCHEMA IF NOT EXISTS restored;

DROP TABLE IF EXISTS restored.orders_before;

CREATE TABLE restored.orders_new (
  _key VARCHAR NOT NULL,
  _doc JSON USING COMPRESSION zstd NOT NULL,
  total DECIMAL(18,2),
  "order" UUID,
  address_city JSON USING COMPRESSION zstd,
  "it's" VARCHAR
);

INSERT INTO restored.orders_before (_key, _doc, total, "order", address_city, "it's")
SELECT
  key,
  doc,
  TRY_CAST(sluice.scalar(json_extract(doc, '/total')) AS DECIMAL(18,2)),
  TRY_CAST(sluice.uuid_text(json_extract(doc, '/items/0/order id')) AS UUID),
  json_extract(doc, '/address/city'),
  sluice.uuid_text(json_extract(doc, '/it''s/a~1b~0c'))
FROM (
  SELECT sluice.document_key(CAST(line AS VARCHAR)) AS key, CAST(sluice.member(CAST(line AS VARCHAR), 'fullDocument') AS JSON) AS doc
  FROM (
    SELECT '{}' AS line
  )
);

SELECT count(*) AS "rows" FROM restored.orders_before;

COMMENT ON TABLE restored.orders_before IS 'shop.orders as of 1795219200.1, it''s restored';

ALTER TABLE restored.orders_before RENAME TO orders_then;
