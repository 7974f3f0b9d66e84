import { defineSignal, log, proxyActivities, proxyLocalActivities, setHandler } from '@temporalio/workflow';
import { fieldsOf, isLike, requireInput } from './failures';
import type { FulfillOrderInput, OrderServiceQueueActivities, PaymentResult } from './messages';
import { SIGNALS, TASK_QUEUES } from './messages';
import { firstLocally } from './proxies';

const locallyOrUntilDone = firstLocally<OrderServiceQueueActivities>(
  proxyLocalActivities({ startToCloseTimeout: '1s', retry: { maximumAttempts: 1 } }),
  proxyActivities({
    taskQueue: TASK_QUEUES.orderService,
    startToCloseTimeout: '15s',
    retry: { initialInterval: '1s', maximumInterval: '1 minute' },
  }),
);

const paymentResultSignal = defineSignal<[PaymentResult]>(SIGNALS.paymentResult);

/**
 * The order service: acts once on each result, however often it is told. Each signal that finds no run starts one
 * (signal-with-start), so a run ends as soon as it has nothing left to do.
 *
 * A shop replaces it with its own workflow of this name on queue `order-service`, in any language, and deduplicates
 * durably by `messageId`.
 */
export async function fulfillOrder(input: FulfillOrderInput): Promise<{ orderId: string; acted: number }> {
  const inbox: PaymentResult[] = [];
  setHandler(paymentResultSignal, (message) => {
    if (isResult(message)) inbox.push(message);
    else log.warn('signal ignored: it is not a payment result', { code: 'INVALID_INPUT' });
  });
  const { orderId } = fieldsOf(input);
  requireInput(isLike(ORDER_ID_FORM, orderId), 'orderId: 1 to 64 of A-Z a-z 0-9 _ -');
  let acted = 0;
  for (let message = inbox.shift(); message; message = inbox.shift()) {
    const result = message;
    if (await locallyOrUntilDone((on) => on.actOnResult(result))) acted += 1;
  }
  return { orderId, acted };
}

const ORDER_ID_FORM = /^[A-Za-z0-9_-]{1,64}$/;

const STATUS_FORM = /^(PAID|CLOSED|PARTIALLY_REFUNDED|REFUNDED)$/;

/** Acting on anything else would fail in Postgres for ever, and keep the order's later results waiting. */
function isResult(message: PaymentResult): boolean {
  const { messageId, orderId, status } = fieldsOf(message);
  return isLike(/\S/, messageId) && isLike(ORDER_ID_FORM, orderId) && isLike(STATUS_FORM, status);
}
