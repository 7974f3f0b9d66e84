import { ApplicationFailure, ApplicationFailureCategory } from '@temporalio/common';
import type { Bill } from '../../db/bill-lines';
import { markForeign } from '../../db/bill-lines';
import type { Discrepancy, ToRepair } from '../../db/discrepancies';
import { findToRepair, noteTried } from '../../db/discrepancies';
import type { BillReason } from '../../db/ledger';
import { recordBilledRefund, requirePayment, reviewByBill } from '../../db/ledger';
import { isOf, listMerchantIdsOf, sellerOf } from '../../db/merchants';
import { REVIEW_REASONS, tookMoney } from '../../db/rules';
import { keepUnmatched } from '../../db/unmatched-notifications';
import { PaymentError } from '../../workflows/errors';
import type { AlipayQueueActivities, DiscrepancyKind, KindReport } from '../../workflows/messages';
import { AlipayError } from '../alipay/errors';
import type { QueryAnswer } from '../alipay/gateway';
import { handOver } from '../closing';
import type { ActivityDependencies } from '../dependencies';
import { usedUpTurn } from '../follow-up/asking';
import { inLanes } from '../follow-up/in-lanes';
import { follow, storeProof } from '../refunds';
import { tellRefunds } from '../refund-workflow';
import { revivePayment, tellRowMoved } from '../payment-workflow';
import { soon } from '../temporal-calls';

/** One call starts at most this many. */
const BATCH = 2_000;

/** Buyers who are at the cashier now come first. */
const IN_BACKGROUND = { background: true } as const;

export function createRepairActivities(
  deps: ActivityDependencies,
): Pick<AlipayQueueActivities, 'repairBill'> {
  return {
    async repairBill({ merchant, date, kinds }) {
      const sellerId = sellerOf(merchant);
      // A worker with no application of the seller leaves the whole bill to another.
      if (!deps.alipay.ids.some((id) => sellerOf(id) === sellerId)) deps.alipay.ofBill({ merchant, date });
      return repairAll(deps, { sellerId, date }, kinds);
    },
  };
}

/**
 * Repairs open discrepancies, each once per comparison. The bill is only a hint: Alipay is queried about each, and its answer is
 * recorded by the usual path. `done`: how many should be gone at the next comparison.
 *
 * @throws AlipayError down, misconfigured; MERCHANT_UNKNOWN (either error class) if only other workers' merchants are left
 */
async function repairAll(
  deps: ActivityDependencies,
  bill: Bill,
  kinds: readonly DiscrepancyKind[],
): Promise<KindReport> {
  const { db, log, alipay } = deps;
  const found = await findToRepair(db, bill, { kinds, merchants: alipay.ids, limit: BATCH });
  const due = found.filter(({ merchant }) => isOf(merchant, alipay.ids));
  const others = found.find(({ merchant }) => !isOf(merchant, alipay.ids));
  // The server then gives it to another worker. This one must first report what it did, so it throws on its next call.
  if (others && due.length === 0) throw isAnothers(bill, others);
  let isUndelivered = false;
  const report = await inLanes(log, { kind: 'bill', due, limit: BATCH }, async (discrepancy) => {
    try {
      const done = await repair(deps, bill, discrepancy);
      await noteTried(db, discrepancy.id);
      return done;
    } catch (error) {
      // What could not be asked is left to another worker, or to the next call; so is a run that was not told.
      if (error instanceof PaymentError && error.code === 'TEMPORAL_UNAVAILABLE') isUndelivered = true;
      else if (!(error instanceof AlipayError) || usedUpTurn(error)) await noteTried(db, discrepancy.id);
      throw error;
    }
  });
  return { ...report, left: report.left || isUndelivered || others !== undefined };
}

const isAnothers = ({ date }: Bill, { merchant }: ToRepair): ApplicationFailure =>
  ApplicationFailure.create({
    type: 'MERCHANT_UNKNOWN',
    message: `The rest of the bill of ${date} belongs to merchant ${merchant}: left to a worker that has it.`,
    category: ApplicationFailureCategory.BENIGN,
  });

