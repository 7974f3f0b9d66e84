import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, Connection } from '@temporalio/client';
import { pino } from 'pino';
import { PaymentClient } from '../../client/payment-client';
import type { Database } from '../../db/connect';
import { openDatabase } from '../../db/connect';
import { migrateUp } from '../../db/migrator';
import { ROOT, TEMPORAL_CONFIG } from '../../dev/places';
import { createDatabase, postgresUrl, startPostgres } from '../../dev/postgres';
import { removePostgresData } from '../../dev/postgres-home';
import type { Say, Service } from '../../dev/services';
import { guardServices, startService, stopServices, untilReady } from '../../dev/services';
import type { SandboxControl } from '../../sandbox';
import { DEFAULT_APP_ID, DEFAULT_SELLER_ID, KEY_FILES, connectControl } from '../../sandbox';
import { bundleWorkflows } from '../../worker/workflow-code';
import type { TaskQueue } from '../../workflows/messages';
import { TASK_QUEUES } from '../../workflows/messages';
import { seen } from '../bench/rig';
import { freePorts } from '../support/free-ports';
import { Line } from '../support/line';
import type { Promises } from './checker';
import { History } from './history';
import { Part } from './part';
import type { Reception } from './reception';
import { openReception } from './reception';
import type { TemporalServer } from './settings';
import { prepareFailpoints } from './steps';
import type { Where } from './temporal-servers';
import { startDevServer, startNodes } from './temporal-servers';

/** Everything that a run needs, each in its own process, and the means to interfere with it. */
export interface World {
  /** The HTTP server's: the only way in for shop and Alipay. */
  url: string;
  /** What buyers do, the merchant portal, and the accidents. */
  alipay: SandboxControl;
  /** Installs the sweep, and acts as the operator at the end. */
  payments: PaymentClient;
  /** Only read, except to move a time. */
  db: Database;
  /** As Postgres' superuser, bypassing every line. */
  adminUrl: string;
  temporal: Client;
  /** What was done to the world, and how it responded. */
  history: History;
  /** Where the logs are, as long as the run lasts. */
  folder: string;
  parts: Parts;
  lines: Lines;
  bundles: Bundles;
  /** The shop's own order service, if results are posted to it. */
  reception: Reception | undefined;
  /** Deletes Temporal's store while its server is down; a cluster's cannot be deleted. */
  loseStore: (() => void) | undefined;
  close(): Promise<void>;
}

export interface Parts {
  postgres: Part;
  /** One process, or the nodes of a cluster. */
  temporal: Part[];
  server: Part;
  workers: Worker[];
}

/** A worker process, and what belongs to it alone. */
export interface Worker {
  part: Part;
  queue: TaskQueue;
  /** Its own connection to Alipay. */
  egress: Line;
  /** Added to the environment of its next start: see {@link Oddity}. */
  oddity: Oddity;
}

/** How a worker can differ from the others. */
export interface Oddity {
  /** How far its clock is ahead, ms. */
  CHAOS_CLOCK_MS?: string;
  /** Its workflow code: a file of {@link World.bundles}. */
  CHAOS_BUNDLE?: string;
}

/** Files of workflow code. */
export interface Bundles {
  present: string;
  /** The same workflows, built again. */
  rebuilt: string;
  /** It can continue no run of the other builds, nor can they continue one of its runs. */
  incompatible: string;
}

/** Through these everything else reaches Postgres and Temporal. */
export interface Lines {
  postgres: Line;
  temporal: Line;
}

export interface WorldOptions {
  say: Say;
  /** @defaultValue dev */
  server?: TemporalServer;
  /** For each task queue. */
  workersPerQueue: number;
  /** Results are posted to a shop's webhook; otherwise the built-in order service acts on them. */
  webhook?: boolean;
  /** Processes can be made to die at named steps. */
  failpoints?: boolean;
  environment?: Record<string, string>;
  /** Keeps its folder. */
  keep?: boolean;
}

/** Minutes become seconds, so that everything that can happen to a payment happens within one run. */
const TIMINGS = {
  PAYMENT_CHECK_INTERVAL: '2s',
  SLOW_CHECKS: '10s,20s,40s',
  CLOSE_MARGIN: '1s',
  ALIPAY_TIMEOUT: '1500ms',
  SWEEP_CRON: '0/5 * * * * * *',
  SWEEP_PARALLEL: '20',
  /** 4 minutes between the first two deliveries of a notification become 2 s. */
  SANDBOX_NOTIFY_SCALE: '120',
};

