import {
  condition,
  defineQuery,
  defineSignal,
  proxyActivities,
  proxyLocalActivities,
  setCurrentDetails,
  setHandler,
  upsertSearchAttributes,
  workflowInfo,
} from '@temporalio/workflow';
import { PAYMENT_STATUS } from '../../../workflows/search-attributes';
import type { BareActivities } from './activities';
import { BARE_QUEUES } from './names';
import type { BareOrderInput, BarePaymentInput } from './names';

// A payment that is found paid at its first check, and its order, with empty bodies: what Temporal alone costs. Timers,
// activities, messages, search attributes and details are those of confirmPayment and fulfillOrder.

const { queryAlipay } = proxyActivities<BareActivities>({
  taskQueue: BARE_QUEUES.alipay,
  startToCloseTimeout: '45s',
});
const { recordAndTell, actOnResult } = proxyLocalActivities<BareActivities>({
  startToCloseTimeout: '2s',
  retry: { maximumAttempts: 1 },
});

export async function barePayment({ outTradeNo, orderId, intervalMs }: BarePaymentInput): Promise<string> {
  let settled = false as boolean;
  setHandler(defineQuery<boolean>('payment'), () => settled);
  setHandler(defineSignal('alipayNotified'), () => void (settled = true));
  setHandler(defineSignal('checkedOut'), () => undefined);
  setCurrentDetails('Check 1 is due');
  // Counted from the checkout: a run that starts late does not sleep at all, as in confirmPayment.
  const ms = workflowInfo().startTime.getTime() + intervalMs - Date.now();
  if (ms > 0) await condition(() => settled, ms, { summary: 'check 1 of 1' });
  if (!settled) await queryAlipay({ outTradeNo });
  await recordAndTell({ orderId });
  upsertSearchAttributes([{ key: PAYMENT_STATUS, value: 'PAID' }]);
  setCurrentDetails('Paid');
  return 'PAID';
}

export async function bareOrder({ orderId }: BareOrderInput): Promise<{ orderId: string; acted: number }> {
  const inbox: unknown[] = [];
  setHandler(defineSignal<[unknown]>('paymentResult'), (message) => void inbox.push(message));
  for (const message of inbox) await actOnResult(message);
  return { orderId, acted: inbox.length };
}