function repair(deps: ActivityDependencies, bill: Bill, discrepancy: Discrepancy): Promise<boolean> {
  switch (discrepancy.kind) {
    case 'payment-unrecorded':
    case 'payment-late':
      return confirm(deps, discrepancy);
    case 'refund-unrecorded':
      return proveRefund(deps, discrepancy);
    case 'payment-unknown':
    case 'refund-unknown':
      return identify(deps, bill, discrepancy);
    case 'payment-differs':
    case 'refund-differs':
      return review(deps, bill, discrepancy, REVIEW_REASONS.billDiffers);
    case 'payment-absent':
    case 'refund-absent':
      return review(deps, bill, discrepancy, REVIEW_REASONS.notInBill);
    case 'payment-doubled':
    case 'refund-doubled':
    case 'not-understood':
      return Promise.resolve(false);
  }
}

/** Hands evidence to the payment's own workflow; returns false if Alipay's answer does not prove a payment. */
async function confirm(deps: ActivityDependencies, { outTradeNo }: Discrepancy): Promise<boolean> {
  const payment = await requirePayment(deps.db, outTradeNo);
  const answer = await deps.alipay.of(payment).query(outTradeNo, IN_BACKGROUND);
  if (!provesPayment(answer)) return false;
  await handOver(deps, payment, answer, 'bill');
  return true;
}

const provesPayment = ({ answer, paidAt }: QueryAnswer): boolean => answer === 'paid' || paidAt !== null;

/** Only the refund query proves its number and amount. If the refund was requested here, its run is told. */
async function proveRefund(deps: ActivityDependencies, discrepancy: Discrepancy): Promise<boolean> {
  const { outTradeNo, outRequestNo, billAmount: amount } = discrepancy;
  const payment = await requirePayment(deps.db, outTradeNo);
  // Its payment comes first: the order service is told of a refund only after it was told of the payment.
  if (!tookMoney(payment)) return false;
  const gateway = deps.alipay.of(payment);
  const proven = await gateway.refundQuery({ outTradeNo, outRequestNo, amount }, IN_BACKGROUND);
  if (proven === undefined) return false;
  await storeProof(deps.db, payment, proven.signed, { refundAmount: proven.amount });
  const recorded = await recordBilledRefund(deps, { outTradeNo, outRequestNo }, proven.amount);
  await follow(deps, recorded);
  await tellRefunds(deps, [recorded.refund]);
  return true;
}

/** Finds out whose an unknown payment is: Alipay knows which trades our applications have begun. */
async function identify(
  { db, alipay }: ActivityDependencies,
  bill: Bill,
  { outTradeNo }: Discrepancy,
): Promise<boolean> {
  // Each of our applications of this seller may have begun it.
  for (const merchant of alipay.ids.filter((id) => sellerOf(id) === bill.sellerId)) {
    const answer = await alipay.of({ outTradeNo, merchant }).query(outTradeNo, IN_BACKGROUND);
    if (answer.answer !== 'not-exist') return keep(db, bill, outTradeNo, answer);
  }
  // So may an application that only other workers have: then the line stays open.
  const registered = await listMerchantIdsOf(db, bill.sellerId);
  if (!registered.every((id) => alipay.ids.includes(id))) return false;
  await markForeign(db, bill, outTradeNo);
  return true;
}

/** It stays open until a person has dealt with it: `unmatched resolve`. */
async function keep(
  db: ActivityDependencies['db'],
  bill: Bill,
  outTradeNo: string,
  { content: fields, signed }: QueryAnswer,
): Promise<false> {
  await keepUnmatched(db, { outTradeNo, notifyId: `bill-${bill.date}`, fields, signed });
  return false;
}

/** A person decides. If Alipay's fresh answer also differs from the row, it is recorded first, as it says more. */
async function review(
  deps: ActivityDependencies,
  { date }: Bill,
  { outTradeNo }: Discrepancy,
  reason: BillReason,
): Promise<boolean> {
  const { db, alipay, temporal } = deps;
  const payment = await requirePayment(deps.db, outTradeNo);
  const answer = await alipay.of(payment).query(outTradeNo, IN_BACKGROUND);
  if (provesPayment(answer)) await handOver(deps, payment, answer, 'bill');
  if (await reviewByBill(db, outTradeNo, { date, reason })) {
    await soon(temporal, () => revivePayment(temporal, payment));
    await tellRowMoved(temporal, outTradeNo);
  }
  return false;
}