/** What {@link TIMINGS} make the application promise. */
export const PROMISES: Promises = { checks: 3, intervalMs: 2_000, patienceMs: 120_000 };

/** Starts the whole world in a folder that is removed with it. */
export async function createWorld(options: WorldOptions): Promise<World> {
  guardServices();
  const folder = mkdtempSync(join(tmpdir(), 'durable-alipay-chaos-'));
  // PostgreSQL's system user must be able to enter.
  chmodSync(folder, 0o755);
  const opened: { close(): Promise<unknown> }[] = [];
  const close = async (): Promise<void> => {
    for (const one of opened.splice(0).toReversed()) await one.close().catch(() => undefined);
    await stopServices();
    removePostgresData(join(folder, 'postgres'));
    if (options.keep) options.say(`Everybody's logs are in ${folder}`);
    else rmSync(folder, { recursive: true, force: true });
  };
  try {
    return await start(folder, opened, close, options);
  } catch (error) {
    await close();
    throw error;
  }
}

async function start(
  folder: string,
  opened: { close(): Promise<unknown> }[],
  close: () => Promise<void>,
  {
    say,
    server: kind = 'dev',
    workersPerQueue,
    webhook = false,
    failpoints = false,
    environment: extra = {},
  }: WorldOptions,
): Promise<World> {
  const [postgresPort = 0, sandboxPort = 0, serverPort = 0] = await freePorts(3);
  const dataDir = join(folder, 'postgres');
  const postgres = new Part('Postgres', () => startPostgres({ dataDir, port: postgresPort, say }));
  const [, temporalServer] = await Promise.all([
    postgres.start(),
    kind === 'dev' ? startDevServer(folder, say) : startNodes(folder, say, opened),
  ]);
  const databaseUrl = await createDatabase(postgresUrl(postgresPort), 'chaos');
  const db = openDatabase({ url: databaseUrl, maxConnections: 4 });
  opened.push({ close: () => db.destroy() });
  await migrateUp(db);

  const { address: temporalAddress, namespace } = temporalServer;
  const temporal = new Client({
    connection: await Connection.connect({ address: temporalAddress }),
    namespace,
  });
  opened.push(temporal.connection);
  const lines: Lines = {
    postgres: await Line.to(`127.0.0.1:${postgresPort}`),
    temporal: await Line.to(temporalAddress),
  };
  const reception = webhook ? await openReception() : undefined;
  opened.push(lines.postgres, lines.temporal, ...(reception ? [reception] : []));
  const bundles = await bundle(folder);
  const direct = environment(folder, { databaseUrl, temporal: temporalServer, sandboxPort, serverPort });
  const through = {
    ...direct,
    ...extra,
    TEMPORAL_ADDRESS: lines.temporal.address,
    DATABASE_URL: databaseUrl.replace(`127.0.0.1:${postgresPort}`, lines.postgres.address),
    CHAOS_BUNDLE: bundles.present,
    ...(failpoints && { CHAOS_FAILPOINTS: failpointsIn(folder) }),
    ...reception?.environment,
  };
  await new Part('sandbox', () =>
    listening('sandbox', 'sandbox/main.ts', sandboxPort, folder, direct),
  ).start();
  const workers = await makeWorkers({
    workersPerQueue,
    folder,
    env: through,
    temporal,
    sandboxPort,
    opened,
  });
  const server = new Part('server', () =>
    listening('server', 'test/chaos/server.ts', serverPort, folder, through),
  );
  await Promise.all([server.start(), ...workers.map(({ part }) => part.start())]);
  const payments = await PaymentClient.connect({ ...direct, ...extra });
  opened.push(payments);
  await payments.sweep.install();

  const url = `http://127.0.0.1:${serverPort}`;
  return {
    url,
    history: new History(url),
    alipay: connectControl(`http://127.0.0.1:${sandboxPort}`),
    payments,
    db,
    adminUrl: databaseUrl,
    temporal,
    folder,
    parts: { postgres, temporal: temporalServer.parts, server, workers },
    lines,
    bundles,
    reception,
    loseStore: temporalServer.loseStore,
    close,
  };
}

function failpointsIn(folder: string): string {
  const path = join(folder, 'failpoints');
  prepareFailpoints(path);
  return path;
}

