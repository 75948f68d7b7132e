CREATE OR REPLACE VIEW gold."shop__Orders of 2026" AS
SELECT
  key AS _key,
  "at" AS _at,
  version_number AS _version,
  CASE WHEN json_type(doc, '/total') <> 'VARCHAR' THEN TRY_CAST(sluice.scalar(json_extract(doc, '/total')) AS DECIMAL(38,2)) END AS total,
  TRY_CAST(sluice.scalar(json_extract(doc, '/order')) AS VARCHAR) AS "order",
  json_extract(doc, '/address/city') AS address_city,
  sluice.uuid_text(json_extract(doc, '/it''s/a~1b~0c')) AS "it's"
FROM silver."shop__Orders of 2026" WHERE is_current;

CREATE OR REPLACE VIEW gold."shop__Orders of 2026__items" AS
SELECT
  key AS _key,
  element_index AS _index,
  CASE WHEN json_type(element, '') <> 'VARCHAR' THEN TRY_CAST(sluice.scalar(element) AS BIGINT) END AS value,
  TRY_CAST(sluice.scalar(json_extract(element, '/sku')) AS VARCHAR) AS sku
FROM (
  SELECT key, unnest(elements) AS element, generate_subscripts(elements, 1) - 1 AS element_index
  FROM (
    SELECT key, CASE WHEN json_type(doc, '/items') = 'ARRAY' THEN CAST(json_extract(doc, '/items') AS JSON[]) END AS elements
    FROM silver."shop__Orders of 2026" WHERE is_current
  )
);

SELECT
  count(CASE WHEN coalesce(json_type(doc, '/total'), 'NULL') <> 'NULL' AND CASE WHEN json_type(doc, '/total') <> 'VARCHAR' THEN TRY_CAST(sluice.scalar(json_extract(doc, '/total')) AS DECIMAL(38,2)) END IS NULL THEN 1 END) AS c0,
  count(CASE WHEN coalesce(json_type(doc, '/order'), 'NULL') <> 'NULL' AND TRY_CAST(sluice.scalar(json_extract(doc, '/order')) AS VARCHAR) IS NULL THEN 1 END) AS c1,
  count(CASE WHEN coalesce(json_type(doc, '/address/city'), 'NULL') <> 'NULL' AND json_extract(doc, '/address/city') IS NULL THEN 1 END) AS c2,
  count(CASE WHEN coalesce(json_type(doc, '/it''s/a~1b~0c'), 'NULL') <> 'NULL' AND sluice.uuid_text(json_extract(doc, '/it''s/a~1b~0c')) IS NULL THEN 1 END) AS c3
FROM silver."shop__Orders of 2026" WHERE is_current;

SELECT name, collection, field FROM sluice.views;

INSERT INTO sluice.views (name, collection, field) VALUES (?, ?, ?);
-- ["shop__Orders of 2026__items","shop.Orders of 2026","[\"items\"]"]
