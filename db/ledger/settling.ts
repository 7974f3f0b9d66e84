import type { Database } from '../connect';
import { toFen, toYuan } from '../money';
import { insertOrderMessage } from '../order-messages';
import { paidItsOrder, settle } from '../orders';
import type { Payment } from '../payments';
import { findPayment, sumUpRefunds } from '../payments';
import type { Refund } from '../refunds';
import { amountToRefund } from '../rules';

/** The order, locked and UNPAID, is paid by this payment, which `foundBy` has found; the order service is told. */
export async function settleOrder(
  trx: Database,
  orderId: string,
  payment: Payment,
  foundBy: string | null,
): Promise<void> {
  const { outTradeNo, totalAmount: amount } = payment;
  if (!(await settle(trx, { orderId, outTradeNo, status: 'PAID', amount }, foundBy))) {
    throw new Error('invariant: a payment becomes PAID only while its order, locked, is UNPAID');
  }
}

/**
 * The order service is told of a refund only if this payment made the order PAID: it never knew of a duplicate. For it,
 * what went back outside Alipay has gone back, too.
 */
export async function tellRefund(
  trx: Database,
  outTradeNo: string,
  refund: { id: string | null; amount: string },
): Promise<void> {
  const payment = await findPayment(trx, outTradeNo);
  if (!payment || !(await paidItsOrder(trx, payment))) return;
  const { orderId, refundedAmount, outsideAmount } = payment;
  const back = toFen(refundedAmount) + toFen(outsideAmount ?? '0');
  const status = back < toFen(amountToRefund(payment)) ? 'PARTIALLY_REFUNDED' : 'REFUNDED';
  await insertOrderMessage(trx, { orderId, outTradeNo, status, amount: toYuan(back), refund });
}

/** A refund has become DONE: it counts, and the order service is told of it. */
export async function countIn(
  trx: Database,
  { outTradeNo, outRequestNo: id }: Pick<Refund, 'outTradeNo' | 'outRequestNo'>,
): Promise<void> {
  const amount = await sumUpRefunds(trx, outTradeNo);
  if (toFen(amount) > 0) await tellRefund(trx, outTradeNo, { id, amount });
}
