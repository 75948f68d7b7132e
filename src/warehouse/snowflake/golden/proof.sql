SELECT
  coalesce(l.path, f.file) AS path, l.state, l.hour, l.bytes, l."rows" AS ledger_rows, l.sha256, l.first_position, l.last_position,
  l.left_rows, l.left_lines, l.whole_lines,
  coalesce(f."rows", 0) AS "rows", coalesce(f.lines, '0:0') AS lines
FROM (SELECT * FROM sluice.load_ledger WHERE collection = ?) l
FULL OUTER JOIN (
  SELECT b.file, count(*) AS "rows", CAST(coalesce(sum(TO_NUMBER(REGEXP_REPLACE(LEFT(MD5(CAST(b.row_number AS VARCHAR) || ':' || CAST(b.doc AS VARCHAR)), 16), '(..)(..)(..)(..)(..)(..)(..)(..)', '\\8\\7\\6\\5\\4\\3\\2\\1'), 'XXXXXXXXXXXXXXXX', 20, 0)), 0) AS VARCHAR) || ':' || CAST(coalesce(sum(TO_NUMBER(REGEXP_REPLACE(RIGHT(MD5(CAST(b.row_number AS VARCHAR) || ':' || CAST(b.doc AS VARCHAR)), 16), '(..)(..)(..)(..)(..)(..)(..)(..)', '\\8\\7\\6\\5\\4\\3\\2\\1'), 'XXXXXXXXXXXXXXXX', 20, 0)), 0) AS VARCHAR) AS lines
  FROM bronze."shop__Orders of 2026" b GROUP BY b.file
) f ON f.file = l.path;
-- ["shop.Orders of 2026"]

SELECT
  coalesce(l.path, f.file) AS path, l.state, l.hour, l.bytes, l."rows" AS ledger_rows, l.sha256, l.first_position, l.last_position,
  l.left_rows, l.left_lines, l.whole_lines,
  coalesce(f."rows", 0) AS "rows", coalesce(f.lines, '0:0') AS lines
FROM (SELECT * FROM sluice.load_ledger WHERE collection = ?) l
FULL OUTER JOIN (
  SELECT CAST(NULL AS VARCHAR) AS file, 0 AS "rows", '0:0' AS lines WHERE 1 = 0
) f ON f.file = l.path;
-- ["shop.Orders of 2026"]

SELECT b.row_number AS number, MD5(CAST(b.row_number AS VARCHAR) || ':' || CAST(b.doc AS VARCHAR)) AS digest
FROM bronze."shop__Orders of 2026" b WHERE b.file = ? ORDER BY b.row_number;
-- ["shop/Orders of 2026/events.jsonl"]

