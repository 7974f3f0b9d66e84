// Temporal's store may be lost, or be another installation's. A namespace's id tells one store from another.
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
      taken_over_at timestamptz
    );
    COMMENT ON TABLE temporal_stores IS 'The Temporal stores that workers have served from this database; seen_at is refreshed every 5 s.';
  `);
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(`DROP TABLE temporal_stores;`);
}
