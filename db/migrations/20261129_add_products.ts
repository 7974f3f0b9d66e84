// Payments by app and mini program, and what a checkout sent to Alipay besides the order.
import type { Knex } from 'knex';

const products = (names: string): string => `
  ALTER TABLE payments DROP CONSTRAINT payments_product_check;
  ALTER TABLE payments ADD CONSTRAINT payments_product_check CHECK (product IN (${names}));`;

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    ${products("'page', 'wap', 'precreate', 'app', 'jsapi'")}
    ALTER TABLE payments ADD COLUMN request_digest text;
    COMMENT ON COLUMN payments.request_digest IS 'SHA-256 of the buyer and the extra parameters that it was opened with; null: none. Alipay refuses to open a payment again with others.';
  `);
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(`
    ALTER TABLE payments DROP COLUMN request_digest;
    ${products("'page', 'wap', 'precreate'")}
  `);
}
