// Each bill asks which money moved on its day: without an index, that reads every payment and refund there ever was.
import type { Knex } from 'knex';

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    CREATE INDEX payments_paid ON payments (callback_time) WHERE paid_amount IS NOT NULL;
    CREATE INDEX refunds_done ON refunds (done_at) WHERE status = 'DONE';
  `);
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(`DROP INDEX payments_paid, refunds_done`);
}
