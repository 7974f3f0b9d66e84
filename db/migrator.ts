import type { Knex } from 'knex';
import { PaymentError } from '../workflows/errors';
import { hasRow, rows } from './connect';
import type { Database } from './connect';
import { findBrokenIndexes } from './inspection';
import { MIGRATION_NAMES, migrationsIn } from './migrations';

const config = (schema: string): Knex.MigratorConfig => ({
  migrationSource: migrationsIn(schema),
  schemaName: schema,
  tableName: 'durable_alipay_migrations',
  // An older worker keeps running on a newer schema (expand, then contract), so unknown migrations are not an error.
  disableMigrationsListValidation: true,
});

/** Any number will do; it only has to be the same for every process that migrates. */
const MIGRATION_LOCK = 7_201_226;

/** A role or a database may set some by default. */
const NO_TIMEOUTS = `
  SET LOCAL idle_in_transaction_session_timeout = 0;
  SET LOCAL statement_timeout = 0;
  SET LOCAL lock_timeout = 0`;

/**
 * Brings the schema to the newest state; returns the names of the migrations that ran. Several processes may do so at
 * once: the advisory lock makes them take turns; knex's own lock would make all but one fail.
 *
 * @param db - opened with `queryTimeoutMs: 0`, or an index that takes long to build is cancelled
 */
export async function migrateUp(db: Database, schema = 'public'): Promise<string[]> {
  return db.transaction(async (lock) => {
    await lock.raw(NO_TIMEOUTS);
    await lock.raw('SELECT pg_advisory_xact_lock(?)', [MIGRATION_LOCK]);
    await createSchema(db, schema);
    const done: string[] = [];
    // One by one, each in its own transaction: in a shared one, what the first locks stays locked while the last builds an index.
    for (;;) {
      const [, [name]] = (await db.migrate.up(config(schema))) as [number, string[]];
      if (name === undefined) return done;
      done.push(name);
    }
  });
}

/**
 * Migrations accept an index that was created by hand as it is.
 *
 * @throws PaymentError CONFIG_INVALID if one is invalid
 */
export async function assertIndexesWhole(db: Database, schema: string): Promise<void> {
  const [broken] = await findBrokenIndexes(db, schema);
  if (broken) throw new PaymentError('CONFIG_INVALID', `${broken.says}. ${broken.todo}`);
}

/** Reverts every migration; returns their names. All data is lost. */
export async function migrateDown(db: Database, schema: string): Promise<string[]> {
  const [, names] = (await db.migrate.rollback(config(schema), true)) as [number, string[]];
  return names;
}

export async function pendingMigrations(db: Database, schema: string): Promise<string[]> {
  // In a schema that does not exist yet, knex would fail to create its own tables.
  if (!(await schemaExists(db, schema))) return MIGRATION_NAMES;
  const [, pending] = (await db.migrate.list(config(schema))) as [unknown[], Array<[string, unknown]>];
  return pending.map(([name]) => name);
}

/** Says that migrations are pending: the first of them is enough to tell an empty schema from an old one. */
export function lackOf(schema: string, pending: readonly string[]): string {
  const [first = ''] = pending;
  return `${schema} lacks ${pending.length === 1 ? `migration ${first}` : `${pending.length} migrations, from ${first} on`}`;
}

/**
 * For callers that ask every second: one statement that writes nothing; knex would create its tables.
 *
 * @throws PaymentError CONFIG_INVALID if a migration is pending
 */
export async function assertMigrated(db: Database): Promise<void> {
  const done = await rows<{ name: string }>(db, 'SELECT name FROM :schema:.durable_alipay_migrations');
  const names = new Set(done.map(({ name }) => name));
  const pending = MIGRATION_NAMES.filter((name) => !names.has(name));
  if (pending.length === 0) return;
  throw new PaymentError('CONFIG_INVALID', `${lackOf('The schema', pending)}. Run: durable-alipay migrate`);
}

/** Names of the migrations that the database has and this code does not know: a newer version has migrated it. */
export async function unknownMigrations(db: Database, schema: string): Promise<string[]> {
  const [done] = (await db.migrate.list(config(schema))) as [Array<{ name: string }>, unknown];
  return done.map(({ name }) => name).filter((name) => !MIGRATION_NAMES.includes(name));
}

/** Asked first, because CREATE SCHEMA IF NOT EXISTS requires the right to create even if there is nothing to do. */
async function createSchema(db: Database, schema: string): Promise<void> {
  if (!(await schemaExists(db, schema))) await db.raw('CREATE SCHEMA IF NOT EXISTS ??', [schema]);
}

const schemaExists = (db: Database, schema: string): Promise<boolean> =>
  hasRow(db, 'SELECT 1 FROM pg_namespace WHERE nspname = :schema', { schema });
