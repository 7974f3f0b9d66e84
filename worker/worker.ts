import { Client } from '@temporalio/client';
import type { DataConverter } from '@temporalio/common';
import type { NativeConnection, WorkerOptions, WorkflowBundleOption } from '@temporalio/worker';
import { Runtime, Worker } from '@temporalio/worker';
import type { ActivityDependencies } from '../activities';
import {
  createAlipayQueueActivities,
  createOrderServiceQueueActivities,
  createPaymentsQueueActivities,
} from '../activities';
import type { Metrics } from '../activities/metrics';
import { createMetrics } from '../activities/metrics';
import { SHORTEST_BEAT_MS } from '../activities/heartbeat';
import { openGateways } from '../activities/alipay/open';
import type { OnResult } from '../activities/result-handler';
import { ResultHandler } from '../activities/result-handler';
import type { ResultReceiver } from '../activities/result-receiver';
import { Webhook } from '../activities/webhook';
import { rememberKeys } from '../db/alipay-keys';
import { openDatabase } from '../db/connect';
import { databaseError } from '../db/faults';
import { PaymentError } from '../workflows/errors';
import type { TaskQueue } from '../workflows/messages';
import { TASK_QUEUES } from '../workflows/messages';
import { watchCertificates } from './certificates';
import type { Config } from './config';
import { readConfig } from './config';
import { buildInWords, buildOptions } from './build';
import type { Logger } from './log';
import { createLogger } from './log';
import { measureBacklog } from './gauges';
import { dataConverterWith } from './payload-codec';
import { IDENTITY, warnOfTwoOrderServices } from './pollers';
import { tunerBehind } from './slots';
import { installTelemetry } from './telemetry';
import { readTemporalConfig } from './temporal-config';
import type { Tracing } from './tracing';
import { startTracing } from './tracing';
import { checkDatabase, connectTemporal } from './startup';
import { isTemporalFault, temporalError } from './temporal-faults';
import { StoreWatch } from './temporal-store';
import { shapeFor, workflowCode } from './workflow-code';

/** Every task queue. */
export const ALL_QUEUES: readonly TaskQueue[] = Object.values(TASK_QUEUES);

/**
 * What is served if no queues are named; all of them if the shop takes results directly. The built-in order service
 * would take some of the results of a shop that has its own.
 */
export const DEFAULT_QUEUES: readonly TaskQueue[] = [TASK_QUEUES.payments, TASK_QUEUES.alipay];

/**
 * How long running activities may continue after SIGTERM: longer than a default call to Alipay (`ALIPAY_TIMEOUT`, 5 s),
 * shorter than the 30 s after which orchestrators kill. A longer call is cut off, and another worker repeats it, which
 * is safe for every activity.
 */
const SHUTDOWN_GRACE = '20 seconds';

/**
 * How long a run's next task waits for the worker that has the run in its cache before any worker may take it: a killed
 * worker never comes (default: 10 s). If a busy one is that late, the run is only replayed.
 */
const STICKY_WAIT = '2 seconds';

/** The sweep's lanes (`SWEEP_PARALLEL`, 50) and checks, at the same time. */
const ALIPAY_ACTIVITIES = 200;

/**
 * A run that cannot be replayed fails, and its row starts another one. fulfillOrder must not fail: results on which it
 * has not yet acted exist only in its history. Names that this build does not have do no harm.
 */
const FAIL_UNREPLAYABLE = {
  '*': [],
  confirmPayment: ['NondeterminismError'],
  followUp: ['NondeterminismError'],
  sweepExpiredOrders: ['NondeterminismError'],
  refundPayment: ['NondeterminismError'],
  reconcileBill: ['NondeterminismError'],
  reconcileBills: ['NondeterminismError'],
  auditBooks: ['NondeterminismError'],
};

/** Local activities and table writes share these; any more wait for a connection. */
const DATABASE_CONNECTIONS = 20;

/** The fault if a queue's name is unknown or given twice: Temporal's SDK would refuse the second worker. */
export function faultOfQueues(names: readonly string[]): string | undefined {
  const unknown = names.filter((name) => !ALL_QUEUES.some((queue) => queue === name));
  if (unknown.length > 0) return `No such queue: ${unknown.join(', ')}. There are ${ALL_QUEUES.join(', ')}.`;
  const twice = names.find((name, place) => names.indexOf(name) < place);
  return twice && `Named twice: ${twice}. Name each queue once.`;
}

export interface WorkersOptions {
  connection: NativeConnection;
  namespace: string;
  /** @defaultValue {@link DEFAULT_QUEUES} */
  queues?: readonly TaskQueue[];
  deps: ActivityDependencies;
  /** How payloads are written and read; its failure converter must be in the bundle. */
  dataConverter?: DataConverter;
  /** Default: not versioned. */
  build?: Config['build'];
  /** Prebundled workflow code; tests bundle once for many workers. */
  workflowBundle?: WorkflowBundleOption;
  /** Given if there are traces; a given bundle must already contain its modules. */
  tracing?: Tracing;
  /** `MAX_CACHED_WORKFLOWS`. Tests keep few, so that most tasks begin with a replay. Default: the SDK's. */
  maxCachedWorkflows?: number;
}

