import type { Answer, LatePaymentPolicy, StoredPaymentStatus } from '../workflows/messages';
import { PaymentError } from '../workflows/errors';
import type { Database } from '../db/connect';
import type { Recorded } from '../workflows/messages';
import { readRecorded, recordClosed, recordPaid, unknownPayment } from '../db/ledger';
import { assertOurs } from '../db/merchants';
import { appendAnswer, findEvent, findNewestAnswer } from '../db/payment-events';
import type { Payment } from '../db/payments';
import { findPayment, setChecks } from '../db/payments';
import { AlipayError } from './alipay/errors';
import type { AlipayGateway, QueryAnswer } from './alipay/gateway';
import { readEvidence } from './evidence';
import type { Metrics } from './metrics';
import { counted } from './metrics';

export interface Queried {
  answer: Answer;
  tradeNo?: string;
  /** Yuan. */
  totalAmount?: string;
}

/** What the handout calls `checkAlipayPayment`. */
export function createQueryActivities({
  db,
  alipay,
  merchants,
}: {
  db: Database;
  alipay: AlipayGateway;
  merchants: readonly string[];
}) {
  /** A check counts once Alipay was asked, whatever came of it; one that could not be asked uses up nothing. */
  async function ask(outTradeNo: string, check: number): Promise<QueryAnswer> {
    try {
      return await alipay.query(outTradeNo);
    } catch (error) {
      if (check > 0 && wasAsked(error)) await setChecks(db, outTradeNo, check);
      throw error;
    }
  }

  return {
    /**
     * Asks whether a payment was made: the own table first, then `alipay.trade.query` by `out_trade_no`. `check` is
     * the number of the check, 0 for an ask that uses up none. Safe to repeat.
     *
     * Fails with ALIPAY_UNKNOWN (ask again), ALIPAY_BUSY or ALIPAY_DOWN (nothing was asked), ALIPAY_MISCONFIGURED,
     * ALIPAY_REFUSED, MERCHANT_UNKNOWN, PAYMENT_UNKNOWN.
     */
    async queryAlipay({ outTradeNo, check }: { outTradeNo: string; check: number }): Promise<Queried> {
      const payment = await findPayment(db, outTradeNo);
      if (!payment) throw unknownPayment(outTradeNo);
      if (moneyWasTaken(payment)) return tookMoney(payment);
      assertOurs(payment, merchants);
      const answer = await ask(outTradeNo, check);
      await storeAnswer(db, outTradeNo, check, answer);
      return answerFor(answer);
    },
  };
}

/** The writes that follow from what Alipay says. */
export function createRecordActivities({
  db,
  metrics,
  latePaymentPolicy,
}: {
  db: Database;
  metrics: Metrics;
  latePaymentPolicy: LatePaymentPolicy;
}) {
  return {
    /**
     * Records what verified evidence proves: the stored event `eventId`, or the newest answer to a query. Answers
     * what the payment is now. Safe to repeat.
     *
     * Fails with NOT_FOUND where there is no such event of this payment, PAYMENT_UNKNOWN.
     */
    async recordEvidence({
      outTradeNo,
      eventId,
    }: {
      outTradeNo: string;
      eventId?: string;
    }): Promise<Recorded> {
      const event =
        eventId === undefined
          ? await findNewestAnswer(db, outTradeNo)
          : await findEvent(db, outTradeNo, eventId);
      if (!event) {
        if (eventId === undefined) return readRecorded(db, outTradeNo);
        throw new PaymentError('NOT_FOUND', `Payment ${outTradeNo} has no event ${eventId}.`);
      }
      const evidence = readEvidence(event);
      switch (evidence.of) {
        case 'paid':
          return counted(metrics, await recordPaid(db, evidence.paid, latePaymentPolicy));
        case 'closed':
          return counted(metrics, await recordClosed(db, evidence.closed));
        case 'nothing':
          return readRecorded(db, outTradeNo);
      }
    },

    /** What the row says. Fails with PAYMENT_UNKNOWN. */
    readPayment({ outTradeNo }: { outTradeNo: string }): Promise<Recorded> {
      return readRecorded(db, outTradeNo);
    },
  };
}

const wasAsked = (error: unknown): boolean =>
  !(error instanceof AlipayError) || (error.kind !== 'down' && error.kind !== 'no-quota');

const TOOK_MONEY: ReadonlySet<StoredPaymentStatus> = new Set(['PAID', 'REFUNDING', 'REFUNDED', 'REVIEW']);

const moneyWasTaken = ({ status }: Payment): boolean => TOOK_MONEY.has(status);

function tookMoney({ tradeNo, totalAmount }: Payment): Queried {
  return { answer: 'paid', ...(tradeNo !== null && { tradeNo }), totalAmount };
}

/**
 * Evidence is kept whole before anything is concluded from it; other answers only as a word in the timeline. Check
 * number `check` counts as made with it; 0 is none.
 */
export async function storeAnswer(
  db: Database,
  outTradeNo: string,
  check: number,
  { answer, content }: QueryAnswer,
): Promise<string> {
  const isEvidence = answer === 'paid' || answer === 'closed';
  return appendAnswer(db, check, {
    outTradeNo,
    actor: check === 0 ? 'query' : `check ${check}`,
    event: isEvidence ? 'answered' : 'checked',
    detail: isEvidence ? content : { check, answer },
  });
}

function answerFor({ answer, tradeNo, totalAmount }: QueryAnswer): Queried {
  if (answer !== 'paid' && answer !== 'closed') return { answer };
  return { answer, ...(tradeNo !== null && { tradeNo }), ...(totalAmount !== null && { totalAmount }) };
}
