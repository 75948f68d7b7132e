CREATE OR REPLACE VIEW gold."shop__Orders of 2026" AS
SELECT
  key AS _key,
  "at" AS _at,
  version_number AS _version,
  CASE WHEN sluice.type_at(doc, '/total') <> 'VARCHAR' THEN TRY_CAST(sluice.scalar(sluice.value_at(doc, '/total')) AS DECIMAL(38,2)) END AS total,
  TRY_CAST(sluice.scalar(sluice.value_at(doc, '/order')) AS VARCHAR) AS "order",
  sluice.value_at(doc, '/address/city') AS address_city,
  sluice.uuid_text(sluice.value_at(doc, '/it''s/a~1b~0c')) AS "it's"
FROM silver."shop__Orders of 2026" WHERE is_current;

CREATE OR REPLACE VIEW gold."shop__Orders of 2026__items" AS
SELECT
  key AS _key,
  element_index AS _index,
  CASE WHEN sluice.type_at(element, '') <> 'VARCHAR' THEN TRY_CAST(sluice.scalar(element) AS NUMBER(19,0)) END AS value,
  TRY_CAST(sluice.scalar(sluice.value_at(element, '/sku')) AS VARCHAR) AS sku
FROM (
  SELECT s.key, CAST(f.value AS VARCHAR) AS element, f.index AS element_index
  FROM silver."shop__Orders of 2026" s, LATERAL FLATTEN(input => PARSE_JSON(sluice.elements(s.doc, '/items'))) f
  WHERE s.is_current
);

SELECT
  count(CASE WHEN coalesce(sluice.type_at(doc, '/total'), 'NULL') <> 'NULL' AND CASE WHEN sluice.type_at(doc, '/total') <> 'VARCHAR' THEN TRY_CAST(sluice.scalar(sluice.value_at(doc, '/total')) AS DECIMAL(38,2)) END IS NULL THEN 1 END) AS c0,
  count(CASE WHEN coalesce(sluice.type_at(doc, '/order'), 'NULL') <> 'NULL' AND TRY_CAST(sluice.scalar(sluice.value_at(doc, '/order')) AS VARCHAR) IS NULL THEN 1 END) AS c1,
  count(CASE WHEN coalesce(sluice.type_at(doc, '/address/city'), 'NULL') <> 'NULL' AND sluice.value_at(doc, '/address/city') IS NULL THEN 1 END) AS c2,
  count(CASE WHEN coalesce(sluice.type_at(doc, '/it''s/a~1b~0c'), 'NULL') <> 'NULL' AND sluice.uuid_text(sluice.value_at(doc, '/it''s/a~1b~0c')) IS NULL THEN 1 END) AS c3
FROM silver."shop__Orders of 2026" WHERE is_current;

SELECT name, collection, field FROM sluice.views;

INSERT INTO sluice.views (name, collection, field) VALUES (?, ?, ?);
-- ["shop__Orders of 2026__items","shop.Orders of 2026","[\"items\"]"]
