import type { Config } from '../../worker/config';
import type { Database } from '../../db/connect';
import { openDatabase } from '../../db/connect';
import { databaseFault } from '../../db/faults';
import {
  countTables,
  findBrokenIndexes,
  findMissingRights,
  readIsolation,
  readServer,
} from '../../db/inspection';
import { listPauses } from '../../db/pauses';
import { lackOf, pendingMigrations, unknownMigrations } from '../../db/migrator';
import { countRecentlyTold, findOwed } from '../../db/order-messages';
import { pauseInWords, resumeCommand } from '../pauses';
import { compareClocks } from './clock';
import type { Settings } from './configuration';
import type { Examination, Found } from './examination';
import { Fault } from './examination';

const MIGRATE = 'Run: durable-alipay migrate';

/**
 * Postgres: reachable, its clock, the transaction isolation, the schema, what the user may do there, the migrations.
 *
 * @returns the database, if it has all its tables
 */
export async function examineDatabase(
  exam: Examination,
  { database: config }: Settings,
  now: () => number,
): Promise<Database | undefined> {
  const db = await exam.check('database', { environment: config }, ({ environment }) => reach(environment));
  await exam.check('database-clock', { database: db }, ({ database }) => compareClock(database, now));
  await exam.check('isolation', { database: db }, ({ database }) => testIsolation(database));
  const schema = await exam.check(
    'schema',
    { database: db, environment: config },
    ({ database, environment }) => findSchema(database, environment.schema),
  );
  const rights = await exam.check('rights', { database: db, schema }, ({ database, schema: name }) =>
    testRights(database, name),
  );
  const migrated = await exam.check(
    'migrations',
    { database: db, schema, rights },
    ({ database, schema: name }) => testMigrations(database, name),
  );
  await exam.check('results', { database: migrated && db }, ({ database }) => testResults(database));
  await exam.check('pauses', { database: migrated && db }, ({ database }) => testPauses(database));
  return migrated && db;
}

async function reach(config: Config['database']): Promise<Found<Database>> {
  const db = openDatabase({ ...config, maxConnections: 2 });
  const another = openDatabase({ ...config, maxConnections: 1 });
  try {
    const { version, user } = await readServer(db);
    // A pooler in transaction mode gives it the first one's connection, where the name of the statement is taken.
    await readServer(another);
    const says = `PostgreSQL ${version} at ${placeOf(config.url)}, as ${user}`;
    return { says, value: db, release: () => db.destroy() };
  } catch (error) {
    await db.destroy();
    throw explained(error, config.url);
  } finally {
    await another.destroy();
  }
}

function explained(error: unknown, url: string): unknown {
  const fault = databaseFault(error);
  if (!fault) return error;
  const { what, code, todo } = fault;
  return new Fault(`${what} (${[placeOf(url), code].filter(Boolean).join(', ')})`, todo, { cause: error });
}

function placeOf(url: string): string {
  const { hostname, port, pathname } = new URL(url);
  return `${hostname || 'localhost'}:${port || '5432'}${pathname}`;
}

async function compareClock(db: Database, now: () => number): Promise<Found> {
  const before = now();
  const server = await readServer(db);
  return compareClocks("Postgres'", server.now, (before + now()) / 2);
}

async function testIsolation(db: Database): Promise<Found> {
  const { byDefault, inTransaction } = await readIsolation(db);
  if (inTransaction !== 'read committed') {
    throw new Fault(
      `transactions run at ${inTransaction}, although each begins with READ COMMITTED`,
      'Point DATABASE_URL at Postgres, with no proxy in between that changes BEGIN: an order could be closed while it is paid.',
    );
  }
  if (byDefault === 'read committed') return { says: 'READ COMMITTED' };
  const { user } = await readServer(db);
  return {
    says: `READ COMMITTED in transactions, but the default of user ${user} is ${byDefault}`,
    advice: `Run: ALTER ROLE "${user}" SET default_transaction_isolation = 'read committed'. Until then, conflicting statements run twice.`,
  };
}

async function findSchema(db: Database, schema: string): Promise<Found<string>> {
  const { found, of } = await countTables(db, schema);
  if (found === 0)
    throw new Fault(
      `schema ${schema} holds none of the tables`,
      `${MIGRATE}, or set the right DATABASE_SCHEMA.`,
    );
  return { says: `schema ${schema} holds ${found} of ${of} tables`, value: schema };
}

async function testRights(db: Database, schema: string): Promise<Found> {
  const missing = await findMissingRights(db, schema);
  if (missing.length === 0) return { says: 'the user has all the rights it needs' };
  const { user } = await readServer(db);
  throw new Fault(
    `user ${user} lacks ${missing.join(', ')}`,
    `As the owner: GRANT USAGE ON SCHEMA "${schema}" TO "${user}"; ` +
      `GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA "${schema}" TO "${user}";`,
  );
}

/** Whether the order service takes the results that it is told. */
async function testResults(db: Database): Promise<Found> {
  const { count, lastError } = await findOwed(db);
  if (count === 0) return judgeTold(await countRecentlyTold(db));
  return {
    says: `undelivered results: ${count}${lastError === null ? '' : `. ${lastError}`}`,
    advice: 'See: durable-alipay order undelivered; docs/shop.md explains each fault.',
  };
}

/** A worker without `onResult` or ORDER_SERVICE_URL signals a workflow; a shop that takes results directly has none. */
function judgeTold(told: Awaited<ReturnType<typeof countRecentlyTold>>): Found {
  if (told.length < 2) return { says: 'no undelivered results' };
  return {
    says: `results were told in different ways in the last 10 minutes: ${told.map(({ by, count }) => `${count} by ${by}`).join(', ')}`,
    advice:
      'Unless you have just changed it, give each worker the same ORDER_SERVICE_URL or onResult. To send misdirected results again: ' +
      'durable-alipay order resend <orderId> --reason "…"',
  };
}

/** What somebody has paused, and may have forgotten. */
async function testPauses(db: Database): Promise<Found> {
  const pauses = await listPauses(db);
  if (pauses.length === 0) return { says: 'nothing is paused' };
  const each = pauses.map(
    (pause) =>
      `${pauseInWords(pause)}, since ${pause.since.toISOString()} by ${pause.actor} (${pause.reason})`,
  );
  return {
    says: `paused: ${each.join('; ')}`,
    advice: `Once the cause is fixed: ${pauses.map(resumeCommand).join('; ')}`,
  };
}

async function testMigrations(db: Database, schema: string): Promise<Found> {
  const pending = await pendingMigrations(db, schema);
  const [broken] = await findBrokenIndexes(db, schema);
  const newer = await unknownMigrations(db, schema);
  if (pending.length === 0 && newer.length > 0) {
    return {
      says: `schema ${schema} is newer than this program: ${newer.join(', ')} is unknown here`,
      advice: 'Fine during a rollout. After it, install the version of durable-alipay that migrated it.',
    };
  }
  if (pending.length === 0 && broken) return { says: broken.says, advice: broken.todo };
  if (pending.length === 0) return { says: 'none pending' };
  throw new Fault(lackOf(`schema ${schema}`, pending), `${MIGRATE}.`);
}
