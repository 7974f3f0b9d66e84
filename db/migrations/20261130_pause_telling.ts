// An order service that has just failed to take a result is left alone for a while, by every caller.
import type { Knex } from 'knex';

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    ALTER TABLE order_messages ADD COLUMN not_before timestamptz;
    COMMENT ON COLUMN order_messages.not_before IS 'The order service has not taken it, and is handed it again from then on.';
    COMMENT ON COLUMN order_messages.leased_until IS
      'While somebody delivers it: nobody else delivers a message of its order. For a minute after it nobody skips it: the order service may still act on it.';
  `);
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(`
    ALTER TABLE order_messages DROP COLUMN not_before;
    COMMENT ON COLUMN order_messages.leased_until IS 'While somebody delivers it: nobody else delivers a message of its order.';
  `);
}
