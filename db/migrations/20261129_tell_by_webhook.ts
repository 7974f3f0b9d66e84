// How each result was told, and why one was not: by a signal, by a webhook, or by nobody, if a person has skipped it.
import type { Knex } from 'knex';

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    ALTER TABLE order_messages
      ADD COLUMN told_by text CHECK (told_by IN ('signal', 'webhook', 'nobody')),
      ADD COLUMN last_error text;
    COMMENT ON COLUMN order_messages.told_by IS 'nobody: a person has skipped it.';
    COMMENT ON COLUMN order_messages.last_error IS 'Why it could not be delivered the last time.';
    UPDATE order_messages SET told_by = 'signal' WHERE told_at IS NOT NULL;
  `);
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(`ALTER TABLE order_messages DROP COLUMN told_by, DROP COLUMN last_error`);
}
