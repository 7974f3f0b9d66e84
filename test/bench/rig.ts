import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Client, Connection } from '@temporalio/client';
import { pino } from 'pino';
import { PaymentClient } from '../../client/payment-client';
import type { Database } from '../../db/connect';
import { openDatabase } from '../../db/connect';
import { migrateUp } from '../../db/migrator';
import { connectControl } from '../../sandbox';
import type { SandboxControl } from '../../sandbox';
import { ROOT } from '../../dev/places';
import { freePorts } from '../support/free-ports';
import { createDatabase, startPostgres } from '../../dev/postgres';
import { removePostgresData } from '../../dev/postgres-home';
import { startService, untilReady } from '../../dev/services';
import type { Say, Service } from '../../dev/services';
import { findTemporalCli } from '../../dev/temporal-cli';
import { startTemporal } from '../../dev/temporal-server';
import { TASK_QUEUES } from '../../workflows/messages';
import type { TaskQueue } from '../../workflows/messages';
import { nodeOf, startCluster } from '../support/cluster/cluster';
import type { Cluster } from '../support/cluster/cluster';
import { BARE_QUEUES } from './bare/names';
import { environment } from './environment';
import { PACKAGED, buildPackage } from './package';

export interface RigOptions {
  /** Settings of the application for this row, from the environment as always. */
  env?: Record<string, string>;
  /** The same, only for its workers. */
  workerEnv?: Record<string, string>;
  /** Worker processes to start with. @defaultValue 1 */
  workers?: number;
  /** Whether to start the HTTP server too. @defaultValue false */
  server?: boolean;
  /** A Temporal server on PostgreSQL, in several processes, instead of the dev server. @defaultValue false */
  cluster?: boolean;
  /** Which queues each of the initial workers serves, in order. @defaultValue all of them, each */
  queues?: readonly (readonly TaskQueue[])[];
  /** Namespaces of the dev server in addition to `default`. */
  namespaces?: readonly string[];
}

/** Real servers and processes for one row, as temporal-dev.sh starts them, with nothing else on them. */
export interface Rig {
  payments: PaymentClient;
  temporal: Client;
  alipay: SandboxControl;
  db: Database;
  /** The same database, as superuser. */
  databaseUrl: string;
  /** Where notifications go. */
  notifyUrl: string;
  postgres: Service;
  /** The dev server, or the frontend of the cluster. */
  temporalServer: Service;
  /** If requested. */
  cluster: Cluster | undefined;
  sandbox: Service;
  /** The HTTP server, if requested. */
  server: Service | undefined;
  /** Resolves when the server has seen it poll for work. */
  startWorker(queues?: readonly TaskQueue[]): Promise<Service>;
  /** The same for the bare workflows. */
  startBareWorker(): Promise<Service>;
  /** Starts another process with the rig's settings plus its own; resolves when it is ready. */
  startProcess(process: RigProcess): Promise<Service>;
  /** The settings of every process of the rig. */
  env: NodeJS.ProcessEnv;
  /** PostgreSQL's own database, as superuser: to create others besides the application's. */
  postgresUrl: string;
  /** Those started with the rig. */
  workers: Service[];
  close(): Promise<void>;
}

/** A process of the rig. */
export interface RigProcess {
  name: string;
  /** From the repository's root: TypeScript, or a file of the built package. */
  file: string;
  args?: string[];
  env?: NodeJS.ProcessEnv;
  /** Resolves when it is ready, rejects until then. */
  ready: (service: Service) => Promise<unknown>;
}

const ALL_QUEUES: readonly TaskQueue[] = Object.values(TASK_QUEUES);

/** Four ports starting at `first`, or any free ones. */
async function ports(first: number | undefined): Promise<number[]> {
  return first === undefined ? freePorts(4) : Array.from({ length: 4 }, (_, index) => first + index);
}

/** Opens a rig in a folder that is removed with it. */
export async function openRig(
  options: RigOptions,
  { say, firstPort, profile }: { say: Say; firstPort?: number; profile?: string },
): Promise<Rig> {
  const folder = mkdtempSync(join(tmpdir(), 'durable-alipay-bench-'));
  // PostgreSQL's system user must be able to enter.
  chmodSync(folder, 0o755);
  const opened: (() => Promise<unknown>)[] = [];
  const close = async (): Promise<void> => {
    for (const end of opened.splice(0).toReversed()) await end().catch(() => undefined);
    removePostgresData(join(folder, 'postgres'));
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    return await start(options, { folder, opened, close, say, firstPort, profile });
  } catch (error) {
    await close();
    throw error;
  }
}

