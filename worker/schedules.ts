import type { Client, ScheduleOptions } from '@temporalio/client';
import { ScheduleAlreadyRunning, ScheduleOverlapPolicy } from '@temporalio/client';
import { PaymentError } from '../workflows/errors';
import type { SweepInput } from '../workflows/messages';
import { FOLLOW_UP_SCHEDULE_ID, SWEEP_SCHEDULE_ID, TASK_QUEUES, WORKFLOWS } from '../workflows/messages';

export interface SweepSettings {
  /** Seven fields, or `@every …`. */
  cron: string;
  parallel: number;
}

/** How many orders one page of a sweep holds. */
export const SWEEP_PAGE_SIZE = 500;

/** What the Web UI says of a sweep. */
export const SWEEP_DETAILS =
  'Asks Alipay about each expired order, closes it there and here, and hands what was paid to the payment. Held and failed ' +
  'orders are asked about again by a later sweep. Query `progress` tells how far it is.';

/** What the Web UI says of a follow-up. */
export const FOLLOW_UP_DETAILS =
  'Does what is due by the rows alone: results that were not told, evidence that was not recorded, slow checks, runs that are ' +
  'gone or stuck, leftovers, re-checks. What fails is done by the next follow-up.';

/** One run at a time; and after an outage one, not a thousand. */
const POLICIES = { overlap: ScheduleOverlapPolicy.SKIP, catchupWindow: '1 minute' } as const;

/** For the Web UI and for the server: every Schedule that this application has. */
function schedulesBy({ cron, parallel }: SweepSettings): ScheduleOptions[] {
  return [
    {
      scheduleId: SWEEP_SCHEDULE_ID,
      spec: { cronExpressions: [cron] },
      action: {
        type: 'startWorkflow',
        workflowType: WORKFLOWS.sweepExpiredOrders,
        workflowId: SWEEP_SCHEDULE_ID,
        taskQueue: TASK_QUEUES.payments,
        args: [{ parallel, pageSize: SWEEP_PAGE_SIZE } satisfies SweepInput],
        // A run that is stuck would otherwise keep every later one away.
        workflowRunTimeout: '2 hours',
        staticSummary: 'Close the orders that stayed unpaid',
        staticDetails: SWEEP_DETAILS,
      },
      policies: POLICIES,
    },
    {
      scheduleId: FOLLOW_UP_SCHEDULE_ID,
      spec: { cronExpressions: ['0/30 * * * * * *'] },
      action: {
        type: 'startWorkflow',
        workflowType: WORKFLOWS.followUp,
        workflowId: FOLLOW_UP_SCHEDULE_ID,
        taskQueue: TASK_QUEUES.payments,
        args: [{}],
        workflowRunTimeout: '5 minutes',
        staticSummary: 'Do what is due by the rows alone',
        staticDetails: FOLLOW_UP_DETAILS,
      },
      policies: POLICIES,
    },
  ];
}

/**
 * Creates the Schedules, or brings them up to date; a pause stays.
 *
 * @throws PaymentError CONFIG_INVALID where Temporal refuses `SWEEP_CRON`
 */
export async function installSchedules(temporal: Client, settings: SweepSettings): Promise<void> {
  for (const options of schedulesBy(settings)) {
    if (await create(temporal, options, settings)) continue;
    await temporal.schedule.getHandle(options.scheduleId).update(({ state }) => ({ ...options, state }));
  }
}

/**
 * Creates the Schedules that are missing. Existing ones stay as they are: an operator may have changed them.
 *
 * @returns the ids of those that were missing
 * @throws PaymentError CONFIG_INVALID where Temporal refuses `SWEEP_CRON`
 */
export async function installMissingSchedules(temporal: Client, settings: SweepSettings): Promise<string[]> {
  const missing: string[] = [];
  for (const options of schedulesBy(settings)) {
    if (await create(temporal, options, settings)) missing.push(options.scheduleId);
  }
  return missing;
}

/** False where it exists. */
async function create(temporal: Client, options: ScheduleOptions, { cron }: SweepSettings): Promise<boolean> {
  try {
    await temporal.schedule.create(options);
    return true;
  } catch (error) {
    if (error instanceof ScheduleAlreadyRunning) return false;
    throw refusedCron(error, cron);
  }
}

/** The server alone knows whether it takes a cron; its word reaches the person who set it. */
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
