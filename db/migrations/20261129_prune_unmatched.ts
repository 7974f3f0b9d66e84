// What a person has dealt with need not be kept for ever: it holds buyers' data. A stub stays, to recognise a repeat.
import type { Knex } from 'knex';

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    ALTER TABLE unmatched_notifications
      ADD COLUMN pruned_at timestamptz,
      ADD CONSTRAINT unmatched_notifications_unresolved_kept CHECK (resolved_at IS NOT NULL OR pruned_at IS NULL);
    COMMENT ON COLUMN unmatched_notifications.pruned_at IS 'When body and signature were taken out, and of content all but the trade: EVIDENCE_RETENTION.';
    CREATE INDEX unmatched_notifications_prunable ON unmatched_notifications (at)
      WHERE resolved_at IS NOT NULL AND pruned_at IS NULL;
  `);
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(`ALTER TABLE unmatched_notifications DROP COLUMN pruned_at;`);
}
