import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, Connection } from '@temporalio/client';
import { PaymentClient } from '../../client/payment-client';
import type { Database } from '../../db/connect';
import { openDatabase } from '../../db/connect';
import { migrateUp } from '../../db/migrator';
import { connectControl, DEFAULT_APP_ID, DEFAULT_SELLER_ID, KEY_FILES } from '../../sandbox';
import type { SandboxControl } from '../../sandbox';
import { ROOT } from '../../sandbox/dev/cache';
import { guardServices } from '../../sandbox/dev/guard';
import { freePorts } from '../../sandbox/dev/ports';
import { createDatabase, startPostgres } from '../../sandbox/dev/postgres';
import { removePostgresData } from '../../sandbox/dev/postgres-home';
import { startService, stopServices, untilReady } from '../../sandbox/dev/services';
import type { Say, Service } from '../../sandbox/dev/services';
import { findTemporalCli } from '../../sandbox/dev/temporal-cli';
import { startTemporal } from '../../sandbox/dev/temporal-server';
import { TASK_QUEUES } from '../../workflows/messages';

/** Everything that a run needs, each a process of its own, and the hands that reach into it. */
export interface World {
  /** Of the HTTP server: the only way in for shop and Alipay. */
  url: string;
  /** The buyers' hands, the merchant portal, and the accidents. */
  alipay: SandboxControl;
  /** Installs the sweep, and is the operator in the end. */
  payments: PaymentClient;
  /** Only looked into, but where a time is moved. */
  db: Database;
  /** Where the logs are, as long as the run lasts. */
  logs: string;
  /** `kill -9` of every worker process, and new ones a moment later. */
  killWorkers(): Promise<void>;
  /** Terminates the run of some payment, if any is running. */
  terminateSomeRun(): Promise<void>;
  close(): Promise<void>;
}

/** Minutes become seconds, so that everything that can happen to a payment happens within one run. */
const TIMINGS = {
  PAYMENT_CHECK_INTERVAL: '2s',
  CLOSE_MARGIN: '1s',
  ALIPAY_TIMEOUT: '1500ms',
  SWEEP_CRON: '0/5 * * * * * *',
  SWEEP_PARALLEL: '20',
  /** 4 minutes between the first two deliveries of a notification become 2 s. */
  SANDBOX_NOTIFY_SCALE: '120',
};

const WORKERS = 2;

/** How long nobody works after a kill. */
const WORKERLESS_MS = 2_000;

/** Starts the whole world in a folder that goes with it. */
export async function createWorld(say: Say): Promise<World> {
  const dismissGuardian = guardServices();
  const folder = mkdtempSync(join(tmpdir(), 'durable-alipay-ledger-'));
  // PostgreSQL's system user must be able to enter.
  chmodSync(folder, 0o755);
  const opened: { close(): Promise<unknown> }[] = [];
  const close = async (): Promise<void> => {
    for (const one of opened.splice(0).toReversed()) await one.close().catch(() => undefined);
    await stopServices();
    await dismissGuardian();
    removePostgresData(join(folder, 'postgres'));
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    return await start(folder, opened, close, say);
  } catch (error) {
    await close();
    throw error;
  }
}

