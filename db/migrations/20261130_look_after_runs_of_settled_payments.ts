// A payment that has left REVIEW or REFUNDING is looked after once more: its run may not have been told. The index of
// only the held ones stays: the previous build uses it.
import type { Knex } from 'knex';

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    CREATE INDEX IF NOT EXISTS payments_looked_after ON payments (revive_at)
      WHERE status <> 'UNPAID' AND revive_at IS NOT NULL;
    COMMENT ON COLUMN payments.revive_at IS
      'When the follow-up looks after its run next: pauses double. Null in REVIEW or REFUNDING: now. Elsewhere it is set until the run has heard that they are over.';
  `);
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(`
    DROP INDEX payments_looked_after;
    COMMENT ON COLUMN payments.revive_at IS 'When the follow-up looks after its run next: pauses double. Null in REVIEW or REFUNDING: now.';
  `);
}
