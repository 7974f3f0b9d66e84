// A partial refund does not end an order: the order service is told which it was, and how much has gone back so far.
import type { Knex } from 'knex';

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    ALTER TABLE order_messages
      ADD COLUMN refund_id text,
      ADD COLUMN refund_amount numeric(12,2) CHECK (refund_amount > 0),
      DROP CONSTRAINT order_messages_status_check,
      ADD CONSTRAINT order_messages_status_check CHECK (status IN ('PAID', 'CLOSED', 'PARTIALLY_REFUNDED', 'REFUNDED'));
    COMMENT ON COLUMN order_messages.amount IS 'Of a refund: what has gone back so far. Else the order''s amount.';
    COMMENT ON COLUMN order_messages.refund_id IS 'The refund that it tells of, by its out_request_no; null where it was made outside Alipay.';
  `);
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(`
    UPDATE order_messages SET status = 'REFUNDED' WHERE status = 'PARTIALLY_REFUNDED';
    ALTER TABLE order_messages
      DROP COLUMN refund_id, DROP COLUMN refund_amount,
      DROP CONSTRAINT order_messages_status_check,
      ADD CONSTRAINT order_messages_status_check CHECK (status IN ('PAID', 'CLOSED', 'REFUNDED'));
  `);
}
