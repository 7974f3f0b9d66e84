import { readConfig } from '../worker/config';
import { openDatabase } from './connect';
import { migrateUp } from './migrator';

/** `npm run migrate`: brings the database to the newest state, by environment alone. */
async function main(): Promise<void> {
  const { database } = readConfig(process.env, { needs: ['database'] });
  const db = openDatabase(database);
  try {
    const done = await migrateUp(db, database.schema);
    const what = done.length === 0 ? 'nothing to do' : done.join(', ');
    process.stdout.write(`migrated schema ${database.schema}: ${what}\n`);
  } finally {
    await db.destroy();
  }
}

main().catch((error: unknown) => {
  process.stderr.write(`migration failed: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
});
