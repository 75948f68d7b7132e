SELECT collection, table_name FROM sluice.collection_registry;

INSERT INTO sluice.collection_registry
  (collection, db, coll, table_name, status, first_seen_at, "rows", bytes, last_batch, merged_batch, baseline_applied)
VALUES (?, ?, ?, ?, 'DISCOVERED', CURRENT_TIMESTAMP, 0, 0, 0, 0, '');
-- ["shop.Orders of 2026","shop","Orders of 2026","shop__Orders of 2026"]

SELECT
  r.collection, r.db, r.coll, r.table_name, r.last_batch, r.merged_batch, r.baseline_applied, r.complete_through,
  greatest(coalesce((SELECT max(b.position) FROM sluice.baselines b WHERE b.collection = r.collection), ''), coalesce((SELECT max(b.position) FROM sluice.baselines b WHERE b.collection = r.db), '')) AS baseline
FROM sluice.collection_registry r ORDER BY r.collection;

SELECT
  db, coll, status, reason, "rows", bytes,
  last_event_at AS "lastEventAt", last_load_at AS "lastLoadAt", complete_through AS "completeThrough"
FROM sluice.collection_registry ORDER BY collection;

UPDATE sluice.collection_registry SET status = ?, reason = ? WHERE collection = ?;
-- ["PAUSED","by hand","shop.Orders of 2026"]

UPDATE sluice.collection_registry SET complete_through = CAST(? AS TIMESTAMPTZ), complete_through_i = ?
WHERE collection = ? AND (
  complete_through IS NULL OR complete_through < CAST(? AS TIMESTAMPTZ)
  OR (complete_through = CAST(? AS TIMESTAMPTZ) AND complete_through_i < ?)
);
-- ["2026-11-21T00:00:00.000Z",1,"shop.Orders of 2026","2026-11-21T00:00:00.000Z","2026-11-21T00:00:00.000Z",1]
