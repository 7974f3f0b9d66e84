import { randomBytes } from 'node:crypto';
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

/**
 * A call of a Schedule, and its answer. The server keeps a Schedule in a workflow of its own and reads it by a query,
 * which now and then waits 5 s for a worker that no longer asks (the sticky queue's time-out; measured: 2 of 40 reads
 * right after a trigger, on a busy machine).
 */
const CALL_MS = 15_000;

/** @throws PaymentError NOT_FOUND where the Schedule is not installed */
export const readSchedule = (temporal: Client, scheduleId: string): Promise<ScheduleState> =>
  callSchedule(temporal, scheduleId, stateOf);

/**
 * Stops a Schedule from starting runs; a run under way goes on.
 *
 * @throws PaymentError NOT_FOUND where the Schedule is not installed
 */
export const pauseSchedule = (temporal: Client, scheduleId: string, note: string): Promise<ScheduleState> =>
  callSchedule(temporal, scheduleId, async (handle) => {
    await handle.pause(note);
    return stateOf(handle);
  });

/**
 * Lets a Schedule start runs again.
 *
 * @throws PaymentError NOT_FOUND where the Schedule is not installed
 */
export const resumeSchedule = (temporal: Client, scheduleId: string, note: string): Promise<ScheduleState> =>
  callSchedule(temporal, scheduleId, async (handle) => {
    await handle.unpause(note);
    return stateOf(handle);
  });

/**
 * The id of the workflow that a Schedule started last, if it has started one.
 *
 * @throws PaymentError NOT_FOUND where the Schedule is not installed
 */
export const lastWorkflowId = (temporal: Client, scheduleId: string): Promise<string | undefined> =>
  callSchedule(temporal, scheduleId, async (handle) => {
    const { info } = await handle.describe();
    return info.recentActions.at(-1)?.action.workflow.workflowId;
  });

/** A workflow id for a run by hand, beside a Schedule's own. */
export const idByHand = (scheduleId: string): string =>
  `${scheduleId}-by-hand-${new Date().toISOString()}-${randomBytes(3).toString('hex')}`;

async function callSchedule<T>(
  temporal: Client,
  scheduleId: string,
  call: (handle: ScheduleHandle) => Promise<T>,
): Promise<T> {
  try {
    return await temporal.withDeadline(Date.now() + CALL_MS, () =>
      call(temporal.schedule.getHandle(scheduleId)),
    );
  } catch (error) {
    if (!(error instanceof ScheduleNotFoundError)) throw error;
    throw new PaymentError(
      'NOT_FOUND',
      `There is no Schedule ${scheduleId}. Install it: durable-alipay sweep install`,
      { cause: error },
    );
  }
}

async function stateOf(handle: ScheduleHandle): Promise<ScheduleState> {
  const { scheduleId, state, info } = await handle.describe();
  return {
    scheduleId,
    paused: state.paused,
    note: state.note ?? null,
    nextTimes: state.paused ? [] : info.nextActionTimes,
  };
}
