import { ApplicationFailure } from '@temporalio/common';
import type { Database } from '../db/connect';
import type { Recorded } from '../workflows/messages';
import {
  readRecorded,
  recordRefundRefused,
  recordRefunded,
  recordUnproven,
  unknownPayment,
} from '../db/ledger';
import { assertOurs } from '../db/merchants';
import type { Payment } from '../db/payments';
import { findPayment } from '../db/payments';
import { amountToRefund } from '../db/rules';
import { AlipayError } from './alipay/errors';
import type { AlipayGateway } from './alipay/gateway';
import type { Metrics } from './metrics';
import { counted } from './metrics';

export interface RefundDependencies {
  db: Database;
  alipay: AlipayGateway;
  /** Ids of the merchants that this process has: it refunds no other's payments. */
  merchants: readonly string[];
  metrics: Metrics;
}

/**
 * The refund's own number, the same at every try, so that Alipay refunds once. It need only be unique within the
 * trade, and is at most 64 characters.
 */
export const outRequestNoOf = (outTradeNo: string): string => `LATE_${outTradeNo}`.slice(0, 64);

/** Why a refund is not proven, when it is asked about again, and after how many such answers a person decides. */
interface Unproven {
  subCode?: string;
  mostAnswers: number;
  askAgainInMs: (answers: number) => number;
}

/**
 * Alipay wants at least 10 s between a refund and the question whether it was done, 3 s between refunds of a trade.
 * Doubled each time up to 10 minutes, ten answers are some 40 minutes.
 */
const NO_PROOF: Unproven = {
  mostAnswers: 10,
  askAgainInMs: (answers) => Math.min(10_000 * 2 ** (answers - 1), 600_000),
};

/** The seller's account may be filled meanwhile: a day is given for it. */
const NO_BALANCE: Unproven = { mostAnswers: 48, askAgainInMs: () => 1_800_000 };

const ACTOR = 'refund';

export function createRefundActivities(deps: RefundDependencies) {
  const { db, alipay, merchants, metrics } = deps;
  return {
    /**
     * Drives a REFUNDING payment on: gives back all that was paid with a fixed `out_request_no`, and believes it only
     * when proven (`fund_change=Y`, or the refund query). What Alipay refuses, or does not prove in the end, goes to
     * a person. Safe to repeat.
     *
     * Fails with ALIPAY_UNKNOWN (try again), MERCHANT_UNKNOWN, and the failures of any call.
     */
    async refundPayment({ outTradeNo }: { outTradeNo: string }): Promise<Recorded> {
      const payment = await findPayment(db, outTradeNo);
      if (!payment) throw unknownPayment(outTradeNo);
      if (payment.status !== 'REFUNDING') return readRecorded(db, outTradeNo);
      assertOurs(payment, merchants);
      try {
        if (await refundIsProven(alipay, payment)) return await proven(deps, payment);
      } catch (error) {
        if (!(error instanceof AlipayError) || error.kind !== 'refused') throw error;
        return await afterRefusal(deps, payment, error.subCode ?? error.code ?? 'UNKNOWN');
      }
      return counted(metrics, await stillUnproven(db, outTradeNo, NO_PROOF));
    },
  };
}

/** The whole of what was paid goes back, in one refund. */
const refundOf = (payment: Payment) => ({
  outTradeNo: payment.outTradeNo,
  amount: amountToRefund(payment),
  outRequestNo: outRequestNoOf(payment.outTradeNo),
});

async function refundIsProven(alipay: AlipayGateway, payment: Payment): Promise<boolean> {
  const refund = refundOf(payment);
  const moved = await alipay.refund({ ...refund, reason: 'payment of a settled order' });
  return moved || alipay.refundQuery(refund);
}

async function proven({ db, metrics }: RefundDependencies, payment: Payment): Promise<Recorded> {
  const { outTradeNo, amount } = refundOf(payment);
  return counted(metrics, await recordRefunded(db, outTradeNo, { actor: ACTOR, amount }));
}

/** Refused may mean done: a fully refunded trade answers TRADE_HAS_CLOSE. So the refund query has the last word. */
async function afterRefusal(deps: RefundDependencies, payment: Payment, subCode: string): Promise<Recorded> {
  const { db, alipay, metrics } = deps;
  const { outTradeNo } = payment;
  if (subCode.endsWith('SELLER_BALANCE_NOT_ENOUGH')) {
    return counted(metrics, await stillUnproven(db, outTradeNo, { ...NO_BALANCE, subCode }));
  }
  if (await wasRefunded(alipay, payment)) return proven(deps, payment);
  return counted(metrics, await recordRefundRefused(db, outTradeNo, { actor: ACTOR, subCode }));
}

/**
 * Whether our refund of this payment, all of it, is proven. A trade without any refund may answer with a refusal: not proven.
 *
 * @throws AlipayError where the answer is unknown
 */
export async function wasRefunded(alipay: AlipayGateway, payment: Payment): Promise<boolean> {
  try {
    return await alipay.refundQuery(refundOf(payment));
  } catch (error) {
    if (error instanceof AlipayError && error.kind === 'refused') return false;
    throw error;
  }
}

/** @throws ApplicationFailure ALIPAY_UNKNOWN (ask again, later) until a person has to decide */
async function stillUnproven(
  db: Database,
  outTradeNo: string,
  { subCode, mostAnswers, askAgainInMs }: Unproven,
): Promise<Recorded> {
  const { answers, ...recorded } = await recordUnproven(db, outTradeNo, {
    actor: ACTOR,
    subCode,
    mostAnswers,
  });
  if (recorded.status !== 'REFUNDING') return recorded;
  throw ApplicationFailure.create({
    type: 'ALIPAY_UNKNOWN',
    message: `The refund of ${outTradeNo} is not proven yet. It is asked about again.`,
    nextRetryDelay: askAgainInMs(answers),
  });
}
