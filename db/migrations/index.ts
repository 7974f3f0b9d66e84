import type { Knex } from 'knex';
import * as createLedger from './20261124_create_ledger';
import * as resolveUnmatched from './20261124_resolve_unmatched';

/** Every migration, oldest first. Append only: one that has run anywhere is never edited, renamed or moved. */
const MIGRATIONS: ReadonlyArray<[name: string, migration: Knex.Migration]> = [
  ['20261124_create_ledger', createLedger],
  ['20261124_resolve_unmatched', resolveUnmatched],
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
