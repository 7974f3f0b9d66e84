import { proxyActivities, sleep } from '@temporalio/workflow';
import type { AlipayQueueActivities, ConfirmPaymentInput } from '../../../workflows/messages';
import { TASK_QUEUES } from '../../../workflows/messages';

const { queryAlipay } = proxyActivities<AlipayQueueActivities>({
  taskQueue: TASK_QUEUES.alipay,
  startToCloseTimeout: '2s',
});

/** Broken on purpose: it queries first and sleeps afterwards. The replay of any payment's history must detect it. */
export async function confirmPayment({ outTradeNo, checks, intervalMs }: ConfirmPaymentInput): Promise<void> {
  for (let check = 1; check <= checks; check += 1) {
    await queryAlipay({ outTradeNo, check, nextCheckInMs: null });
    await sleep(intervalMs);
  }
}
