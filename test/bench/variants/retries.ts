import {
  ActivityCancellationType,
  CancellationScope,
  allHandlersFinished,
  condition,
  proxyActivities,
  setCurrentDetails,
  setHandler,
  upsertSearchAttributes,
  workflowInfo,
} from '@temporalio/workflow';
import type { Recorded } from '../../../workflows/messages';
import { alipayNotifiedSignal, checkedOutSignal, paymentQuery } from '../../../workflows/confirm-payment';
import { atOnceOrSurely } from '../../../workflows/failures';
import { Turns } from '../../../workflows/in-turn';
import type { ConfirmPaymentInput, PaymentState, PaymentStatus } from '../../../workflows/messages';
import { atOnce, surely, tellSurely } from '../../../workflows/proxies';
import { PAYMENT_STATUS } from '../../../workflows/search-attributes';
import { ASKING_QUEUE } from './names';
import type { RetriesActivities } from './retries-activities';

// confirmPayment without a loop: one activity that fails while nobody has paid, and that the server tries again. All the
// rest is done as the application does it. Reviews, refunds, checkNow and closing by timer are left out: no payment here
// comes to them.

export { fulfillOrder } from '../../../workflows/fulfill-order';

export async function confirmPayment(input: ConfirmPaymentInput): Promise<PaymentState> {
  const { outTradeNo, checks, intervalMs } = input;
  const turns = new Turns();
  const asking = new CancellationScope();
  let status: PaymentStatus = 'UNPAID';
  let told: string | undefined;

  const show = (): void => {
    if (workflowInfo().typedSearchAttributes.get(PAYMENT_STATUS) !== status)
      upsertSearchAttributes([{ key: PAYMENT_STATUS, value: status }]);
    setCurrentDetails(`Payment \`${outTradeNo}\` is ${status}.`);
  };
  const adopt = (recorded: Recorded): void => {
    status = recorded.status;
    told = recorded.undelivered ? recorded.orderId : undefined;
    show();
  };
  const record = async (eventId?: string): Promise<void> => {
    const evidence = { outTradeNo, ...(eventId !== undefined && { eventId }) };
    adopt(
      await atOnceOrSurely(
        () => turns.take(() => atOnce.recordEvidence(evidence)),
        () => surely.recordEvidence(evidence),
      ),
    );
  };
  const readRow = async (): Promise<void> => {
    adopt(
      await atOnceOrSurely(
        () => turns.take(() => atOnce.readPayment({ outTradeNo })),
        () => surely.readPayment({ outTradeNo }),
      ),
    );
  };
  // The server alone knows how often it has asked.
  const state = (): PaymentState => ({ outTradeNo, status, checks: 0, nextCheckAt: null, lastAnswer: null });
  const isOpen = (): boolean => status === 'UNPAID';

  setHandler(paymentQuery, state);
  setHandler(checkedOutSignal, () => undefined);
  setHandler(alipayNotifiedSignal, async ({ eventId }) => {
    await record(eventId);
    if (!isOpen()) asking.cancel();
  });
  show();

  const ms = workflowInfo().startTime.getTime() + intervalMs - Date.now();
  if (ms > 0) await condition(() => !isOpen(), ms, { summary: `check 1 of ${checks}` });
  if (isOpen() && (await isPaid(asking, input))) await record();
  await condition(allHandlersFinished);
  if (isOpen()) await readRow();
  if (told !== undefined) {
    const order = { orderId: told };
    await atOnceOrSurely(
      () => turns.take(() => atOnce.tellOrderService(order)),
      () => tellSurely.tellOrderService(order),
    );
  }
  if (isOpen()) status = 'UNCONFIRMED';
  show();
  return state();
}

/** Whether Alipay has settled it. False: not after so many checks, or a notification has said so first. */
async function isPaid(
  scope: CancellationScope,
  { outTradeNo, checks, intervalMs }: ConfirmPaymentInput,
): Promise<boolean> {
  const { askUntilPaid } = proxyActivities<RetriesActivities>({
    taskQueue: ASKING_QUEUE,
    startToCloseTimeout: '45s',
    heartbeatTimeout: '15s',
    retry: { initialInterval: intervalMs, backoffCoefficient: 1, maximumAttempts: checks },
    cancellationType: ActivityCancellationType.TRY_CANCEL,
    summary: 'ask Alipay until it is paid',
  });
  try {
    await scope.run(() => askUntilPaid({ outTradeNo }));
    return true;
  } catch {
    return false;
  }
}
