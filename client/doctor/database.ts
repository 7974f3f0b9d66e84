import { Client as PostgresConnection } from 'pg';
import type { Config } from '../../worker/config';
import type { Database } from '../../db/connect';
import { openDatabase } from '../../db/connect';
import { countTables, findMissingRights, readServer } from '../../db/inspection';
import { pendingMigrations, unknownMigrations } from '../../db/migrator';
import { compareClocks } from './clock';
import type { Settings } from './configuration';
import type { Examination, Found } from './examination';
import { Fault } from './examination';

const CONNECT_MS = 5_000;

const MIGRATE = 'Run: npm run migrate';

/** Postgres: reachable, its clock, the schema, what the user may do there, the migrations. */
export async function examineDatabase(
  exam: Examination,
  { database: config }: Settings,
  now: () => number,
): Promise<void> {
  const db = await exam.check('database', { environment: config }, ({ environment }) => reach(environment));
  await exam.check('database-clock', { database: db }, ({ database }) => compareClock(database, now));
  const schema = await exam.check(
    'schema',
    { database: db, environment: config },
    ({ database, environment }) => findSchema(database, environment.schema),
  );
  const rights = await exam.check('rights', { database: db, schema }, ({ database, schema: name }) =>
    testRights(database, name),
  );
  await exam.check('migrations', { database: db, schema, rights }, ({ database, schema: name }) =>
    testMigrations(database, name),
  );
}

/** The pool would retry for 5 s and then say nothing but "timeout"; one plain connection says why. */
async function reach(config: Config['database']): Promise<Found<Database>> {
  const where = placeOf(config.url);
  const connection = new PostgresConnection({
    connectionString: config.url,
    connectionTimeoutMillis: CONNECT_MS,
    application_name: 'durable-alipay doctor',
  });
  // A connection that breaks later speaks here; without a listener it would end the process.
  connection.on('error', () => undefined);
  try {
    await connection.connect();
  } catch (error) {
    throw unreachable(error, where);
  } finally {
    await connection.end().catch(() => undefined);
  }
  const db = openDatabase({ ...config, maxConnections: 2 });
  try {
    const { version, user } = await readServer(db);
    return { says: `PostgreSQL ${version} at ${where}, as ${user}`, value: db, release: () => db.destroy() };
  } catch (error) {
    await db.destroy();
    throw error;
  }
}

function unreachable(error: unknown, where: string): Fault {
  const { code = '', message } = error as { code?: string; message: string };
  const [says, advice] = meaningOf(code, message, where);
  return new Fault(says, advice, { cause: error });
}

function meaningOf(code: string, message: string, where: string): [says: string, advice: string] {
  switch (code) {
    case 'ECONNREFUSED':
      return [`nothing listens at ${where}`, 'Start Postgres, or mend host and port in DATABASE_URL.'];
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return [`the host of ${where} has no address`, 'Mend the host in DATABASE_URL, or the name server.'];
    case '28P01':
    case '28000':
      return [
        `Postgres at ${where} refuses the user or its password`,
        'Mend user and password in DATABASE_URL.',
      ];
    case '3D000':
      return [`there is no database at ${where}`, 'Create it, or mend its name in DATABASE_URL.'];
    case '53300':
      return [`Postgres at ${where} takes no more connections`, 'Raise max_connections, or end idle ones.'];
    default:
      return [
        `no connection to ${where}: ${code || message}`,
        'Look at DATABASE_URL and at the network in between.',
      ];
  }
}

function placeOf(url: string): string {
  const { hostname, port, pathname } = new URL(url);
  return `${hostname || 'localhost'}:${port || '5432'}${pathname}`;
}

async function compareClock(db: Database, now: () => number): Promise<Found<true>> {
  const before = now();
  const server = await readServer(db);
  return compareClocks("Postgres'", server.now, (before + now()) / 2);
}

async function findSchema(db: Database, schema: string): Promise<Found<string>> {
  const { found, of } = await countTables(db, schema);
  if (found === 0)
    throw new Fault(`schema ${schema} holds none of the tables`, `${MIGRATE}, or mend DATABASE_SCHEMA.`);
  return { says: `schema ${schema} holds ${found} of ${of} tables`, value: schema };
}

async function testRights(db: Database, schema: string): Promise<Found<true>> {
  const missing = await findMissingRights(db, schema);
  if (missing.length === 0) return { says: 'the user may do all that is needed', value: true };
  const { user } = await readServer(db);
  throw new Fault(
    `user ${user} lacks ${missing.join(', ')}`,
    `As the owner: GRANT USAGE ON SCHEMA "${schema}" TO "${user}"; ` +
      `GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA "${schema}" TO "${user}";`,
  );
}

async function testMigrations(db: Database, schema: string): Promise<Found<true>> {
  const pending = await pendingMigrations(db, schema);
  const newer = await unknownMigrations(db, schema);
  if (pending.length === 0 && newer.length > 0) {
    return {
      says: `schema ${schema} is newer than this program: ${newer.join(', ')} is unknown here`,
      advice: 'Fine during a rollout. After it, install the version of durable-alipay that migrated it.',
      value: true,
    };
  }
  if (pending.length === 0) return { says: 'none is pending', value: true };
  throw new Fault(`schema ${schema} lacks ${pending.join(', ')}`, `${MIGRATE}.`);
}
