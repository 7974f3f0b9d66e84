// Nobody touches what belongs to another: each order and payment names its merchant.
import type { Knex } from 'knex';

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    CREATE TABLE merchants (
      -- the one unique index, or an upsert by id may fail on the other
      id text PRIMARY KEY CHECK (id = app_id || '/' || seller_id),
      name text NOT NULL,
      app_id text NOT NULL,
      seller_id text NOT NULL,
      gateway text NOT NULL,
      registered_at timestamptz NOT NULL DEFAULT now(),
      corrected_to text REFERENCES merchants (id)
    );
    COMMENT ON TABLE merchants IS 'Whose payments these are. The identity is (app_id, seller_id); id is "appId/sellerId"; the gateway''s address may change.';
    COMMENT ON COLUMN merchants.corrected_to IS 'The merchant that its orders and payments name now: a person corrected the seller id.';
    ALTER TABLE orders ADD COLUMN merchant text REFERENCES merchants (id);
    ALTER TABLE payments ADD COLUMN merchant text REFERENCES merchants (id);
    COMMENT ON COLUMN payments.merchant IS 'Written once, when it is opened. A process without this merchant holds the payment and asks nobody about it.';
  `);
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(`
    ALTER TABLE payments DROP COLUMN merchant;
    ALTER TABLE orders DROP COLUMN merchant;
    DROP TABLE merchants;
  `);
}