async function start(
  {
    env: own = {},
    workerEnv = {},
    workers: wanted = 1,
    server = false,
    cluster: onCluster = false,
    queues: split = Array.from({ length: wanted }, () => ALL_QUEUES),
    namespaces = [],
  }: RigOptions,
  {
    folder,
    opened,
    close,
    say,
    firstPort,
    profile,
  }: {
    folder: string;
    opened: (() => Promise<unknown>)[];
    close: () => Promise<void>;
    say: Say;
    firstPort: number | undefined;
    profile: string | undefined;
  },
): Promise<Rig> {
  await buildPackage(say);
  const [postgresPort = 0, temporalPort = 0, sandboxPort = 0, serverPort = 0] = await ports(firstPort);
  const postgres = await startPostgres({ dataDir: join(folder, 'postgres'), port: postgresPort, say });
  opened.push(() => postgres.stop());
  const cluster = onCluster ? await startCluster({ folder, say }) : undefined;
  if (cluster) opened.push(() => cluster.close());
  const {
    address,
    namespace,
    service: temporalServer,
  } = cluster
    ? { ...cluster, service: nodeOf(cluster, 'frontend') }
    : await startDevServer({ folder, port: temporalPort, namespaces, opened, say });
  const databaseUrl = await createDatabase(postgres.url, 'bench');
  const db = openDatabase({ url: databaseUrl, maxConnections: 4 });
  opened.push(() => db.destroy());
  await migrateUp(db);

  const env = environment(folder, { databaseUrl, address, namespace, sandboxPort, serverPort, own });
  const temporal = new Client({ connection: await Connection.connect({ address }), namespace });
  opened.push(() => temporal.connection.close());

  const profiling = profile === undefined ? [] : ['--cpu-prof', '--cpu-prof-dir', resolve(profile)];
  const startProcess = async ({ name, file, args = [], env: more, ready }: RigProcess): Promise<Service> => {
    const service = await startService({
      name,
      command: process.execPath,
      args: [...profiling, ...(file.endsWith('.ts') ? ['--import', 'tsx'] : []), file, ...args],
      cwd: ROOT,
      env: { ...env, ...more },
      logFile: join(folder, `${name}.log`),
      graceMs: 20_000,
    });
    opened.push(() => service.stop());
    await untilReady(service, ready);
    return service;
  };
  const run = (
    name: string,
    [file, ...args]: [string, ...string[]],
    ready: RigProcess['ready'],
  ): Promise<Service> => startProcess({ name, file, args, ready });
  const listening = (port: number) => async () => {
    const response = await fetch(`http://127.0.0.1:${port}/healthz`, { signal: AbortSignal.timeout(5_000) });
    if (!response.ok) throw new Error(`HTTP ${response.status}`);
  };
  let started = 0;
  const startWorker = (queues: readonly TaskQueue[] = ALL_QUEUES): Promise<Service> =>
    startProcess({
      name: `worker-${(started += 1)}`,
      file: PACKAGED.worker,
      args: ['--queues', queues.join()],
      env: workerEnv,
      ready: (it) => seen(it, temporal, queues),
    });
  const startBareWorker = (): Promise<Service> =>
    run('bare-worker', [PACKAGED.bareWorker], (it) =>
      seen(it, temporal, [BARE_QUEUES.payments, BARE_QUEUES.orderService]),
    );

  const sandbox = await run('sandbox', ['sandbox/main.ts'], listening(sandboxPort));
  const workers = await Promise.all(split.map(startWorker));
  const httpServer = server ? await run('server', [PACKAGED.server], listening(serverPort)) : undefined;
  const payments = await PaymentClient.connect(env, { log: pino({ level: 'silent' }) });
  opened.push(() => payments.close());
  return {
    payments,
    temporal,
    alipay: connectControl(`http://127.0.0.1:${sandboxPort}`),
    db,
    databaseUrl,
    notifyUrl: `http://127.0.0.1:${serverPort}/alipay/notify`,
    postgres,
    temporalServer,
    cluster,
    sandbox,
    server: httpServer,
    startWorker,
    startBareWorker,
    startProcess,
    env,
    postgresUrl: postgres.url,
    workers,
    close,
  };
}

async function startDevServer({
  folder,
  port,
  namespaces,
  opened,
  say,
}: {
  folder: string;
  port: number;
  namespaces: readonly string[];
  opened: (() => Promise<unknown>)[];
  say: Say;
}): Promise<{ address: string; namespace: string; service: Service }> {
  const server = await startTemporal({
    cli: await findTemporalCli({ say }),
    port,
    dbFile: join(folder, 'temporal.db'),
    namespaces: [...namespaces],
    logFile: join(folder, 'temporal.log'),
  });
  opened.push(() => server.stop());
  return { address: `127.0.0.1:${port}`, namespace: 'default', service: server };
}

/**
 * A worker has no port: it is ready when the server has seen it poll for workflow or activity tasks. Its identity
 * begins with its pid. One queue is enough: the server shows only one partition of a queue, and of several workers not
 * every one polls there.
 */
export async function seen(
  { pid, name }: Service,
  temporal: Client,
  queues: readonly string[],
): Promise<void> {
  const [WORKFLOW, ACTIVITY] = [1, 2];
  const described = await Promise.all(
    queues.flatMap((queue) =>
      [WORKFLOW, ACTIVITY].map((taskQueueType) =>
        temporal.workflowService.describeTaskQueue({
          namespace: temporal.options.namespace,
          taskQueue: { name: queue },
          // eslint-disable-next-line @typescript-eslint/no-unsafe-enum-assignment -- the SDK does not export the enum
          taskQueueType,
        }),
      ),
    ),
  );
  const pollers = described.flatMap((each) => each.pollers);
  if (!pollers.some(({ identity }) => identity?.startsWith(`${pid}@`))) throw new Error(`${name} not seen`);
}
