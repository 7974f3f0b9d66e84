import type {
  AlipayQueueActivities,
  RefundPaymentInput,
  ResolveRefund,
  ResolveReview,
} from '../workflows/messages';
import { PaymentError } from '../workflows/errors';
import type { Database } from '../db/connect';
import type { Consulted, RefundEnd, ReviewDecision } from '../db/ledger';
import {
  assertDecidable,
  endRefund,
  readRecorded,
  recordReview,
  refusedReview,
  requirePayment,
  requireRefund,
} from '../db/ledger';
import type { Payment } from '../db/payments';
import { findPayment } from '../db/payments';
import { toFen } from '../db/money';
import type { Refund } from '../db/refunds';
import { findRefundsOfPayment } from '../db/refunds';
import { isDecided, isWithdrawal, judgeRefund } from '../db/review-rules';
import { amountToRefund } from '../db/rules';
import { RECHECK_AFTER_MS } from './closing';
import type { ActivityDependencies } from './dependencies';
import { isEvidence, storeAnswer } from './payments';
import type { AlipayGateway } from './alipay/gateway';
import { tellRefunds } from './refund-workflow';
import { DECIDED, follow, provenAmount } from './refunds';

export function createReviewActivities(
  deps: ActivityDependencies,
): Pick<AlipayQueueActivities, 'resolveReview' | 'resolveRefund'> {
  const { db, alipay, metrics } = deps;
  return {
    async resolveReview(decision) {
      const { outTradeNo } = decision;
      assertReference(decision);
      const payment = await requirePayment(db, outTradeNo);
      if (isDecided(payment, decision)) return readRecorded(db, outTradeNo);
      assertDecidable(payment, decision);
      const gateway = alipay.of(payment);

      let consulted = await consult(deps, gateway, payment, decision);
      let recorded = await recordReview(db, decision, consulted);
      if (recorded === 'close-first') {
        await gateway.close(outTradeNo);
        consulted = await consult(deps, gateway, payment, decision);
        recorded = await recordReview(db, decision, consulted);
      }
      if (recorded === 'close-first') throw refusedReview(decision, 'Alipay has not closed its trade');
      await tellRefunds(deps, await findRefundsOfPayment(db, outTradeNo));
      if (recorded.changed) metrics.settled(recorded.status);
      const { answer } = consulted.fresh;
      return { ...recorded, ...(consulted !== NOTHING_ASKED && { answer }) };
    },

    async resolveRefund(decision) {
      const { outTradeNo, to, actor, reason } = decision;
      const refund = await requireRefund(db, decision);
      if (refund.status === to) return follow(deps, { refund, refunds: [], changed: false });
      const payment = await requirePayment(db, outTradeNo);
      const gateway = alipay.of(payment);
      const agreed = isWithdrawal(refund, to)
        ? {}
        : await consultAboutRefund(deps, gateway, payment, { refund, decision });
      const end = { ...agreed, actor, to, because: DECIDED, decision: reason };
      const ended = await endRefund(deps, refund, end);
      if (ended.refund.status !== to) throw refusedRefund(decision, `it is ${ended.refund.status} by now`);
      return follow(deps, ended);
    },
  };
}

/**
 * A refund is stopped in its row only, even while Alipay cannot be asked. If it was made already, the next decision
 * finds that.
 */
const NOTHING_ASKED: Consulted = {
  fresh: { answer: 'not-exist', tradeStatus: null, wasPaid: false, totalAmount: null, isRefunded: false },
  tradeNo: null,
  recheckInMs: null,
};

/** Asks Alipay about the trade and about our refunds of it, and stores what proves anything. */
async function consult(
  deps: ActivityDependencies,
  gateway: AlipayGateway,
  { outTradeNo }: Payment,
  { to }: ReviewDecision,
): Promise<Consulted> {
  if (to === 'REVIEW') return NOTHING_ASKED;
  const { db } = deps;
  await proveRefunds(deps, gateway, outTradeNo);
  const answered = await gateway.query(outTradeNo);
  const { answer, tradeStatus, tradeNo, totalAmount, paidAt } = answered;
  const evidenceId = isEvidence(answered) ? await storeAnswer(db, outTradeNo, 0, answered) : undefined;
  const fresh = {
    answer,
    tradeStatus,
    wasPaid: paidAt !== null,
    totalAmount,
    isRefunded: await isRefunded(db, outTradeNo),
  };
  return {
    fresh,
    evidenceId,
    // A row with a trade number counts as paid: a later TRADE_CLOSED of the unpaid trade would put it into review again.
    tradeNo: to === 'CLOSED' ? null : tradeNo,
    recheckInMs: to === 'CLOSED' && answer === 'not-exist' ? RECHECK_AFTER_MS : null,
  };
}

/**
 * Asks Alipay what became of a refund, and of its trade: if the trade was paid and is closed, all of its money has gone
 * back, whatever becomes of this refund.
 *
 * @throws PaymentError REVIEW_REFUSED if the answer does not agree with the decision
 */
async function consultAboutRefund(
  { db }: ActivityDependencies,
  gateway: AlipayGateway,
  payment: Payment,
  { refund, decision }: { refund: Refund; decision: ResolveRefund & RefundPaymentInput },
): Promise<Pick<RefundEnd, 'amount' | 'cumulative' | 'evidenceId'>> {
  const { outTradeNo, refundedAmount } = payment;
  const amount = await provenAmount(db, gateway, refund);
  const trade = await gateway.query(outTradeNo);
  const allWentBack = trade.answer === 'closed' && trade.paidAt !== null;
  const cumulative = amountToRefund(payment);
  const verdict = judgeRefund(refund, decision.to, {
    isProven: amount !== undefined,
    allWentBack,
    left: toFen(cumulative) - toFen(refundedAmount),
  });
  if (verdict.kind === 'refused') throw refusedRefund(decision, verdict.because);
  if (!allWentBack) return { amount };
  return { amount, cumulative, evidenceId: await storeAnswer(db, outTradeNo, 0, trade) };
}

/** Records the refunds that Alipay has made meanwhile, whatever the decision will be. */
async function proveRefunds(
  deps: ActivityDependencies,
  gateway: AlipayGateway,
  outTradeNo: string,
): Promise<void> {
  const refunds = await findRefundsOfPayment(deps.db, outTradeNo);
  for (const refund of refunds.filter(({ askedAt, status }) => askedAt !== null && status !== 'DONE')) {
    const amount = await provenAmount(deps.db, gateway, refund);
    if (amount === undefined) continue;
    await follow(deps, await endRefund(deps, refund, { actor: 'query', to: 'DONE', amount }));
  }
}

async function isRefunded(db: Database, outTradeNo: string): Promise<boolean> {
  const payment = await findPayment(db, outTradeNo);
  return payment !== undefined && toFen(payment.refundedAmount) >= toFen(amountToRefund(payment));
}

const refusedRefund = (
  { outRequestNo, to }: ResolveRefund & RefundPaymentInput,
  because: string,
): PaymentError =>
  new PaymentError('REVIEW_REFUSED', `Refund ${outRequestNo} cannot become ${to}: ${because}.`);

const LONGEST_REFERENCE = 256;

/** @throws PaymentError INVALID_INPUT */
function assertReference(decision: ResolveReview): void {
  // Clients in other languages send null for omitted fields.
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
