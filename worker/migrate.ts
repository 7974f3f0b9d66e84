import { DatabaseError } from 'pg';
import { readConfig } from './config';
import { PaymentError } from '../workflows/errors';
import { openDatabase } from '../db/connect';
import { databaseError } from '../db/faults';
import { assertIndexesWhole, migrateUp } from '../db/migrator';
import { inWords } from './redact';

/** `durable-alipay migrate`: brings the database to the newest state; the environment is its only input. */
async function main(): Promise<void> {
  const { database } = readConfig(process.env, { needs: ['database'] });
  const db = openDatabase({ ...database, queryTimeoutMs: 0 });
  try {
    const done = await migrateUp(db, database.schema);
    const what = done.length === 0 ? 'nothing to do' : done.join(', ');
    process.stdout.write(`migrated schema ${database.schema}: ${what}\n`);
    await assertIndexesWhole(db, database.schema);
  } finally {
    await db.destroy();
  }
}

main().catch((error: unknown) => {
  const known = error instanceof PaymentError ? error : databaseError(error);
  // A statement that fails is explained best by Postgres itself.
  const cause = known?.cause instanceof DatabaseError ? `\n${known.cause.message}` : '';
  process.stderr.write(`migration failed: ${inWords(known ?? error)}${cause}\n`);
  process.exitCode = 1;
});
