import type { Recorded, ResolveReview } from '../../workflows/messages';
import { PaymentError } from '../../workflows/errors';
import type { Database } from '../connect';
import { transaction } from '../connect';
import { markRecorded, owesEvidence } from '../evidence';
import { toFen } from '../money';
import { lockOrderOfPayment, paidItsOrder } from '../orders';
import { wasRefundStopped } from '../payment-events';
import type { Payment, PaymentChange } from '../payments';
import { findPayment, movePayment } from '../payments';
import { findRefundsOfPayment } from '../refunds';
import type { FreshAnswer } from '../review-rules';
import { isDecided, judge, judgeRow, leftToReturn, takenBy } from '../review-rules';
import { REVIEW_REASONS, isSuperseded } from '../rules';
import { unknownPayment } from './errors';
import { readRecorded } from './recorded';
import { moveWholeRefunds } from './refunding';
import { settleOrder, tellRefund } from './settling';
import { settleRefunds } from './settling-refunds';

export type ReviewDecision = ResolveReview & { outTradeNo: string };

/** What Alipay answered a moment ago, and what follows from it. */
export interface Consulted {
  fresh: FreshAnswer;
  tradeNo: string | null;
  /** The stored answer, if it proves anything: the decision takes it into account. */
  evidenceId?: string | undefined;
  /** When a payment that is closed here is queried once more; null: never. */
  recheckInMs: number | null;
}

/**
 * Carries out a person's decision about a payment, after Alipay has been asked. `close-first`: nothing is done, since the
 * buyer can still pay; close the trade at Alipay, and ask again. Safe to repeat.
 *
 * @throws PaymentError PAYMENT_UNKNOWN, REVIEW_REFUSED
 */
export async function recordReview(
  db: Database,
  decision: ReviewDecision,
  { fresh, tradeNo, evidenceId, recheckInMs }: Consulted,
): Promise<Recorded | 'close-first'> {
  const { outTradeNo, to, actor, reason, outside, because } = decision;
  return transaction(db, async (trx) => {
    const order = await lockOrderOfPayment(trx, outTradeNo);
    const payment = await findPayment(trx, outTradeNo);
    if (!order || !payment) throw unknownPayment(outTradeNo);
    if (isDecided(payment, decision)) return readRecorded(trx, outTradeNo);
    const proposal = {
      to,
      outside,
      because,
      order: order.status,
      paidItsOrder: await paidItsOrder(trx, payment),
      isSuperseded: isSuperseded(payment, order),
      refundMayCome:
        (await wasRefundStopped(trx, outTradeNo)) ||
        (await findRefundsOfPayment(trx, outTradeNo)).some(
          ({ status, justAsked }) => status === 'REQUESTED' || (status === 'REVIEW' && justAsked),
        ),
    };
    const verdict = judge(payment, proposal, fresh);
    if (verdict.kind === 'refused') throw refusedReview(decision, verdict.because);
    if (verdict.kind === 'close-first') return verdict.kind;
    if (to === 'CLOSED' && (await owesEvidence(trx, [outTradeNo], evidenceId))) {
      throw refusedReview(decision, 'evidence about it has come in and is not recorded yet; try again');
    }

    const from = payment.status;
    const detail = { from, to, reason, ...(outside && { outside: outside.reference }) };
    await movePayment(
      trx,
      outTradeNo,
      { from: [from], to },
      { actor, event: 'review-resolved', detail },
      { ...changeOf(decision, payment, fresh), tradeNo, recheckInMs },
    );
    if (to === 'PAID' && order.status === 'UNPAID') {
      await settleOrder(trx, order.id, payment, null);
      // Refunds made before the order service knew of the payment.
      for (const { outRequestNo: id, status, amount } of await findRefundsOfPayment(trx, outTradeNo))
        if (status === 'DONE' && amount !== null) await tellRefund(trx, outTradeNo, { id, amount });
    }
    await moveWholeRefunds(trx, outTradeNo, { actor, stop: to === 'REVIEW' });
    if (to === 'REFUNDING') {
      const whole = { kind: 'operator', requestedBy: actor } as const;
      await settleRefunds(trx, outTradeNo, { actor, whole, brakeFen: null });
    }
    if (to === 'REFUNDED') await recordReturned(trx, decision, payment, fresh);
    if (evidenceId !== undefined) await markRecorded(trx, [evidenceId]);
    return { ...(await readRecorded(trx, outTradeNo)), changed: true };
  });
}

/** All has gone back: what no refund here explains was refunded in the merchant portal, or outside Alipay. */
async function recordReturned(
  trx: Database,
  { outTradeNo, actor, outside }: ReviewDecision,
  payment: Payment,
  fresh: FreshAnswer,
): Promise<void> {
  if (!outside) {
    const told = { cumulative: takenBy(payment, fresh) };
    await settleRefunds(trx, outTradeNo, { actor, told, brakeFen: null });
    return;
  }
  const amount = leftToReturn(payment, fresh);
  if (amount !== undefined) await tellRefund(trx, outTradeNo, { id: null, amount });
}

function changeOf({ to, outside }: ReviewDecision, payment: Payment, fresh: FreshAnswer): PaymentChange {
  const paidAmount = takenBy(payment, fresh);
  switch (to) {
    case 'PAID': {
      const isAccepted = payment.acceptedAmount !== null || toFen(paidAmount) !== toFen(payment.totalAmount);
      return {
        paidAmount,
        callbackTime: payment.callbackTime ?? new Date(),
        ...(isAccepted && { acceptedAmount: paidAmount }),
      };
    }
    case 'REFUNDING':
      return { paidAmount };
    case 'REFUNDED': {
      const amount = leftToReturn(payment, fresh);
      return { paidAmount, ...(outside && amount && { outside: { amount, reference: outside.reference } }) };
    }
    case 'REVIEW':
      return { reviewReason: REVIEW_REASONS.refundStopped };
    case 'CLOSED':
      return {};
  }
}

/**
 * Checks, before Alipay is asked, that the row permits the decision.
 *
 * @throws PaymentError REVIEW_REFUSED
 */
export function assertDecidable(payment: Payment, decision: ReviewDecision): void {
  const verdict = judgeRow(payment, decision);
  if (verdict.kind === 'refused') throw refusedReview(decision, verdict.because);
}

export function refusedReview({ outTradeNo, to }: ReviewDecision, because: string): PaymentError {
  return new PaymentError('REVIEW_REFUSED', `${outTradeNo} cannot become ${to}: ${because}.`);
}
