import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openDatabase } from '../../db/connect';
import { migrateUp } from '../../db/migrator';
import { freePorts } from './free-ports';
import { createDatabase, startPostgres } from '../../dev/postgres';
import { removePostgresData } from '../../dev/postgres-home';
import { stopServices } from '../../dev/services';
import { findTemporalCli } from '../../dev/temporal-cli';
import { startTemporal } from '../../dev/temporal-server';
import { allNamespaces } from './namespaces';

// The servers of one test run, in their own process: it ends them when its standard input closes, which happens however
// the test run ends, even by Ctrl-C or kill -9. Its first line of output says where the servers are.

/** What the test run learns about its servers. */
export interface RunningServers {
  /** PostgreSQL as superuser. */
  adminUrl: string;
  /** The database with all tables, to be copied. */
  template: string;
  temporalAddress: string;
  /** Its Web UI. */
  webUi: string;
  temporalCli: string;
}

const say = (line: string): boolean => process.stderr.write(`${line}\n`);

// Whoever reads this may be gone; ending the servers matters more than reporting it.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);

async function run(): Promise<void> {
  const temporalCli = await findTemporalCli({ say });
  const folder = mkdtempSync(join(tmpdir(), 'durable-alipay-test-'));
  // PostgreSQL's system user must be able to enter.
  chmodSync(folder, 0o755);
  const inputClosed = new Promise<void>((resolve) => {
    process.stdin.once('close', resolve).resume();
    process.once('SIGTERM', resolve).once('SIGINT', resolve);
  });

  const starting = start(temporalCli, folder);
  try {
    const servers = await Promise.race([starting, inputClosed]);
    if (servers) process.stdout.write(`${JSON.stringify(servers)}\n`);
    await inputClosed;
  } finally {
    await stopServices();
    await starting.catch(() => undefined);
    removePostgresData(dataDirIn(folder));
    rmSync(folder, { recursive: true, force: true });
  }
}

async function start(temporalCli: string, folder: string): Promise<RunningServers> {
  const [postgresPort = 0, temporalPort = 0, uiPort = 0] = await freePorts(3);
  const [postgres] = await Promise.all([
    startPostgres({ dataDir: dataDirIn(folder), port: postgresPort, durable: false, say }),
    startTemporal({
      cli: temporalCli,
      port: temporalPort,
      uiPort,
      namespaces: allNamespaces(),
      logFile: join(folder, 'temporal.log'),
    }),
  ]);
  const template = 'migrated';
  const database = openDatabase({ url: await createDatabase(postgres.url, template) });
  try {
    await migrateUp(database);
  } finally {
    await database.destroy();
  }
  return {
    adminUrl: postgres.url,
    template,
    temporalAddress: `127.0.0.1:${temporalPort}`,
    webUi: `http://127.0.0.1:${uiPort}`,
    temporalCli,
  };
}

const dataDirIn = (folder: string): string => join(folder, 'postgres');

run().then(
  () => process.exit(0),
  (error: unknown) => {
    say(error instanceof Error ? (error.stack ?? error.message) : String(error));
    process.exit(1);
  },
);