SELECT place, detail FROM (
  SELECT file || ', row ' || CAST(row_number AS VARCHAR) AS place, 'the line says something else:' || names AS detail
  FROM (
    SELECT
      file, row_number,
      CASE WHEN position IS DISTINCT FROM sluice.text_at(doc, '/_meta/position') THEN ' position' ELSE '' END ||
      CASE WHEN operation IS DISTINCT FROM sluice.text_at(doc, '/_meta/operationType') THEN ' operation' ELSE '' END ||
      CASE WHEN "at" IS DISTINCT FROM coalesce(TRY_CAST(sluice.text_at(doc, '/_meta/at') AS TIMESTAMPTZ), DATEADD('second', CAST(sluice.text_at(doc, '/_meta/clusterTime/$timestamp/t') AS BIGINT), CAST('1970-01-01T00:00:00Z' AS TIMESTAMP_TZ))) THEN ' at' ELSE '' END ||
      CASE WHEN cluster_time_t IS DISTINCT FROM CAST(sluice.text_at(doc, '/_meta/clusterTime/$timestamp/t') AS BIGINT) THEN ' cluster_time_t' ELSE '' END ||
      CASE WHEN cluster_time_i IS DISTINCT FROM CAST(sluice.text_at(doc, '/_meta/clusterTime/$timestamp/i') AS BIGINT) THEN ' cluster_time_i' ELSE '' END ||
      CASE WHEN key IS DISTINCT FROM sluice.document_key(CAST(doc AS VARCHAR)) THEN ' key' ELSE '' END ||
      CASE WHEN year IS DISTINCT FROM EXTRACT(YEAR FROM DATEADD('second', CAST(sluice.text_at(doc, '/_meta/clusterTime/$timestamp/t') AS BIGINT), CAST('1970-01-01T00:00:00Z' AS TIMESTAMP_TZ))) THEN ' year' ELSE '' END ||
      CASE WHEN month IS DISTINCT FROM EXTRACT(MONTH FROM DATEADD('second', CAST(sluice.text_at(doc, '/_meta/clusterTime/$timestamp/t') AS BIGINT), CAST('1970-01-01T00:00:00Z' AS TIMESTAMP_TZ))) THEN ' month' ELSE '' END ||
      CASE WHEN day IS DISTINCT FROM EXTRACT(DAY FROM DATEADD('second', CAST(sluice.text_at(doc, '/_meta/clusterTime/$timestamp/t') AS BIGINT), CAST('1970-01-01T00:00:00Z' AS TIMESTAMP_TZ))) THEN ' day' ELSE '' END ||
      CASE WHEN hour IS DISTINCT FROM EXTRACT(HOUR FROM DATEADD('second', CAST(sluice.text_at(doc, '/_meta/clusterTime/$timestamp/t') AS BIGINT), CAST('1970-01-01T00:00:00Z' AS TIMESTAMP_TZ))) THEN ' hour' ELSE '' END AS names
    FROM bronze."shop__Orders of 2026"
  ) WHERE names <> ''
) ORDER BY place, detail LIMIT ?;
-- [20]

SELECT place, detail FROM (
  SELECT DISTINCT b.file AS place, 'rows of batch ' || CAST(b.batch AS VARCHAR) || ', it was loaded in ' || CAST(l.batch AS VARCHAR) AS detail
  FROM bronze."shop__Orders of 2026" b JOIN sluice.load_ledger l ON l.path = b.file
  WHERE b.batch <> l.batch
) ORDER BY place, detail LIMIT ?;
-- [20]

SELECT place, detail FROM (
  WITH said AS (
    SELECT ? AS collection, position, file FROM bronze."shop__Orders of 2026" WHERE operation IN ('drop', 'rename', 'dropDatabase', 'snapshotEnd')
    UNION
    SELECT target, position, file FROM (SELECT sluice.text_at(doc, '/to/db') || '.' || sluice.text_at(doc, '/to/coll') AS target, position, file FROM bronze."shop__Orders of 2026" WHERE operation = 'rename')
    WHERE target IS NOT NULL
  ), noted AS (
    SELECT n.collection, n.position, n.file FROM sluice.baselines n
    WHERE n.file IN (SELECT path FROM sluice.load_ledger WHERE collection = ?) OR n.file IN (SELECT file FROM bronze."shop__Orders of 2026")
      OR (n.collection = ? AND NOT EXISTS (SELECT 1 FROM sluice.load_ledger l WHERE l.path = n.file))
  )
  SELECT collection AS place, 'bronze ends it at ' || position || ' (' || file || '), which is no baseline' AS detail
  FROM (SELECT * FROM said EXCEPT SELECT * FROM noted)
  UNION ALL
  SELECT collection, 'has a baseline at ' || position || ' (' || file || '), of which bronze knows nothing'
  FROM (SELECT * FROM noted EXCEPT SELECT * FROM said)
) ORDER BY place, detail LIMIT ?;
-- ["shop.Orders of 2026","shop.Orders of 2026","shop.Orders of 2026",20]

SELECT place, detail FROM (
  SELECT r.collection AS place, 'the registry says ' || CAST(r."rows" AS VARCHAR) || ' rows, bronze has ' || CAST(b."rows" AS VARCHAR) AS detail
  FROM sluice.collection_registry r, (SELECT count(*) AS "rows" FROM bronze."shop__Orders of 2026") b
  WHERE r.collection = ? AND r."rows" <> b."rows"
) ORDER BY place, detail LIMIT ?;
-- ["shop.Orders of 2026",20]

