-- Moves up to 1,000 orders that owe nothing and were settled 13 months ago (Alipay refunds for a year), and all their
-- data, to archived_orders. Run it as the tables' owner, in their schema, at a quiet hour, until it moves none:
--
--   psql "$DATABASE_URL" --set ON_ERROR_STOP=1 --file deploy/sql/archive.sql
--
-- While it deletes, it blocks writers of payment_events. If a delete takes more than 10 s, nothing is archived: run it again.

CREATE TABLE IF NOT EXISTS archived_orders (
  id text PRIMARY KEY,
  archived_at timestamptz NOT NULL DEFAULT now(),
  record jsonb NOT NULL
);

BEGIN ISOLATION LEVEL READ COMMITTED;
SET LOCAL lock_timeout = '5s';
CREATE TEMP VIEW archivable AS
  SELECT o.id FROM orders o
  WHERE o.status <> 'UNPAID' AND COALESCE(o.paid_at, o.closed_at) < now() - interval '13 months'
    AND NOT EXISTS (SELECT FROM payments p WHERE p.order_id = o.id AND (
      p.status IN ('UNPAID', 'REFUNDING', 'REVIEW') OR p.review_reason IS NOT NULL OR p.recheck_at IS NOT NULL
      OR p.updated_at > now() - interval '13 months'))
    AND NOT EXISTS (SELECT FROM order_messages m WHERE m.order_id = o.id AND m.told_at IS NULL)
    AND NOT EXISTS (SELECT FROM refunds r WHERE r.order_id = o.id AND r.status IN ('REQUESTED', 'REVIEW'))
    AND NOT EXISTS (SELECT FROM evidence e JOIN payments p USING (out_trade_no)
      WHERE p.order_id = o.id AND e.recorded_at IS NULL);
CREATE TEMP TABLE batch ON COMMIT DROP AS
  SELECT o.id FROM orders o WHERE o.id IN (SELECT id FROM archivable LIMIT 1000) FOR UPDATE OF o;
-- DO prints no rows.
DO $$ BEGIN
  PERFORM p.out_trade_no FROM payments p JOIN batch b ON b.id = p.order_id FOR UPDATE OF p;
END $$;
-- Now they are locked: drop those that changed meanwhile. Looked up one by one: a join would read all orders again.
DELETE FROM batch b WHERE (SELECT a.id FROM archivable a WHERE a.id = b.id) IS NULL;
INSERT INTO archived_orders (id, record)
  SELECT o.id, to_jsonb(o) || jsonb_build_object(
    'payments', (SELECT jsonb_agg(p ORDER BY p.created_at) FROM payments p WHERE p.order_id = o.id),
    'events', (SELECT jsonb_agg(e ORDER BY e.id) FROM payment_events e JOIN payments p USING (out_trade_no)
      WHERE p.order_id = o.id),
    'evidence', (SELECT jsonb_agg(e ORDER BY e.id) FROM evidence e JOIN payments p USING (out_trade_no)
      WHERE p.order_id = o.id),
    'refunds', (SELECT jsonb_agg(r ORDER BY r.requested_at) FROM refunds r WHERE r.order_id = o.id),
    'messages', (SELECT jsonb_agg(m ORDER BY m.seq) FROM order_messages m WHERE m.order_id = o.id))
  FROM orders o JOIN batch USING (id);
SET LOCAL statement_timeout = '10s';
ALTER TABLE payment_events DISABLE TRIGGER payment_events_append_only;
DELETE FROM payment_events WHERE out_trade_no IN (SELECT out_trade_no FROM payments JOIN batch b ON b.id = order_id);
ALTER TABLE payment_events ENABLE TRIGGER payment_events_append_only;
DELETE FROM evidence WHERE out_trade_no IN (SELECT out_trade_no FROM payments JOIN batch b ON b.id = order_id);
DELETE FROM order_messages WHERE order_id IN (SELECT id FROM batch);
DELETE FROM refunds WHERE order_id IN (SELECT id FROM batch);
-- In one statement, because each refers to the other.
WITH gone AS (DELETE FROM orders WHERE id IN (SELECT id FROM batch))
  DELETE FROM payments WHERE order_id IN (SELECT id FROM batch);
DROP VIEW archivable;
COMMIT;
