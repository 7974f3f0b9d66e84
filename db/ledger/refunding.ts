import type { RefundPaymentInput, RefundStatus } from '../../workflows/messages';
import { isInReview } from '../../workflows/messages';
import { PaymentError } from '../../workflows/errors';
import type { Database } from '../connect';
import { transaction } from '../connect';
import { markRecorded } from '../evidence';
import { isOf } from '../merchants';
import { toFen, toYuan } from '../money';
import { lockOrderOfPayment } from '../orders';
import { appendEvent } from '../payment-events';
import type { LedgerDependencies } from '../refund-brake';
import type { Refund } from '../refunds';
import { countUnproven, findRefundByNumber, insertRefund, moveRefund, replaceProvisional } from '../refunds';
import { REVIEW_REASONS, isHolding } from '../rules';
import { heldOrder, otherMerchant } from './errors';
import { RefundBooks } from './refund-books';
import { lockKnownOrder, requireRefund } from './require';
import type { RefundsSettled } from './settling-refunds';
import { settleRefunds } from './settling-refunds';
import { countIn } from './settling';

/** What a shop wants to refund of a paid order. */
interface RefundToRequest {
  orderId: string;
  /** The shop's own number: repeated with it, it is the same refund. */
  refundId: string;
  /** Yuan. */
  amount: string;
  reason: string;
  requestedBy: string;
  /** Ids of the merchants that the caller has. */
  merchants: readonly string[];
}

/**
 * Requests a refund for a shop, or finds it requested. What is requested and what has gone back never exceed what was paid.
 *
 * @throws PaymentError ORDER_UNKNOWN, ORDER_NOT_PAID, ORDER_HELD, MERCHANT_DIFFERS, REFUND_DIFFERS, REFUND_TOO_LARGE
 */
export async function requestRefund(db: Database, wanted: RefundToRequest): Promise<Refund> {
  const { orderId, refundId, amount, reason, requestedBy, merchants } = wanted;
  try {
    return await transaction(db, async (trx) => {
      const order = await lockKnownOrder(trx, orderId);
      const asked = await findRefundByNumber(trx, refundId);
      if (asked) return sameRefund(asked, wanted);
      if (!isOf(order.merchant, merchants))
        throw otherMerchant(`Order ${orderId}`, order.merchant, merchants.join(', '));
      if (order.paidBy === null) throw notPaid(orderId, order.status);
      const { payment, left } = await RefundBooks.read(trx, order.paidBy);
      const { outTradeNo, status } = payment;
      const held = isInReview(payment) ? 'in review' : isHolding(payment) && status;
      if (held) throw heldOrder(orderId, `its payment ${outTradeNo} is ${held}`);
      const rest = status === 'PAID' ? left : 0;
      if (toFen(amount) > rest) throw tooLarge(wanted, rest);
      const refund = { outTradeNo, orderId, outRequestNo: refundId, amount, reason, requestedBy };
      return insertRefund(trx, { ...refund, kind: 'shop' });
    });
  } catch (error) {
    // Another order's refund has just taken the number; that order was not locked here.
    if ((error as { code?: unknown }).code === UNIQUE_VIOLATION) throw otherRefund(refundId);
    throw error;
  }
}

const UNIQUE_VIOLATION = '23505';

function sameRefund(asked: Refund, { orderId, refundId, amount }: RefundToRequest): Refund {
  if (asked.orderId === orderId && toFen(asked.amount ?? '0') === toFen(amount)) return asked;
  throw otherRefund(refundId, asked);
}

function otherRefund(refundId: string, asked?: Refund): PaymentError {
  const known = asked ? `for ${asked.amount ?? 'an unknown amount'} of order ${asked.orderId}` : 'already';
  return new PaymentError(
    'REFUND_DIFFERS',
    `Refund ${refundId} was requested ${known}. Repeat it unchanged, or use a new refundId.`,
  );
}

const notPaid = (orderId: string, status: string): PaymentError =>
  new PaymentError(
    'ORDER_NOT_PAID',
    `Order ${orderId} is ${status}, so there is nothing to refund. To cancel it, close it.`,
  );

const tooLarge = ({ orderId, amount }: RefundToRequest, left: number): PaymentError =>
  new PaymentError(
    'REFUND_TOO_LARGE',
    `Order ${orderId} has ${toYuan(Math.max(0, left))} yuan left to refund, not ${amount}. Ask for less.`,
  );