SELECT place, detail FROM (
  SELECT b.key AS place, 'bronze has ' || CAST(count(*) AS VARCHAR) || ' events of it, the last at ' || max(b.position) AS detail
  FROM (
    SELECT key, position, operation, "at", doc, removed_before, removed_since FROM bronze."shop__Orders of 2026"
    WHERE batch <= ? AND key IS NOT NULL
      AND operation IN ('insert', 'update', 'replace', 'delete', 'snapshot')
      AND position > ?
  ) b CROSS JOIN (
    SELECT max(n.position) AS position FROM (SELECT position, "at", coalesce(batch, 0) AS batch FROM sluice.baselines
    WHERE collection = ? AND cause = 'snapshot' AND files IS NULL AND coalesce(batch, 0) <= ?) n WHERE n."at" < CAST(? AS TIMESTAMPTZ)
  ) e
  WHERE NOT EXISTS (SELECT 1 FROM silver."shop__Orders of 2026" s WHERE s.key = b.key)
  GROUP BY b.key HAVING NOT coalesce(max_by(b.operation, b.position) = 'delete' AND max_by(b."at", b.position) < CAST(? AS TIMESTAMPTZ), FALSE) AND NOT max(b.position) < coalesce(max(e.position), '')
) ORDER BY place, detail LIMIT ?;
-- [7,"826B00DF00000000012B0229296E04","shop.Orders of 2026",7,null,null,20]

SELECT place, detail FROM (
  SELECT s.key AS place, 'stands at ' || s.position || ', bronze says nothing of it' AS detail
  FROM silver."shop__Orders of 2026" s
  WHERE NOT EXISTS (SELECT 1 FROM (
    SELECT key, position, operation, "at", doc, removed_before, removed_since FROM bronze."shop__Orders of 2026"
    WHERE batch <= ? AND key IS NOT NULL
      AND operation IN ('insert', 'update', 'replace', 'delete', 'snapshot')
      AND position > ?
  ) b WHERE b.key = s.key)
) ORDER BY place, detail LIMIT ?;
-- [7,"826B00DF00000000012B0229296E04",20]

SELECT place, detail FROM (
  SELECT key AS place, CAST(count(*) AS VARCHAR) || ' rows' AS detail
  FROM silver."shop__Orders of 2026" GROUP BY key HAVING count(*) > 1
) ORDER BY place, detail LIMIT ?;
-- [20]

SELECT place, detail FROM (
  SELECT s.key AS place, 'stands at ' || min(s.position) || ', bronze has ' || max(b.position) AS detail
  FROM (
    SELECT key, position, operation, "at", doc, removed_before, removed_since FROM bronze."shop__Orders of 2026"
    WHERE batch <= ? AND key IS NOT NULL
      AND operation IN ('insert', 'update', 'replace', 'delete', 'snapshot')
      AND position > ?
  ) b JOIN silver."shop__Orders of 2026" s ON s.key = b.key
  WHERE b.position > s.position
  GROUP BY s.key
) ORDER BY place, detail LIMIT ?;
-- [7,"826B00DF00000000012B0229296E04",20]

SELECT place, detail FROM (
  SELECT s.key AS place, s.operation || ' at ' || s.position || ' is no event of it in bronze' AS detail
  FROM silver."shop__Orders of 2026" s
  WHERE EXISTS (SELECT 1 FROM (
    SELECT key, position, operation, "at", doc, removed_before, removed_since FROM bronze."shop__Orders of 2026"
    WHERE batch <= ? AND key IS NOT NULL
      AND operation IN ('insert', 'update', 'replace', 'delete', 'snapshot')
      AND position > ?
  ) b WHERE b.key = s.key)
    AND NOT EXISTS (
      SELECT 1 FROM (
        SELECT key, position, operation, "at", doc, removed_before, removed_since FROM bronze."shop__Orders of 2026"
        WHERE batch <= ? AND key IS NOT NULL
          AND operation IN ('insert', 'update', 'replace', 'delete', 'snapshot')
          AND position > ?
      ) b
      WHERE b.key = s.key AND b.position = s.position AND b.operation = s.operation AND b."at" = s."at"
    )
) ORDER BY place, detail LIMIT ?;
-- [7,"826B00DF00000000012B0229296E04",7,"826B00DF00000000012B0229296E04",20]

