SELECT shape, count(*) AS documents
FROM (
  SELECT sluice.structure(sluice.value_at(doc, '/fullDocument')) AS shape
  FROM bronze."shop__Orders of 2026" WHERE batch > ? AND batch <= ? AND key IS NOT NULL
) WHERE shape IS NOT NULL
GROUP BY shape ORDER BY documents DESC LIMIT ?;
-- [3,7,100]

SELECT
  max(CASE WHEN POSITION('.' IN sluice.text_at(doc, '/fullDocument/total/$numberDecimal')) > 0 THEN POSITION('.' IN sluice.text_at(doc, '/fullDocument/total/$numberDecimal')) - 1 ELSE length(sluice.text_at(doc, '/fullDocument/total/$numberDecimal')) END) AS i0,
  max(CASE WHEN POSITION('.' IN sluice.text_at(doc, '/fullDocument/total/$numberDecimal')) > 0 THEN length(sluice.text_at(doc, '/fullDocument/total/$numberDecimal')) - POSITION('.' IN sluice.text_at(doc, '/fullDocument/total/$numberDecimal')) ELSE 0 END) AS s0,
  max(CASE WHEN sluice.text_at(doc, '/fullDocument/total/$numberDecimal') LIKE '%E%' THEN 1 ELSE 0 END) AS w0,
  max(CASE WHEN POSITION('.' IN sluice.text_at(doc, '/fullDocument/price/net/$numberDecimal')) > 0 THEN POSITION('.' IN sluice.text_at(doc, '/fullDocument/price/net/$numberDecimal')) - 1 ELSE length(sluice.text_at(doc, '/fullDocument/price/net/$numberDecimal')) END) AS i1,
  max(CASE WHEN POSITION('.' IN sluice.text_at(doc, '/fullDocument/price/net/$numberDecimal')) > 0 THEN length(sluice.text_at(doc, '/fullDocument/price/net/$numberDecimal')) - POSITION('.' IN sluice.text_at(doc, '/fullDocument/price/net/$numberDecimal')) ELSE 0 END) AS s1,
  max(CASE WHEN sluice.text_at(doc, '/fullDocument/price/net/$numberDecimal') LIKE '%E%' THEN 1 ELSE 0 END) AS w1
FROM bronze."shop__Orders of 2026" WHERE batch > ? AND batch <= ?;
-- [3,7]

SELECT version, hash, documents, fields, plan, valid_from, updated_at
FROM sluice.schema_history WHERE collection = ? ORDER BY version DESC LIMIT 1;
-- ["shop.Orders of 2026"]

SELECT version, hash, documents, fields, plan, valid_from, updated_at
FROM sluice.schema_history WHERE collection = ? ORDER BY version;
-- ["shop.Orders of 2026"]

SELECT h.collection, h.plan FROM sluice.schema_history h
JOIN (SELECT collection, max(version) AS version FROM sluice.schema_history GROUP BY collection) n
  ON n.collection = h.collection AND n.version = h.version;

INSERT INTO sluice.schema_history (collection, version, hash, documents, fields, plan, valid_from, updated_at)
VALUES (?, ?, ?, ?, ?, ?, CURRENT_TIMESTAMP, CURRENT_TIMESTAMP);
-- ["shop.Orders of 2026",2,"e3b0c442",12,"[]","{\"columns\":[],\"children\":[]}"]

UPDATE sluice.schema_history SET documents = ?, fields = ?, plan = ?, updated_at = CURRENT_TIMESTAMP
WHERE collection = ? AND version = ?;
-- [12,"[]","{\"columns\":[],\"children\":[]}","shop.Orders of 2026",2]

UPDATE sluice.collection_registry SET learnt_batch = ? WHERE collection = ?;
-- [7,"shop.Orders of 2026"]
