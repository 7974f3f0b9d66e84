import type { Database } from '../connect';
import { toFen, toYuan } from '../money';
import { insertOrderMessage } from '../order-messages';
import { paidItsOrder, settle } from '../orders';
import { appendEvent } from '../payment-events';
import type { Payment } from '../payments';
import { findPayment, raiseRefundedAmount } from '../payments';

/** The order, locked and UNPAID, is paid by this payment; the order service hears of it. */
export async function settleOrder(trx: Database, orderId: string, payment: Payment): Promise<void> {
  const { outTradeNo, totalAmount: amount } = payment;
  if (!(await settle(trx, { orderId, outTradeNo, status: 'PAID', amount }))) {
    throw new Error('invariant: a payment becomes PAID only while its order, locked, is UNPAID');
  }
}

/**
 * The order service hears of a refund only where this payment made the order PAID, once per cumulative amount: of a
 * duplicate it never knew. To it, what went back outside Alipay has gone back too.
 */
export async function tellRefund(trx: Database, outTradeNo: string): Promise<void> {
  const payment = await findPayment(trx, outTradeNo);
  if (!payment || !(await paidItsOrder(trx, payment))) return;
  const { orderId, refundedAmount, outsideAmount } = payment;
  const amount = toYuan(toFen(refundedAmount) + toFen(outsideAmount ?? '0'));
  await insertOrderMessage(trx, { orderId, outTradeNo, status: 'REFUNDED', amount });
}

/** A refund that Alipay tells of: what is known to have gone back only grows. */
export async function noteRefund(
  trx: Database,
  outTradeNo: string,
  { actor, amount }: { actor: string; amount: string },
): Promise<void> {
  if (!(await raiseRefundedAmount(trx, outTradeNo, amount))) return;
  await appendEvent(trx, { outTradeNo, actor, event: 'refund-seen', detail: { amount } });
  await tellRefund(trx, outTradeNo);
}
