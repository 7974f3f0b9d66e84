import { connect } from 'node:net';
import { Client, Connection } from '@temporalio/client';
import { CODES, codeOf } from '../../activities/temporal-calls';
import { findSearchAttributes, howToRegister, noRoom } from '../../worker/search-attributes';
import type { TaskQueue } from '../../workflows/messages';
import { SEARCH_ATTRIBUTES, TASK_QUEUES } from '../../workflows/messages';
import { dataConverterWith } from '../../worker/payload-codec';
import type { Home, QueueType } from '../../worker/pollers';
import { bothServe, describeQueue, orderServices, takesInProcess } from '../../worker/pollers';
import { noNamespace, temporalFault } from '../../worker/temporal-faults';
import type { Settings } from './configuration';
import { testDeployment } from './deployment';
import type { Examination, Found } from './examination';
import { Fault } from './examination';
import { testLastSweep, testSchedules } from './schedules';

const CONNECT_MS = 3_000;

/** One day for the order, the 25 hours for which Alipay repeats a notification, and a day to look into it. */
const LEAST_RETENTION_HOURS = 72;

/** The server's default. */
const MOST_KEYWORDS = 10;

/** What must be served; `order-service` by `fulfillOrder` (a shop's worker) or by activities (direct delivery). */
const servedWith = (directly: boolean): readonly (readonly [TaskQueue, readonly QueueType[]])[] => [
  [TASK_QUEUES.payments, ['workflow', 'activity']],
  [TASK_QUEUES.alipay, ['activity']],
  [TASK_QUEUES.orderService, [directly ? 'activity' : 'workflow']],
];

/**
 * Temporal: reachable, the namespace, its search attributes, its workers, the sweep's Schedule.
 *
 * @returns the connection and its namespace, if there is one
 */
export async function examineTemporal(
  exam: Examination,
  { temporal: config, orderService, sweep, payloads }: Settings,
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
  await exam.check('task-queues', { namespace: home }, ({ namespace }) =>
    testQueues(namespace, orderService?.url),
  );
  await exam.check('worker-deployment', { namespace: home }, ({ namespace }) => testDeployment(namespace));
  const client = await exam.check('schedule', { environment: sweep, namespace: home }, ({ namespace }) =>
    testSchedules(clientOf(namespace, payloads)),
  );
  await exam.check('last-sweep', { schedule: client }, ({ schedule }) => testLastSweep(schedule));
  return home;
}

/** Without valid keys it reads unencrypted payloads, and reports those that it cannot read. */
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

/** Why no connection can be made, which Temporal's client does not say; undefined if one can be. */
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
    if (codeOf(error) !== CODES.notFound) throw error;
    const { what, todo } = noNamespace(namespace);
    throw new Fault(what, todo, { cause: error });
  }
  return { says: `${namespace} exists`, value: home };
}

/** Whether histories are kept for as long as docs/production.md asks for. */
export async function testRetention({ connection, namespace }: Home): Promise<Found> {
  const { config } = await connection.workflowService.describeNamespace({ namespace });
  const hours = Number(config?.workflowExecutionRetentionTtl?.seconds ?? 0) / 3_600;
  const says = `histories are kept for ${hours >= 48 ? `${Math.round(hours / 24)} days` : `${hours} hours`}`;
  if (hours >= LEAST_RETENTION_HOURS) return { says };
  return {
    says: `${says}: the Web UI does not show older payments`,
    advice: `Run: temporal operator namespace update --namespace ${namespace} --retention 3d (30d let you look back)`,
  };
}

async function testAttributes({ connection, namespace }: Home): Promise<Found> {
  const names = Object.values(SEARCH_ATTRIBUTES);
  const found = await findSearchAttributes(connection, namespace);
  if (!found) {
    return {
      says: 'this user may not list the search attributes',
      advice: `If they are not registered, run: ${howToRegister(namespace, names)}`,
    };
  }
  const { missing, odd } = found;
  if (missing.length > 0) {
    if ((found.others?.length ?? 0) >= MOST_KEYWORDS) {
      return { says: noRoom(namespace, missing, found.others ?? []), advice: 'See the command above.' };
    }
    throw new Fault(
      `not registered: ${missing.join(', ')}`,
      `Start a worker, which registers them if it is allowed to, or run: ${howToRegister(namespace, missing)}`,
    );
  }
  if (odd.length > 0) {
    throw new Fault(
      `of a type other than Keyword: ${odd.join(', ')}`,
      'Every workflow task fails because of them. Recreate them as Keyword, or use another namespace.',
    );
  }
  return { says: `registered: ${names.join(', ')}` };
}

/**
 * Whether workers poll each queue for the kinds of tasks that it needs.
 *
 * @throws Fault if nobody polls a queue
 */
export async function testQueues(home: Home, webhook: string | undefined): Promise<Found> {
  // No setting says whether the shop takes results in its workers' process (onResult).
  const inProcess = webhook === undefined && (await takesInProcess(home));
  const toServe = servedWith(webhook !== undefined || inProcess);
  const served = await Promise.all(
    toServe.flatMap(([queue, types]) =>
      types.map(async (type) => ({ queue, type, ...(await describeQueue(home, queue, type)) })),
    ),
  );
  const deserted = served.filter(({ pollers }) => pollers.length === 0);
  if (deserted.length > 0) {
    const queues = [...new Set(deserted.map(({ queue }) => queue))];
    // Without a webhook the shop has to serve it, maybe in the same process.
    const ours = queues.filter((queue) => queue !== TASK_QUEUES.orderService || webhook !== undefined);
    throw new Fault(
      `no worker polls ${deserted.map(({ queue, type }) => `${queue} (${type} tasks)`).join(', ')}`,
      ours.length > 0
        ? `Start one: durable-alipay worker --queues ${ours.join(',')}. If it exits, its last line says why.`
        : `Start the shop's own worker on ${TASK_QUEUES.orderService}, or runWorkers with onResult in each process that runs ` +
            `workers, or the built-in one: durable-alipay worker --queues ${TASK_QUEUES.orderService}`,
    );
  }
  const says = `workers poll ${toServe.map(([queue]) => queue).join(', ')}`;
  if (webhook !== undefined) return { says: `${says}; results go to ${new URL(webhook).origin}` };
  if (inProcess) return { says: `${says}; results go to onResult of the shop's own process` };
  const { builtIn, others } = await orderServices(home);
  if (builtIn.length > 0 && others.length > 0) return bothServe(others);
  return { says };
}
