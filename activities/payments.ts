import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '@temporalio/client';
import type { Logger } from 'pino';
import type { LatePaymentPolicy, Queried, QueryAlipayInput, Recorded } from '../workflows/messages';
import { noteAnswer, noteCheck } from '../db/checks';
import type { Database } from '../db/connect';
import { storeEvidence } from '../db/evidence';
import type { EvidenceFault } from '../db/ledger';
import { readRecorded, recordEvidence, unknownPayment } from '../db/ledger';
import { assertOurs } from '../db/merchants';
import type { Payment } from '../db/payments';
import { findPayment } from '../db/payments';
import { tookMoney } from '../db/rules';
import { AlipayError } from './alipay/errors';
import type { AlipayGateway, QueryAnswer } from './alipay/gateway';
import { readEvidence } from './evidence';
import type { Metrics } from './metrics';
import { tellFromOutbox } from './orders';

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
  return {
    /**
     * Asks whether a payment was made: the own table first, then `alipay.trade.query` by `out_trade_no`. A check counts
     * once Alipay was asked, whatever came of it; one that could not be asked uses up nothing. An unknown answer is a
     * result. Safe to repeat.
     *
     * Fails with ALIPAY_DOWN or ALIPAY_BUSY (nothing was asked), ALIPAY_MISCONFIGURED, ALIPAY_REFUSED, MERCHANT_UNKNOWN,
     * PAYMENT_UNKNOWN.
     */
    async queryAlipay({ outTradeNo, check, nextCheckInMs }: QueryAlipayInput): Promise<Queried> {
      const payment = await findPayment(db, outTradeNo);
      if (!payment) throw unknownPayment(outTradeNo);
      if (tookMoney(payment)) return knownAs(payment);
      assertOurs(payment, merchants);
      // An ask that uses up no check leaves the plan of those to come.
      const made = { check, nextCheckInMs: check > 0 ? nextCheckInMs : undefined };
      let asked: QueryAnswer;
      try {
        asked = await alipay.query(outTradeNo);
      } catch (error) {
        if (!wasAsked(error)) throw error;
        await noteCheck(db, outTradeNo, made);
        if (error instanceof AlipayError && error.kind === 'unknown') return { answer: 'unknown' };
        throw error;
      }
      const { answer, tradeNo, totalAmount } = asked;
      if (!isEvidence(asked)) {
        await noteAnswer(db, outTradeNo, answer, made);
        return { answer };
      }
      await storeAnswer(db, outTradeNo, check, asked, made.nextCheckInMs);
      return { answer, ...(tradeNo !== null && { tradeNo }), ...(totalAmount !== null && { totalAmount }) };
    },
  };
}

const wasAsked = (error: unknown): boolean =>
  !(error instanceof AlipayError) || (error.kind !== 'down' && error.kind !== 'no-quota');

function knownAs({ tradeNo, paidAmount, totalAmount }: Payment): Queried {
  return { answer: 'paid', ...(tradeNo !== null && { tradeNo }), totalAmount: paidAmount ?? totalAmount };
}

export const isEvidence = ({ answer }: QueryAnswer): boolean => answer === 'paid' || answer === 'closed';

/**
 * Stores the answer to a query that proves something (paid, closed), whole, before anything is concluded from it. Check
 * number `check` counts as made with it; 0 is none. Returns the evidence's id.
 *
 * @throws PaymentError PAYMENT_UNKNOWN
 */
export async function storeAnswer(
  db: Database,
  outTradeNo: string,
  check: number,
  { signed, tradeStatus, totalAmount }: QueryAnswer,
  nextCheckInMs?: number | null,
): Promise<string> {
  const stored = await storeEvidence(db, {
    outTradeNo,
    kind: 'answer',
    signed,
    isNews: true,
    says: { tradeStatus: tradeStatus ?? '', totalAmount: totalAmount ?? undefined },
    check: { check, nextCheckInMs },
  });
  if (!stored) throw unknownPayment(outTradeNo);
  return stored.id;
}

export interface RecordDependencies {
  db: Database;
  temporal: Client;
  log: Logger;
  metrics: Metrics;
  latePaymentPolicy: LatePaymentPolicy;
}

/** Telling the order service may take so long within {@link createRecordActivities | recordAndTell}; then it is owed. */
const TELL_MS = 1_000;

/** The writes that follow from what Alipay says. */
export function createRecordActivities(deps: RecordDependencies) {
  const { db, metrics, latePaymentPolicy: policy } = deps;
  return {
    /**
     * Records all evidence about a payment that is not recorded yet, then tells the order service what it has not been
     * told. Failing to tell is `undelivered`, never an error. Safe to repeat.
     *
     * Fails with PAYMENT_UNKNOWN.
     */
    async recordAndTell({ outTradeNo }: { outTradeNo: string }): Promise<Recorded> {
      const { recorded, moves, faults } = await recordEvidence(db, outTradeNo, {
        read: readEvidence,
        policy,
      });
      for (const status of moves) metrics.settled(status);
      for (const fault of faults) logFault(deps, outTradeNo, fault);
      if (!recorded.undelivered) return recorded;
      return { ...recorded, undelivered: !(await isTold(deps, recorded.orderId)) };
    },

    /** What the row says. Fails with PAYMENT_UNKNOWN. */
    readPayment({ outTradeNo }: { outTradeNo: string }): Promise<Recorded> {
      return readRecorded(db, outTradeNo);
    },

    /**
     * Notes in the row when the next check is due, or, with null, that this run makes no more; returns what the row says.
     * Safe to repeat.
     *
     * Fails with PAYMENT_UNKNOWN.
     */
    async planCheck({ outTradeNo, inMs }: { outTradeNo: string; inMs: number | null }): Promise<Recorded> {
      await noteCheck(db, outTradeNo, { check: 0, nextCheckInMs: inMs });
      return readRecorded(db, outTradeNo);
    },
  };
}

/** Evidence that nobody understands is money that nobody has looked at. */
function logFault(
  { log }: RecordDependencies,
  outTradeNo: string,
  { evidenceId, error }: EvidenceFault,
): void {
  const { name, code } = error as { name?: string; code?: unknown };
  log.error(
    { code: 'EVIDENCE_NOT_RECORDED', alert: true, outTradeNo, evidenceId, cause: code ?? name },
    'evidence cannot be recorded; it stays owed, and is tried again',
  );
}

async function isTold(deps: RecordDependencies, orderId: string): Promise<boolean> {
  const late = new AbortController();
  // What comes of it after that is nobody's concern here: a message that is told twice is acted on once.
  const telling = tellFromOutbox(deps, orderId).then(
    () => true,
    (err: unknown) => {
      deps.log.warn({ orderId, err, code: 'UNDELIVERED' }, 'order service not told yet; the follow-up will');
      return false;
    },
  );
  try {
    return await Promise.race([telling, sleep(TELL_MS, false, { signal: late.signal })]);
  } finally {
    late.abort();
  }
}
