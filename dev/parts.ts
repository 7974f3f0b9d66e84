import { Client, Connection } from '@temporalio/client';
import { readTemporalConfig } from '../worker/temporal-config';
import { TASK_QUEUES } from '../workflows/messages';
import { PLACES, ROOT } from './places';
import { createDatabase, postgresUrl, query, startPostgres } from './postgres';
import { startService, untilReady } from './services';
import type { Say, Service } from './services';
import { DATABASE } from './settings';
import type { Settings } from './settings';
import { findTemporalCli } from './temporal-cli';
import { startTemporal } from './temporal-server';

// The parts of the environment, each started as production would start it: two servers, then our own processes.

/** @throws Error when a server to use does not answer, before anything has been started */
export async function assertExternalsAnswer({ external }: Settings, env: NodeJS.ProcessEnv): Promise<void> {
  const fail = (what: string) => (cause: unknown) => {
    throw new Error(`${what} does not answer: ${reason(cause)}`, { cause });
  };
  if (external.database) await query(external.database, 'SELECT 1').catch(fail('PostgreSQL at DATABASE_URL'));
  if (external.temporal) {
    const client = await connectTemporal(env).catch(
      fail(`Temporal at TEMPORAL_ADDRESS, ${external.temporal},`),
    );
    await client.connection.close();
  }
}

/** Starts PostgreSQL and Temporal's dev server, except where an existing one is to be used. */
export async function startServers(
  { external, ports }: Settings,
  watch: (service: Service) => void,
  say: Say,
): Promise<void> {
  // Getting the program may take minutes, so nothing else is started before.
  const cli = external.temporal ? undefined : await findTemporalCli({ say });
  if (external.database) say('PostgreSQL     at DATABASE_URL');
  else {
    const { service } = await startPostgres({
      dataDir: PLACES.postgres,
      port: ports.postgres,
      logFile: PLACES.log('postgres'),
      say,
    });
    watch(service);
    say(`PostgreSQL     ${await createDatabase(postgresUrl(ports.postgres), DATABASE)}`);
  }
  if (cli === undefined) {
    say(`Temporal       ${external.temporal ?? ''}, from TEMPORAL_ADDRESS`);
    return;
  }
  const namespace = process.env['TEMPORAL_NAMESPACE'] ?? 'default';
  const { service } = await startTemporal({
    cli,
    port: ports.temporal,
    uiPort: ports.ui,
    dbFile: PLACES.temporalDb,
    namespaces: namespace === 'default' ? [] : [namespace],
    logFile: PLACES.log('temporal'),
  });
  watch(service);
  say(`Temporal       127.0.0.1:${ports.temporal}, Web UI http://localhost:${ports.ui}`);
}

/** Connects as every part of the application does, by the TEMPORAL_* variables of `env`. */
async function connectTemporal(env: NodeJS.ProcessEnv): Promise<Client> {
  const { connectionOptions, namespace } = readTemporalConfig(env);
  return new Client({ connection: await Connection.connect(connectionOptions), namespace });
}

/** Starts sandbox, worker and HTTP server, each as `npm run <name>` does. */
export async function startApplication(
  { ports, external, worker }: Settings,
  env: NodeJS.ProcessEnv,
  watch: (service: Service) => void,
): Promise<void> {
  const listening = async (
    name: 'sandbox' | 'server',
    file: string,
    own: NodeJS.ProcessEnv,
  ): Promise<void> => {
    const service = await run(name, [file], own);
    watch(service);
    await untilReady(service, async () => {
      const url = `http://127.0.0.1:${ports[name]}/healthz`;
      const { ok, status } = await fetch(url, { signal: AbortSignal.timeout(5000) });
      if (!ok) throw new Error(`HTTP ${status}`);
    });
  };
  if (!external.gateway) await listening('sandbox', 'sandbox/main.ts', env);
  if (worker) await startWorker(env, watch);
  // One METRICS_ADDRESS cannot be two processes': it is the worker's.
  await listening('server', 'client/server.ts', { ...env, METRICS_ADDRESS: undefined });
}

async function startWorker(env: NodeJS.ProcessEnv, watch: (service: Service) => void): Promise<void> {
  // The demo has no order service of its own.
  const worker = await run('worker', ['worker/main.ts', '--queues', Object.values(TASK_QUEUES).join()], env);
  watch(worker);
  const temporal = await connectTemporal(env);
  await untilReady(worker, () => polls(worker, temporal));
  await temporal.connection.close();
}

const run = (name: string, args: string[], env: NodeJS.ProcessEnv): Promise<Service> =>
  startService({
    name,
    command: process.execPath,
    args: ['--import', 'tsx', ...args],
    cwd: ROOT,
    env,
    logFile: PLACES.log(name),
    // A worker finishes the tasks it has begun.
    graceMs: 20_000,
  });

/** A worker has no port: it is ready when the server has seen it ask for work. Its identity begins with its pid. */
async function polls({ pid }: Service, { workflowService, options: { namespace } }: Client): Promise<void> {
  const { pollers } = await workflowService.describeTaskQueue({
    namespace,
    taskQueue: { name: TASK_QUEUES.payments },
  });
  if (!pollers.some(({ identity }) => identity?.startsWith(`${pid}@`))) throw new Error('no poller yet');
}

function reason(error: unknown): string {
  // pg reports a host with several addresses, all of them dead, as an AggregateError without a message.
  if (error instanceof AggregateError) return error.errors.map(reason).join(', ');
  return error instanceof Error ? error.message : String(error);
}
