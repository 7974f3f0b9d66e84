import { proxyLocalActivities, sleep } from '@temporalio/workflow';
import type { PaymentsQueueActivities } from '../../../activities';
import type { ConfirmPaymentInput } from '../../../workflows/messages';

const { queryAlipay } = proxyLocalActivities<PaymentsQueueActivities>({ startToCloseTimeout: '2s' });

/** Broken on purpose: it asks first and sleeps afterwards. The replay of any payment's history must catch it. */
export async function confirmPayment({ outTradeNo, checks, intervalMs }: ConfirmPaymentInput): Promise<void> {
  for (let check = 1; check <= checks; check += 1) {
    await queryAlipay({ outTradeNo, check });
    await sleep(intervalMs);
  }
}
