// Besides a signal and a webhook, a function of the shop in the worker's own process may take a result.
import type { Knex } from 'knex';

const ways = (names: string): string => `
  ALTER TABLE order_messages DROP CONSTRAINT order_messages_told_by_check;
  ALTER TABLE order_messages ADD CONSTRAINT order_messages_told_by_check CHECK (told_by IN (${names}));`;

export async function up(knex: Knex): Promise<void> {
  await knex.raw(ways("'signal', 'webhook', 'process', 'nobody'"));
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(`
    UPDATE order_messages SET told_by = 'webhook' WHERE told_by = 'process';
    ${ways("'signal', 'webhook', 'nobody'")}
  `);
}
