// A person deals with a notification of an unknown payment, and records who and how. Expand only: a worker that does
// not know these columns keeps inserting rows, which are then unresolved.
import type { Knex } from 'knex';

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    ALTER TABLE unmatched_notifications
      ADD COLUMN resolved_at timestamptz,
      ADD COLUMN resolved_by text,
      ADD COLUMN resolution text,
      ADD CONSTRAINT unmatched_notifications_resolved_wholly
        CHECK (num_nulls(resolved_at, resolved_by, resolution) IN (0, 3));
    COMMENT ON COLUMN unmatched_notifications.resolution IS 'What a person did about the money; payment_events keeps it too (unmatched-resolved).';
    CREATE INDEX unmatched_notifications_unresolved ON unmatched_notifications (id) WHERE resolved_at IS NULL;
  `);
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(`
    ALTER TABLE unmatched_notifications DROP COLUMN resolved_at, DROP COLUMN resolved_by, DROP COLUMN resolution;
  `);
}
