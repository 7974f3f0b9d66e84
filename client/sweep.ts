import type { Client, ScheduleOptions } from '@temporalio/client';
import { ScheduleAlreadyRunning, ScheduleOverlapPolicy } from '@temporalio/client';
import type { SweepInput, SweepReport } from '../workflows/messages';
import { QUERIES, SWEEP_SCHEDULE_ID, TASK_QUEUES, WORKFLOWS } from '../workflows/messages';
import { PaymentError } from '../workflows/errors';
import type { sweepExpiredOrders } from '../workflows/sweep-expired-orders';

export interface SweepSettings {
  /** Seven fields, or `@every …`. */
  cron: string;
  parallel: number;
}

export interface LastSweep {
  workflowId: string;
  /** ISO 8601. */
  startedAt: string;
  /** Temporal's word: RUNNING, COMPLETED, FAILED … */
  status: string;
  /** So far, where it is running; null where there is none to be had. */
  report: SweepReport | null;
}

const PAGE_SIZE = 500;

/** The sweep's Schedule: installing it, running one now, and reading what the last one did. */
export class SweepControl {
  constructor(
    private readonly temporal: Client,
    private readonly settings: SweepSettings,
  ) {}

  /** Creates the Schedule, or brings it up to date; a pause stays. Answers when it runs next. */
  async install(): Promise<{ scheduleId: string; nextTimes: Date[] }> {
    const options = this.#schedule();
    const handle = this.temporal.schedule.getHandle(SWEEP_SCHEDULE_ID);
    try {
      await this.temporal.schedule.create(options);
    } catch (error) {
      if (!(error instanceof ScheduleAlreadyRunning)) throw refusedCron(error, this.settings.cron);
      await handle.update(({ state }) => ({ ...options, state }));
    }
    const { info } = await handle.describe();
    return { scheduleId: SWEEP_SCHEDULE_ID, nextTimes: info.nextActionTimes };
  }

  #schedule(): ScheduleOptions {
    return {
      scheduleId: SWEEP_SCHEDULE_ID,
      spec: { cronExpressions: [this.settings.cron] },
      action: {
        type: 'startWorkflow',
        workflowType: WORKFLOWS.sweepExpiredOrders,
        workflowId: SWEEP_SCHEDULE_ID,
        taskQueue: TASK_QUEUES.payments,
        args: [{ parallel: this.settings.parallel, pageSize: PAGE_SIZE } satisfies SweepInput],
        // A run that is stuck would otherwise keep every later one away.
        workflowRunTimeout: '2 hours',
        staticSummary: 'Close the orders that stayed unpaid',
      },
      policies: {
        // One sweep at a time; and after an outage one, not a thousand.
        overlap: ScheduleOverlapPolicy.SKIP,
        catchupWindow: '1 minute',
      },
    };
  }

  /** Sweeps once, now, beside the Schedule, and waits for the end (a continued run's too). */
  async run(input: Partial<SweepInput> = {}): Promise<SweepReport> {
    return this.temporal.workflow.execute<typeof sweepExpiredOrders>(WORKFLOWS.sweepExpiredOrders, {
      workflowId: `${SWEEP_SCHEDULE_ID}-by-hand-${new Date().toISOString()}`,
      taskQueue: TASK_QUEUES.payments,
      args: [{ parallel: this.settings.parallel, pageSize: PAGE_SIZE, ...definedOnly(input) }],
      staticSummary: input.dryRun ? 'Dry run of the sweep' : 'Sweep by hand',
    });
  }

  /**
   * What the last scheduled sweep did, or has done so far.
   *
   * @throws PaymentError NOT_FOUND where none has run
   */
  async report(): Promise<LastSweep> {
    const { info } = await this.temporal.schedule.getHandle(SWEEP_SCHEDULE_ID).describe();
    const action = info.recentActions.at(-1)?.action;
    if (!action)
      throw new PaymentError('NOT_FOUND', 'No sweep has run yet. Wait for the Schedule, or run one.');
    const { workflowId } = action.workflow;
    const handle = this.temporal.workflow.getHandle<typeof sweepExpiredOrders>(workflowId);
    const { status, startTime } = await handle.describe();
    const startedAt = startTime.toISOString();
    if (status.name === 'COMPLETED') {
      return { workflowId, startedAt, status: status.name, report: await handle.result() };
    }
    const report = status.name === 'RUNNING' ? await handle.query<SweepReport>(QUERIES.progress) : null;
    return { workflowId, startedAt, status: status.name, report };
  }
}

function definedOnly<T extends object>(input: T): T {
  return Object.fromEntries(Object.entries(input).filter(([, value]) => value !== undefined)) as T;
}

/** The server alone knows whether it takes a cron; its word reaches the person who set it. */
function refusedCron(error: unknown, cron: string): unknown {
  const details =
    error instanceof Error ? `${error.message} ${(error.cause as Error | undefined)?.message ?? ''}` : '';
  if (!/cron|schedule spec|invalid/i.test(details)) return error;
  return new PaymentError(
    'CONFIG_INVALID',
    `SWEEP_CRON ${JSON.stringify(cron)} is refused by Temporal:${details}`,
    {
      cause: error,
    },
  );
}
