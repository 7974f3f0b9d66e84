// Switches for a bad day: a person stops refunds, or a merchant, and every process sees it with its next statement.
import type { Knex } from 'knex';

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    CREATE TABLE pauses (
      what text NOT NULL CHECK (what IN ('refunds', 'merchant')),
      merchant text REFERENCES merchants (id),
      actor text NOT NULL,
      reason text NOT NULL,
      since timestamptz NOT NULL DEFAULT now(),
      CONSTRAINT pauses_merchant_named CHECK (what = 'refunds' OR merchant IS NOT NULL)
    );
    COMMENT ON TABLE pauses IS 'What a person has paused: a row holds until it is deleted. Who and why stays in payment_events.';
    COMMENT ON COLUMN pauses.merchant IS 'Whose. Null: refunds of all.';
    CREATE UNIQUE INDEX pauses_one_of_each ON pauses (what, COALESCE(merchant, ''));
  `);
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(`DROP TABLE pauses`);
}
