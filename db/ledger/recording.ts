import type { LatePaymentPolicy } from '../../workflows/messages';
import type { Database } from '../connect';
import { transaction } from '../connect';
import type { ClockedOrder } from '../orders';
import { lockOrderOfPayment } from '../orders';
import { appendEvent } from '../payment-events';
import type { Payment } from '../payments';
import { findPayment, flagForReview, movePayment, raiseRefundedAmount } from '../payments';
import type { ClosedEvidence, Decision } from '../rules';
import { decideClosed, decidePaid } from '../rules';
import { unknownPayment } from './errors';
import type { Recorded } from '../../workflows/messages';
import { readRecorded } from './recorded';
import { settleOrder, tellRefund } from './settling';

/** A verified word of Alipay that the money was taken. */
export interface PaidEvidence {
  outTradeNo: string;
  tradeNo: string | null;
  /** Yuan. */
  totalAmount: string;
  /** Yuan, cumulative; where Alipay says that some was given back. */
  refundedAmount?: string;
  /** When the buyer paid, where Alipay says. */
  at: Date | null;
  /** The verified body. */
  content: object | null;
  actor: string;
}

/**
 * Records that the money was taken, and answers what the payment is now. Safe to repeat.
 *
 * @throws PaymentError PAYMENT_UNKNOWN
 */
export function recordPaid(
  db: Database,
  evidence: PaidEvidence,
  policy: LatePaymentPolicy,
): Promise<Recorded> {
  return decideLocked(db, evidence.outTradeNo, evidence, (order, payment) =>
    decidePaid(
      { order: order.status, payment: payment.status, totalAmount: payment.totalAmount },
      evidence.totalAmount,
      policy,
    ),
  );
}

/** A verified word of Alipay that the trade is closed. */
export interface TradeClosed extends ClosedEvidence {
  outTradeNo: string;
  tradeNo: string | null;
  content: object | null;
  actor: string;
}

/**
 * Records TRADE_CLOSED, and answers what the payment is now. Safe to repeat.
 *
 * @throws PaymentError PAYMENT_UNKNOWN
 */
export function recordClosed(db: Database, evidence: TradeClosed): Promise<Recorded> {
  return decideLocked(db, evidence.outTradeNo, { ...evidence, at: null }, (order, payment) =>
    decideClosed(
      { order: order.status, payment: payment.status, totalAmount: payment.totalAmount },
      { ...evidence, wasPaid: evidence.wasPaid || payment.tradeNo !== null },
    ),
  );
}

type Evidence = Pick<PaidEvidence, 'outTradeNo' | 'tradeNo' | 'refundedAmount' | 'at' | 'content' | 'actor'>;

async function decideLocked(
  db: Database,
  outTradeNo: string,
  evidence: Evidence,
  decide: (order: ClockedOrder, payment: Payment) => Decision,
): Promise<Recorded> {
  return transaction(db, async (trx) => {
    const order = await lockOrderOfPayment(trx, outTradeNo);
    const payment = await findPayment(trx, outTradeNo);
    if (!order || !payment) throw unknownPayment(outTradeNo);
    const changed = await apply(trx, decide(order, payment), order, payment, evidence);
    if (evidence.refundedAmount !== undefined) await noteRefund(trx, outTradeNo, evidence);
    return { ...(await readRecorded(trx, outTradeNo)), ...(changed && { changed }) };
  });
}

/** False where nothing changed. */
async function apply(
  trx: Database,
  decision: Decision,
  order: ClockedOrder,
  payment: Payment,
  evidence: Evidence,
): Promise<boolean> {
  const { outTradeNo, actor } = evidence;
  if (decision.do === 'nothing') return false;
  if (decision.do === 'flag') {
    const flagged = await flagForReview(trx, outTradeNo, decision.reason);
    if (flagged) {
      await appendEvent(trx, { outTradeNo, actor, event: 'review', detail: { reason: decision.reason } });
    }
    return flagged;
  }
  const { to, reason } = decision;
  const moved = await movePayment(
    trx,
    outTradeNo,
    { from: [payment.status], to },
    { actor, event: EVENT_OF[to], detail: { from: payment.status, reason } },
    {
      tradeNo: to === 'CLOSED' ? null : evidence.tradeNo,
      callbackTime: to === 'CLOSED' ? null : (evidence.at ?? new Date()),
      callbackContent: to === 'CLOSED' ? null : evidence.content,
      reviewReason: reason ?? null,
    },
  );
  if (moved && to === 'PAID') await settleOrder(trx, order.id, payment);
  return moved;
}

const EVENT_OF = {
  PAID: 'paid',
  CLOSED: 'closed',
  REFUNDING: 'refunding',
  REFUNDED: 'refunded',
  REVIEW: 'review',
  UNPAID: 'checked-out',
} as const;

/** A refund that Alipay tells of: what is known to have gone back only grows. */
async function noteRefund(trx: Database, outTradeNo: string, evidence: Evidence): Promise<void> {
  const amount = evidence.refundedAmount;
  if (amount === undefined || !(await raiseRefundedAmount(trx, outTradeNo, amount))) return;
  await appendEvent(trx, { outTradeNo, actor: evidence.actor, event: 'refund-seen', detail: { amount } });
  await tellRefund(trx, outTradeNo);
}
