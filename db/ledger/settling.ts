import type { Database } from '../connect';
import { insertOrderMessage, paidItsOrder } from '../order-messages';
import { settle } from '../orders';
import type { Payment } from '../payments';
import { findPayment } from '../payments';

/** The order, locked and UNPAID, is paid by this payment; the order service hears of it. */
export async function settleOrder(trx: Database, orderId: string, payment: Payment): Promise<void> {
  const { outTradeNo, totalAmount: amount } = payment;
  if (!(await settle(trx, { orderId, outTradeNo, status: 'PAID', amount }))) {
    throw new Error('invariant: a payment becomes PAID only while its order, locked, is UNPAID');
  }
}

/**
 * The order service hears of a refund only where this payment made the order PAID, once per cumulative amount: of a
 * duplicate it never knew.
 */
export async function tellRefund(trx: Database, outTradeNo: string): Promise<void> {
  const payment = await findPayment(trx, outTradeNo);
  if (!payment || !(await paidItsOrder(trx, outTradeNo))) return;
  const { orderId, refundedAmount } = payment;
  await insertOrderMessage(trx, { orderId, outTradeNo, status: 'REFUNDED', amount: refundedAmount });
}
