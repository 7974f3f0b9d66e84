import knex from 'knex';
import type { Knex } from 'knex';

/** A pool of connections, or one transaction of it. */
export type Database = Knex;

export interface DatabaseOptions {
  /** `postgres://…` */
  url: string;
  /** Every table lives in this schema. Default `public`. */
  schema?: string;
  /** The most connections that this process opens. Default 10. */
  maxConnections?: number;
}

/**
 * Opens a pool of connections; nothing is connected until the first query. Every wait has an end: for a connection
 * 5 s, for a lock 5 s, for a statement 10 s, for an abandoned transaction 15 s.
 */
export function openDatabase({ url, schema = 'public', maxConnections = 10 }: DatabaseOptions): Database {
  return knex({
    client: 'pg',
    connection: {
      connectionString: url,
      application_name: 'durable-alipay',
      connectionTimeoutMillis: 5_000,
      statement_timeout: 10_000,
      options: '-c lock_timeout=5s',
      idle_in_transaction_session_timeout: 15_000,
    },
    searchPath: [schema],
    pool: { min: 0, max: maxConnections, propagateCreateError: false },
    acquireConnectionTimeout: 5_000,
    // knex prints stacks of its own to stderr; every error reaches a log of ours anyway.
    log: { warn: silent, error: silent, deprecate: silent, debug: silent },
  });
}

const silent = (): void => undefined;

/**
 * Each statement's text has one name in this process, by which Postgres parses and plans it once for each connection
 * and not at every call.
 */
const names = new Map<string, string>();

function nameOf(sql: string): string {
  const known = names.get(sql);
  if (known !== undefined) return known;
  const name = `durable-alipay-${names.size + 1}`;
  names.set(sql, name);
  return name;
}

/** The rows of one parameterised statement (`:name` bindings). */
export async function rows<Row>(
  db: Database,
  sql: string,
  bindings: Record<string, unknown> = {},
): Promise<Row[]> {
  const result = await db.raw<{ rows: Row[] }>(sql, bindings as never).options({ name: nameOf(sql) });
  return result.rows;
}

/** The first row of one parameterised statement, if there is one. */
export async function row<Row>(
  db: Database,
  sql: string,
  bindings: Record<string, unknown> = {},
): Promise<Row | undefined> {
  return (await rows<Row>(db, sql, bindings))[0];
}
