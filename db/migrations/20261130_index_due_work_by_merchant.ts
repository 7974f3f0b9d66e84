// What needs Alipay is found for each merchant separately, the newest payments first. The indexes on only the time
// stay: the previous build uses them.
import type { Knex } from 'knex';

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    CREATE INDEX IF NOT EXISTS payments_slow_checks_by_merchant ON payments (merchant, slow_check_at)
      WHERE status = 'UNPAID' AND slow_check_at IS NOT NULL;
    CREATE INDEX IF NOT EXISTS payments_recheck_by_merchant ON payments (merchant, status, recheck_at)
      WHERE recheck_at IS NOT NULL;
    CREATE INDEX IF NOT EXISTS payments_newest ON payments (created_at DESC, out_trade_no);
  `);
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(
    `DROP INDEX payments_slow_checks_by_merchant, payments_recheck_by_merchant, payments_newest`,
  );
}
