import { decideRefund, startRefunds } from '../activities/refund-workflow';
import type { Database } from '../db/connect';
import { requestRefund, requireRefundByNumber } from '../db/ledger';
import type { Refund, RefundFilter } from '../db/refunds';
import { findRefundWaits } from '../db/refund-waits';
import { listRefunds } from '../db/refunds';
import type { ResolveRefund } from '../workflows/messages';
import type { ClientDependencies } from './dependencies';
import { parseRefundDecision, parseRefundInput } from './input';
import { UPDATE_MS, carryOut } from './operations';

/** What a shop wants to refund. */
export interface RefundInput {
  orderId: string;
  /** The shop's own number for it, 1 to 64 of `A-Z a-z 0-9 _ -`: the same number means the same refund. */
  refundId: string;
  /** Yuan with at most two decimals, like `"3.00"`. */
  amount: string;
  /** Alipay shows it to the buyer. */
  reason?: string;
  /** Who asks for it; it is recorded. Default: `shop`. */
  actor?: string;
}

/** Fields of a refund that only the ledger needs. */
type Internal = 'outRequestNo' | 'provisional' | 'askedAt' | 'justAsked';

/** A refund, whoever asked for it. */
export interface RefundView extends Omit<Refund, Internal> {
  /** Its `out_request_no` at Alipay. */
  refundId: string;
  /**
   * Why it is still REQUESTED: REFUNDS_PAUSED, ALIPAY_UNKNOWN (no usable answer), REFUND_NOT_PROVEN, or Alipay's code.
   * Null if nothing has gone wrong yet, or Alipay could not be asked.
   */
  waitsFor: string | null;
}

const keyOf = ({ outTradeNo, outRequestNo }: Pick<Refund, 'outTradeNo' | 'outRequestNo'>): string =>
  `${outTradeNo}/${outRequestNo}`;

async function viewsOf(db: Database, refunds: readonly Refund[]): Promise<RefundView[]> {
  const waits = new Map((await findRefundWaits(db, refunds)).map((wait) => [keyOf(wait), wait.waitsFor]));
  return refunds.map((refund) => {
    const { outRequestNo: refundId, provisional, askedAt, justAsked, ...shown } = refund;
    return { refundId, ...shown, waitsFor: waits.get(keyOf(refund)) ?? null };
  });
}

async function viewOf(db: Database, refund: Refund): Promise<RefundView> {
  const [view] = await viewsOf(db, [refund]);
  if (!view) throw new Error('invariant: each refund has a view');
  return view;
}

/** Requests a refund, or finds it already requested. Once its row is written, the follow-up would also start it. */
export async function askForRefund(deps: ClientDependencies, input: RefundInput): Promise<RefundView> {
  const { reason = 'refund', actor = 'shop', ...wanted } = parseRefundInput(input);
  const { ids: merchants } = deps.alipay;
  const refund = await requestRefund(deps.db, { ...wanted, reason, requestedBy: actor, merchants });
  if (refund.status === 'REQUESTED') await startRefunds(deps, [refund]);
  return viewOf(deps.db, refund);
}

export const refundOf = async ({ db }: ClientDependencies, refundId: string): Promise<RefundView> =>
  viewOf(db, await requireRefundByNumber(db, refundId));

export const refundsOf = async ({ db }: ClientDependencies, filter: RefundFilter): Promise<RefundView[]> =>
  viewsOf(db, await listRefunds(db, filter));

/** Carries out a person's decision about a refund in REVIEW, through its workflow, which asks Alipay first. */
export async function settleRefund(
  deps: ClientDependencies,
  refundId: string,
  decision: ResolveRefund,
): Promise<RefundView> {
  const wanted = parseRefundDecision(decision);
  const refund = await requireRefundByNumber(deps.db, refundId);
  await carryOut(deps.temporal, UPDATE_MS, () => decideRefund(deps.temporal, refund, wanted));
  return refundOf(deps, refundId);
}
