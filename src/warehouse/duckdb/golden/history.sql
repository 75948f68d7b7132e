SELECT CAST(b.doc AS VARCHAR) AS line FROM bronze."shop__Orders of 2026" b WHERE b.operation IN ('create', 'drop', 'rename', 'dropDatabase');

SELECT b.file, CAST(b.doc AS VARCHAR) AS line
FROM bronze."shop__Orders of 2026" b JOIN sluice.baselines s ON s.file = b.file AND s.position = b.position
WHERE b.operation = 'snapshotEnd' AND s.collection = ? AND s.cause = 'snapshot' AND s.files IS NULL;
-- ["shop.Orders of 2026"]

SELECT b.file, count(*) AS "rows" FROM bronze."shop__Orders of 2026" b WHERE b.operation = 'snapshot' GROUP BY b.file;

SELECT s."at" FROM sluice.baselines s
LEFT JOIN (SELECT position FROM bronze."shop__Orders of 2026" WHERE operation IN ('drop', 'rename', 'dropDatabase') UNION SELECT position FROM bronze."shop__Orders of 2026" WHERE operation IN ('drop', 'rename', 'dropDatabase')) b ON b.position = s.position
WHERE s.collection IN (?, ?) AND s.cause <> 'snapshot' AND b.position IS NULL;
-- ["shop.Orders of 2026","shop"]

SELECT from_at, to_at FROM sluice.gaps;

SELECT collection, complete_through, complete_through_i FROM sluice.collection_registry
WHERE last_batch > 0 OR status IN ('PAUSED', 'ERROR');

SELECT count(*) AS files FROM sluice.load_ledger WHERE collection = ? AND state = 'ERASED';
-- ["shop.Orders of 2026"]

SELECT CAST(b.doc AS VARCHAR) AS line FROM bronze."shop__Orders of 2026" b WHERE b.operation = 'snapshot' AND position(? IN b.file) = 1;
-- ["_snapshots/shop/orders/1795219200-1-abcd/"]

SELECT CAST(b.doc AS VARCHAR) AS line FROM bronze."shop__Orders of 2026" b
WHERE b.operation IN ('insert', 'update', 'replace', 'delete') AND b.position > ?
  AND (b.cluster_time_t < ? OR (b.cluster_time_t = ? AND b.cluster_time_i <= ?))
ORDER BY b.position, b.file, b.row_number;
-- ["826B00DF00000000012B0229296E04",1795219200,1795219200,1]
