import { PLACES } from './places';
import { createDatabase, postgresUrl, query, startPostgres } from './postgres';
import type { Say } from './services';
import { howToChoose } from './settings';
import type { Settings } from './settings';
import type { Supervisor } from './supervisor';
import { connectTemporal } from './temporal-client';
import { findTemporalCli } from './temporal-cli';
import { startTemporal } from './temporal-server';

const DATABASE = 'durable_alipay';

/** Where the servers are, whether they run already or are still to be started. */
export interface Addresses {
  databaseUrl: string;
  temporalAddress: string;
}

export function addressesOf({ external, ports }: Settings): Addresses {
  const own = new URL(postgresUrl(ports.postgres));
  own.pathname = `/${DATABASE}`;
  return {
    databaseUrl: external.database ?? own.href,
    temporalAddress: external.temporal ?? `127.0.0.1:${ports.temporal}`,
  };
}

/** @throws Error when a server that is to be used does not answer: better now than after half has been started */
export async function assertExternalsAnswer({ external }: Settings, env: NodeJS.ProcessEnv): Promise<void> {
  if (external.database) {
    await query(external.database, 'SELECT 1').catch((cause: unknown) => {
      throw new Error(`PostgreSQL, which DATABASE_URL names, does not answer: ${reason(cause)}`, { cause });
    });
  }
  if (external.temporal) {
    const address = external.temporal;
    const client = await connectTemporal(env).catch((cause: unknown) => {
      throw new Error(
        `Temporal at ${address}, which TEMPORAL_ADDRESS names, does not answer: ${reason(cause)}`,
        {
          cause,
        },
      );
    });
    await client.connection.close();
  }
}

/** Starts PostgreSQL and makes the database, unless DATABASE_URL names one. */
export async function providePostgres(settings: Settings, supervisor: Supervisor, say: Say): Promise<void> {
  const { external, ports } = settings;
  if (external.database) {
    say(`PostgreSQL     the one that DATABASE_URL names`);
    return;
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
  say(`PostgreSQL     ${await createDatabase(postgresUrl(ports.postgres), DATABASE)}`);
}

/**
 * The program to start Temporal with, or undefined where TEMPORAL_ADDRESS names a server. To get it may take minutes,
 * in which nothing else needs to run.
 */
export async function provideTemporalCli({ external }: Settings, say: Say): Promise<string | undefined> {
  return external.temporal ? undefined : findTemporalCli({ say });
}

/** Starts Temporal's dev server, unless there is no program to start it with because one runs already. */
export async function provideTemporal(
  { ports, external }: Settings,
  cli: string | undefined,
  supervisor: Supervisor,
  say: Say,
): Promise<void> {
  if (cli === undefined) {
    say(`Temporal       ${external.temporal ?? ''}, which TEMPORAL_ADDRESS names`);
    return;
  }
  const namespace = process.env['TEMPORAL_NAMESPACE'] ?? 'default';
  await supervisor.start({
    name: 'Temporal',
    start: async () => {
      const { service } = await startTemporal({
        cli,
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
  say(`Temporal       127.0.0.1:${ports.temporal}, Web UI http://localhost:${ports.ui}`);
}

function reason(error: unknown): string {
  // pg reports a host with several addresses, all of them dead, as an AggregateError without a message.
  if (error instanceof AggregateError) return error.errors.map(reason).join(', ');
  return error instanceof Error ? error.message : String(error);
}
