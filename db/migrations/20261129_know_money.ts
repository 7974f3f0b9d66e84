// The row knows the money: what was asked for (total_amount), what Alipay took, what a person accepted, what went back.
import type { Knex } from 'knex';

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    ALTER TABLE payments
      ADD COLUMN paid_amount numeric(12,2) CHECK (paid_amount > 0),
      ADD COLUMN accepted_amount numeric(12,2) CHECK (accepted_amount > 0),
      ADD COLUMN outside_amount numeric(12,2) CHECK (outside_amount > 0),
      ADD COLUMN outside_reference text,
      ADD CONSTRAINT payments_refunds_within_paid CHECK (refunded_amount <= paid_amount),
      ADD CONSTRAINT payments_outside_wholly CHECK (num_nulls(outside_amount, outside_reference) IN (0, 2));
    UPDATE payments SET paid_amount = total_amount WHERE status IN ('PAID', 'REFUNDING', 'REFUNDED');
    COMMENT ON COLUMN payments.paid_amount IS 'What Alipay took, by its own verified word. Null: nothing that we know of.';
    COMMENT ON COLUMN payments.accepted_amount IS 'What a person accepted instead of total_amount.';
    COMMENT ON COLUMN payments.outside_amount IS 'What a person paid back outside Alipay, which refused to refund any more; never part of refunded_amount.';

    ALTER TABLE orders ADD COLUMN paid_by text REFERENCES payments (out_trade_no);
    UPDATE orders o SET paid_by = m.out_trade_no FROM order_messages m
      WHERE m.order_id = o.id AND m.status = 'PAID' AND o.status = 'PAID';
    COMMENT ON COLUMN orders.paid_by IS 'The payment that made it PAID, so that delivered messages may be pruned.';
  `);
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(`
    ALTER TABLE orders DROP COLUMN paid_by;
    ALTER TABLE payments
      DROP COLUMN paid_amount, DROP COLUMN accepted_amount, DROP COLUMN outside_amount, DROP COLUMN outside_reference;
  `);
}
