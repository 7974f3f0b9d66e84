import { fieldsOf, isLike, requireInput } from './failures';
import type { CloseOrderInput, ClosedOrder } from './messages';
import { forPerson } from './proxies';

/**
 * Cancels an order for the shop, as safely as the sweep closes one.
 *
 * Fails with ORDER_UNKNOWN, ORDER_PAID, ORDER_HELD (the sweep closes it later) or INVALID_INPUT; with
 * ALIPAY_UNAVAILABLE if Alipay gives no reliable answer; with ALIPAY_DOWN or MERCHANT_UNKNOWN if no worker can ask.
 */
export async function closeOrder(input: CloseOrderInput): Promise<ClosedOrder> {
  const { orderId, actor, reason, ifPaidLater } = fieldsOf(input);
  requireInput(isLike(/^[A-Za-z0-9_-]{1,64}$/, orderId), 'orderId: 1 to 64 of A-Z a-z 0-9 _ -');
  requireInput(isLike(/\S/, actor) && isLike(/\S/, reason), 'actor and reason: who closes it, and why');
  // Clients in other languages send null for omitted fields.
  requireInput(
    [undefined, null, 'refund'].includes(ifPaidLater as string),
    'ifPaidLater: refund, or nothing',
  );
  return forPerson.cancelOrder(input);
}
