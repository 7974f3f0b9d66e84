// If for a day nobody knows whether Alipay makes a refund, a person decides.
import type { Knex } from 'knex';

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    ALTER TABLE refunds ADD COLUMN unknown_since timestamptz;
    COMMENT ON COLUMN refunds.unknown_since IS 'The first of the answers in a row that say nothing: unknown, or our configuration is wrong.';
  `);
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(`ALTER TABLE refunds DROP COLUMN unknown_since`);
}
