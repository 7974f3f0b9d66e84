import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { WorkflowFailedError } from '@temporalio/client';
import { PaymentError } from '../workflows/errors';

const LOOK_EVERY_MS = 500;

/** A workflow id for a run by hand, beside a Schedule's own. */
export const idByHand = (scheduleId: string): string =>
  `${scheduleId}-by-hand-${new Date().toISOString()}-${randomBytes(3).toString('hex')}`;

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
