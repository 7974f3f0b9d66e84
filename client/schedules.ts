import type { Client, ScheduleHandle } from '@temporalio/client';
import { ScheduleNotFoundError } from '@temporalio/client';
import { within } from '../activities/temporal-calls';
import { PaymentError } from '../workflows/errors';
import { explained } from './dependencies';

/** The state of a Schedule. */
export interface ScheduleState {
  scheduleId: string;
  paused: boolean;
  /** Who paused or resumed it last, and why. */
  note: string | null;
  nextTimes: Date[];
}

/**
 * A call to a Schedule. The server keeps a Schedule in an internal workflow and reads it with a query, which now and
 * then waits 5 s for a worker that no longer polls (the sticky queue's timeout; measured: 2 of 40 reads right after a
 * trigger, on a busy machine).
 */
const CALL_MS = 15_000;

/** @throws PaymentError NOT_FOUND if the Schedule is not installed */
export const readSchedule = (temporal: Client, scheduleId: string): Promise<ScheduleState> =>
  callSchedule(temporal, scheduleId, stateOf);

/**
 * The id of the workflow that a Schedule started last, if it has started one.
 *
 * @throws PaymentError NOT_FOUND if the Schedule is not installed
 */
export const lastWorkflowId = (temporal: Client, scheduleId: string): Promise<string | undefined> =>
  callSchedule(temporal, scheduleId, async (handle) => {
    const { info } = await handle.describe();
    return info.recentActions.at(-1)?.action.workflow.workflowId;
  });

/** What can be done with a Schedule. */
export type ScheduleControl = ReturnType<typeof scheduleControl>;

export function scheduleControl(temporal: Client, scheduleId: string) {
  const change = (act: (handle: ScheduleHandle) => Promise<void>): Promise<ScheduleState> =>
    explained(() =>
      callSchedule(temporal, scheduleId, async (handle) => {
        await act(handle);
        return stateOf(handle);
      }),
    );
  return {
    /**
     * Stops the Schedule from starting runs; a run under way continues. `note` says who and why.
     *
     * @throws PaymentError NOT_FOUND if the Schedule is not installed
     */
    pause: (note: string) => change((handle) => handle.pause(note)),
    /**
     * Lets the Schedule start runs again. `note` says who and why.
     *
     * @throws PaymentError NOT_FOUND if the Schedule is not installed
     */
    resume: (note: string) => change((handle) => handle.unpause(note)),
  };
}

async function callSchedule<T>(
  temporal: Client,
  scheduleId: string,
  call: (handle: ScheduleHandle) => Promise<T>,
): Promise<T> {
  try {
    return await within(temporal, CALL_MS, () => call(temporal.schedule.getHandle(scheduleId)));
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
