import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client, WorkflowHandle } from '@temporalio/client';
import { WorkflowFailedError } from '@temporalio/client';
import { PaymentError } from '../workflows/errors';
import { awaitWorker } from './dependencies';

const LOOK_EVERY_MS = 500;

/** Where all workers are busy, one may need a minute to take up a run. */
export const TAKEN_UP_MS = 90_000;

/** A free worker takes up a run at once, and a short one is over as soon. */
const LOOK_FOR_A_WORKER_EVERY_MS = 100;

/** That it was started, and that its first workflow task waits for a worker. */
const EVENTS_BEFORE_A_WORKER = 2;

/** A workflow id for a run by hand, beside a Schedule's own. */
export const idByHand = (scheduleId: string): string =>
  `${scheduleId}-by-hand-${new Date().toISOString()}-${randomBytes(3).toString('hex')}`;

/**
 * The result of a run once a worker has taken it up, however long it takes then.
 *
 * @throws PaymentError TEMPORAL_UNAVAILABLE where no worker has taken it up within `withinMs`
 */
export async function resultOnceTakenUp<T>(
  temporal: Client,
  handle: Pick<WorkflowHandle, 'describe'> & { result(): Promise<T> },
  withinMs: number,
): Promise<T> {
  await awaitWorker(temporal, withinMs, async () => {
    while ((await handle.describe()).historyLength <= EVENTS_BEFORE_A_WORKER)
      await sleep(LOOK_FOR_A_WORKER_EVERY_MS);
  });
  return handle.result();
}

/** @throws PaymentError INTERNAL where the workflow failed */
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

/** Looks about twice a second until `ending` settles, at least once. How it ends is for the caller to see. */
export async function lookUntil(ending: Promise<unknown>, look: () => Promise<void>): Promise<void> {
  const over = ending.then(
    () => true,
    () => true,
  );
  do await look();
  while (!(await Promise.race([over, sleep(LOOK_EVERY_MS, false, { ref: false })])));
}
