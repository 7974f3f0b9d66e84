// Every refund gets its own row, whoever asked for it: the shop, an operator, a late or duplicate payment, or somebody
// in the merchant portal.
import type { Knex } from 'knex';

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    CREATE TABLE refunds (
      out_trade_no text NOT NULL REFERENCES payments (out_trade_no),
      out_request_no text NOT NULL CHECK (char_length(out_request_no) BETWEEN 1 AND 64),
      order_id text NOT NULL REFERENCES orders (id),
      amount numeric(12,2) CHECK (amount > 0),
      reason text NOT NULL,
      kind text NOT NULL CHECK (kind IN ('shop', 'operator', 'late', 'duplicate', 'portal')),
      status text NOT NULL CHECK (status IN ('REQUESTED', 'DONE', 'REFUSED', 'REVIEW')),
      because text,
      provisional boolean NOT NULL DEFAULT false,
      requested_by text NOT NULL,
      requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
      asked_at timestamptz,
      unproven integer NOT NULL DEFAULT 0,
      unfunded integer NOT NULL DEFAULT 0,
      retry_at timestamptz NOT NULL DEFAULT now() + interval '1 minute',
      attempts integer NOT NULL DEFAULT 0,
      updated_at timestamptz NOT NULL DEFAULT now(),
      done_at timestamptz,
      PRIMARY KEY (out_trade_no, out_request_no),
      CONSTRAINT refunds_amount_known CHECK (amount IS NOT NULL OR kind = 'portal' AND status <> 'DONE'),
      CONSTRAINT refunds_done_at_known CHECK ((status = 'DONE') = (done_at IS NOT NULL)),
      CONSTRAINT refunds_provisional_done CHECK (NOT provisional OR kind = 'portal' AND status = 'DONE')
    );
    COMMENT ON TABLE refunds IS 'Money that goes back to a buyer: one out_request_no at Alipay, one workflow.';
    COMMENT ON COLUMN refunds.amount IS 'Null: made in the merchant portal, and Alipay has not said yet how much.';
    COMMENT ON COLUMN refunds.because IS 'Why it is REFUSED or in REVIEW: Alipay''s code, or ours.';
    COMMENT ON COLUMN refunds.provisional IS 'A gap in the sum that Alipay tells: made in the portal, its number not known. The bill names it.';
    COMMENT ON COLUMN refunds.asked_at IS 'When Alipay was last asked to make it. Null: it cannot have been made.';
    COMMENT ON COLUMN refunds.unproven IS 'How often Alipay has answered without proving it.';
    COMMENT ON COLUMN refunds.unfunded IS 'How often Alipay has refused it for now, as with an empty account.';
    COMMENT ON COLUMN refunds.retry_at IS 'REQUESTED or REVIEW: when the follow-up makes sure that its run is there.';
    -- the shop asks by the number alone, and a workflow's id holds it alone
    CREATE UNIQUE INDEX refunds_one_per_number ON refunds (out_request_no) WHERE kind <> 'portal';
    CREATE INDEX refunds_by_order ON refunds (order_id);
    CREATE INDEX refunds_by_time ON refunds (requested_at);
    CREATE INDEX refunds_due ON refunds (retry_at) WHERE status IN ('REQUESTED', 'REVIEW');

    ALTER TABLE payments
      ADD COLUMN refund_seen numeric(12,2) NOT NULL DEFAULT 0,
      ADD COLUMN refund_turn_until timestamptz;
    COMMENT ON COLUMN payments.refunded_amount IS 'The sum of its refunds that are DONE.';
    COMMENT ON COLUMN payments.refund_seen IS 'The highest sum of refunds (refund_fee, cumulative) that Alipay has told.';
    COMMENT ON COLUMN payments.refund_turn_until IS 'Until then no other refund of it is asked for: Alipay wants one at a time, 3 s apart.';

    INSERT INTO refunds (out_trade_no, out_request_no, order_id, amount, reason, kind, status, provisional, requested_by, done_at)
      SELECT out_trade_no, 'SEEN_' || refunded_amount, order_id, refunded_amount, 'refunded before this table', 'portal', 'DONE',
        true, 'migration', COALESCE(refunded_at, updated_at)
      FROM payments WHERE refunded_amount > 0;
    INSERT INTO refunds (out_trade_no, out_request_no, order_id, amount, reason, kind, status, requested_by, asked_at)
      SELECT out_trade_no, 'LATE_' || CASE WHEN length(out_trade_no) < 60 THEN out_trade_no ELSE md5(out_trade_no) END, order_id,
        COALESCE(paid_amount, total_amount) - refunded_amount, 'payment of a settled order', 'late', 'REQUESTED', 'migration', now()
      FROM payments WHERE status = 'REFUNDING' AND refunded_amount < COALESCE(paid_amount, total_amount);
  `);
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(`
    DROP TABLE refunds;
    ALTER TABLE payments DROP COLUMN refund_seen, DROP COLUMN refund_turn_until;
  `);
}
