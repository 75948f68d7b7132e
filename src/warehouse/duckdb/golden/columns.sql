ALTER TABLE silver."shop__Orders of 2026" ADD COLUMN total DECIMAL(18,2);

ALTER TABLE silver."shop__Orders of 2026" ADD COLUMN "order" UUID;

UPDATE silver."shop__Orders of 2026" SET
  total = TRY_CAST(sluice.scalar(json_extract(doc, '/total')) AS DECIMAL(18,2)),
  "order" = TRY_CAST(sluice.uuid_text(json_extract(doc, '/items/0/order id')) AS UUID)
WHERE doc IS NOT NULL;

COMMENT ON COLUMN silver."shop__Orders of 2026".total IS 'fullDocument.total DECIMAL(18,2)';

COMMENT ON COLUMN silver."shop__Orders of 2026"."order" IS 'fullDocument.items.0.order id UUID';

SELECT table_name, column_name AS name, comment FROM duckdb_columns()
WHERE database_name = current_database() AND schema_name = ? AND comment IS NOT NULL AND table_name = ?;
-- ["silver","shop__Orders of 2026"]

SELECT table_name, column_name AS name, comment FROM duckdb_columns()
WHERE database_name = current_database() AND schema_name = ? AND comment IS NOT NULL AND TRUE;
-- ["silver"]

ALTER TABLE silver."shop__Orders of 2026" DROP COLUMN IF EXISTS total;