SELECT place, detail FROM (
  SELECT
    s.key AS place,
    'is_current is ' || CAST(s.is_current AS VARCHAR) || ' after ' || s.operation
      || CASE WHEN v.key IS NULL THEN '' ELSE ' and a snapshot that has not brought it' END AS detail
  FROM silver."shop__Orders of 2026" s LEFT JOIN (
    SELECT v.key, min(e."at") AS ended
    FROM silver."shop__Orders of 2026" v JOIN (SELECT position, "at", coalesce(batch, 0) AS batch FROM sluice.baselines
    WHERE collection = ? AND cause = 'snapshot' AND files IS NULL AND coalesce(batch, 0) <= ?) e ON e.position > v.position
    WHERE v.operation <> 'delete' GROUP BY v.key
  ) v ON v.key = s.key
  WHERE s.is_current <> (s.operation <> 'delete' AND v.key IS NULL)
    OR s.deleted_at IS DISTINCT FROM CASE WHEN s.operation = 'delete' THEN s."at" ELSE v.ended END
) ORDER BY place, detail LIMIT ?;
-- ["shop.Orders of 2026",7,20]

SELECT place, detail FROM (
  SELECT s.key AS place, 'its document is of ' || coalesce(min(s.doc_position), 'nothing') || ', bronze has one of ' || max(b.position) AS detail
  FROM (
    SELECT key, position, operation, "at", doc, removed_before, removed_since FROM bronze."shop__Orders of 2026"
    WHERE batch <= ? AND key IS NOT NULL
      AND operation IN ('insert', 'update', 'replace', 'delete', 'snapshot')
      AND position > ?
  ) b JOIN silver."shop__Orders of 2026" s ON s.key = b.key
  WHERE b.position > coalesce(s.doc_position, '') AND sluice.type_at(b.doc, '/fullDocument') = 'OBJECT' 
  GROUP BY s.key
) ORDER BY place, detail LIMIT ?;
-- [7,"826B00DF00000000012B0229296E04",20]

SELECT place, detail FROM (
  WITH named AS (
    SELECT b.key, b.position, b.doc FROM (
      SELECT key, position, operation, "at", doc, removed_before, removed_since FROM bronze."shop__Orders of 2026"
      WHERE batch <= ? AND key IS NOT NULL
        AND operation IN ('insert', 'update', 'replace', 'delete', 'snapshot')
        AND position > ?
    ) b
    WHERE EXISTS (SELECT 1 FROM silver."shop__Orders of 2026" s WHERE s.key = b.key AND s.doc_position = b.position)
      AND sluice.type_at(b.doc, '/fullDocument') = 'OBJECT'
  ), there AS (
    SELECT key, position, MD5(CAST(sluice.member(CAST(doc AS VARCHAR), 'fullDocument') AS VARCHAR)) AS digest FROM named
  ), held AS (
    SELECT key, doc_position, MD5(CAST(doc AS VARCHAR)) AS digest FROM silver."shop__Orders of 2026" s
    WHERE (doc IS NOT NULL OR doc_position IS NOT NULL) AND EXISTS (SELECT 1 FROM (
      SELECT key, position, operation, "at", doc, removed_before, removed_since FROM bronze."shop__Orders of 2026"
      WHERE batch <= ? AND key IS NOT NULL
        AND operation IN ('insert', 'update', 'replace', 'delete', 'snapshot')
        AND position > ?
    ) b WHERE b.key = s.key)
  )
  SELECT h.key AS place, 'its document is not that of ' || coalesce(h.doc_position, 'any event') AS detail
  FROM held h LEFT JOIN there t ON t.key = h.key AND t.position = h.doc_position AND t.digest = h.digest
  WHERE t.key IS NULL
) ORDER BY place, detail LIMIT ?;
-- [7,"826B00DF00000000012B0229296E04",7,"826B00DF00000000012B0229296E04",20]