async function start(
  folder: string,
  opened: { close(): Promise<unknown> }[],
  close: () => Promise<void>,
  say: Say,
): Promise<World> {
  const cli = await findTemporalCli({ say });
  const [postgresPort = 0, temporalPort = 0, sandboxPort = 0, serverPort = 0] = await freePorts(4);
  const dbFile = join(folder, 'temporal.db');
  const [postgres, server] = await Promise.all([
    startPostgres({ dataDir: join(folder, 'postgres'), port: postgresPort, say }),
    startTemporal({ cli, port: temporalPort, dbFile, logFile: join(folder, 'temporal.log') }),
  ]);
  const databaseUrl = await createDatabase(postgres.url, 'ledger');
  const db = openDatabase({ url: databaseUrl, maxConnections: 4 });
  opened.push({ close: () => db.destroy() });
  await migrateUp(db);

  const env = environment(folder, { databaseUrl, temporal: server.address, sandboxPort, serverPort });
  const temporal = new Client({ connection: await Connection.connect({ address: server.address }) });
  opened.push(temporal.connection);
  await listening('sandbox', 'sandbox/main.ts', sandboxPort, folder, env);
  let workers = await startWorkers(folder, env, temporal);
  await listening('server', 'client/server.ts', serverPort, folder, env);
  const payments = await PaymentClient.connect(env);
  opened.push(payments);
  await payments.sweep.install();

  return {
    url: `http://127.0.0.1:${serverPort}`,
    alipay: connectControl(`http://127.0.0.1:${sandboxPort}`),
    payments,
    db,
    logs: folder,
    async killWorkers() {
      for (const worker of workers) worker.kill();
      await Promise.all(workers.map(({ exit }) => exit));
      await new Promise((resolve) => setTimeout(resolve, WORKERLESS_MS));
      workers = await startWorkers(folder, env, temporal);
    },
    async terminateSomeRun() {
      const running = await temporal.workflowService.listWorkflowExecutions({
        namespace: temporal.options.namespace,
        pageSize: 100,
        query: 'ExecutionStatus = "Running" AND WorkflowType = "confirmPayment"',
      });
      const { execution } = running.executions[Math.floor(Math.random() * running.executions.length)] ?? {};
      if (!execution?.workflowId) return;
      // It may have ended since.
      await temporal.workflow
        .getHandle(execution.workflowId)
        .terminate('a mishap')
        .catch(() => undefined);
    },
    close,
  };
}

function environment(
  folder: string,
  where: { databaseUrl: string; temporal: string; sandboxPort: number; serverPort: number },
): NodeJS.ProcessEnv {
  const temporalConfig = join(folder, 'temporal.toml');
  writeFileSync(temporalConfig, `[profile.default]\naddress = ${JSON.stringify(where.temporal)}\n`);
  // Whatever the person at the keyboard has set for another Alipay or another Temporal is not for this world.
  const others = Object.entries(process.env).filter(
    ([name]) => !/^(TEMPORAL|ALIPAY|PAYMENT|SWEEP|DATABASE|LOG)_/.test(name),
  );
  const keys = join(folder, 'sandbox', 'keys');
  return {
    ...Object.fromEntries(others),
    ...TIMINGS,
    TEMPORAL_ADDRESS: where.temporal,
    TEMPORAL_CONFIG_FILE: temporalConfig,
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
    SANDBOX_DIR: join(folder, 'sandbox'),
    LOG_FORMAT: 'json',
  };
}

async function listening(
  name: string,
  file: string,
  port: number,
  folder: string,
  env: NodeJS.ProcessEnv,
): Promise<void> {
  await untilReady(await run(name, file, folder, env), async () => {
    const response = await fetch(`http://127.0.0.1:${port}/healthz`, { signal: AbortSignal.timeout(5_000) });
    if (!response.ok) throw new Error(`HTTP ${response.status}`);
  });
}

async function startWorkers(folder: string, env: NodeJS.ProcessEnv, temporal: Client): Promise<Service[]> {
  const workers = await Promise.all(
    Array.from({ length: WORKERS }, (_, number) =>
      run(`worker-${number + 1}`, 'worker/main.ts', folder, env, [
        '--queues',
        Object.values(TASK_QUEUES).join(),
      ]),
    ),
  );
  await Promise.all(workers.map((worker) => untilReady(worker, () => seen(worker, temporal))));
  return workers;
}

/** A worker has no port: it is ready when the server has seen it ask for work. Its identity begins with its pid. */
async function seen({ pid, name }: Service, temporal: Client): Promise<void> {
  const { pollers } = await temporal.workflowService.describeTaskQueue({
    namespace: temporal.options.namespace,
    taskQueue: { name: TASK_QUEUES.payments },
  });
  if (!pollers.some(({ identity }) => identity?.startsWith(`${pid}@`)))
    throw new Error(`${name} not seen yet`);
}

function run(
  name: string,
  file: string,
  folder: string,
  env: NodeJS.ProcessEnv,
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
