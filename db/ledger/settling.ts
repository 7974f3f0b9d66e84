import type { Database } from '../connect';
import { insertOrderMessage, paidItsOrder } from '../order-messages';
import { markOrderPaid } from '../orders';
import type { Payment } from '../payments';
import { findPayment } from '../payments';

/** The order, locked and UNPAID, is paid by this payment; the order service hears of it. */
export async function settleOrder(trx: Database, orderId: string, payment: Payment): Promise<void> {
  if (!(await markOrderPaid(trx, orderId))) {
    throw new Error('invariant: a payment becomes PAID only while its order, locked, is UNPAID');
  }
  await insertOrderMessage(trx, {
    orderId,
    outTradeNo: payment.outTradeNo,
    status: 'PAID',
    amount: payment.totalAmount,
  });
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
