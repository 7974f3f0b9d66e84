import { proxyActivities } from '@temporalio/workflow';
import type { AlipayQueueActivities } from '../activities';
import { requireInput } from './failures';
import type { CloseOrderInput, ClosedOrder } from './messages';
import { TASK_QUEUES } from './messages';

const cancel = proxyActivities<AlipayQueueActivities>({
  taskQueue: TASK_QUEUES.alipay,
  startToCloseTimeout: '2 minutes',
  retry: { initialInterval: '1s', maximumAttempts: 5 },
  summary: 'ask Alipay, close the trade, then the order',
});

const isText = (value: unknown): boolean => typeof value === 'string' && value.trim() !== '';

/**
 * Cancels an order for the shop, by the same safe closing as the sweep.
 *
 * Fails with ORDER_UNKNOWN, ORDER_PAID, ORDER_HELD (the sweep closes it later), INVALID_INPUT.
 */
export async function closeOrder(input: CloseOrderInput): Promise<ClosedOrder> {
  requireInput(/^[A-Za-z0-9_-]{1,64}$/.test(input.orderId), 'orderId: 1 to 64 of A-Z a-z 0-9 _ -');
  requireInput(isText(input.actor) && isText(input.reason), 'actor and reason: who closes it, and why');
  return cancel.cancelOrder(input);
}
