import { Client, Connection } from '@temporalio/client';
import { inWords } from '../worker/log';
import { readTemporalConfig } from '../worker/temporal-config';
import { TASK_QUEUES } from '../workflows/messages';
import { PLACES, ROOT } from './places';
import { createDatabase, query, startPostgres } from './postgres';
import { startService } from './services';
import type { Say, Service, ServiceSpec } from './services';
import { DATABASE } from './settings';
import type { Settings } from './settings';
import { runStep } from './steps';
import { findTemporalCli } from './temporal-cli';
import { startTemporal } from './temporal-server';

// The parts of the environment, each started as in production: two servers, then our own processes.

/** @throws Error if an external server does not respond, before anything has been started */
export async function assertExternalsAnswer({ external }: Settings, env: NodeJS.ProcessEnv): Promise<void> {
  const fail = (what: string) => (cause: unknown) => {
    throw new Error(`${what} does not respond: ${inWords(cause)}`, { cause });
  };
  const { database, temporal } = external;
  if (database) await query(database, 'SELECT 1').catch(fail('PostgreSQL at DATABASE_URL'));
  if (!temporal) return;
  const client = await connectTemporal(env).catch(fail(`Temporal at TEMPORAL_ADDRESS, ${temporal},`));
  await client.connection.close();
}

/** Starts PostgreSQL and Temporal's dev server, unless existing ones are used. */
export async function startServers({ external, ports, namespace }: Settings, say: Say): Promise<void> {
  // Getting the program may take minutes, so nothing else starts before.
  const cli = external.temporal ? undefined : await findTemporalCli({ say });
  if (external.database) say('PostgreSQL     at DATABASE_URL');
  else {
    const postgres = await startPostgres({
      dataDir: PLACES.postgres,
      port: ports.postgres,
      logFile: PLACES.log('postgres'),
      say,
    });
    say(`PostgreSQL     ${await createDatabase(postgres.url, DATABASE)}`);
  }
  if (cli === undefined) {
    say(`Temporal       ${external.temporal ?? ''}, from TEMPORAL_ADDRESS`);
    return;
  }
  await startTemporal({
    cli,
    port: ports.temporal,
    uiPort: ports.ui,
    dbFile: PLACES.temporalDb,
    namespaces: namespace === 'default' ? [] : [namespace],
    logFile: PLACES.log('temporal'),
  });
  say(`Temporal       127.0.0.1:${ports.temporal}, Web UI http://localhost:${ports.ui}`);
}

/** Starts sandbox, worker and HTTP server, each like `npm run <name>`. */
export async function startApplication({ ports, external, worker }: Settings, env: NodeJS.ProcessEnv) {
  const start = (name: string, args: string[], ready: ServiceSpec['ready'], own = env): Promise<Service> =>
    // A worker finishes the tasks that it has begun.
    startService({ name, ...program(args, own), logFile: PLACES.log(name), graceMs: 20_000, ready });

  if (!external.gateway) await start('sandbox', ['sandbox/main.ts'], () => listens(ports.sandbox));
  if (worker) {
    // The demo has no order service of its own.
    const args = ['worker/main.ts', '--queues', Object.values(TASK_QUEUES).join()];
    const temporal = await connectTemporal(env);
    await start('worker', args, (service) => polls(service, temporal));
    await temporal.connection.close();
  }
  // Two processes cannot share one METRICS_ADDRESS: the worker gets it.
  const serverEnv = { ...env, METRICS_ADDRESS: undefined };
  await start('server', ['client/server.ts'], () => listens(ports.server), serverEnv);
}

/** Runs a program of this repository that ends by itself. */
export const runProgram = (what: string, args: string[], env: NodeJS.ProcessEnv): Promise<string> =>
  runStep({ what, ...program(args, env), timeoutMs: 120_000 });

const program = (args: string[], env: NodeJS.ProcessEnv) => ({
  command: process.execPath,
  args: ['--import', 'tsx', ...args],
  cwd: ROOT,
  env,
});

/** Connects like every part of the application, with the TEMPORAL_* variables of `env`. */
async function connectTemporal(env: NodeJS.ProcessEnv): Promise<Client> {
  const { connectionOptions, namespace } = readTemporalConfig(env);
  return new Client({ connection: await Connection.connect(connectionOptions), namespace });
}

async function listens(port: number): Promise<void> {
  const url = `http://127.0.0.1:${port}/healthz`;
  const { ok, status } = await fetch(url, { signal: AbortSignal.timeout(5000) });
  if (!ok) throw new Error(`HTTP ${status}`);
}

/** A worker has no port: it is ready once the server has seen it poll. Its identity begins with its pid. */
async function polls({ pid }: Service, { workflowService, options: { namespace } }: Client): Promise<void> {
  const { pollers } = await workflowService.describeTaskQueue({
    namespace,
    taskQueue: { name: TASK_QUEUES.payments },
  });
  if (!pollers.some(({ identity }) => identity?.startsWith(`${pid}@`))) throw new Error('no poller yet');
}
