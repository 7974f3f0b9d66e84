import { hostname } from 'node:os';
import type { ConnectionLike } from '@temporalio/client';
import { temporal } from '@temporalio/proto';
import { soon } from '../activities/temporal-calls';
import type { TaskQueue } from '../workflows/messages';
import { TASK_QUEUES } from '../workflows/messages';
import type { Logger } from './log';

/** A connection, and the namespace in which everything runs. */
export interface Home {
  connection: ConnectionLike;
  namespace: string;
}

const MARK = '/durable-alipay';

/** The identity of this process's workers: the SDK's default and a mark. */
export const IDENTITY = `${process.pid}@${hostname()}${MARK}`;

const { TaskQueueType } = temporal.api.enums.v1;

const TYPES = {
  workflow: TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
  activity: TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
} as const;

export type QueueType = keyof typeof TYPES;

export const QUEUE_TYPES = Object.keys(TYPES) as readonly QueueType[];

/** The server holds a poll for up to a minute; a worker that has not polled for longer than this is gone. */
const POLLER_GONE_MS = 70_000;

type Described = Awaited<ReturnType<ConnectionLike['workflowService']['describeTaskQueue']>>;

/** Where the tasks of one type of a queue are routed, and the workers that poll for them now. */
export async function describeQueue(
  { connection, namespace }: Home,
  queue: TaskQueue,
  type: QueueType,
): Promise<Pick<Described, 'versioningInfo' | 'pollers'>> {
  const { versioningInfo, pollers } = await connection.workflowService.describeTaskQueue({
    namespace,
    taskQueue: { name: queue },
    taskQueueType: TYPES[type],
  });
  return {
    versioningInfo,
    pollers: pollers.filter(
      ({ lastAccessTime }) => Date.now() - Number(lastAccessTime?.seconds ?? 0) * 1_000 < POLLER_GONE_MS,
    ),
  };
}

/** The identities of the workers that poll for results: those with the built-in order service, and others. */
export async function orderServices(home: Home): Promise<{ builtIn: string[]; others: string[] }> {
  const { pollers } = await describeQueue(home, TASK_QUEUES.orderService, 'workflow');
  const identities = [...new Set(pollers.map(({ identity }) => identity ?? ''))];
  return {
    builtIn: identities.filter((identity) => identity.endsWith(MARK)),
    others: identities.filter((identity) => !identity.endsWith(MARK)),
  };
}

/** Whether our workers take results and no order workflow runs: the shop's function in their process handles them. */
export async function takesInProcess(home: Home): Promise<boolean> {
  const { builtIn, others } = await orderServices(home);
  if (builtIn.length > 0 || others.length > 0) return false;
  const { pollers } = await describeQueue(home, TASK_QUEUES.orderService, 'activity');
  return pollers.some(({ identity }) => identity?.endsWith(MARK));
}

/** What is wrong if both poll for results, and what to do about it. */
export const bothServe = (others: readonly string[]) => ({
  says:
    `the built-in order service and another worker (${others.join(', ')}) poll ${TASK_QUEUES.orderService}: ` +
    'each gets only part of the results',
  advice: `Start our workers without it: durable-alipay worker --queues ${TASK_QUEUES.payments},${TASK_QUEUES.alipay}; temporal-dev.sh: --no-worker`,
});

/**
 * Warns if two order services, the built-in one and another, take results: each would get only some of them.
 *
 * @param queues what this process is about to serve
 */
export async function warnOfTwoOrderServices(
  home: Home,
  queues: readonly TaskQueue[],
  log: Logger,
): Promise<void> {
  try {
    const { builtIn, others } = await soon(home.connection, () => orderServices(home));
    const ours = builtIn.length > 0 || queues.includes(TASK_QUEUES.orderService);
    if (!ours || others.length === 0) return;
    const { says, advice } = bothServe(others);
    log.warn({ code: 'TWO_ORDER_SERVICES', others }, `${says}. ${advice}`);
  } catch (err) {
    log.warn({ err }, 'could not find out who polls order-service');
  }
}