/** Bundled once: workers come and go all the time. */
async function bundle(folder: string): Promise<Bundles> {
  const builds = join(ROOT, 'test', 'long', 'builds');
  const write = async (name: string, workflowsPath?: string): Promise<string> => {
    const path = join(folder, `${name}.js`);
    const { code } = await bundleWorkflows(
      { traced: false, encrypted: false },
      pino({ level: 'silent' }),
      workflowsPath === undefined ? {} : { workflowsPath },
    );
    writeFileSync(path, code);
    return path;
  };
  return {
    present: await write('workflows'),
    rebuilt: await write('rebuilt', join(builds, 'rebuilt.ts')),
    incompatible: await write('incompatible', join(builds, 'incompatible.ts')),
  };
}

function environment(
  folder: string,
  where: { databaseUrl: string; temporal: Where; sandboxPort: number; serverPort: number },
): Record<string, string> {
  // What the user has set for another Alipay or another Temporal does not apply to this world.
  const others = Object.entries(process.env).filter(
    ([name, value]) => value !== undefined && !/^(TEMPORAL|ALIPAY|PAYMENT|SWEEP|DATABASE|LOG)_/.test(name),
  ) as [string, string][];
  const keys = join(folder, 'sandbox', 'keys');
  return {
    ...Object.fromEntries(others),
    ...TIMINGS,
    TEMPORAL_ADDRESS: where.temporal.address,
    TEMPORAL_CONFIG_FILE: TEMPORAL_CONFIG,
    TEMPORAL_NAMESPACE: where.temporal.namespace,
    DATABASE_URL: where.databaseUrl,
    ALIPAY_GATEWAY: `http://127.0.0.1:${where.sandboxPort}/gateway.do`,
    ALIPAY_APP_ID: DEFAULT_APP_ID,
    ALIPAY_SELLER_ID: DEFAULT_SELLER_ID,
    ALIPAY_PRIVATE_KEY_FILE: join(keys, KEY_FILES.appPrivate),
    ALIPAY_PUBLIC_KEY_FILE: join(keys, KEY_FILES.alipayPublic),
    ALIPAY_NOTIFY_URL: `http://127.0.0.1:${where.serverPort}/alipay/notify`,
    HOST: '127.0.0.1',
    PORT: String(where.serverPort),
    SANDBOX_PORT: String(where.sandboxPort),
    // The books must not forget.
    SANDBOX_KEEP_TRADES: '10000000',
    SANDBOX_DIR: join(folder, 'sandbox'),
    LOG_FORMAT: 'json',
  };
}

interface Crew {
  workersPerQueue: number;
  folder: string;
  env: Record<string, string>;
  temporal: Client;
  sandboxPort: number;
  opened: { close(): Promise<unknown> }[];
}

async function makeWorkers({
  workersPerQueue,
  folder,
  env,
  temporal,
  sandboxPort,
  opened,
}: Crew): Promise<Worker[]> {
  const workers: Worker[] = [];
  for (const queue of Object.values(TASK_QUEUES)) {
    for (let number = 1; number <= workersPerQueue; number += 1) {
      const name = `${queue}-${number}`;
      const egress = await Line.to(`127.0.0.1:${sandboxPort}`);
      opened.push(egress);
      const own = { ...env, ALIPAY_GATEWAY: `http://${egress.address}/gateway.do` };
      const part = new Part(name, async () => {
        const env = { ...own, ...worker.oddity };
        const service = await run(name, 'test/chaos/worker.ts', folder, env, ['--queues', queue]);
        await untilReady(service, () => seen(service, temporal, [queue]), 120_000);
        return service;
      });
      const worker: Worker = { part, queue, egress, oddity: {} };
      workers.push(worker);
    }
  }
  return workers;
}

async function listening(
  name: string,
  file: string,
  port: number,
  folder: string,
  env: Record<string, string>,
): Promise<Service> {
  const service = await run(name, file, folder, env);
  await untilReady(
    service,
    async () => {
      const path = name === 'sandbox' ? 'healthz' : 'livez';
      const response = await fetch(`http://127.0.0.1:${port}/${path}`, {
        signal: AbortSignal.timeout(5_000),
      });
      if (!response.ok) throw new Error(`HTTP ${response.status}`);
    },
    120_000,
  );
  return service;
}

function run(
  name: string,
  file: string,
  folder: string,
  env: Record<string, string>,
  args: string[] = [],
): Promise<Service> {
  return startService({
    name,
    command: process.execPath,
    args: ['--import', 'tsx', file, ...args],
    cwd: ROOT,
    env,
    logFile: join(folder, `${name}.log`),
    // A worker finishes the tasks it has begun.
    graceMs: 20_000,
  });
}
