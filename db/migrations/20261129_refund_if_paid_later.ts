// A shop may cancel an order whose cashier page is still open: what is paid there later is refunded.
import type { Knex } from 'knex';

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    ALTER TABLE orders ADD COLUMN if_paid_later text CHECK (if_paid_later IN ('refund'));
    COMMENT ON COLUMN orders.if_paid_later IS 'The shop has cancelled it for good: money that comes is refunded, whatever LATE_PAYMENT_POLICY says.';
  `);
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(`ALTER TABLE orders DROP COLUMN if_paid_later`);
}
