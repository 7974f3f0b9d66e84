// A wrong seller id shows only when Alipay notifies of a payment: who got the money is kept, for the doctor.
import type { Knex } from 'knex';

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    ALTER TABLE merchants ADD COLUMN other_seller text, ADD COLUMN other_seller_at timestamptz;
    COMMENT ON COLUMN merchants.other_seller IS 'Another seller that a genuine notification for this application named the last time.';
  `);
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(`ALTER TABLE merchants DROP COLUMN other_seller, DROP COLUMN other_seller_at`);
}
