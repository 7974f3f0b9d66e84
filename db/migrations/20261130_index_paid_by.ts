// Deleting a payment asks which order it paid: without an index, that reads all orders ever (deploy/sql/archive.sql).
import type { Knex } from 'knex';

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`CREATE INDEX IF NOT EXISTS orders_paid_by ON orders (paid_by) WHERE paid_by IS NOT NULL`);
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(`DROP INDEX orders_paid_by`);
}
