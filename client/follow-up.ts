import { randomBytes } from 'node:crypto';
import type { Client } from '@temporalio/client';
import { WorkflowFailedError } from '@temporalio/client';
import { PaymentError } from '../workflows/errors';
import type { followUp } from '../workflows/follow-up';
import type { FollowUpReport } from '../workflows/messages';
import { FOLLOW_UP_SCHEDULE_ID, TASK_QUEUES, WORKFLOWS } from '../workflows/messages';
import { FOLLOW_UP_DETAILS } from '../worker/schedules';
import type { ScheduleState } from './schedules';
import { ScheduleControl } from './schedules';

/** A follow-up is over within a minute, and half a minute more where workers are busy. */
const RUN_MS = 90_000;

/** The follow-up's Schedule, and a follow-up now. `SweepControl.install` installs the Schedule. */
export class FollowUpControl {
  readonly #schedule: ScheduleControl;

  constructor(private readonly temporal: Client) {
    this.#schedule = new ScheduleControl(temporal, FOLLOW_UP_SCHEDULE_ID);
  }

  /**
   * The Schedule as it is.
   *
   * @throws PaymentError NOT_FOUND where it is not installed
   */
  schedule(): Promise<ScheduleState> {
    return this.#schedule.describe();
  }

  /**
   * Stops the Schedule from starting follow-ups: nothing that was lost is found until it is resumed.
   *
   * @throws PaymentError NOT_FOUND where the Schedule is not installed
   */
  pause(note: string): Promise<ScheduleState> {
    return this.#schedule.pause(note);
  }

  /**
   * Lets the Schedule start follow-ups again.
   *
   * @throws PaymentError NOT_FOUND where the Schedule is not installed
   */
  resume(note: string): Promise<ScheduleState> {
    return this.#schedule.resume(note);
  }

  /**
   * Does what is due once, now, beside the Schedule, and waits for the end.
   *
   * @throws PaymentError INTERNAL where the follow-up failed as a whole
   */
  async run(): Promise<FollowUpReport> {
    const workflowId = `${FOLLOW_UP_SCHEDULE_ID}-by-hand-${new Date().toISOString()}-${randomBytes(3).toString('hex')}`;
    try {
      return await this.temporal.withDeadline(Date.now() + RUN_MS, () =>
        this.temporal.workflow.execute<typeof followUp>(WORKFLOWS.followUp, {
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
}