SELECT place, detail FROM (
  SELECT
    s.key AS place,
    'version ' || CAST(s.version_number AS VARCHAR) || ' since ' || CAST(s.first_seen_at AS VARCHAR)
      || ', bronze has ' || CAST(c.versions AS VARCHAR) || ' since ' || CAST(c.first_seen_at AS VARCHAR) AS detail
  FROM (
    SELECT key, CAST(sum(1 + coalesce(removed_before, 0)) AS BIGINT) AS versions, min(CASE WHEN removed_since < "at" THEN removed_since ELSE "at" END) AS first_seen_at FROM (
      SELECT key, position, operation, "at", doc, removed_before, removed_since FROM bronze."shop__Orders of 2026"
      WHERE batch <= ? AND key IS NOT NULL
        AND operation IN ('insert', 'update', 'replace', 'delete', 'snapshot')
        AND position > ?
    ) b
    GROUP BY key 
  ) c JOIN silver."shop__Orders of 2026" s ON s.key = c.key
  WHERE s.version_number <> c.versions OR s.first_seen_at <> c.first_seen_at
) ORDER BY place, detail LIMIT ?;
-- [7,"826B00DF00000000012B0229296E04",20]

SELECT place, detail FROM (
  SELECT key AS place, 'total' || ' is not what the document says' AS detail
  FROM silver."shop__Orders of 2026"
  WHERE total IS DISTINCT FROM TRY_CAST(sluice.scalar(sluice.value_at(doc, '/total')) AS DECIMAL(18,2))
) ORDER BY place, detail LIMIT ?;
-- [20]

SELECT place, detail FROM (
  SELECT key AS place, 'order' || ' is not what the document says' AS detail
  FROM silver."shop__Orders of 2026"
  WHERE "order" IS DISTINCT FROM sluice.uuid(sluice.uuid_text(sluice.value_at(doc, '/items/0/order id')))
) ORDER BY place, detail LIMIT ?;
-- [20]

SELECT count(*) AS total FROM (
  SELECT file || ', row ' || CAST(row_number AS VARCHAR) AS place, 'the line says something else:' || names AS detail
  FROM (
    SELECT
      file, row_number,
      CASE WHEN position IS DISTINCT FROM sluice.text_at(doc, '/_meta/position') THEN ' position' ELSE '' END ||
      CASE WHEN operation IS DISTINCT FROM sluice.text_at(doc, '/_meta/operationType') THEN ' operation' ELSE '' END ||
      CASE WHEN "at" IS DISTINCT FROM coalesce(TRY_CAST(sluice.text_at(doc, '/_meta/at') AS TIMESTAMPTZ), DATEADD('second', CAST(sluice.text_at(doc, '/_meta/clusterTime/$timestamp/t') AS BIGINT), CAST('1970-01-01T00:00:00Z' AS TIMESTAMP_TZ))) THEN ' at' ELSE '' END ||
      CASE WHEN cluster_time_t IS DISTINCT FROM CAST(sluice.text_at(doc, '/_meta/clusterTime/$timestamp/t') AS BIGINT) THEN ' cluster_time_t' ELSE '' END ||
      CASE WHEN cluster_time_i IS DISTINCT FROM CAST(sluice.text_at(doc, '/_meta/clusterTime/$timestamp/i') AS BIGINT) THEN ' cluster_time_i' ELSE '' END ||
      CASE WHEN key IS DISTINCT FROM sluice.document_key(CAST(doc AS VARCHAR)) THEN ' key' ELSE '' END ||
      CASE WHEN year IS DISTINCT FROM EXTRACT(YEAR FROM DATEADD('second', CAST(sluice.text_at(doc, '/_meta/clusterTime/$timestamp/t') AS BIGINT), CAST('1970-01-01T00:00:00Z' AS TIMESTAMP_TZ))) THEN ' year' ELSE '' END ||
      CASE WHEN month IS DISTINCT FROM EXTRACT(MONTH FROM DATEADD('second', CAST(sluice.text_at(doc, '/_meta/clusterTime/$timestamp/t') AS BIGINT), CAST('1970-01-01T00:00:00Z' AS TIMESTAMP_TZ))) THEN ' month' ELSE '' END ||
      CASE WHEN day IS DISTINCT FROM EXTRACT(DAY FROM DATEADD('second', CAST(sluice.text_at(doc, '/_meta/clusterTime/$timestamp/t') AS BIGINT), CAST('1970-01-01T00:00:00Z' AS TIMESTAMP_TZ))) THEN ' day' ELSE '' END ||
      CASE WHEN hour IS DISTINCT FROM EXTRACT(HOUR FROM DATEADD('second', CAST(sluice.text_at(doc, '/_meta/clusterTime/$timestamp/t') AS BIGINT), CAST('1970-01-01T00:00:00Z' AS TIMESTAMP_TZ))) THEN ' hour' ELSE '' END AS names
    FROM bronze."shop__Orders of 2026"
  ) WHERE names <> ''
);

