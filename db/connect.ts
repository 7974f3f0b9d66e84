import { createHash } from 'node:crypto';
import knex from 'knex';
import type { Knex } from 'knex';
import { DatabaseError } from 'pg';
import { cancelLateStatements, nameCauseOfTimeouts } from './connection';
import type { Connection, Pool } from './connection';

/** A pool of connections, or one transaction of it. */
export type Database = Knex;

interface DatabaseOptions {
  /** `postgres://…` */
  url: string;
  /** The schema of every table. Default `public`. */
  schema?: string;
  /** The most connections that this process opens. Default 10. */
  maxConnections?: number;
  /** `transaction`: behind a pooler in transaction mode, where a prepared statement may be on another connection. */
  pooler?: 'transaction';
  /** How long one statement may take, ms. 0, for migrations: as long as it needs. Default 12 s. */
  queryTimeoutMs?: number;
}

/** What {@link rows} needs to know about the pool; knex passes its configuration on to each transaction. */
interface Settings {
  schema: string;
  namesStatements: boolean;
}

const CONNECT_MS = 5_000;

/** Longer than connecting may take, whose own error says more. */
const ACQUIRE_MS = CONNECT_MS + 1_000;

/** Longer than the server's own time-outs in {@link transaction}, whose errors say more. */
const QUERY_MS = 12_000;

/**
 * Opens a pool of connections; nothing is connected until the first query. Every wait has an end: 5 s for a connection,
 * 12 s for a statement, which is then cancelled on the server, too.
 *
 * Nothing is set on a session, not even at start-up: a pooler in transaction mode refuses it, or passes it on to
 * another client's next transaction.
 */
export function openDatabase({
  url,
  schema = 'public',
  maxConnections = 10,
  pooler,
  queryTimeoutMs = QUERY_MS,
}: DatabaseOptions): Database {
  const settings: Settings = { schema, namesStatements: pooler !== 'transaction' };
  const abandoned = new WeakSet<Connection>();
  const db = knex({
    client: 'pg',
    connection: {
      connectionString: url,
      application_name: 'durable-alipay',
      connectionTimeoutMillis: CONNECT_MS,
      query_timeout: queryTimeoutMs,
    },
    pool: {
      min: 0,
      max: maxConnections,
      afterCreate: (connection: Connection, done: () => void) => {
        cancelLateStatements(connection, abandoned);
        done();
      },
      validate: (connection: Connection) => !abandoned.has(connection),
    },
    acquireConnectionTimeout: ACQUIRE_MS,
    // Bindings hold buyers' data, and an error's message goes to the log.
    compileSqlOnError: false,
    // knex prints its own stack traces to stderr; every error reaches our log anyway.
    log: { warn: silent, error: silent, deprecate: silent, debug: silent },
    ...settings,
  });
  nameCauseOfTimeouts((db.client as { pool: Pool }).pool);
  return db;
}

const silent = (): void => undefined;

const settingsOf = (db: Database): Settings => (db.client as { config: Settings }).config;

/** A lock 5 s, a statement 10 s, an abandoned transaction 15 s; only until the transaction ends. */
const TIMEOUTS = `
  SET LOCAL lock_timeout = '5s';
  SET LOCAL statement_timeout = '10s';
  SET LOCAL idle_in_transaction_session_timeout = '15s'`;

/**
 * Runs a transaction at READ COMMITTED, whatever the role's default is: at REPEATABLE READ the snapshot is older than
 * the order's lock, and an order was closed without a payment that had been inserted meanwhile.
 */
export function transaction<T>(db: Database, act: (trx: Database) => Promise<T>): Promise<T> {
  return db.transaction(
    async (trx) => {
      await trx.raw(TIMEOUTS);
      return act(trx);
    },
    { isolationLevel: 'read committed' },
  );
}

/** How long a statement of {@link slowTransaction} may take, ms. */
const SLOW_MS = 300_000;

const slow = new WeakSet<Database>();

/** {@link transaction} for what reads whole tables, once a day: each statement may take five minutes. */
export function slowTransaction<T>(db: Database, act: (trx: Database) => Promise<T>): Promise<T> {
  return transaction(db, async (trx) => {
    await trx.raw(`SET LOCAL statement_timeout = ${SLOW_MS}`);
    slow.add(trx);
    return act(trx);
  });
}

/**
 * Reads in one snapshot, which writes nothing and waits for nobody: all statements see the tables at the same moment.
 * Each may take five minutes. JIT compilation takes longer than it saves.
 */
export function snapshot<T>(db: Database, act: (trx: Database) => Promise<T>): Promise<T> {
  return db.transaction(
    async (trx) => {
      await trx.raw(`${TIMEOUTS}; SET LOCAL statement_timeout = ${SLOW_MS}; SET LOCAL jit = off`);
      slow.add(trx);
      return act(trx);
    },
    { isolationLevel: 'repeatable read', readOnly: true },
  );
}

const names = new Map<string, string>();

/**
 * Postgres parses and plans a named statement once for each connection. The name is a hash, so that processes that
 * share a pooler's connections never use one name for different statements.
 */
function nameOf(schema: string, sql: string): string {
  const key = `${schema} ${sql}`;
  const known = names.get(key);
  if (known !== undefined) return known;
  const name = `durable-alipay-${createHash('sha256').update(key).digest('hex').slice(0, 40)}`;
  names.set(key, name);
  return name;
}

/** The rows of one parameterised statement (`:name` bindings; unused ones do no harm). Its tables are written `:schema:.orders`. */
export async function rows<Row>(db: Database, sql: string, bindings: object = {}): Promise<Row[]> {
  try {
    return await run<Row>(db, sql, bindings);
  } catch (error) {
    if (!(error instanceof DatabaseError)) throw error;
    // A role may have a stricter default isolation, at which Postgres refuses what READ COMMITTED makes wait.
    if (error.code === SERIALIZATION_FAILURE && !db.isTransaction) {
      return transaction(db, (trx) => rows<Row>(trx, sql, bindings));
    }
    throw withoutData(error);
  }
}

const SERIALIZATION_FAILURE = '40001';

async function run<Row>(db: Database, sql: string, bindings: object): Promise<Row[]> {
  const { schema, namesStatements } = settingsOf(db);
  const statement = db.raw<{ rows: Row[] }>(sql, { schema, ...bindings } as never);
  const result = await statement.options({
    ...(namesStatements && { name: nameOf(schema, sql) }),
    ...(slow.has(db) && { query_timeout: SLOW_MS }),
  });
  return result.rows;
}

/** Postgres quotes rows and documents in these fields, and errors are logged with all their fields. */
function withoutData(error: DatabaseError): DatabaseError {
  for (const field of ['detail', 'where', 'internalQuery'] as const) error[field] = undefined;
  return error;
}

/** The first row of one parameterised statement, if there is one. */
export async function row<Row>(db: Database, sql: string, bindings?: object): Promise<Row | undefined> {
  return (await rows<Row>(db, sql, bindings))[0];
}

/** The row of one parameterised statement that always returns one. */
export async function oneRow<Row>(db: Database, sql: string, bindings?: object): Promise<Row> {
  const [found] = await rows<Row>(db, sql, bindings);
  if (found === undefined) throw new Error('invariant: this statement always returns a row');
  return found;
}

/** Whether one parameterised statement returns a row: there is one, or it has changed one. */
export async function hasRow(db: Database, sql: string, bindings?: object): Promise<boolean> {
  return (await rows(db, sql, bindings)).length > 0;
}
