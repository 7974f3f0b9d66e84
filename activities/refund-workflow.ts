import type { Client } from '@temporalio/client';
import {
  WithStartWorkflowOperation,
  WorkflowIdConflictPolicy,
  WorkflowIdReusePolicy,
  WorkflowNotFoundError,
} from '@temporalio/client';
import type { Logger } from 'pino';
import type { DueRefund } from '../db/due';
import type { Refund } from '../db/refunds';
import { isUnderWay } from '../db/refunds';
import type { RefundPaymentInput, RefundState, ResolveRefund } from '../workflows/messages';
import {
  SIGNALS,
  TASK_QUEUES,
  UPDATES,
  WORKFLOWS,
  WORKFLOW_TASK_TIMEOUT_MS,
  refundWorkflowId,
} from '../workflows/messages';
import type { refundPayment } from '../workflows/refund-payment';
import { UNLISTED, listedAs } from './payment-workflow';
import { TEMPORAL_DEADLINE_MS, untilReady, whereSearchable, within } from './temporal-calls';

function startOptions(refund: DueRefund, searchable: boolean) {
  const { outTradeNo, outRequestNo, orderId, amount, kind } = refund;
  const what = amount === null ? 'amount not known yet' : `${amount} yuan`;
  return {
    workflowId: refundWorkflowId(refund),
    taskQueue: TASK_QUEUES.payments,
    workflowIdReusePolicy: WorkflowIdReusePolicy.ALLOW_DUPLICATE,
    workflowIdConflictPolicy: WorkflowIdConflictPolicy.USE_EXISTING,
    workflowTaskTimeout: WORKFLOW_TASK_TIMEOUT_MS,
    args: [{ outTradeNo, outRequestNo }] as [RefundPaymentInput],
    // As the run shows itself until it has read its row.
    ...(searchable ? listedAs({ outTradeNo, orderId, status: 'REQUESTED' }) : UNLISTED),
    staticSummary: `Refund for order ${orderId}: ${what}`,
    staticDetails: `Refund \`${outRequestNo}\` (${kind}) of payment \`${outTradeNo}\`, order \`${orderId}\`: ${what}.`,
  };
}

/** Makes sure that the refund has a run; an existing run stays as it is. */
export async function startRefund(temporal: Client, refund: DueRefund): Promise<void> {
  await whereSearchable((searchable) =>
    temporal.workflow.start<typeof refundPayment>(WORKFLOWS.refundPayment, startOptions(refund, searchable)),
  );
}

/** {@link startRefund} for several, whose failure must not undo what was done: the follow-up starts them later. */
export async function startRefunds(
  { temporal, log }: { temporal: Client; log: Logger },
  refunds: readonly Refund[],
): Promise<void> {
  for (const refund of refunds) {
    try {
      await within(temporal, TEMPORAL_DEADLINE_MS, () => startRefund(temporal, refund));
    } catch (err) {
      const { outTradeNo, outRequestNo } = refund;
      log.warn(
        { outTradeNo, outRequestNo, err, code: 'REFUND_NOT_STARTED' },
        'refund not started yet; the follow-up will',
      );
    }
  }
}

/** Makes sure that each refund under way has a run, and tells every refund's run that its row has moved. */
export async function tellRefunds(
  deps: { temporal: Client; log: Logger },
  refunds: readonly Refund[],
): Promise<void> {
  await startRefunds(deps, refunds.filter(isUnderWay));
  for (const refund of refunds) {
    try {
      await within(deps.temporal, TEMPORAL_DEADLINE_MS, () =>
        deps.temporal.workflow.getHandle(refundWorkflowId(refund)).signal(SIGNALS.rowMoved),
      );
    } catch (err) {
      if (err instanceof WorkflowNotFoundError) continue;
      const { outTradeNo, outRequestNo } = refund;
      deps.log.warn({ outTradeNo, outRequestNo, err, code: 'RUN_UNTOLD' }, 'run not told of its row yet');
    }
  }
}

/** Sends a person's decision to the refund's workflow, running or not, and waits for its result. */
export async function decideRefund(
  temporal: Client,
  refund: Refund,
  decision: ResolveRefund,
): Promise<RefundState> {
  return untilReady.execute(() =>
    whereSearchable((searchable) =>
      temporal.workflow.executeUpdateWithStart<typeof refundPayment, RefundState, [ResolveRefund]>(
        UPDATES.resolveRefund,
        {
          startWorkflowOperation: new WithStartWorkflowOperation<typeof refundPayment>(
            WORKFLOWS.refundPayment,
            startOptions(refund, searchable),
          ),
          args: [decision],
        },
      ),
    ),
  );
}