SELECT count(*) AS total FROM (
  SELECT DISTINCT b.file AS place, 'rows of batch ' || CAST(b.batch AS VARCHAR) || ', it was loaded in ' || CAST(l.batch AS VARCHAR) AS detail
  FROM bronze."shop__Orders of 2026" b JOIN sluice.load_ledger l ON l.path = b.file
  WHERE b.batch <> l.batch
);

SELECT count(*) AS total FROM (
  WITH said AS (
    SELECT ? AS collection, position, file FROM bronze."shop__Orders of 2026" WHERE operation IN ('drop', 'rename', 'dropDatabase', 'snapshotEnd')
    UNION
    SELECT target, position, file FROM (SELECT sluice.text_at(doc, '/to/db') || '.' || sluice.text_at(doc, '/to/coll') AS target, position, file FROM bronze."shop__Orders of 2026" WHERE operation = 'rename')
    WHERE target IS NOT NULL
  ), noted AS (
    SELECT n.collection, n.position, n.file FROM sluice.baselines n
    WHERE n.file IN (SELECT path FROM sluice.load_ledger WHERE collection = ?) OR n.file IN (SELECT file FROM bronze."shop__Orders of 2026")
      OR (n.collection = ? AND NOT EXISTS (SELECT 1 FROM sluice.load_ledger l WHERE l.path = n.file))
  )
  SELECT collection AS place, 'bronze ends it at ' || position || ' (' || file || '), which is no baseline' AS detail
  FROM (SELECT * FROM said EXCEPT SELECT * FROM noted)
  UNION ALL
  SELECT collection, 'has a baseline at ' || position || ' (' || file || '), of which bronze knows nothing'
  FROM (SELECT * FROM noted EXCEPT SELECT * FROM said)
);
-- ["shop.Orders of 2026","shop.Orders of 2026","shop.Orders of 2026"]

SELECT count(*) AS total FROM (
  SELECT r.collection AS place, 'the registry says ' || CAST(r."rows" AS VARCHAR) || ' rows, bronze has ' || CAST(b."rows" AS VARCHAR) AS detail
  FROM sluice.collection_registry r, (SELECT count(*) AS "rows" FROM bronze."shop__Orders of 2026") b
  WHERE r.collection = ? AND r."rows" <> b."rows"
);
-- ["shop.Orders of 2026"]

SELECT count(*) AS total FROM (
  SELECT b.key AS place, 'bronze has ' || CAST(count(*) AS VARCHAR) || ' events of it, the last at ' || max(b.position) AS detail
  FROM (
    SELECT key, position, operation, "at", doc, removed_before, removed_since FROM bronze."shop__Orders of 2026"
    WHERE batch <= ? AND key IS NOT NULL
      AND operation IN ('insert', 'update', 'replace', 'delete', 'snapshot')
      AND position > ?
  ) b CROSS JOIN (
    SELECT max(n.position) AS position FROM (SELECT position, "at", coalesce(batch, 0) AS batch FROM sluice.baselines
    WHERE collection = ? AND cause = 'snapshot' AND files IS NULL AND coalesce(batch, 0) <= ?) n WHERE n."at" < CAST(? AS TIMESTAMPTZ)
  ) e
  WHERE NOT EXISTS (SELECT 1 FROM silver."shop__Orders of 2026" s WHERE s.key = b.key)
  GROUP BY b.key HAVING NOT coalesce(max_by(b.operation, b.position) = 'delete' AND max_by(b."at", b.position) < CAST(? AS TIMESTAMPTZ), FALSE) AND NOT max(b.position) < coalesce(max(e.position), '')
);
-- [7,"826B00DF00000000012B0229296E04","shop.Orders of 2026",7,"2026-11-21T00:00:00.000Z","2026-11-21T00:00:00.000Z"]