/** One worker per queue, in this process. The caller runs them. */
export async function createWorkers({
  connection,
  namespace,
  queues = DEFAULT_QUEUES,
  deps,
  dataConverter,
  build,
  workflowBundle,
  tracing,
  maxCachedWorkflows,
}: WorkersOptions): Promise<Worker[]> {
  const runsWorkflows = queues.some(
    (queue) => queue === TASK_QUEUES.payments || (queue === TASK_QUEUES.orderService && !deps.receiver),
  );
  const bundle =
    workflowBundle ??
    (runsWorkflows ? await workflowCode(shapeFor(dataConverter, tracing), deps.log) : undefined);
  const created = await Promise.allSettled(
    queues.map((queue) =>
      Worker.create({
        connection,
        namespace,
        dataConverter,
        taskQueue: queue,
        identity: IDENTITY,
        shutdownGraceTime: SHUTDOWN_GRACE,
        ...tracing?.worker,
        maxCachedWorkflows,
        ...buildOptions(build),
        ...queueOptions(queue, deps, bundle),
      }),
    ),
  );
  const workers = created.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  const failed = created.find((one) => one.status === 'rejected');
  if (!failed) return workers;
  await letGo(workers);
  throw failed.reason;
}

/** A worker holds its connection, which cannot be closed until the worker has run. */
async function letGo(workers: readonly Worker[]): Promise<void> {
  const unused = workers.filter((worker) => worker.getState() === 'INITIALIZED');
  await Promise.allSettled(unused.map((worker) => worker.runUntil(Promise.resolve())));
}

function queueOptions(
  queue: TaskQueue,
  deps: ActivityDependencies,
  workflowBundle: WorkflowBundleOption | undefined,
): Partial<WorkerOptions> {
  switch (queue) {
    case TASK_QUEUES.payments:
      return {
        workflowBundle,
        activities: createPaymentsQueueActivities(deps),
        stickyQueueScheduleToStartTimeout: STICKY_WAIT,
        workflowFailureErrorTypes: FAIL_UNREPLAYABLE,
      };
    case TASK_QUEUES.alipay:
      return {
        activities: createAlipayQueueActivities(deps),
        maxHeartbeatThrottleInterval: SHORTEST_BEAT_MS,
        tuner: tunerBehind(deps.alipay.circuit, ALIPAY_ACTIVITIES),
      };
    case TASK_QUEUES.orderService:
      if (deps.receiver) return { activities: createOrderServiceQueueActivities(deps) };
      return {
        workflowBundle,
        activities: createOrderServiceQueueActivities(deps),
        stickyQueueScheduleToStartTimeout: STICKY_WAIT,
      };
  }
}

/**
 * `durable-alipay worker`: reads the environment, waits for what it needs, and works until SIGTERM, SIGINT or `signal`.
 * It also sets up its log, the metrics at METRICS_ADDRESS and the traces; a Runtime of Temporal's SDK that the process
 * has already installed keeps its own log and metrics.
 *
 * @param options `queues`: by default `payments` and `alipay`, and `order-service` if the shop takes results directly;
 *   the built-in order service runs only if `order-service` is named
 * `onResult`: the shop's order service in this process; then every process that runs workers must have it
 * `onReady`: called when everything it needs is there and it begins to work
 * @throws PaymentError CONFIG_INVALID, DATABASE_UNAVAILABLE, TEMPORAL_UNAVAILABLE, FOREIGN_INSTALLATION
 */
