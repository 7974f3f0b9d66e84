import { FOLLOW_UP_DETAILS } from '../worker/schedules';
import type { followUp } from '../workflows/follow-up';
import type { FollowUpReport } from '../workflows/messages';
import { FOLLOW_UP_SCHEDULE_ID, TASK_QUEUES, WORKFLOWS } from '../workflows/messages';
import { idByHand, resultByHand } from './by-hand';
import type { ClientDependencies } from './dependencies';
import { awaitWorker, explained } from './dependencies';
import { scheduleControl } from './schedules';

/** A follow-up ends within a minute; busy workers take up to half a minute longer. */
const RUN_MS = 90_000;

/** The follow-up. While it is paused, nothing that was lost is found. `sweep.install` installs its Schedule. */
export type FollowUps = ReturnType<typeof followUpsOf>;

export const followUpsOf = ({ temporal }: Pick<ClientDependencies, 'temporal'>) => ({
  /**
   * Does what is due once, now, in addition to the Schedule, and waits for the end.
   *
   * @throws PaymentError INTERNAL if the follow-up failed as a whole
   */
  run: (): Promise<FollowUpReport> => {
    const workflowId = idByHand(FOLLOW_UP_SCHEDULE_ID);
    const run = awaitWorker(temporal, RUN_MS, () =>
      temporal.workflow.execute<typeof followUp>(WORKFLOWS.followUp, {
        workflowId,
        taskQueue: TASK_QUEUES.payments,
        workflowRunTimeout: '5 minutes',
        staticSummary: 'Follow-up by hand',
        staticDetails: FOLLOW_UP_DETAILS,
      }),
    );
    return explained(() => resultByHand(`The follow-up ${workflowId}`, run));
  },
  ...scheduleControl(temporal, FOLLOW_UP_SCHEDULE_ID),
});
