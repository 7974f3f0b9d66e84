import type { Recorded } from '../../workflows/messages';
import type { Database } from '../connect';
import { transaction } from '../connect';
import { lockOrderOfPayment } from '../orders';
import { appendEvent, countUnproven } from '../payment-events';
import { findPayment, movePayment, notePaidAmount, raiseRefundedAmount } from '../payments';
import type { ReviewReason } from '../rules';
import { REVIEW_REASONS } from '../rules';
import { unknownPayment } from './errors';
import { readRecorded } from './recorded';
import { noteRefund, tellRefund } from './settling';

/**
 * REFUNDING → REFUNDED; the proof is Alipay's, that `amount` yuan, all that was taken, went back. Finding it REFUNDED is
 * success. Where a person has stopped the refund meanwhile, what went back is noted.
 */
export async function recordRefunded(
  db: Database,
  outTradeNo: string,
  { actor, amount }: { actor: string; amount: string },
): Promise<Recorded> {
  return transaction(db, async (trx) => {
    await lockOrderOfPayment(trx, outTradeNo);
    const payment = await findPayment(trx, outTradeNo);
    if (!payment) throw unknownPayment(outTradeNo);
    // What went back had been taken.
    await notePaidAmount(trx, outTradeNo, amount);
    const event = { actor, event: 'refunded', detail: { amount } } as const;
    const changed = await movePayment(trx, outTradeNo, { from: ['REFUNDING'], to: 'REFUNDED' }, event);
    if (changed) {
      await raiseRefundedAmount(trx, outTradeNo, amount);
      await tellRefund(trx, outTradeNo);
    } else if (payment.status !== 'REFUNDED') {
      await noteRefund(trx, outTradeNo, { actor, amount });
    }
    return { ...(await readRecorded(trx, outTradeNo)), changed };
  });
}

/** REFUNDING → REVIEW: Alipay will not refund. */
export async function recordRefundRefused(
  db: Database,
  outTradeNo: string,
  { actor, subCode }: { actor: string; subCode: string },
): Promise<Recorded> {
  return transaction(db, async (trx) => {
    await lockOrderOfPayment(trx, outTradeNo);
    return giveToPerson(trx, outTradeNo, { actor, reason: REVIEW_REASONS.refundRefused, subCode });
  });
}

/**
 * Alipay answered, and the refund is still not proven; `subCode` says why, where Alipay does. After `mostAnswers` of
 * them, counted for each of the two kinds by itself, a person decides (REFUNDING → REVIEW). `answers` is how many of this
 * kind there have been since the refund was decided.
 */
export async function recordUnproven(
  db: Database,
  outTradeNo: string,
  { actor, subCode, mostAnswers }: { actor: string; subCode?: string | undefined; mostAnswers: number },
): Promise<Recorded & { answers: number }> {
  return transaction(db, async (trx) => {
    await lockOrderOfPayment(trx, outTradeNo);
    await appendEvent(trx, { outTradeNo, actor, event: 'refund-unproven', detail: { subCode } });
    const answers = await countUnproven(trx, outTradeNo, { refused: subCode !== undefined });
    if (answers < mostAnswers) return { ...(await readRecorded(trx, outTradeNo)), answers };
    const reason = subCode === undefined ? REVIEW_REASONS.refundNotProven : REVIEW_REASONS.refundRefused;
    return { ...(await giveToPerson(trx, outTradeNo, { actor, reason, subCode })), answers };
  });
}

async function giveToPerson(
  trx: Database,
  outTradeNo: string,
  { actor, reason, subCode }: { actor: string; reason: ReviewReason; subCode?: string | undefined },
): Promise<Recorded> {
  const change = { reviewReason: subCode === undefined ? reason : `${reason} ${subCode}` };
  const event = { actor, event: 'review', detail: { reason, subCode } } as const;
  const changed = await movePayment(trx, outTradeNo, { from: ['REFUNDING'], to: 'REVIEW' }, event, change);
  return { ...(await readRecorded(trx, outTradeNo)), changed };
}
