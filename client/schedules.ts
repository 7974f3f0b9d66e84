import type { Client, ScheduleHandle } from '@temporalio/client';
import { ScheduleNotFoundError } from '@temporalio/client';
import { PaymentError } from '../workflows/errors';

/** A Schedule as it is. */
export interface ScheduleState {
  scheduleId: string;
  paused: boolean;
  /** Who paused or resumed it last, and why. */
  note: string | null;
  nextTimes: Date[];
}

/** What {@link SweepControl.install} says of a Schedule. */
export type InstalledSchedule = Pick<ScheduleState, 'scheduleId' | 'nextTimes'>;

/**
 * What is said to a Schedule, and its answer. The server keeps a Schedule in a workflow of its own and reads it by a query,
 * which now and then waits 5 s for a worker that no longer asks (the sticky queue's time-out; measured: 2 of 40 reads
 * right after a trigger, on a busy machine).
 */
const CALL_MS = 15_000;

/** One of our Schedules: reading and pausing it, and finding what it started last. */
export class ScheduleControl {
  constructor(
    private readonly temporal: Client,
    private readonly scheduleId: string,
  ) {}

  /** @throws PaymentError NOT_FOUND where it is not installed */
  describe(): Promise<ScheduleState> {
    return this.#call(describeSchedule);
  }

  /**
   * Stops the Schedule from starting runs; one that runs goes on.
   *
   * @throws PaymentError NOT_FOUND where it is not installed
   */
  pause(note: string): Promise<ScheduleState> {
    return this.#call(async (handle) => {
      await handle.pause(note);
      return describeSchedule(handle);
    });
  }

  /**
   * Lets the Schedule start runs again.
   *
   * @throws PaymentError NOT_FOUND where it is not installed
   */
  resume(note: string): Promise<ScheduleState> {
    return this.#call(async (handle) => {
      await handle.unpause(note);
      return describeSchedule(handle);
    });
  }

  /**
   * The id of the workflow that it started last, if it has started one.
   *
   * @throws PaymentError NOT_FOUND where it is not installed
   */
  lastWorkflowId(): Promise<string | undefined> {
    return this.#call(async (handle) => {
      const { info } = await handle.describe();
      return info.recentActions.at(-1)?.action.workflow.workflowId;
    });
  }

  async #call<T>(act: (handle: ScheduleHandle) => Promise<T>): Promise<T> {
    try {
      return await this.temporal.withDeadline(Date.now() + CALL_MS, () =>
        act(this.temporal.schedule.getHandle(this.scheduleId)),
      );
    } catch (error) {
      if (!(error instanceof ScheduleNotFoundError)) throw error;
      throw new PaymentError(
        'NOT_FOUND',
        `There is no Schedule ${this.scheduleId}. Install it: durable-alipay sweep install`,
        { cause: error },
      );
    }
  }
}

async function describeSchedule(handle: ScheduleHandle): Promise<ScheduleState> {
  const { scheduleId, state, info } = await handle.describe();
  return {
    scheduleId,
    paused: state.paused,
    note: state.note ?? null,
    nextTimes: state.paused ? [] : info.nextActionTimes,
  };
}
