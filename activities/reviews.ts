import type { ResolveReview, ReviewOutcome } from '../workflows/messages';
import { PaymentError } from '../workflows/errors';
import type { Database } from '../db/connect';
import type { Recorded } from '../workflows/messages';
import { assertDecidable, isDecided, readRecorded, recordReview, unknownPayment } from '../db/ledger';
import { readFen, toFen } from '../db/money';
import type { Payment } from '../db/payments';
import { findPayment } from '../db/payments';
import type { AlipayGateway, QueryAnswer } from './alipay/gateway';
import { RECHECK_AFTER_MS } from './closing';
import type { Metrics } from './metrics';
import { counted } from './metrics';
import { storeAnswer } from './payments';
import { wasRefunded } from './refunds';

export interface ReviewDependencies {
  db: Database;
  alipay: AlipayGateway;
  metrics: Metrics;
}

export function createReviewActivities({ db, alipay, metrics }: ReviewDependencies) {
  return {
    /**
     * Carries out a person's decision about a payment in review, or to refund one that is PAID, if Alipay's fresh word
     * agrees with it.
     *
     * Fails with REVIEW_REFUSED (what Alipay says instead stands in the message), PAYMENT_UNKNOWN, and the failures
     * of any call.
     */
    async resolveReview(decision: ResolveReview & { outTradeNo: string }): Promise<Recorded> {
      const { outTradeNo, to } = decision;
      const payment = await findPayment(db, outTradeNo);
      if (!payment) throw unknownPayment(outTradeNo);
      if (isDecided(payment, to)) return readRecorded(db, outTradeNo);
      assertDecidable(payment, to);
      const fresh = await alipay.query(outTradeNo);
      await storeAnswer(db, outTradeNo, 0, fresh);
      const refunded = await wasRefunded(alipay, payment);
      if (!agrees(to, fresh, refunded)) throw disagreement(outTradeNo, to, fresh, refunded);
      if (to === 'REFUNDING') assertSameAmount(payment, fresh);
      // A trade number on the row says that it was paid: the TRADE_CLOSED of a trade that was not would call a person again.
      const tradeNo = to === 'CLOSED' ? null : fresh.tradeNo;
      const recheckInMs = to === 'CLOSED' && fresh.answer === 'not-exist' ? RECHECK_AFTER_MS : null;
      return counted(metrics, await recordReview(db, { ...decision, tradeNo, recheckInMs }));
    },
  };
}

/** No exit may contradict where the money is: it is the shop's, it went back, or it never came. */
function agrees(to: ReviewOutcome, fresh: QueryAnswer, refunded: boolean): boolean {
  switch (to) {
    case 'PAID':
      return fresh.answer === 'paid' && !refunded;
    case 'REFUNDING':
      return fresh.answer === 'paid';
    case 'REFUNDED':
      return refunded || (fresh.answer === 'closed' && fresh.paidAt !== null);
    case 'CLOSED':
      return (
        (fresh.answer === 'closed' && fresh.paidAt === null && !refunded) || fresh.answer === 'not-exist'
      );
  }
}

/** Our refund gives back the order's amount: of a payment of another amount something would stay behind. */
function assertSameAmount({ outTradeNo, totalAmount }: Payment, fresh: QueryAnswer): void {
  if (readFen(fresh.totalAmount ?? undefined) === toFen(totalAmount)) return;
  throw new PaymentError(
    'REVIEW_REFUSED',
    `${outTradeNo} was paid with ${fresh.totalAmount ?? 'an unknown amount of'} yuan, not ${totalAmount}. ` +
      'Refund it in the merchant portal, then resolve to REFUNDED.',
  );
}

function disagreement(
  outTradeNo: string,
  to: ReviewOutcome,
  fresh: QueryAnswer,
  refunded: boolean,
): PaymentError {
  const says = `${fresh.tradeStatus ?? fresh.answer}${refunded ? ', refunded by us' : ''}`;
  return new PaymentError(
    'REVIEW_REFUSED',
    `${outTradeNo} cannot become ${to}: Alipay says ${says}. Choose what agrees with that.`,
  );
}
