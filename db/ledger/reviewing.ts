import type { ResolveReview, ReviewOutcome } from '../../workflows/messages';
import { PaymentError } from '../../workflows/errors';
import type { Database } from '../connect';
import { transaction } from '../connect';
import { paidItsOrder } from '../order-messages';
import type { ClockedOrder } from '../orders';
import { lockOrderOfPayment } from '../orders';
import type { Payment } from '../payments';
import { findPayment, movePayment, raiseRefundedAmount } from '../payments';
import { unknownPayment } from './errors';
import type { Recorded } from '../../workflows/messages';
import { readRecorded } from './recorded';
import { settleOrder, tellRefund } from './settling';

/**
 * A person's decision about a payment in review, after Alipay has been asked afresh.
 *
 * @throws PaymentError PAYMENT_UNKNOWN, REVIEW_REFUSED
 */
export async function recordReview(
  db: Database,
  {
    outTradeNo,
    to,
    actor,
    reason,
    tradeNo,
    recheckInMs,
  }: ResolveReview & { outTradeNo: string; tradeNo: string | null; recheckInMs: number | null },
): Promise<Recorded> {
  return transaction(db, async (trx) => {
    const order = await lockOrderOfPayment(trx, outTradeNo);
    const payment = await findPayment(trx, outTradeNo);
    if (!order || !payment) throw unknownPayment(outTradeNo);
    if (isDecided(payment, to)) return readRecorded(trx, outTradeNo);
    assertDecidable(payment, to);
    if (to === 'PAID' && payment.status === 'REVIEW') await assertCanPay(trx, order, outTradeNo);
    const from = payment.status;
    const change = {
      tradeNo,
      recheckInMs,
      ...(to === 'PAID' && { callbackTime: payment.callbackTime ?? new Date() }),
    };
    const event = { actor, event: 'review-resolved', detail: { from, to, reason } } as const;
    await movePayment(trx, outTradeNo, { from: [from], to }, event, change);
    if (to === 'PAID' && order.status === 'UNPAID') await settleOrder(trx, order.id, payment);
    if (to === 'REFUNDED') {
      await raiseRefundedAmount(trx, outTradeNo, payment.totalAmount);
      await tellRefund(trx, outTradeNo);
    }
    return { ...(await readRecorded(trx, outTradeNo)), changed: true };
  });
}

/** An order is paid by one payment: this one, if it is open, or if this one had paid it before its refund failed. */
async function assertCanPay(trx: Database, order: ClockedOrder, outTradeNo: string): Promise<void> {
  if (order.status === 'UNPAID') return;
  if (order.status === 'PAID' && (await paidItsOrder(trx, outTradeNo))) return;
  throw new PaymentError(
    'REVIEW_REFUSED',
    `Order ${order.id} is ${order.status}: ${outTradeNo} cannot pay it. Resolve to REFUNDING instead.`,
  );
}

/** Whether what a person wants is so already, as where a lost answer makes them, or Temporal, say it again. */
export const isDecided = ({ status, reviewReason }: Payment, to: ReviewOutcome): boolean =>
  status === to && reviewReason === null;

/**
 * A person decides about a payment in review, and may have one that is PAID refunded.
 *
 * @throws PaymentError REVIEW_REFUSED
 */
export function assertDecidable({ outTradeNo, status, reviewReason }: Payment, to: ReviewOutcome): void {
  if (status === 'REVIEW') return;
  // The payment that its order was paid by is never closed: that would be a PAID order with nothing behind it.
  if (status === 'PAID' && (reviewReason === null ? to === 'REFUNDING' : to !== 'CLOSED')) return;
  throw new PaymentError(
    'REVIEW_REFUSED',
    `Payment ${outTradeNo} is ${status}${reviewReason === null ? ', not in review' : ''}: it cannot become ${to}.`,
  );
}
