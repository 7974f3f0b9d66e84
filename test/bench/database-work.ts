import { setTimeout as sleep } from 'node:timers/promises';
import { query } from '../../dev/postgres';

/** What a PostgreSQL instance has done since it started. */
export interface DatabaseWork {
  /** When this was read, in seconds. */
  at: number;
  commits: number;
  /** Rows inserted, updated and deleted. */
  rowsWritten: number;
  walBytes: number;
  /** Size of the named databases, with their indexes. */
  bytes: number;
  connections: number;
}

/** An idle PostgreSQL session adds what it did to the statistics after ten seconds. */
const FLUSHED_AFTER_MS = 11_000;

/** Reads the statistics once they are complete, which takes eleven seconds. */
export async function databaseWork(adminUrl: string, databases: readonly string[]): Promise<DatabaseWork> {
  await sleep(FLUSHED_AFTER_MS);
  const [work] = await query<DatabaseWork>(
    adminUrl,
    `SELECT EXTRACT(EPOCH FROM clock_timestamp())::float8 AS at, sum(xact_commit)::float8 AS commits,
       sum(tup_inserted + tup_updated + tup_deleted)::float8 AS "rowsWritten",
       (SELECT wal_bytes::float8 FROM pg_stat_wal) AS "walBytes",
       sum(pg_database_size(datname))::float8 AS bytes,
       (SELECT count(*)::int FROM pg_stat_activity WHERE datname = ANY($1)) AS connections
     FROM pg_stat_database WHERE datname = ANY($1)`,
    [databases],
  );
  if (!work) throw new Error(`No statistics of ${databases.join(', ')}`);
  return work;
}

type Amounts = Record<'commits' | 'rowsWritten' | 'walBytes' | 'bytes', number>;

/** What was done between two readings, per item of `count`, without what is done every second anyway. */
export function workPer(
  count: number,
  before: DatabaseWork,
  after: DatabaseWork,
  idlePerSecond: Amounts,
): Amounts {
  const seconds = after.at - before.at;
  return eachAmount((of) => (of(after) - of(before) - of(idlePerSecond) * seconds) / count);
}

/** What was done per second between two readings. */
export const workPerSecond = (before: DatabaseWork, after: DatabaseWork): Amounts =>
  eachAmount((of) => (of(after) - of(before)) / (after.at - before.at));

const eachAmount = (amount: (of: (work: Amounts) => number) => number): Amounts => ({
  commits: amount(({ commits }) => commits),
  rowsWritten: amount(({ rowsWritten }) => rowsWritten),
  walBytes: amount(({ walBytes }) => walBytes),
  bytes: amount(({ bytes }) => bytes),
});
