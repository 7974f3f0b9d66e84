import type { Client, ScheduleOptions, ScheduleOptionsAction } from '@temporalio/client';
import { ScheduleAlreadyRunning, ScheduleOverlapPolicy } from '@temporalio/client';
import { PaymentError } from '../workflows/errors';
import type { BillRepair, ReconcileBillsInput, SweepInput } from '../workflows/messages';
import {
  AUDIT_SCHEDULE_ID,
  FOLLOW_UP_SCHEDULE_ID,
  RECONCILE_SCHEDULE_ID,
  SWEEP_SCHEDULE_ID,
  TASK_QUEUES,
  WORKFLOWS,
} from '../workflows/messages';

export interface SweepSettings {
  /** Seven fields, or `@every …`. */
  cron: string;
  parallel: number;
  /** What scheduled reconciliations repair. Default `safe`. */
  billRepair?: BillRepair;
}

/** How many orders a page of a sweep holds. */
export const SWEEP_PAGE_SIZE = 500;

/** Without it, a stuck run would block every later one. */
export const SWEEP_RUN_TIMEOUT = '2 hours';

/** What the Web UI shows about a sweep. */
export const SWEEP_DETAILS =
  'Asks Alipay about each expired order, closes it there and here, and hands what was paid to the payment. Held and failed ' +
  'orders are asked about again by a later sweep. Query `progress` tells how far it is.';

/** What the Web UI shows about a follow-up. */
export const FOLLOW_UP_DETAILS =
  'Does the work that the tables show to be due: results not told, evidence not recorded, slow checks, runs that are gone or ' +
  'stuck, leftovers, re-checks. The next follow-up repeats what fails.';

/** What the Web UI shows about a reconciliation. */
export const RECONCILE_DETAILS =
  "Compares Alipay's bill of a day with the tables, to the fen. What only Alipay knows is asked for and recorded by the payment's " +
  'own workflow; the rest waits for a person.';

/** What the Web UI shows about an audit. */
const AUDIT_DETAILS =
  'Checks the tables against the rules of the ledger: every yuan that Alipay took is explained, and nothing contradicts ' +
  'anything else. It changes no payment. What it finds: `durable-alipay audit`.';

/** A Schedule that starts a workflow on queue `payments`, one run at a time; after an outage one, not a thousand. */
const schedule = (
  scheduleId: string,
  spec: ScheduleOptions['spec'],
  action: Omit<ScheduleOptionsAction, 'type' | 'workflowId' | 'taskQueue'>,
  catchupWindow: '1 minute' | '1 day' = '1 minute',
): ScheduleOptions => ({
  scheduleId,
  spec,
  action: { type: 'startWorkflow', workflowId: scheduleId, taskQueue: TASK_QUEUES.payments, ...action },
  policies: { overlap: ScheduleOverlapPolicy.SKIP, catchupWindow },
});

/** Every Schedule of this application, with texts for the Web UI. */
const schedulesBy = ({ cron, parallel, billRepair = 'safe' }: SweepSettings): ScheduleOptions[] => [
  schedule(
    SWEEP_SCHEDULE_ID,
    { cronExpressions: [cron] },
    {
      workflowType: WORKFLOWS.sweepExpiredOrders,
      args: [{ parallel, pageSize: SWEEP_PAGE_SIZE } satisfies SweepInput],
      workflowRunTimeout: SWEEP_RUN_TIMEOUT,
      staticSummary: 'Close the orders that stayed unpaid',
      staticDetails: SWEEP_DETAILS,
    },
  ),
  schedule(
    FOLLOW_UP_SCHEDULE_ID,
    { cronExpressions: ['0/30 * * * * * *'] },
    {
      workflowType: WORKFLOWS.followUp,
      args: [{}],
      workflowRunTimeout: '5 minutes',
      staticSummary: 'Do the work that the tables show to be due',
      staticDetails: FOLLOW_UP_DETAILS,
    },
  ),
  schedule(
    RECONCILE_SCHEDULE_ID,
    // Alipay's bill of yesterday appears from 9:00 on. Until it is there, it is asked for again every hour.
    { cronExpressions: ['0 0 10-22 * * * *'], timezone: 'Asia/Shanghai' },
    {
      workflowType: WORKFLOWS.reconcileBills,
      args: [{ repair: billRepair } satisfies ReconcileBillsInput],
      // It waits for the run of each bill, which may take as long.
      workflowRunTimeout: '6 hours',
      staticSummary: "Compare Alipay's bills with the tables",
      staticDetails: RECONCILE_DETAILS,
    },
    '1 day',
  ),
  schedule(
    AUDIT_SCHEDULE_ID,
    // Not on the hour, when other things start.
    { cronExpressions: ['0 7 * * * * *'] },
    {
      workflowType: WORKFLOWS.auditBooks,
      args: [{}],
      workflowRunTimeout: '50 minutes',
      staticSummary: 'Check the tables against the rules of the ledger',
      staticDetails: AUDIT_DETAILS,
    },
  ),
];

/**
 * Creates the Schedules, and updates existing ones; a pause stays. With `keepExisting`, existing ones are left
 * unchanged: an operator may have changed them.
 *
 * @returns the ids of those that were missing
 * @throws PaymentError CONFIG_INVALID if Temporal refuses `SWEEP_CRON`
 */
export async function installSchedules(
  temporal: Client,
  settings: SweepSettings,
  { keepExisting = false } = {},
): Promise<string[]> {
  const missing: string[] = [];
  for (const options of schedulesBy(settings)) {
    const { scheduleId } = options;
    if (await create(temporal, options, settings)) missing.push(scheduleId);
    else if (!keepExisting)
      await temporal.schedule.getHandle(scheduleId).update(({ state }) => ({ ...options, state }));
  }
  return missing;
}

/** Returns false if it already exists. */
async function create(temporal: Client, options: ScheduleOptions, { cron }: SweepSettings): Promise<boolean> {
  try {
    await temporal.schedule.create(options);
    return true;
  } catch (error) {
    if (error instanceof ScheduleAlreadyRunning) return false;
    throw refusedCron(error, cron);
  }
}

/** Only the server knows whether it accepts a cron expression, so its message is passed on to the person who set it. */
function refusedCron(error: unknown, cron: string): unknown {
  const details =
    error instanceof Error ? `${error.message} ${(error.cause as Error | undefined)?.message ?? ''}` : '';
  if (!/cron|schedule spec|invalid/i.test(details)) return error;
  return new PaymentError(
    'CONFIG_INVALID',
    `SWEEP_CRON ${JSON.stringify(cron)} is refused by Temporal:${details}`,
    { cause: error },
  );
}