/** How a refund has ended, and by what. */
export interface RefundEnd {
  actor: string;
  to: Exclude<RefundStatus, 'REQUESTED'>;
  /** REFUSED or REVIEW: why. */
  because?: string;
  /** Of one made in the merchant portal: its amount according to Alipay, yuan. */
  amount?: string | undefined;
  /** The sum of all refunds of the trade that Alipay reports, yuan. */
  cumulative?: string | undefined;
  /** The stored answer that was taken into account. */
  evidenceId?: string | undefined;
  /** A person decided, and why: only then does a refund in REVIEW end without a proof. */
  decision?: string;
}

/** A refund as it is now, and what followed from its end. */
export interface RefundRecorded extends RefundsSettled {
  refund: Refund;
  changed: boolean;
}

const EVENT_OF = { DONE: 'refund-done', REFUSED: 'refund-refused', REVIEW: 'refund-review' } as const;

/**
 * Records that a refund is proven, refused, or for a person to decide. A proof always counts, whatever was believed
 * before. Safe to repeat.
 *
 * @throws PaymentError REFUND_UNKNOWN
 */
export async function endRefund(
  { db, refundBrakeFen: brakeFen }: LedgerDependencies,
  key: RefundPaymentInput,
  { actor, to, because, amount, cumulative, evidenceId, decision }: RefundEnd,
): Promise<RefundRecorded> {
  const { outTradeNo } = key;
  return transaction(db, async (trx) => {
    await lockOrderOfPayment(trx, outTradeNo);
    const from: RefundStatus[] =
      to === 'DONE'
        ? ['REQUESTED', 'REVIEW', 'REFUSED']
        : decision === undefined
          ? ['REQUESTED']
          : ['REVIEW', 'REQUESTED'];
    const event = decision === undefined ? EVENT_OF[to] : 'refund-resolved';
    const detail = { because, ...(decision !== undefined && { to, reason: decision }) };
    const { status: before } = await requireRefund(trx, key);
    const changed = await moveRefund(
      trx,
      key,
      { from, unsentOnly: to !== 'DONE' && decision !== undefined, to, amount, because: because ?? null },
      { actor, event, detail },
    );
    if (changed && to === 'DONE') {
      const { amount: made } = await requireRefund(trx, key);
      if (before === 'REFUSED' && made !== null) await replaceProvisional(trx, outTradeNo, made);
      await countIn(trx, key);
    }
    if (evidenceId !== undefined) await markRecorded(trx, [evidenceId]);
    const told = cumulative === undefined ? undefined : { cumulative };
    // What Alipay reported counts even if another call has ended the refund meanwhile: this records its answer.
    const settled =
      changed || told ? await settleRefunds(trx, outTradeNo, { actor, told, brakeFen }) : { refunds: [] };
    return { ...settled, changed, refund: await requireRefund(trx, key) };
  });
}

/**
 * Records that Alipay answered without proving the refund; `unfunded`: it is refused for now. Returns how many such
 * answers there have been; 0 if it is no longer REQUESTED.
 */
export async function recordUnproven(
  db: Database,
  key: RefundPaymentInput,
  { actor, kind, subCode }: { actor: string; kind: 'unproven' | 'unfunded'; subCode?: string | undefined },
): Promise<number> {
  const { outTradeNo, outRequestNo } = key;
  return transaction(db, async (trx) => {
    const answers = await countUnproven(trx, key, kind);
    const detail = { outRequestNo, subCode };
    if (answers > 0) await appendEvent(trx, { outTradeNo, actor, event: 'refund-unproven', detail });
    return answers;
  });
}

/**
 * A person's decision about a payment also decides its full refunds that wait for a person. `stop`: those under way then wait
 * for one.
 */
export async function moveWholeRefunds(
  trx: Database,
  outTradeNo: string,
  { actor, stop }: { actor: string; stop: boolean },
): Promise<void> {
  const { own } = await RefundBooks.read(trx, outTradeNo);
  const move = stop
    ? ({ from: ['REQUESTED'], to: 'REVIEW', because: REVIEW_REASONS.refundStopped } as const)
    : ({ from: ['REVIEW'], to: 'REFUSED', because: 'DECIDED_OTHERWISE' } as const);
  for (const refund of own.filter(({ kind }) => kind !== 'shop')) {
    const event = { actor, event: EVENT_OF[move.to], detail: { because: move.because } } as const;
    await moveRefund(trx, refund, move, event);
  }
}

/** Looks again at the refunds of a payment: one that is REFUNDING and has none under way gets one for what is left. */
export async function resumeRefunds(
  { db, refundBrakeFen: brakeFen }: LedgerDependencies,
  outTradeNo: string,
): Promise<RefundsSettled> {
  return transaction(db, async (trx) => {
    await lockOrderOfPayment(trx, outTradeNo);
    return settleRefunds(trx, outTradeNo, { actor: 'follow-up', brakeFen });
  });
}
