import type { RefundPaymentInput } from '../../workflows/messages';
import type { Database } from '../connect';
import { hasRow, transaction } from '../connect';
import { toFen, toYuan } from '../money';
import { appendEvent } from '../payment-events';
import { flagForReview } from '../payments';
import {
  findRefund,
  findRefundsOfPayment,
  insertRefund,
  moveRefund,
  nameProvisional,
  replaceProvisional,
} from '../refunds';
import type { LedgerDependencies } from '../refund-brake';
import type { Refund } from '../refunds';
import type { REVIEW_REASONS } from '../rules';
import type { RefundRecorded } from './refunding';
import { lockOrderOfKnownPayment, requireRefund } from './require';
import { countIn } from './settling';
import { PORTAL_REASON, settleRefunds } from './settling-refunds';

/** Why a bill puts a payment into review. */
export type BillReason = (typeof REVIEW_REASONS)['billDiffers' | 'notInBill'];

/**
 * Puts a PAID payment into review because a bill contradicts it: once for each bill, whatever the person then decides.
 * Returns whether it is new.
 *
 * @throws PaymentError PAYMENT_UNKNOWN
 */
export function reviewByBill(
  db: Database,
  outTradeNo: string,
  { date, reason }: { date: string; reason: BillReason },
): Promise<boolean> {
  return transaction(db, async (trx) => {
    await lockOrderOfKnownPayment(trx, outTradeNo);
    const isPut = await hasRow(
      trx,
      `SELECT 1 AS found FROM :schema:.payment_events
       WHERE out_trade_no = :outTradeNo AND event = 'review' AND detail ->> 'bill' = :date LIMIT 1`,
      { outTradeNo, date },
    );
    if (isPut || !(await flagForReview(trx, outTradeNo, reason))) return false;
    await appendEvent(trx, { outTradeNo, actor: 'bill', event: 'review', detail: { reason, bill: date } });
    return true;
  });
}

/**
 * Records a refund that a bill has named and Alipay has proven, with its amount (yuan). One that is unknown here was made in
 * the merchant portal; it replaces what a provisional row had already counted, so that the order service is told of it once.
 *
 * @throws PaymentError PAYMENT_UNKNOWN
 */
export function recordBilledRefund(
  { db, refundBrakeFen: brakeFen }: LedgerDependencies,
  { outTradeNo, outRequestNo }: RefundPaymentInput,
  amount: string,
): Promise<RefundRecorded> {
  const key = { outTradeNo, outRequestNo };
  const actor = 'bill';
  return transaction(db, async (trx) => {
    const order = await lockOrderOfKnownPayment(trx, outTradeNo);
    const known = await findRefund(trx, key);
    const isNamed = !known && (await nameGap(trx, key, amount));
    if (!known && !isNamed) {
      const portal = { kind: 'portal', amount: null, reason: PORTAL_REASON, requestedBy: actor } as const;
      await insertRefund(trx, { ...key, orderId: order.id, ...portal });
    }
    const move = { from: ['REQUESTED', 'REVIEW', 'REFUSED'], to: 'DONE', amount } as const;
    const changed = isNamed || (await moveRefund(trx, key, move, { actor, event: 'refund-done' }));
    if (changed && known?.status === 'REFUSED') await replaceProvisional(trx, outTradeNo, amount);
    if (changed) await countIn(trx, key);
    const settled = changed ? await settleRefunds(trx, outTradeNo, { actor, brakeFen }) : { refunds: [] };
    return { ...settled, changed, refund: await requireRefund(trx, key) };
  });
}

/**
 * If a provisional row has counted the refund already, that row takes its number. If it counted more, it keeps the
 * rest, and the refund needs its own row: returns false.
 */
async function nameGap(trx: Database, key: RefundPaymentInput, amount: string): Promise<boolean> {
  const fenOf = (refund: Refund): number => toFen(refund.amount ?? '0');
  const gaps = (await findRefundsOfPayment(trx, key.outTradeNo)).filter(({ provisional }) => provisional);
  const gap = gaps.find((one) => fenOf(one) >= toFen(amount)) ?? gaps[0];
  if (!gap) return false;
  const rest = fenOf(gap) - toFen(amount);
  if (rest > 0) {
    await nameProvisional(trx, gap, { outRequestNo: gap.outRequestNo, amount: toYuan(rest) });
    return false;
  }
  const { outTradeNo, outRequestNo } = key;
  await nameProvisional(trx, gap, { outRequestNo, amount });
  const detail = { outRequestNo, amount, was: gap.outRequestNo };
  await appendEvent(trx, { outTradeNo, actor: 'bill', event: 'refund-done', detail });
  return true;
}
