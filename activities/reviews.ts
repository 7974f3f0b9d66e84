import type { Decided, ResolveReview } from '../workflows/messages';
import { PaymentError } from '../workflows/errors';
import type { Database } from '../db/connect';
import type { Consulted, ReviewDecision } from '../db/ledger';
import { assertDecidable, readRecorded, recordReview, refusedReview, unknownPayment } from '../db/ledger';
import { assertOurs } from '../db/merchants';
import type { Payment } from '../db/payments';
import { findPayment } from '../db/payments';
import { isDecided } from '../db/review-rules';
import type { AlipayGateway } from './alipay/gateway';
import { RECHECK_AFTER_MS } from './closing';
import type { Metrics } from './metrics';
import { counted } from './metrics';
import { isEvidence, storeAnswer } from './payments';
import { wasRefunded } from './refunds';

export interface ReviewDependencies {
  db: Database;
  alipay: AlipayGateway;
  /** Ids of the merchants that this process has: it asks about no other's payments. */
  merchants: readonly string[];
  metrics: Metrics;
}

export function createReviewActivities(deps: ReviewDependencies) {
  const { db, alipay, merchants, metrics } = deps;
  return {
    /**
     * Carries out a person's decision about a payment in review, to refund one that is PAID, or to stop a refund, if what
     * Alipay answers now agrees with it. Where the buyer could still pay what is to be CLOSED, the trade is closed first.
     * Safe to repeat.
     *
     * Fails with REVIEW_REFUSED (the message says what contradicts it), INVALID_INPUT, PAYMENT_UNKNOWN, MERCHANT_UNKNOWN,
     * and the failures of any call.
     */
    async resolveReview(decision: ResolveReview & { outTradeNo: string }): Promise<Decided> {
      const { outTradeNo, to } = decision;
      assertReference(decision);
      const payment = await findPayment(db, outTradeNo);
      if (!payment) throw unknownPayment(outTradeNo);
      if (isDecided(payment, to)) return readRecorded(db, outTradeNo);
      assertDecidable(payment, decision);
      assertOurs(payment, merchants);

      let consulted = await consult(deps, payment, decision);
      let recorded = await recordReview(db, decision, consulted);
      if (recorded === 'close-first') {
        await alipay.close(outTradeNo);
        consulted = await consult(deps, payment, decision);
        recorded = await recordReview(db, decision, consulted);
      }
      if (recorded === 'close-first') throw refusedReview(decision, 'Alipay has not closed its trade');
      return { ...counted(metrics, recorded), answer: consulted.fresh.answer };
    },
  };
}

/** Asks Alipay about the trade and about our refund of it, and stores what proves anything. */
async function consult(
  { db, alipay }: ReviewDependencies,
  payment: Payment,
  { to }: ReviewDecision,
): Promise<Consulted> {
  const { outTradeNo } = payment;
  const answered = await alipay.query(outTradeNo);
  const { answer, tradeStatus, tradeNo, totalAmount, paidAt } = answered;
  const evidenceId = isEvidence(answered) ? await storeAnswer(db, outTradeNo, 0, answered) : undefined;
  const fresh = {
    answer,
    tradeStatus,
    wasPaid: paidAt !== null,
    totalAmount,
    isRefunded: await wasRefunded(alipay, payment),
  };
  return {
    fresh,
    evidenceId,
    // A trade number on the row says that it was paid: the TRADE_CLOSED of a trade that was not would call a person again.
    tradeNo: to === 'CLOSED' ? null : tradeNo,
    recheckInMs: to === 'CLOSED' && answer === 'not-exist' ? RECHECK_AFTER_MS : null,
  };
}

const LONGEST_REFERENCE = 256;

/** @throws PaymentError INVALID_INPUT */
function assertReference(decision: ResolveReview): void {
  // Senders in other languages send null for what is left out.
  const outside = decision.outside as { reference?: unknown } | null | undefined;
  if (outside === undefined || outside === null) return;
  const { reference } = outside;
  if (typeof reference === 'string' && reference.trim() !== '' && reference.length <= LONGEST_REFERENCE)
    return;
  throw new PaymentError(
    'INVALID_INPUT',
    `outside.reference: how the money went back, 1 to ${LONGEST_REFERENCE} characters`,
  );
}