SELECT count(*) AS total FROM (
  SELECT s.key AS place, 'stands at ' || s.position || ', bronze says nothing of it' AS detail
  FROM silver."shop__Orders of 2026" s
  WHERE NOT EXISTS (SELECT 1 FROM (
    SELECT key, position, operation, "at", doc, removed_before, removed_since FROM bronze."shop__Orders of 2026"
    WHERE batch <= ? AND key IS NOT NULL
      AND operation IN ('insert', 'update', 'replace', 'delete', 'snapshot')
      AND position > ?
  ) b WHERE b.key = s.key)
);
-- [7,"826B00DF00000000012B0229296E04"]

SELECT count(*) AS total FROM (
  SELECT key AS place, CAST(count(*) AS VARCHAR) || ' rows' AS detail
  FROM silver."shop__Orders of 2026" GROUP BY key HAVING count(*) > 1
);

SELECT count(*) AS total FROM (
  SELECT s.key AS place, 'stands at ' || min(s.position) || ', bronze has ' || max(b.position) AS detail
  FROM (
    SELECT key, position, operation, "at", doc, removed_before, removed_since FROM bronze."shop__Orders of 2026"
    WHERE batch <= ? AND key IS NOT NULL
      AND operation IN ('insert', 'update', 'replace', 'delete', 'snapshot')
      AND position > ?
  ) b JOIN silver."shop__Orders of 2026" s ON s.key = b.key
  WHERE b.position > s.position
  GROUP BY s.key
);
-- [7,"826B00DF00000000012B0229296E04"]

SELECT count(*) AS total FROM (
  SELECT s.key AS place, s.operation || ' at ' || s.position || ' is no event of it in bronze' AS detail
  FROM silver."shop__Orders of 2026" s
  WHERE EXISTS (SELECT 1 FROM (
    SELECT key, position, operation, "at", doc, removed_before, removed_since FROM bronze."shop__Orders of 2026"
    WHERE batch <= ? AND key IS NOT NULL
      AND operation IN ('insert', 'update', 'replace', 'delete', 'snapshot')
      AND position > ?
  ) b WHERE b.key = s.key)
    AND NOT EXISTS (
      SELECT 1 FROM (
        SELECT key, position, operation, "at", doc, removed_before, removed_since FROM bronze."shop__Orders of 2026"
        WHERE batch <= ? AND key IS NOT NULL
          AND operation IN ('insert', 'update', 'replace', 'delete', 'snapshot')
          AND position > ?
      ) b
      WHERE b.key = s.key AND b.position = s.position AND b.operation = s.operation AND b."at" = s."at"
    )
);
-- [7,"826B00DF00000000012B0229296E04",7,"826B00DF00000000012B0229296E04"]

SELECT count(*) AS total FROM (
  SELECT
    s.key AS place,
    'is_current is ' || CAST(s.is_current AS VARCHAR) || ' after ' || s.operation
      || CASE WHEN v.key IS NULL THEN '' ELSE ' and a snapshot that has not brought it' END AS detail
  FROM silver."shop__Orders of 2026" s LEFT JOIN (
    SELECT v.key, min(e."at") AS ended
    FROM silver."shop__Orders of 2026" v JOIN (SELECT position, "at", coalesce(batch, 0) AS batch FROM sluice.baselines
    WHERE collection = ? AND cause = 'snapshot' AND files IS NULL AND coalesce(batch, 0) <= ?) e ON e.position > v.position
    WHERE v.operation <> 'delete' GROUP BY v.key
  ) v ON v.key = s.key
  WHERE s.is_current <> (s.operation <> 'delete' AND v.key IS NULL)
    OR s.deleted_at IS DISTINCT FROM CASE WHEN s.operation = 'delete' THEN s."at" ELSE v.ended END
);
-- ["shop.Orders of 2026",7]

