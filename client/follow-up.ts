import type { Client } from '@temporalio/client';
import { WorkflowFailedError } from '@temporalio/client';
import { FOLLOW_UP_DETAILS } from '../worker/schedules';
import { PaymentError } from '../workflows/errors';
import type { followUp } from '../workflows/follow-up';
import type { FollowUpReport } from '../workflows/messages';
import { FOLLOW_UP_SCHEDULE_ID, TASK_QUEUES, WORKFLOWS } from '../workflows/messages';
import { awaitWorker } from './dependencies';
import { idByHand } from './schedules';

/** A follow-up is over within a minute, and half a minute more where workers are busy. */
const RUN_MS = 90_000;

/**
 * Does what is due once, now, beside the Schedule, and waits for the end.
 *
 * @throws PaymentError INTERNAL where the follow-up failed as a whole
 */
export async function runFollowUp(temporal: Client): Promise<FollowUpReport> {
  const workflowId = idByHand(FOLLOW_UP_SCHEDULE_ID);
  try {
    return await awaitWorker(temporal, RUN_MS, () =>
      temporal.workflow.execute<typeof followUp>(WORKFLOWS.followUp, {
        workflowId,
        taskQueue: TASK_QUEUES.payments,
        workflowRunTimeout: '5 minutes',
        staticSummary: 'Follow-up by hand',
        staticDetails: FOLLOW_UP_DETAILS,
      }),
    );
  } catch (error) {
    if (!(error instanceof WorkflowFailedError)) throw error;
    throw new PaymentError(
      'INTERNAL',
      `The follow-up ${workflowId} failed: ${error.cause?.message ?? error.message}`,
      { cause: error },
    );
  }
}
