import type { Connection } from '@temporalio/client';
import type { TaskQueue } from '../../workflows/messages';

/** A connection and the namespace in which everything runs. */
export interface Home {
  connection: Connection;
  namespace: string;
}

/** As the gRPC interface numbers them. */
const NUMBERS = { workflow: 1, activity: 2 } as const;

export type QueueType = keyof typeof NUMBERS;

export const QUEUE_TYPES = Object.keys(NUMBERS) as readonly QueueType[];

/** A poll waits up to a minute at the server; a worker that has not asked for longer than this is gone. */
const POLLER_GONE_MS = 90_000;

type Described = Awaited<ReturnType<Connection['workflowService']['describeTaskQueue']>>;

/** Where the tasks of one type of a queue are sent, and the workers that ask for them now. */
export async function describeQueue(
  { connection, namespace }: Home,
  queue: TaskQueue,
  type: QueueType,
): Promise<Pick<Described, 'versioningInfo' | 'pollers'>> {
  const { versioningInfo, pollers } = await connection.workflowService.describeTaskQueue({
    namespace,
    taskQueue: { name: queue },
    // eslint-disable-next-line @typescript-eslint/no-unsafe-enum-assignment -- the SDK does not export the enum
    taskQueueType: NUMBERS[type],
  });
  return {
    versioningInfo,
    pollers: pollers.filter(
      ({ lastAccessTime }) => Date.now() - Number(lastAccessTime?.seconds ?? 0) * 1_000 < POLLER_GONE_MS,
    ),
  };
}