export async function runWorkers({
  queues: named,
  env = process.env,
  log = createLogger({ name: 'worker', env }),
  onResult,
  onReady,
  signal,
  workflowBundle,
}: {
  queues?: readonly TaskQueue[];
  /** Where settings come from. Default: the environment of this process. */
  env?: NodeJS.ProcessEnv;
  /** Acts on each result, in place of a workflow or a webhook. */
  onResult?: OnResult;
  onReady?: () => void;
  /** Stops the workers like SIGTERM, once they work. */
  signal?: AbortSignal;
  /** Default: one configured by LOG_LEVEL and LOG_FORMAT, to standard output. */
  log?: Logger;
  /** Prebundled workflow code. */
  workflowBundle?: WorkflowBundleOption;
} = {}): Promise<void> {
  const fault = faultOfQueues(named ?? []);
  if (fault !== undefined) throw new PaymentError('CONFIG_INVALID', fault);
  const config = readConfig(env, {
    needs: [
      ...([
        'database',
        'merchants',
        'proxy',
        'payments',
        'orderService',
        'sweep',
        'payloads',
        'build',
        'worker',
        'log',
      ] as const),
      ...(['bills', 'metrics', 'tracing'] as const),
    ],
  });
  assertOneReceiver(onResult, config.orderService);
  installTelemetry(log, config.metrics);
  const { connectionOptions, namespace = 'default' } = readTemporalConfig(env);
  const { address = 'localhost:7233' } = connectionOptions;
  const tracing = await startTracing(config.tracing, { service: 'durable-alipay-worker', log });
  const db = openDatabase({ ...config.database, maxConnections: DATABASE_CONNECTIONS });
  const stopWatchingCertificates = watchCertificates(config.merchants, log);
  try {
    await checkDatabase(db, config.database.schema, log);
    const meter = Runtime.instance().metricMeter;
    const metrics = createMetrics(meter);
    const alipay = openGateways(db, config.merchants, metrics.gatewayCall);
    for (const gateway of alipay.all) gateway.testSignature();
    await rememberKeys(db, alipay.keys);
    const receiver = receiverOf(onResult, config.orderService, metrics);
    const queues = named ?? (receiver ? ALL_QUEUES : DEFAULT_QUEUES);
    if (onResult && queues.includes(TASK_QUEUES.payments) && !queues.includes(TASK_QUEUES.orderService)) {
      log.warn(
        { queues },
        'results that onResult fails on are retried on queue order-service, which this worker does not serve: leave out queues',
      );
    }
    const connection = await connectTemporal(connectionOptions, log);
    let workers: Worker[] = [];
    try {
      const dataConverter = dataConverterWith(config.payloads.keys);
      const temporal = new Client({ connection, namespace, dataConverter, ...tracing?.client });
      const store = new StoreWatch({
        db,
        connection,
        temporal,
        namespace,
        address,
        merchants: alipay.ids,
        sweep: config.sweep,
        orderTtlMs: config.payments.orderTtlMs,
        log,
      });
      await store.arrive();
      if (!receiver) await warnOfTwoOrderServices({ connection, namespace }, queues, log);
      const deps = {
        db,
        alipay,
        temporal,
        receiver,
        log,
        metrics,
        ...config.payments,
        ...config.bills,
      };
      workers = await createWorkers({
        connection,
        namespace,
        queues,
        deps,
        dataConverter,
        build: config.build,
        tracing,
        ...config.worker,
        ...(workflowBundle && { workflowBundle }),
      });
      log.info({ queues, namespace, address, ...buildInWords(config.build) }, 'worker ready');
      onReady?.();
      const stopMeasuring = measureBacklog(meter, { db, log, merchants: alipay.ids });
      await runAll([...workers.map(partOf), store], signal).finally(stopMeasuring);
    } finally {
      // In case onReady throws.
      await letGo(workers);
      await connection.close();
    }
  } catch (error) {
    if (error instanceof PaymentError) throw error;
    // What worked at first may fail later, as when Postgres fails over or the API key has no rights in this namespace.
    throw databaseError(error) ?? (isTemporalFault(error) ? temporalError(error, address) : error);
  } finally {
    stopWatchingCertificates();
    await db.destroy();
    await tracing?.stop();
  }
}

/** @throws PaymentError CONFIG_INVALID */
function assertOneReceiver(onResult: OnResult | undefined, { url }: Config['orderService']): void {
  if (onResult === undefined || url === undefined) return;
  throw new PaymentError(
    'CONFIG_INVALID',
    'runWorkers was given onResult, and ORDER_SERVICE_URL is set: results go to one order service. Remove one of them.',
  );
}

/** Where results are delivered directly; undefined: to the order's workflow. */
function receiverOf(
  onResult: OnResult | undefined,
  { url, secrets }: Config['orderService'],
  metrics: Metrics,
): ResultReceiver | undefined {
  if (onResult) return new ResultHandler(onResult);
  return url === undefined ? undefined : new Webhook({ url, secrets }, metrics);
}

/** A part of this process that runs until it is stopped. */
interface Part {
  run(): Promise<void>;
  stop(): void;
}

const partOf = (worker: Worker): Part => ({
  run: () => worker.run(),
  stop: () => {
    if (worker.getState() === 'RUNNING') worker.shutdown();
  },
});

/** Runs until all have stopped; one that ends or fails stops the others, so that no process is left half running. */
async function runAll(parts: Part[], signal?: AbortSignal): Promise<void> {
  const stopAll = (): void => parts.forEach((part) => part.stop());
  const running = parts.map((part) => part.run().finally(stopAll));
  signal?.addEventListener('abort', stopAll, { once: true });
  if (signal?.aborted) stopAll();
  const ends = await Promise.allSettled(running);
  signal?.removeEventListener('abort', stopAll);
  for (const end of ends) if (end.status === 'rejected') throw end.reason;
}
