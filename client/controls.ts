import type { Client } from '@temporalio/client';
import { merchantId } from '../db/merchants';
import type { ReconciliationRow } from '../db/reconciliations';
import { listReconciliations } from '../db/reconciliations';
import type { FollowUpReport, Reconciliation, SweepReport } from '../workflows/messages';
import { FOLLOW_UP_SCHEDULE_ID, RECONCILE_SCHEDULE_ID, SWEEP_SCHEDULE_ID } from '../workflows/messages';
import type { ClientDependencies } from './dependencies';
import { explained } from './dependencies';
import { runFollowUp } from './follow-up';
import type { ReconciliationReport, WatchBill, WhichBill } from './reconciliations';
import { readReconciliation, runReconciliation } from './reconciliations';
import type { ScheduleState } from './schedules';
import { pauseSchedule, resumeSchedule } from './schedules';
import type { InstalledSchedules, LastSweep, ReportOptions, SweepChanges, WatchSweep } from './sweep';
import { installSweep, reportSweep, runSweep } from './sweep';

/** What can be done about a Schedule. */
export interface ScheduleControl {
  /**
   * Stops the Schedule from starting runs; a run under way goes on. `note` says who and why.
   *
   * @throws PaymentError NOT_FOUND where the Schedule is not installed
   */
  pause(note: string): Promise<ScheduleState>;
  /**
   * Lets the Schedule start runs again. `note` says who and why.
   *
   * @throws PaymentError NOT_FOUND where the Schedule is not installed
   */
  resume(note: string): Promise<ScheduleState>;
}

/** The sweep. While it is paused, expired orders stay unpaid and open. */
export interface Sweeps extends ScheduleControl {
  /** Creates the Schedules of the sweep, the follow-up, the daily bill and the audit, or brings them up to date; a pause stays. */
  install(): Promise<InstalledSchedules>;
  /**
   * Sweeps once, now, beside the Schedule, and waits for the end. What `input` leaves out defaults to the Schedule's.
   *
   * @throws PaymentError INTERNAL where the sweep failed
   */
  run(input?: SweepChanges, watch?: WatchSweep): Promise<SweepReport>;
  /**
   * What the last scheduled sweep, or the one named, did or has done so far.
   *
   * @throws PaymentError NOT_FOUND where there is no such sweep
   */
  report(options?: ReportOptions): Promise<LastSweep>;
}

/** The follow-up: nothing that was lost is found while it is paused. `sweep.install` installs its Schedule. */
export interface FollowUps extends ScheduleControl {
  /**
   * Does what is due once, now, beside the Schedule, and waits for the end.
   *
   * @throws PaymentError INTERNAL where the follow-up failed as a whole
   */
  run(): Promise<FollowUpReport>;
}

/** Alipay's daily bills against the tables: once resumed, the Schedule makes up for the last week. */
export interface Reconciliations extends ScheduleControl {
  /**
   * Compares a bill with the tables now, and waits for the end; with `execute` it repairs what it can, by the usual paths.
   *
   * @throws PaymentError INVALID_INPUT, INTERNAL where the workflow failed
   */
  run(which: WhichBill & { execute: boolean }, watch?: WatchBill): Promise<Reconciliation>;
  /**
   * What the last reconciliation of a bill has found.
   *
   * @throws PaymentError INVALID_INPUT, NOT_FOUND where there was none
   */
  report(which?: WhichBill & { limit?: number }): Promise<ReconciliationReport>;
  /** The last reconciliations, newest day first. */
  list(options?: { limit?: number }): Promise<ReconciliationRow[]>;
}

const scheduleControl = (temporal: Client, id: string): ScheduleControl => ({
  pause: (note) => explained(() => pauseSchedule(temporal, id, note)),
  resume: (note) => explained(() => resumeSchedule(temporal, id, note)),
});

/** {@link Sweeps} of a client. */
export const sweepsOf = ({
  temporal,
  settings,
}: Pick<ClientDependencies, 'temporal' | 'settings'>): Sweeps => ({
  install: () => explained(() => installSweep(temporal, settings.sweep)),
  run: (input, watch) => explained(() => runSweep(temporal, settings.sweep, input, watch)),
  report: (options) => explained(() => reportSweep(temporal, options)),
  ...scheduleControl(temporal, SWEEP_SCHEDULE_ID),
});

/** {@link FollowUps} of a client. */
export const followUpsOf = ({ temporal }: Pick<ClientDependencies, 'temporal'>): FollowUps => ({
  run: () => explained(() => runFollowUp(temporal)),
  ...scheduleControl(temporal, FOLLOW_UP_SCHEDULE_ID),
});

/** {@link Reconciliations} of a client. */
export function reconciliationsOf({
  temporal,
  db,
  alipay,
}: Pick<ClientDependencies, 'temporal' | 'db' | 'alipay'>): Reconciliations {
  const merchant = merchantId(alipay.own.settings);
  return {
    run: (which, watch) =>
      explained(() => runReconciliation({ temporal, db }, { merchant, ...which }, watch)),
    report: (which) => explained(() => readReconciliation(db, { merchant, ...which })),
    list: ({ limit = 31 } = {}) => explained(() => listReconciliations(db, limit)),
    ...scheduleControl(temporal, RECONCILE_SCHEDULE_ID),
  };
}
