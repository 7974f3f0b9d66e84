import type { Client, WorkflowHandle } from '@temporalio/client';
import { WorkflowFailedError, WorkflowNotFoundError } from '@temporalio/client';
import { soon, within } from '../activities/temporal-calls';
import { SWEEP_DETAILS, SWEEP_PAGE_SIZE, SWEEP_RUN_TIMEOUT, installSchedules } from '../worker/schedules';
import { PaymentError } from '../workflows/errors';
import type { SweepInput, SweepReport } from '../workflows/messages';
import {
  AUDIT_SCHEDULE_ID,
  FOLLOW_UP_SCHEDULE_ID,
  QUERIES,
  RECONCILE_SCHEDULE_ID,
  SWEEP_SCHEDULE_ID,
  TASK_QUEUES,
  WORKFLOWS,
} from '../workflows/messages';
import type { sweepExpiredOrders } from '../workflows/sweep-expired-orders';
import { TAKEN_UP_MS, idByHand, lookUntil, resultOnceTakenUp } from './by-hand';
import type { ClientDependencies } from './dependencies';
import { explained } from './dependencies';
import type { ScheduleState } from './schedules';
import { lastWorkflowId, readSchedule, scheduleControl } from './schedules';

/** One sweep: its state, or how it ended. */
export interface LastSweep {
  workflowId: string;
  /** ISO 8601. */
  startedAt: string;
  /** As Temporal names it: RUNNING, COMPLETED, FAILED … */
  status: string;
  /** Of a running sweep: so far. Null if there is none. */
  report: SweepReport | null;
  /** Why it failed, if it did. */
  failure: string | null;
}

/** The Schedules of the sweep, the follow-up, the daily bill and the audit, as they were installed. */
export interface InstalledSchedules extends ScheduleState {
  followUp: ScheduleState;
  reconcile: ScheduleState;
  audit: ScheduleState;
}

/**
 * Called about twice a second with the progress of a sweep, until it ends. `report` is null until a worker has picked
 * the sweep up.
 */
export type WatchSweep = (workflowId: string, report: SweepReport | null) => void;

/** How a sweep started by hand differs from a scheduled one. */
export type SweepChanges = Partial<Omit<SweepInput, 'progress'>>;

/** Which sweep to read, and how. */
export interface ReportOptions {
  /** Default: the last scheduled one. */
  workflowId?: string;
  /** Wait for its end. */
  follow?: boolean;
  watch?: WatchSweep;
}

/** Several reads and writes of Schedules. */
const INSTALL_MS = 15_000;

/** A query waits for a worker; a watcher waits no longer than this. */
const LOOK_MS = 3_000;

type SweepHandle = WorkflowHandle<typeof sweepExpiredOrders>;

/** The sweep. While it is paused, expired orders stay unpaid and open. */
export type Sweeps = ReturnType<typeof sweepsOf>;

