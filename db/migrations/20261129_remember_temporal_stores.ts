// Temporal's store may be lost, or belong to another installation. A namespace's id tells one store from another.
import type { Knex } from 'knex';

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    CREATE TABLE temporal_stores (
      namespace_id text PRIMARY KEY,
      address text NOT NULL,
      namespace text NOT NULL,
      merchants text[] NOT NULL,
      first_seen_at timestamptz NOT NULL DEFAULT now(),
      seen_at timestamptz NOT NULL DEFAULT now(),
      taken_over_at timestamptz,
      recovered_at timestamptz
    );
    COMMENT ON TABLE temporal_stores IS 'The Temporal stores that workers have served from this database; seen_at is refreshed every 5 s. The one seen last is the current one.';
    COMMENT ON COLUMN temporal_stores.taken_over_at IS 'When it took over from another store. Null: it is the first.';
    COMMENT ON COLUMN temporal_stores.recovered_at IS 'When all that the lost store knew was due again. Null after a take-over: any worker goes on with it.';
  `);
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(`DROP TABLE temporal_stores;`);
}
