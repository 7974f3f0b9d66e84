import type { Client } from '@temporalio/client';
import {
  WithStartWorkflowOperation,
  WorkflowIdConflictPolicy,
  WorkflowIdReusePolicy,
  WorkflowNotFoundError,
} from '@temporalio/client';
import { TypedSearchAttributes } from '@temporalio/common';
import { PaymentError } from '../workflows/errors';
import type {
  AlipayNotified,
  CheckedOut,
  ConfirmPaymentInput,
  PaymentState,
  UpdateName,
} from '../workflows/messages';
import {
  SIGNALS,
  TASK_QUEUES,
  UNSEARCHABLE,
  WORKFLOWS,
  WORKFLOW_TASK_TIMEOUT_MS,
  paymentWorkflowId,
} from '../workflows/messages';
import { ORDER_ID, OUT_TRADE_NO, PAYMENT_STATUS } from '../workflows/search-attributes';
import type { confirmPayment } from '../workflows/confirm-payment';
import { TEMPORAL_DEADLINE_MS, untilReady, whereSearchable, within } from './temporal-calls';

/** What the Web UI shows of a payment besides its workflow's own details. */
export type PaymentIdentity = Record<'outTradeNo' | 'orderId' | 'totalAmount' | 'status', string>;

/** All search attributes that the run will ever set: a namespace that lacks one of them must refuse the start. */
export const listedAs = ({ outTradeNo, orderId, status }: Omit<PaymentIdentity, 'totalAmount'>) => ({
  typedSearchAttributes: new TypedSearchAttributes([
    { key: OUT_TRADE_NO, value: outTradeNo },
    { key: ORDER_ID, value: orderId },
    { key: PAYMENT_STATUS, value: status },
  ]),
});

/** Passed instead to a run that {@link whereSearchable} starts without search attributes. */
export const UNLISTED = { memo: { [UNSEARCHABLE]: true } };

function startOptions(payment: PaymentIdentity, input: ConfirmPaymentInput, searchable: boolean) {
  return {
    workflowId: paymentWorkflowId(payment.outTradeNo),
    taskQueue: TASK_QUEUES.payments,
    workflowIdReusePolicy: WorkflowIdReusePolicy.ALLOW_DUPLICATE,
    workflowIdConflictPolicy: WorkflowIdConflictPolicy.USE_EXISTING,
    workflowTaskTimeout: WORKFLOW_TASK_TIMEOUT_MS,
    args: [input] as [ConfirmPaymentInput],
    ...(searchable ? listedAs(payment) : UNLISTED),
    staticSummary: `Order ${payment.orderId}: ${payment.totalAmount} yuan`,
    staticDetails: `Payment \`${payment.outTradeNo}\` of order \`${payment.orderId}\`, ${payment.totalAmount} yuan by Alipay.`,
  };
}

/** The input of a run that makes no checks: it does what a message or the row asks for, and ends. */
const onMessage = (outTradeNo: string): ConfirmPaymentInput => ({ outTradeNo, checks: 0, intervalMs: 0 });

/**
 * The buyer goes to the cashier: starts the payment's workflow, or tells the running one, in one call, so that no
 * run can end in between.
 */
export async function watchPayment(
  temporal: Client,
  payment: PaymentIdentity,
  input: ConfirmPaymentInput,
): Promise<void> {
  const { checks, intervalMs } = input;
  await whereSearchable((searchable) =>
    temporal.workflow.signalWithStart<typeof confirmPayment, [CheckedOut]>(WORKFLOWS.confirmPayment, {
      ...startOptions(payment, input, searchable),
      signal: SIGNALS.checkedOut,
      signalArgs: [{ checks, intervalMs }],
    }),
  );
}

/** Tells the payment's workflow, running or ended long ago, that evidence is stored as `eventId`. */
export async function wakePayment(
  temporal: Client,
  payment: PaymentIdentity,
  eventId: string,
): Promise<void> {
  await whereSearchable((searchable) =>
    temporal.workflow.signalWithStart<typeof confirmPayment, [AlipayNotified]>(WORKFLOWS.confirmPayment, {
      ...startOptions(payment, onMessage(payment.outTradeNo), searchable),
      signal: SIGNALS.alipayNotified,
      signalArgs: [{ eventId }],
    }),
  );
}

/**
 * Makes sure that a run looks after a payment; an existing run stays as it is. Without `input` the new run makes no
 * checks: it does what the row asks for (REFUNDING, REVIEW).
 */
export async function revivePayment(
  temporal: Client,
  payment: PaymentIdentity,
  input = onMessage(payment.outTradeNo),
): Promise<void> {
  await whereSearchable((searchable) =>
    temporal.workflow.start<typeof confirmPayment>(
      WORKFLOWS.confirmPayment,
      startOptions(payment, input, searchable),
    ),
  );
}

/** Sends an update to the payment's workflow, running or not, and waits for its result. */
export async function updatePayment(
  temporal: Client,
  payment: PaymentIdentity,
  update: UpdateName,
  args: unknown[],
): Promise<PaymentState> {
  return untilReady.execute(() =>
    whereSearchable((searchable) =>
      temporal.workflow.executeUpdateWithStart<typeof confirmPayment, PaymentState, unknown[]>(update, {
        startWorkflowOperation: new WithStartWorkflowOperation<typeof confirmPayment>(
          WORKFLOWS.confirmPayment,
          startOptions(payment, onMessage(payment.outTradeNo), searchable),
        ),
        args,
      }),
    ),
  );
}

/**
 * Tells the payment's run, if there is one, that its row was changed from outside. It starts none.
 *
 * @throws PaymentError TEMPORAL_UNAVAILABLE
 */
export async function tellRowMoved(temporal: Client, outTradeNo: string): Promise<void> {
  try {
    await within(temporal, TEMPORAL_DEADLINE_MS, () =>
      temporal.workflow.getHandle(paymentWorkflowId(outTradeNo)).signal(SIGNALS.rowMoved),
    );
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return;
    const message = `The run of ${outTradeNo} could not be told that its row has changed. Trying again is safe.`;
    throw new PaymentError('TEMPORAL_UNAVAILABLE', message, { cause: error });
  }
}
