ALTER TABLE silver."shop__Orders of 2026" ADD COLUMN total DECIMAL(18,2);

ALTER TABLE silver."shop__Orders of 2026" ADD COLUMN "order" VARCHAR(36);

UPDATE silver."shop__Orders of 2026" SET
  total = TRY_CAST(sluice.scalar(sluice.value_at(doc, '/total')) AS DECIMAL(18,2)),
  "order" = sluice.uuid(sluice.uuid_text(sluice.value_at(doc, '/items/0/order id')))
WHERE doc IS NOT NULL;

COMMENT ON COLUMN silver."shop__Orders of 2026".total IS 'fullDocument.total DECIMAL(18,2)';

COMMENT ON COLUMN silver."shop__Orders of 2026"."order" IS 'fullDocument.items.0.order id UUID';

SELECT table_name, column_name AS name, comment FROM information_schema.columns
WHERE table_schema = ? AND table_name = ? AND comment IS NOT NULL AND comment <> '';
-- ["SILVER","shop__Orders of 2026"]

SELECT table_name, column_name AS name, comment FROM information_schema.columns
WHERE table_schema = ? AND TRUE AND comment IS NOT NULL AND comment <> '';
-- ["SILVER"]

ALTER TABLE silver."shop__Orders of 2026" DROP COLUMN IF EXISTS total;
