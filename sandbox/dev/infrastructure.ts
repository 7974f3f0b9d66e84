import { PLACES } from './places';
import { createDatabase, postgresUrl, startPostgres } from './postgres';
import type { Say } from './services';
import { howToChoose } from './settings';
import type { Settings } from './settings';
import type { Supervisor } from './supervisor';
import { findTemporalCli } from './temporal-cli';
import { startTemporal } from './temporal-server';

const DATABASE = 'durable_alipay';

/** Starts PostgreSQL, or takes the one that DATABASE_URL names; resolves with the database's url. */
export async function providePostgres(settings: Settings, supervisor: Supervisor, say: Say): Promise<string> {
  const { external, ports } = settings;
  if (external.database) {
    say(`PostgreSQL     the one that DATABASE_URL names`);
    return external.database;
  }
  await supervisor.start({
    name: 'PostgreSQL',
    start: async () => {
      const { service } = await startPostgres({
        dataDir: PLACES.postgres,
        port: ports.postgres,
        logFile: PLACES.log('postgres'),
        choosePort: howToChoose('postgres'),
        say,
      });
      return service;
    },
  });
  const url = await createDatabase(postgresUrl(ports.postgres), DATABASE);
  say(`PostgreSQL     ${url}`);
  return url;
}

/** The server that runs already, or the program to start one with. */
export type TemporalChoice = { address: string } | { cli: string };

/** First of all, because to get the program may take minutes, and nothing else needs to run meanwhile. */
export async function chooseTemporal({ external }: Settings, say: Say): Promise<TemporalChoice> {
  return external.temporal ? { address: external.temporal } : { cli: await findTemporalCli({ say }) };
}

/** Starts Temporal's dev server, or takes the one that was chosen; resolves with its address. */
export async function provideTemporal(
  { ports }: Settings,
  choice: TemporalChoice,
  supervisor: Supervisor,
  say: Say,
): Promise<string> {
  if ('address' in choice) {
    say(`Temporal       ${choice.address}, which TEMPORAL_ADDRESS names`);
    return choice.address;
  }
  const namespace = process.env['TEMPORAL_NAMESPACE'] ?? 'default';
  await supervisor.start({
    name: 'Temporal',
    start: async () => {
      const { service } = await startTemporal({
        cli: choice.cli,
        port: ports.temporal,
        uiPort: ports.ui,
        dbFile: PLACES.temporalDb,
        namespaces: namespace === 'default' ? [] : [namespace],
        logFile: PLACES.log('temporal'),
        choosePort: { server: howToChoose('temporal'), ui: howToChoose('ui') },
      });
      return service;
    },
  });
  const address = `127.0.0.1:${ports.temporal}`;
  say(`Temporal       ${address}, Web UI http://localhost:${ports.ui}`);
  return address;
}
