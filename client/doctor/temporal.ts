import { connect } from 'node:net';
import { Client, Connection, isGrpcServiceError } from '@temporalio/client';
import { findSearchAttributes, howToRegister } from '../../worker/search-attributes';
import type { TaskQueue } from '../../workflows/messages';
import { SEARCH_ATTRIBUTES, TASK_QUEUES } from '../../workflows/messages';
import type { LastSweep } from '../sweep';
import { FollowUpControl } from '../follow-up';
import type { ScheduleState } from '../schedules';
import type { SweepSettings } from '../../worker/schedules';
import { SweepControl } from '../sweep';
import { dataConverterWith } from '../../worker/payload-codec';
import type { QueueType } from '../../worker/pollers';
import { bothServe, describeQueue, orderServices } from '../../worker/pollers';
import { temporalFault } from '../../worker/temporal-faults';
import { PaymentError } from '../../workflows/errors';
import type { Settings } from './configuration';
import { testDeployment } from './deployment';
import type { Examination, Found } from './examination';
import { Fault } from './examination';

const CONNECT_MS = 3_000;

/** A connection and the namespace in which everything runs. */
interface Home {
  connection: Connection;
  namespace: string;
}

/** An order's day, Alipay's 25 hours of repeating a notification, and a day to look into it. */
const LEAST_RETENTION_HOURS = 72;

/** As gRPC numbers it. */
const NOT_FOUND = 5;

/** What a shop's own worker on `order-service` must serve is `fulfillOrder` alone. */
const SERVED: readonly (readonly [TaskQueue, readonly QueueType[]])[] = [
  [TASK_QUEUES.payments, ['workflow', 'activity']],
  [TASK_QUEUES.alipay, ['activity']],
  [TASK_QUEUES.orderService, ['workflow']],
];

/**
 * Temporal: reachable, the namespace, its search attributes, its workers, the sweep's Schedule.
 *
 * @returns the connection and its namespace, where there is one
 */
export async function examineTemporal(
  exam: Examination,
  { temporal: config, sweep, payloads }: Settings,
): Promise<Home | undefined> {
  const connection = await exam.check('temporal', { environment: config }, ({ environment }) =>
    reach(environment),
  );
  const home = await exam.check('namespace', { temporal: connection, environment: config }, (given) =>
    findNamespace({
      connection: given.temporal,
      namespace: given.environment.namespace ?? 'default',
    }),
  );
  await exam.check('retention', { namespace: home }, ({ namespace }) => testRetention(namespace));
  await exam.check('search-attributes', { namespace: home }, ({ namespace }) => testAttributes(namespace));
  await exam.check('task-queues', { namespace: home }, ({ namespace }) => testQueues(namespace));
  await exam.check('worker-deployment', { namespace: home }, ({ namespace }) => testDeployment(namespace));
  const control = await exam.check('schedule', { environment: sweep, namespace: home }, (given) =>
    testSchedules(clientOf(given.namespace, payloads), given.environment),
  );
  await exam.check('last-sweep', { schedule: control }, ({ schedule }) => testLastSweep(schedule));
  return home;
}

/** Without sound keys it reads what is in clear, and says what it cannot read. */
function clientOf(home: Home, payloads: Settings['payloads']): Client {
  return new Client({ ...home, dataConverter: dataConverterWith(payloads?.keys ?? []) });
}

async function reach({ connectionOptions }: NonNullable<Settings['temporal']>): Promise<Found<Connection>> {
  const address = connectionOptions.address ?? 'localhost:7233';
  const connection = Connection.lazy({ ...connectionOptions, connectTimeout: CONNECT_MS });
  try {
    await connection.ensureConnected();
    const { serverVersion } = await connection.workflowService.getSystemInfo({});
    return {
      says: `server ${serverVersion} at ${address}`,
      value: connection,
      release: () => connection.close(),
    };
  } catch (error) {
    await connection.close();
    const { what, todo } = temporalFault((await knock(address)) ?? error, address);
    throw new Fault(what, todo, { cause: error });
  }
}

/** Why no connection is made, which the client of Temporal does not say; undefined where one is made. */
async function knock(address: string): Promise<Error | undefined> {
  const { hostname, port } = new URL(`tcp://${address}`);
  const socket = connect({ host: hostname, port: Number(port), timeout: CONNECT_MS });
  try {
    return await new Promise((resolve) => {
      socket.once('connect', () => resolve(undefined));
      socket.once('timeout', () => resolve(undefined));
      socket.once('error', resolve);
    });
  } finally {
    socket.destroy();
  }
}

async function findNamespace(home: Home): Promise<Found<Home>> {
  const { connection, namespace } = home;
  try {
    await connection.workflowService.describeNamespace({ namespace });
  } catch (error) {
    if (!isGrpcServiceError(error) || (error.code as number) !== NOT_FOUND) throw error;
    throw new Fault(
      `there is no namespace ${namespace}`,
      `Run: temporal operator namespace create --namespace ${namespace} --retention 30d; or fix TEMPORAL_NAMESPACE.`,
      { cause: error },
    );
  }
  return { says: `${namespace} exists`, value: home };
}

