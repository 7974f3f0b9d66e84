// Each kind of due work is found by a partial index on its time, so the cost of a sweep or follow-up depends on what is
// due, not on what is open.
import type { Knex } from 'knex';

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    ALTER TABLE payments
      ADD COLUMN next_check_at timestamptz,
      ADD COLUMN checked_out_at timestamptz,
      ADD COLUMN slow_check_at timestamptz,
      ADD COLUMN revive_at timestamptz,
      ADD COLUMN revivals integer NOT NULL DEFAULT 0;
    COMMENT ON COLUMN payments.next_check_at IS 'When its run makes the next check. Overdue by two minutes: nobody watches it.';
    COMMENT ON COLUMN payments.checked_out_at IS 'The last checkout; slow checks are counted from here.';
    COMMENT ON COLUMN payments.slow_check_at IS 'When the follow-up asks Alipay next, while it stays UNPAID.';
    COMMENT ON COLUMN payments.revive_at IS 'When the follow-up looks after its run next: pauses double. Null in REVIEW or REFUNDING: now.';
    COMMENT ON COLUMN payments.revivals IS 'How often in a row the follow-up has looked after its run.';
    CREATE INDEX payments_unwatched ON payments (next_check_at) WHERE status = 'UNPAID' AND next_check_at IS NOT NULL;
    CREATE INDEX payments_slow_checks ON payments (slow_check_at) WHERE status = 'UNPAID' AND slow_check_at IS NOT NULL;
    CREATE INDEX payments_attended ON payments (revive_at)
      WHERE status IN ('REFUNDING', 'REVIEW') OR review_reason IS NOT NULL;
    UPDATE payments SET recheck_at = now() FROM orders o
      WHERE o.id = order_id AND payments.status = 'UNPAID' AND o.status <> 'UNPAID' AND recheck_at IS NULL;
    UPDATE payments SET revive_at = now() WHERE status IN ('REFUNDING', 'REVIEW') OR review_reason IS NOT NULL;

    ALTER TABLE orders
      ADD COLUMN held_until timestamptz,
      ADD COLUMN holds integer NOT NULL DEFAULT 0;
    COMMENT ON COLUMN orders.held_until IS 'Expired and held: when the sweep asks again. infinity: not before a decision.';
    COMMENT ON COLUMN orders.holds IS 'How often in a row it was held; the pause doubles with it.';

    ALTER TABLE order_messages
      ADD COLUMN seq bigint GENERATED ALWAYS AS IDENTITY,
      ADD COLUMN attempts integer NOT NULL DEFAULT 0,
      ADD COLUMN retry_at timestamptz NOT NULL DEFAULT now() + interval '1 minute',
      ADD COLUMN leased_until timestamptz;
    COMMENT ON COLUMN order_messages.seq IS 'The order in which an order''s messages are delivered.';
    COMMENT ON COLUMN order_messages.attempts IS 'How often the follow-up has tried to deliver it.';
    COMMENT ON COLUMN order_messages.retry_at IS 'When the follow-up delivers it, while nobody else has.';
    COMMENT ON COLUMN order_messages.leased_until IS 'While somebody delivers it: nobody else delivers a message of its order.';
    DROP INDEX order_messages_untold;
    CREATE INDEX order_messages_undelivered ON order_messages (retry_at) WHERE told_at IS NULL;
    CREATE INDEX order_messages_told ON order_messages (told_at) WHERE told_at IS NOT NULL;
  `);
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(`
    DROP INDEX order_messages_undelivered, order_messages_told;
    CREATE INDEX order_messages_untold ON order_messages (created_at) WHERE told_at IS NULL;
    ALTER TABLE order_messages DROP COLUMN seq, DROP COLUMN attempts, DROP COLUMN retry_at, DROP COLUMN leased_until;
    ALTER TABLE orders DROP COLUMN held_until, DROP COLUMN holds;
    ALTER TABLE payments
      DROP COLUMN next_check_at, DROP COLUMN checked_out_at, DROP COLUMN slow_check_at,
      DROP COLUMN revive_at, DROP COLUMN revivals;
  `);
}
