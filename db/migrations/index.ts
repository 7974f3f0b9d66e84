import type { Knex } from 'knex';
import * as createLedger from './20261124_create_ledger';
import * as resolveUnmatched from './20261124_resolve_unmatched';
import * as knowMoney from './20261129_know_money';
import * as keepEvidence from './20261129_keep_evidence';
import * as addDueTimes from './20261129_add_due_times';
import * as nameMerchants from './20261129_name_merchants';
import * as rememberTemporalStores from './20261129_remember_temporal_stores';

/** Every migration, oldest first. Append only: one that has run anywhere is never edited, renamed or moved. */
const MIGRATIONS: ReadonlyArray<[name: string, migration: Knex.Migration]> = [
  ['20261124_create_ledger', createLedger],
  ['20261124_resolve_unmatched', resolveUnmatched],
  ['20261129_know_money', knowMoney],
  ['20261129_keep_evidence', keepEvidence],
  ['20261129_add_due_times', addDueTimes],
  ['20261129_name_merchants', nameMerchants],
  ['20261129_remember_temporal_stores', rememberTemporalStores],
];

/** Their names, oldest first. */
export const MIGRATION_NAMES: string[] = MIGRATIONS.map(([name]) => name);

type Named = (typeof MIGRATIONS)[number];

/** Names stand in the list, not in file names, so that the built package and the sources count as the same. */
export const migrationSource: Knex.MigrationSource<Named> = {
  getMigrations: () => Promise.resolve([...MIGRATIONS]),
  getMigrationName: ([name]) => name,
  getMigration: ([, migration]) => Promise.resolve(migration),
};

/**
 * The same, with every unqualified name meaning this schema until the migration's transaction ends. Building an index may
 * take as long as it needs; waiting for a table may not, because all who come after it wait with it.
 */
export function migrationsIn(schema: string): Knex.MigrationSource<Named> {
  const within = (act: (knex: Knex) => PromiseLike<unknown>) => async (knex: Knex) => {
    await knex.raw(`SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '5s'`);
    await knex.raw('SET LOCAL search_path TO ??', [schema]);
    await act(knex);
  };
  return {
    ...migrationSource,
    getMigration: ([, { up, down }]) =>
      Promise.resolve({ up: within(up), ...(down && { down: within(down) }) }),
  };
}
