import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client, WorkflowHandle } from '@temporalio/client';
import { WorkflowFailedError } from '@temporalio/client';
import { soon } from '../activities/temporal-calls';
import { describeQueue } from '../worker/pollers';
import { PaymentError } from '../workflows/errors';
import { TASK_QUEUES } from '../workflows/messages';
import { awaitWorker } from './dependencies';

const LOOK_EVERY_MS = 500;

/** How long a run may wait for a worker before somebody asks whether there is one. */
export const TAKEN_UP_MS = 90_000;

/** A free worker picks up a run at once, and a short run is over just as quickly. */
const LOOK_FOR_A_WORKER_EVERY_MS = 100;

/** Two events: the run has started, and its first workflow task waits for a worker. */
const EVENTS_BEFORE_A_WORKER = 2;

/** A workflow id for a run started by hand, distinct from those of the Schedule. */
export const idByHand = (scheduleId: string): string =>
  `${scheduleId}-by-hand-${new Date().toISOString()}-${randomBytes(3).toString('hex')}`;

/**
 * Returns the result of a run, however long it takes, as long as there are workers: all may be busy.
 *
 * @throws PaymentError TEMPORAL_UNAVAILABLE if no worker has picked it up within `withinMs` and none polls
 */
export async function resultOnceTakenUp<T>(
  temporal: Client,
  handle: Pick<WorkflowHandle, 'describe'> & { result(): Promise<T> },
  withinMs: number,
): Promise<T> {
  await untilPickedUp(temporal, handle, withinMs);
  return handle.result();
}

async function untilPickedUp(
  temporal: Client,
  handle: Pick<WorkflowHandle, 'describe'>,
  withinMs: number,
): Promise<void> {
  try {
    await awaitWorker(temporal, withinMs, async () => {
      while ((await handle.describe()).historyLength <= EVENTS_BEFORE_A_WORKER)
        await sleep(LOOK_FOR_A_WORKER_EVERY_MS);
    });
  } catch (error) {
    // Measured: behind 2,000 payments that are due at once, a sweep waits for longer than 90 s.
    if (!(error instanceof PaymentError) || !(await isPolled(temporal))) throw error;
    await untilPickedUp(temporal, handle, withinMs);
  }
}

/** Whether any worker polls the queue of the runs started by hand. */
async function isPolled(temporal: Client): Promise<boolean> {
  const { connection, options } = temporal;
  const home = { connection, namespace: options.namespace };
  const { pollers } = await soon(temporal, () => describeQueue(home, TASK_QUEUES.payments, 'workflow'));
  return pollers.length > 0;
}

/** @throws PaymentError INTERNAL if the workflow failed */
export async function resultByHand<T>(what: string, result: Promise<T>): Promise<T> {
  try {
    return await result;
  } catch (error) {
    if (!(error instanceof WorkflowFailedError)) throw error;
    throw new PaymentError('INTERNAL', `${what} failed: ${error.cause?.message ?? error.message}`, {
      cause: error,
    });
  }
}

/** Calls `look` about twice a second until `ending` settles, at least once. The caller checks how it ended. */
export async function lookUntil(ending: Promise<unknown>, look: () => Promise<void>): Promise<void> {
  const over = ending.then(
    () => true,
    () => true,
  );
  do await look();
  while (!(await Promise.race([over, sleep(LOOK_EVERY_MS, false, { ref: false })])));
}
