import { fieldsOf, isLike, requireInput } from './failures';
import type { CloseOrderInput, ClosedOrder } from './messages';
import { forPerson } from './proxies';

/**
 * Cancels an order for the shop, by the same safe closing as the sweep.
 *
 * Fails with ORDER_UNKNOWN, ORDER_PAID, ORDER_HELD (the sweep closes it later), INVALID_INPUT; with ALIPAY_UNAVAILABLE where
 * Alipay gives no answer to rely on, with ALIPAY_DOWN or MERCHANT_UNKNOWN where no worker can ask.
 */
export async function closeOrder(input: CloseOrderInput): Promise<ClosedOrder> {
  const { orderId, actor, reason, ifPaidLater } = fieldsOf(input);
  requireInput(isLike(/^[A-Za-z0-9_-]{1,64}$/, orderId), 'orderId: 1 to 64 of A-Z a-z 0-9 _ -');
  requireInput(isLike(/\S/, actor) && isLike(/\S/, reason), 'actor and reason: who closes it, and why');
  // Senders in other languages send null for what is left out.
  requireInput(
    [undefined, null, 'refund'].includes(ifPaidLater as string),
    'ifPaidLater: refund, or nothing',
  );
  return forPerson.cancelOrder(input);
}
