SELECT collection, table_name FROM sluice.collection_registry;

INSERT INTO sluice.collection_registry
  (collection, db, coll, table_name, status, first_seen_at, "rows", bytes, last_batch, merged_batch, baseline_applied)
VALUES (?, ?, ?, ?, 'DISCOVERED', CURRENT_TIMESTAMP, 0, 0, 0, 0, '');
-- ["shop.Orders of 2026","shop","Orders of 2026","shop__Orders of 2026"]

SELECT
  r.collection, r.db, r.coll, r.table_name, r.last_batch, r.merged_batch, coalesce(r.learnt_batch, 0) AS learnt_batch, r.baseline_applied, r.complete_through, r.bronze_from,
  greatest(coalesce((SELECT max(b.position) FROM sluice.baselines b WHERE b.collection = r.collection AND b.cause <> 'snapshot'), ''), coalesce((SELECT max(b.position) FROM sluice.baselines b WHERE b.collection = r.db AND b.cause <> 'snapshot'), '')) AS baseline
FROM sluice.collection_registry r ORDER BY r.collection;

UPDATE sluice.collection_registry SET baseline_applied = ?
WHERE baseline_applied IN (SELECT position FROM sluice.baselines WHERE cause = 'snapshot');
-- ["rebuild"]

SELECT
  db, coll, status, reason, "rows", bytes, source_count AS "sourceCount", source_counted_at AS "sourceCountedAt", first_seen_at AS "firstSeenAt",
  last_event_at AS "lastEventAt", last_load_at AS "lastLoadAt", complete_through AS "completeThrough"
FROM sluice.collection_registry ORDER BY collection;

UPDATE sluice.collection_registry SET source_count = ?, source_counted_at = CURRENT_TIMESTAMP WHERE collection = ?;
-- [12,"shop.Orders of 2026"]

SELECT from_at, to_at, collections, cause, detected_at FROM sluice.gaps WHERE pipeline = ? ORDER BY from_at, detected_at;
-- ["shop"]

DELETE FROM sluice.gaps WHERE pipeline = ?;
-- ["shop"]

INSERT INTO sluice.gaps (pipeline, from_at, to_at, collections, cause, detected_at) VALUES (?, CAST(? AS TIMESTAMPTZ), CAST(? AS TIMESTAMPTZ), ?, ?, CAST(? AS TIMESTAMPTZ));
-- ["shop","2026-11-21T00:00:00.000Z",null,"shop.*","the oplog was overtaken","2026-11-21T00:00:00.000Z"]

UPDATE sluice.collection_registry SET status = ?, reason = ?
WHERE collection = ? AND status IN (?, ?, ?, ?);
-- ["PAUSED","by hand","shop.Orders of 2026","DISCOVERED","ACTIVE","PAUSED","ERROR"]

UPDATE sluice.collection_registry SET complete_through = m.through, complete_through_i = m.ordinal
FROM (
  SELECT CAST(name AS VARCHAR) AS name, CAST(through AS TIMESTAMPTZ) AS through, CAST(ordinal AS BIGINT) AS ordinal
  FROM (VALUES (?, ?, ?), (?, ?, ?)) AS given (name, through, ordinal)
) AS m
WHERE collection = m.name AND (
  complete_through IS NULL OR complete_through < m.through OR (complete_through = m.through AND complete_through_i < m.ordinal)
);
-- ["shop.Orders of 2026","2026-11-21T00:00:00.000Z",1,"shop.b","2026-11-21T00:00:00.000Z",1]