export const sweepsOf = (
  { temporal, settings }: Pick<ClientDependencies, 'temporal' | 'settings'>,
  takenUpMs = TAKEN_UP_MS,
) => ({
  /** Creates or updates the Schedules of the sweep, the follow-up, the daily bill and the audit; a pause stays. */
  install: (): Promise<InstalledSchedules> =>
    explained(async () => {
      await within(temporal, INSTALL_MS, () => installSchedules(temporal, settings.sweep));
      const [sweep, followUp, reconcile, audit] = await Promise.all([
        readSchedule(temporal, SWEEP_SCHEDULE_ID),
        readSchedule(temporal, FOLLOW_UP_SCHEDULE_ID),
        readSchedule(temporal, RECONCILE_SCHEDULE_ID),
        readSchedule(temporal, AUDIT_SCHEDULE_ID),
      ]);
      return { ...sweep, followUp, reconcile, audit };
    }),
  /**
   * Sweeps once, now, in addition to the Schedule, and waits for the end (also of a continued run). What is left out
   * defaults to the Schedule's.
   *
   * @throws PaymentError INTERNAL if the sweep failed, TEMPORAL_UNAVAILABLE if no worker has picked it up within 90 s
   *   and none polls
   */
  run: (
    { parallel = settings.sweep.parallel, pageSize = SWEEP_PAGE_SIZE, dryRun }: SweepChanges = {},
    watch?: WatchSweep,
  ): Promise<SweepReport> =>
    explained(async () => {
      const handle = await soon(temporal, () =>
        temporal.workflow.start<typeof sweepExpiredOrders>(WORKFLOWS.sweepExpiredOrders, {
          workflowId: idByHand(SWEEP_SCHEDULE_ID),
          taskQueue: TASK_QUEUES.payments,
          args: [{ parallel, pageSize, ...(dryRun && { dryRun }) }],
          workflowRunTimeout: SWEEP_RUN_TIMEOUT,
          staticSummary: dryRun ? 'Dry run of the sweep' : 'Sweep by hand',
          staticDetails: SWEEP_DETAILS,
        }),
      );
      const result = resultOnceTakenUp(temporal, handle, takenUpMs);
      const { report, status, failure } = await ended(temporal, handle, result, watch);
      if (report) return report;
      throw new PaymentError('INTERNAL', `The sweep ${handle.workflowId} is ${status}: ${failure ?? ''}`);
    }),
  /**
   * What the last scheduled sweep, or the named one, did or has done so far.
   *
   * @throws PaymentError NOT_FOUND if there is no such sweep
   */
  report: (options?: ReportOptions): Promise<LastSweep> => explained(() => reportSweep(temporal, options)),
  ...scheduleControl(temporal, SWEEP_SCHEDULE_ID),
});

/** {@link Sweeps.report} with any Temporal client; with `follow`, at the end, also of a continued run. */
export async function reportSweep(
  temporal: Client,
  { workflowId, follow = false, watch }: ReportOptions = {},
): Promise<LastSweep> {
  const id = workflowId ?? (await lastWorkflowId(temporal, SWEEP_SCHEDULE_ID));
  if (id === undefined) {
    throw new PaymentError('NOT_FOUND', 'No sweep has run yet. Wait for the Schedule, or run one.');
  }
  try {
    const handle = temporal.workflow.getHandle<typeof sweepExpiredOrders>(id);
    const { status } = await soon(temporal, () => handle.describe());
    if (follow || status.name !== 'RUNNING') return await ended(temporal, handle, handle.result(), watch);
    return { ...(await describeSweep(handle)), report: await progress(temporal, handle), failure: null };
  } catch (error) {
    if (!(error instanceof WorkflowNotFoundError)) throw error;
    throw new PaymentError('NOT_FOUND', `Temporal has no sweep ${id}, or no longer keeps it. Check the id.`, {
      cause: error,
    });
  }
}

async function ended(
  temporal: Client,
  handle: SweepHandle,
  result: Promise<SweepReport>,
  watch?: WatchSweep,
): Promise<LastSweep> {
  const ending = endOf(result);
  if (watch) {
    await lookUntil(ending, async () => watch(handle.workflowId, await progress(temporal, handle)));
  }
  const end = await ending;
  return { ...(await describeSweep(handle)), ...end };
}

/** Null if no worker responds: the sweep is soon queried again, and what counts is its result. */
async function progress(temporal: Client, handle: SweepHandle): Promise<SweepReport | null> {
  try {
    return await within(temporal, LOOK_MS, () => handle.query<SweepReport>(QUERIES.progress));
  } catch {
    return null;
  }
}

async function describeSweep(
  handle: SweepHandle,
): Promise<Pick<LastSweep, 'workflowId' | 'startedAt' | 'status'>> {
  const { status, startTime } = await handle.describe();
  return { workflowId: handle.workflowId, startedAt: startTime.toISOString(), status: status.name };
}

/** How a sweep ended, as a value: a failed sweep is something to report, not an error. */
async function endOf(result: Promise<SweepReport>): Promise<Pick<LastSweep, 'report' | 'failure'>> {
  try {
    return { report: await result, failure: null };
  } catch (error) {
    if (!(error instanceof WorkflowFailedError)) throw error;
    return { report: null, failure: error.cause?.message ?? error.message };
  }
}
