// A shop may change the price of an order: payments at the old one no longer make it PAID.
import type { Knex } from 'knex';

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    ALTER TABLE payments ADD COLUMN superseded_at timestamptz;
    COMMENT ON COLUMN payments.superseded_at IS 'When the price of its order changed: what is paid by it is a late payment, and no checkout returns it again.';
  `);
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(`ALTER TABLE payments DROP COLUMN superseded_at`);
}
