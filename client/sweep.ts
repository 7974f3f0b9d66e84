import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client, WorkflowHandle } from '@temporalio/client';
import { WorkflowFailedError, WorkflowNotFoundError } from '@temporalio/client';
import type { SweepSettings } from '../worker/schedules';
import { SWEEP_DETAILS, SWEEP_PAGE_SIZE, installSchedules } from '../worker/schedules';
import type { SweepInput, SweepReport } from '../workflows/messages';
import {
  FOLLOW_UP_SCHEDULE_ID,
  QUERIES,
  SWEEP_SCHEDULE_ID,
  TASK_QUEUES,
  WORKFLOWS,
} from '../workflows/messages';
import { PaymentError } from '../workflows/errors';
import type { sweepExpiredOrders } from '../workflows/sweep-expired-orders';
import type { InstalledSchedule, ScheduleState } from './schedules';
import { ScheduleControl } from './schedules';

export interface LastSweep {
  workflowId: string;
  /** ISO 8601. */
  startedAt: string;
  /** Temporal's word: RUNNING, COMPLETED, FAILED … */
  status: string;
  /** So far, where it is running; null where there is none to be had. */
  report: SweepReport | null;
  /** Why it failed, where it did. */
  failure: string | null;
}

/** The Schedules of the sweep and of the follow-up, as they were installed. */
export interface InstalledSchedules extends InstalledSchedule {
  followUp: InstalledSchedule;
}

/**
 * Is told how far a sweep is, about twice a second, until it ends. `report` is null as long as no worker has taken
 * the sweep up.
 */
export type WatchSweep = (workflowId: string, report: SweepReport | null) => void;

/** One call of Temporal that does not wait for work to be done. */
const CALL_MS = 5_000;

/** Reads and writes of Schedules, several. */
const INSTALL_MS = 15_000;

const LOOK_EVERY_MS = 500;

/** A query waits for a worker; nobody who watches waits longer than this for the next look. */
const LOOK_MS = 3_000;

type SweepHandle = WorkflowHandle<typeof sweepExpiredOrders>;

/** The sweep's Schedule: installing and pausing it, running a sweep now, and reading what the last one did. */
export class SweepControl {
  readonly #schedule: ScheduleControl;
  readonly #input: SweepInput;

  constructor(
    private readonly temporal: Client,
    private readonly settings: SweepSettings,
  ) {
    this.#input = { parallel: settings.parallel, pageSize: SWEEP_PAGE_SIZE };
    this.#schedule = new ScheduleControl(temporal, SWEEP_SCHEDULE_ID);
  }