async function testRetention({ connection, namespace }: Home): Promise<Found<true>> {
  const { config } = await connection.workflowService.describeNamespace({ namespace });
  const hours = Number(config?.workflowExecutionRetentionTtl?.seconds ?? 0) / 3_600;
  const says = `histories are kept for ${hours >= 48 ? `${Math.round(hours / 24)} days` : `${hours} hours`}`;
  if (hours >= LEAST_RETENTION_HOURS) return { says, value: true };
  return {
    says: `${says}: of older payments the Web UI tells nothing`,
    value: true,
    advice: `Run: temporal operator namespace update --namespace ${namespace} --retention 30d`,
  };
}

async function testAttributes({ connection, namespace }: Home): Promise<Found<true>> {
  const names = Object.values(SEARCH_ATTRIBUTES);
  const found = await findSearchAttributes(connection, namespace);
  if (!found) {
    return {
      says: 'whether the search attributes are registered may not be asked here',
      value: true,
      advice: `Where they are not, run: ${howToRegister(namespace, names)}`,
    };
  }
  const { missing, odd } = found;
  if (missing.length > 0) {
    throw new Fault(
      `not registered: ${missing.join(', ')}`,
      `Start a worker, which registers them where it may, or run: ${howToRegister(namespace, missing)}`,
    );
  }
  if (odd.length > 0) {
    throw new Fault(
      `of another type than Keyword: ${odd.join(', ')}`,
      'Every workflow task fails at them. Remove and create them anew, as Keyword, or use another namespace.',
    );
  }
  return { says: `registered: ${names.join(', ')}`, value: true };
}

async function testQueues(home: Home): Promise<Found<true>> {
  const served = await Promise.all(
    SERVED.flatMap(([queue, types]) =>
      types.map(async (type) => ({ queue, type, ...(await describeQueue(home, queue, type)) })),
    ),
  );
  const deserted = served.filter(({ pollers }) => pollers.length === 0);
  if (deserted.length > 0) {
    const queues = [...new Set(deserted.map(({ queue }) => queue))];
    const own = queues.includes(TASK_QUEUES.orderService)
      ? `Start the shop's own worker on ${TASK_QUEUES.orderService}, or the built-in one by its name`
      : 'Start one';
    throw new Fault(
      `no worker polls ${deserted.map(({ queue, type }) => `${queue} (${type} tasks)`).join(', ')}`,
      `${own}: npm run worker -- --queues ${queues.join(',')}`,
    );
  }
  const { builtIn, others } = await orderServices(home);
  if (builtIn.length > 0 && others.length > 0) return { ...bothServe(others), value: true };
  return { says: `workers poll ${SERVED.map(([queue]) => queue).join(', ')}`, value: true };
}

async function testSchedules(temporal: Client, settings: SweepSettings): Promise<Found<SweepControl>> {
  const sweep = new SweepControl(temporal, settings);
  const { scheduleId, nextTimes } = await testSchedule('sweep', sweep);
  const followUp = await testSchedule('follow-up', new FollowUpControl(temporal));
  const next = nextTimes[0]?.toISOString() ?? 'no time';
  return { says: `${scheduleId} is installed, next at ${next}; ${followUp.scheduleId} too`, value: sweep };
}

async function testSchedule(
  name: 'sweep' | 'follow-up',
  control: { schedule(): Promise<ScheduleState> },
): Promise<ScheduleState> {
  const schedule = await orInstall(name, () => readable(() => control.schedule()));
  const { scheduleId, paused, note } = schedule;
  if (!paused) return schedule;
  throw new Fault(
    `${scheduleId} is paused${note ? ` (${note})` : ''}: ${name === 'sweep' ? 'nothing is swept' : 'nothing that was lost is found'}`,
    `Run: durable-alipay ${name} resume --reason "…"`,
  );
}

async function orInstall<T>(name: string, ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    if (!(error instanceof PaymentError) || error.code !== 'NOT_FOUND') throw error;
    throw new Fault(`the Schedule of the ${name} is not installed`, 'Run: durable-alipay sweep install', {
      cause: error,
    });
  }
}

async function testLastSweep(control: SweepControl): Promise<Found<true>> {
  const last = await readable(() => lastOrNone(control));
  return last ? judgeSweep(last) : { says: 'none has run yet', value: true };
}

/**
 * What the last sweep says of the shop's health.
 *
 * @throws Fault where it failed
 */
export function judgeSweep({ workflowId, status, report, failure }: LastSweep): Found<true> {
  if (failure !== null) {
    throw new Fault(
      `${workflowId} is ${status}: ${failure}`,
      `Look at its history: temporal workflow show --workflow-id ${workflowId}`,
    );
  }
  if (report?.gatewayDown) {
    return {
      says: `${workflowId} found the gateway down`,
      value: true,
      advice: 'The next sweep probes it again; see the checks of the gateway below.',
    };
  }
  if (report && report.failed > 0) {
    return {
      says: `${workflowId} left ${report.failed} orders that broke: ${report.failedIds.join(' ')}`,
      value: true,
      advice: "Look into the worker's log for these orders; the next sweep tries them again.",
    };
  }
  return { says: `${workflowId} is ${status}`, value: true };
}

/** @throws Fault where PAYLOAD_KEYS is not what the workers have */
async function readable<T>(read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (!(error instanceof PaymentError) || !error.code.startsWith('PAYLOAD_')) throw error;
    throw new Fault(error.message, "Set here the workers' PAYLOAD_KEYS, all of them.", { cause: error });
  }
}

async function lastOrNone(control: SweepControl): Promise<LastSweep | undefined> {
  try {
    return await control.report();
  } catch (error) {
    if (error instanceof PaymentError && error.code === 'NOT_FOUND') return undefined;
    throw error;
  }
}
