import { readConfig } from '../worker/config';
import { PaymentError } from '../workflows/errors';
import type { Database } from './connect';
import { openDatabase } from './connect';
import { migrateUp } from './migrator';

/** `npm run migrate`: brings the database to the newest state, by environment alone. */
async function main(): Promise<void> {
  const { database } = readConfig(process.env, { needs: ['database'] });
  const db = openDatabase(database);
  try {
    await reach(db);
    const done = await migrateUp(db, database.schema);
    const what = done.length === 0 ? 'nothing to do' : done.join(', ');
    process.stdout.write(`migrated schema ${database.schema}: ${what}\n`);
  } finally {
    await db.destroy();
  }
}

/** @throws PaymentError DATABASE_UNAVAILABLE */
async function reach(db: Database): Promise<void> {
  try {
    await db.raw('SELECT 1');
  } catch (cause) {
    throw new PaymentError(
      'DATABASE_UNAVAILABLE',
      'Postgres does not answer. Start it, or set DATABASE_URL.',
      { cause },
    );
  }
}

main().catch((error: unknown) => {
  const text = error instanceof PaymentError ? `${error.code}: ${error.message}` : String(error);
  process.stderr.write(`migration failed: ${text}\n`);
  process.exitCode = 1;
});