  /**
   * Creates the Schedules of the sweep and of the follow-up, or brings them up to date; a pause stays. Returns when they run
   * next.
   */
  async install(): Promise<InstalledSchedules> {
    await this.#call(() => installSchedules(this.temporal, this.settings), INSTALL_MS);
    const [sweep, followUp] = await Promise.all([
      this.#schedule.describe(),
      new ScheduleControl(this.temporal, FOLLOW_UP_SCHEDULE_ID).describe(),
    ]);
    return { ...nextRunsOf(sweep), followUp: nextRunsOf(followUp) };
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
   * Stops the Schedule from starting sweeps; one that runs goes on. What expires meanwhile waits.
   *
   * @throws PaymentError NOT_FOUND where the Schedule is not installed
   */
  pause(note: string): Promise<ScheduleState> {
    return this.#schedule.pause(note);
  }

  /**
   * Lets the Schedule start sweeps again.
   *
   * @throws PaymentError NOT_FOUND where the Schedule is not installed
   */
  resume(note: string): Promise<ScheduleState> {
    return this.#schedule.resume(note);
  }

  /**
   * Sweeps once, now, beside the Schedule, and waits for the end (a continued run's too).
   *
   * @throws PaymentError INTERNAL where the sweep failed
   */
  async run(input: Partial<SweepInput> = {}, watch?: WatchSweep): Promise<SweepReport> {
    const handle = await this.#call(() =>
      this.temporal.workflow.start<typeof sweepExpiredOrders>(WORKFLOWS.sweepExpiredOrders, {
        workflowId: `${SWEEP_SCHEDULE_ID}-by-hand-${new Date().toISOString()}-${randomBytes(3).toString('hex')}`,
        taskQueue: TASK_QUEUES.payments,
        args: [{ ...this.#input, ...definedOnly(input) }],
        staticSummary: input.dryRun ? 'Dry run of the sweep' : 'Sweep by hand',
        staticDetails: SWEEP_DETAILS,
      }),
    );
    const { report, status, failure } = await this.#ended(handle, watch);
    if (report) return report;
    throw new PaymentError('INTERNAL', `The sweep ${handle.workflowId} is ${status}: ${failure ?? ''}`);
  }

  /**
   * What the last scheduled sweep, or the one named, did or has done so far; with `follow` at its end, a continued
   * run's too.
   *
   * @throws PaymentError NOT_FOUND where there is no such sweep
   */
  async report({
    workflowId,
    follow = false,
    watch,
  }: { workflowId?: string; follow?: boolean; watch?: WatchSweep } = {}): Promise<LastSweep> {
    const id = workflowId ?? (await this.#lastScheduled());
    try {
      const handle = this.temporal.workflow.getHandle<typeof sweepExpiredOrders>(id);
      const { status } = await this.#call(() => handle.describe());
      return await (follow || status.name !== 'RUNNING' ? this.#ended(handle, watch) : this.#running(handle));
    } catch (error) {
      if (!(error instanceof WorkflowNotFoundError)) throw error;
      throw new PaymentError('NOT_FOUND', `Temporal knows no sweep ${id}, or no longer. Check the id.`, {
        cause: error,
      });
    }
  }

  async #lastScheduled(): Promise<string> {
    const last = await this.#schedule.lastWorkflowId();
    if (last !== undefined) return last;
    throw new PaymentError('NOT_FOUND', 'No sweep has run yet. Wait for the Schedule, or run one.');
  }

  async #running(handle: SweepHandle): Promise<LastSweep> {
    return { ...(await describeSweep(handle)), report: await this.#progress(handle), failure: null };
  }

  async #ended(handle: SweepHandle, watch?: WatchSweep): Promise<LastSweep> {
    const ending = settle(handle.result());
    if (watch) await this.#watch(handle, ending, watch);
    const end = await ending;
    return { ...(await describeSweep(handle)), ...end };
  }

  async #watch(handle: SweepHandle, ending: Promise<unknown>, watch: WatchSweep): Promise<void> {
    const ended = ending.then(
      () => true,
      () => true,
    );
    do watch(handle.workflowId, await this.#progress(handle));
    while (!(await Promise.race([ended, sleep(LOOK_EVERY_MS, false, { ref: false })])));
  }

  /** Null where nobody answers: the sweep is asked again soon, and its result is what counts. */
  async #progress(handle: SweepHandle): Promise<SweepReport | null> {
    try {
      return await this.temporal.withDeadline(Date.now() + LOOK_MS, () =>
        handle.query<SweepReport>(QUERIES.progress),
      );
    } catch {
      return null;
    }
  }

  #call<T>(call: () => Promise<T>, deadlineMs = CALL_MS): Promise<T> {
    return this.temporal.withDeadline(Date.now() + deadlineMs, call);
  }
}

const nextRunsOf = ({ scheduleId, nextTimes }: ScheduleState): InstalledSchedule => ({
  scheduleId,
  nextTimes,
});

async function describeSweep(
  handle: SweepHandle,
): Promise<Pick<LastSweep, 'workflowId' | 'startedAt' | 'status'>> {
  const { status, startTime } = await handle.describe();
  return { workflowId: handle.workflowId, startedAt: startTime.toISOString(), status: status.name };
}

/** How a sweep ended, as a value: a failed one is something to tell of. */
async function settle(result: Promise<SweepReport>): Promise<Pick<LastSweep, 'report' | 'failure'>> {
  try {
    return { report: await result, failure: null };
  } catch (error) {
    if (!(error instanceof WorkflowFailedError)) throw error;
    return { report: null, failure: error.cause?.message ?? error.message };
  }
}

function definedOnly<T extends object>(input: T): T {
  return Object.fromEntries(Object.entries(input).filter(([, value]) => value !== undefined)) as T;
}
