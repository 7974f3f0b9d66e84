// How long it takes from a payment to the order service knowing it, by what found the payment.
import type { Knex } from 'knex';

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    ALTER TABLE evidence ADD COLUMN asked_by text;
    COMMENT ON COLUMN evidence.asked_by IS 'Of an answer: which question brought it, like check-1, slow-check, sweep, bill.';
    ALTER TABLE order_messages ADD COLUMN found_by text;
    COMMENT ON COLUMN order_messages.found_by IS 'Of PAID: what found the payment, notified or evidence.asked_by. Null: a person decided, or it is told again.';
  `);
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(`
    ALTER TABLE order_messages DROP COLUMN found_by;
    ALTER TABLE evidence DROP COLUMN asked_by;
  `);
}