SELECT count(*) AS total FROM (
  SELECT s.key AS place, 'its document is of ' || coalesce(min(s.doc_position), 'nothing') || ', bronze has one of ' || max(b.position) AS detail
  FROM (
    SELECT key, position, operation, "at", doc, removed_before, removed_since FROM bronze."shop__Orders of 2026"
    WHERE batch <= ? AND key IS NOT NULL
      AND operation IN ('insert', 'update', 'replace', 'delete', 'snapshot')
      AND position > ?
  ) b JOIN silver."shop__Orders of 2026" s ON s.key = b.key
  WHERE b.position > coalesce(s.doc_position, '') AND sluice.type_at(b.doc, '/fullDocument') = 'OBJECT' AND s.doc_position IS NOT NULL
  GROUP BY s.key
);
-- [7,"826B00DF00000000012B0229296E04"]

SELECT count(*) AS total FROM (
  WITH named AS (
    SELECT b.key, b.position, b.doc FROM (
      SELECT key, position, operation, "at", doc, removed_before, removed_since FROM bronze."shop__Orders of 2026"
      WHERE batch <= ? AND key IS NOT NULL
        AND operation IN ('insert', 'update', 'replace', 'delete', 'snapshot')
        AND position > ?
    ) b
    WHERE EXISTS (SELECT 1 FROM silver."shop__Orders of 2026" s WHERE s.key = b.key AND s.doc_position = b.position)
      AND sluice.type_at(b.doc, '/fullDocument') = 'OBJECT'
  ), there AS (
    SELECT key, position, MD5(CAST(sluice.member(CAST(doc AS VARCHAR), 'fullDocument') AS VARCHAR)) AS digest FROM named
  ), held AS (
    SELECT key, doc_position, MD5(CAST(doc AS VARCHAR)) AS digest FROM silver."shop__Orders of 2026" s
    WHERE (doc IS NOT NULL OR doc_position IS NOT NULL) AND EXISTS (SELECT 1 FROM (
      SELECT key, position, operation, "at", doc, removed_before, removed_since FROM bronze."shop__Orders of 2026"
      WHERE batch <= ? AND key IS NOT NULL
        AND operation IN ('insert', 'update', 'replace', 'delete', 'snapshot')
        AND position > ?
    ) b WHERE b.key = s.key)
  )
  SELECT h.key AS place, 'its document is not that of ' || coalesce(h.doc_position, 'any event') AS detail
  FROM held h LEFT JOIN there t ON t.key = h.key AND t.position = h.doc_position AND t.digest = h.digest
  WHERE t.key IS NULL
);
-- [7,"826B00DF00000000012B0229296E04",7,"826B00DF00000000012B0229296E04"]

SELECT count(*) AS total FROM (
  SELECT
    s.key AS place,
    'version ' || CAST(s.version_number AS VARCHAR) || ' since ' || CAST(s.first_seen_at AS VARCHAR)
      || ', bronze has ' || CAST(c.versions AS VARCHAR) || ' since ' || CAST(c.first_seen_at AS VARCHAR) AS detail
  FROM (
    SELECT key, CAST(sum(1 + coalesce(removed_before, 0)) AS BIGINT) AS versions, min(CASE WHEN removed_since < "at" THEN removed_since ELSE "at" END) AS first_seen_at FROM (
      SELECT key, position, operation, "at", doc, removed_before, removed_since FROM bronze."shop__Orders of 2026"
      WHERE batch <= ? AND key IS NOT NULL
        AND operation IN ('insert', 'update', 'replace', 'delete', 'snapshot')
        AND position > ?
    ) b
    GROUP BY key HAVING max(CASE WHEN operation = 'delete' THEN 1 ELSE 0 END) = 0 AND min(position) >= coalesce((SELECT max(n.position) FROM (SELECT position, "at", coalesce(batch, 0) AS batch FROM sluice.baselines
    WHERE collection = ? AND cause = 'snapshot' AND files IS NULL AND coalesce(batch, 0) <= ?) n), '') AND sum(coalesce(removed_before, 0)) = 0
  ) c JOIN silver."shop__Orders of 2026" s ON s.key = c.key
  WHERE s.version_number <> c.versions OR s.first_seen_at <> c.first_seen_at
);
-- [7,"826B00DF00000000012B0229296E04","shop.Orders of 2026",7]
