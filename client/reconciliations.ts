import { WorkflowIdConflictPolicy, WorkflowIdReusePolicy } from '@temporalio/client';
import { soon } from '../activities/temporal-calls';
import type { Discrepancy } from '../db/discrepancies';
import { listDiscrepancies } from '../db/discrepancies';
import { merchantId, sellerOf } from '../db/merchants';
import type { ReconciliationRow } from '../db/reconciliations';
import { findReconciliation } from '../db/reconciliations';
import { RECONCILE_DETAILS } from '../worker/schedules';
import { PaymentError } from '../workflows/errors';
import type { ReconcileBillInput, Reconciliation } from '../workflows/messages';
import {
  RECONCILE_RUN_TIMEOUT,
  RECONCILE_SCHEDULE_ID,
  TASK_QUEUES,
  WORKFLOWS,
  reconcileWorkflowId,
} from '../workflows/messages';
import type { reconcileBill } from '../workflows/reconcile-bill';
import { TAKEN_UP_MS, lookUntil, resultByHand, resultOnceTakenUp } from './by-hand';
import type { ClientDependencies } from './dependencies';
import { explained } from './dependencies';
import { parseBillDate, parseMerchant, yesterdayInBeijing } from './input';
import { merchantIdOf } from './pauses';
import { scheduleControl } from './schedules';

/** Which bill; by default yesterday's, of the merchant configured in this process. */
export interface WhichBill {
  /** `yyyy-MM-dd`, a day in Beijing that is over. */
  date?: string | undefined;
  /** Its name (`default`, or as in `MERCHANTS_FILE`) or its id. */
  merchant?: string;
}

/** What a reconciliation has found, and the discrepancies one by one. */
export interface ReconciliationReport extends ReconciliationRow {
  /** The open ones first. */
  found: Discrepancy[];
}

/** Called about twice a second with the progress of a reconciliation. */
export type WatchBill = (row: ReconciliationRow | undefined) => void;

/** Alipay's daily bills against the tables. Once resumed, the Schedule catches up on the last week. */
export type Reconciliations = ReturnType<typeof reconciliationsOf>;

type Dependencies = Pick<ClientDependencies, 'temporal' | 'db' | 'alipay'>;

export function reconciliationsOf(deps: Dependencies, takenUpMs = TAKEN_UP_MS) {
  const { db, temporal } = deps;
  const idOf = async (merchant: string | undefined): Promise<string> =>
    merchant === undefined
      ? merchantId(deps.alipay.own.settings)
      : merchantIdOf(deps, parseMerchant(merchant));
  return {
    /**
     * Compares a bill with the tables now, and waits for the end; with `execute` it repairs what it can, the usual way.
     *
     * @throws PaymentError INVALID_INPUT, NOT_FOUND if there is no such merchant, INTERNAL if the workflow failed,
     *   TEMPORAL_UNAVAILABLE if no worker has picked it up within 90 s and none polls
     */
    run: (
      { date = yesterdayInBeijing(), merchant, execute }: WhichBill & { execute: boolean },
      watch?: WatchBill,
    ): Promise<Reconciliation> =>
      explained(async () => {
        const input = { merchant: await idOf(merchant), date: parseBillDate(date), execute };
        const once = (): Promise<Reconciliation> => resultOf(deps, input, takenUpMs, watch);
        const first = await once();
        // The call may have joined a run that only compares.
        return execute && !first.executed ? once() : first;
      }),
    /**
     * What the last reconciliation of a bill has found.
     *
     * @throws PaymentError INVALID_INPUT, NOT_FOUND if there was none or there is no such merchant
     */
    report: ({
      date = yesterdayInBeijing(),
      merchant,
      limit = 500,
    }: WhichBill & { limit?: number } = {}): Promise<ReconciliationReport> =>
      explained(async () => {
        const bill = { sellerId: sellerOf(await idOf(merchant)), date: parseBillDate(date) };
        const row = await findReconciliation(db, bill);
        if (row) return { ...row, found: await listDiscrepancies(db, bill, { limit }) };
        const which = merchant === undefined ? date : `${date} --merchant ${merchant}`;
        throw new PaymentError(
          'NOT_FOUND',
          `The bill of ${date} has not been reconciled. Run: durable-alipay reconcile preview ${which}`,
        );
      }),
    ...scheduleControl(temporal, RECONCILE_SCHEDULE_ID),
  };
}

async function resultOf(
  { temporal, db }: Dependencies,
  input: ReconcileBillInput,
  takenUpMs: number,
  watch?: WatchBill,
): Promise<Reconciliation> {
  const bill = { sellerId: sellerOf(input.merchant), date: input.date };
  const handle = await soon(temporal, () =>
    temporal.workflow.start<typeof reconcileBill>(WORKFLOWS.reconcileBill, {
      workflowId: reconcileWorkflowId(bill),
      taskQueue: TASK_QUEUES.payments,
      args: [input],
      workflowIdReusePolicy: WorkflowIdReusePolicy.ALLOW_DUPLICATE,
      workflowIdConflictPolicy: WorkflowIdConflictPolicy.USE_EXISTING,
      workflowRunTimeout: RECONCILE_RUN_TIMEOUT,
      staticSummary: `Bill of ${input.date}${input.execute ? '' : ', preview'}`,
      staticDetails: RECONCILE_DETAILS,
    }),
  );
  const ending = resultOnceTakenUp(temporal, handle, takenUpMs);
  if (watch) await lookUntil(ending, async () => watch(await findReconciliation(db, bill)));
  return resultByHand(handle.workflowId, ending);
}
