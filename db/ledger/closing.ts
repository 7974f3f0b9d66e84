import type { Database } from '../connect';
import { transaction } from '../connect';
import { planPageCheck } from '../due';
import { owesEvidence } from '../evidence';
import { lockOrderOfPayment, settle } from '../orders';
import { appendEvent } from '../payment-events';
import type { Payment } from '../payments';
import { findPayment, findPaymentsOfOrder, movePayment } from '../payments';
import { isHolding, isSuperseded } from '../rules';
import { lockKnownOrder } from './require';

/** `changed`: something happened since Alipay was asked; ask again before closing anything. */
type CloseOutcome = 'closed' | 'already-closed' | 'paid' | 'held' | 'changed';

/** A payment that Alipay was queried about, and when to query once more after it has been closed here. */
interface AskedPayment {
  outTradeNo: string;
  recheckInMs: number | null;
}

/**
 * Closes an order together with exactly the payments that Alipay was queried about, or nothing at all.
 *
 * @throws PaymentError ORDER_UNKNOWN
 */
export async function closeOrderWithPayments(
  db: Database,
  {
    orderId,
    asked,
    actor,
    reason,
    slowChecksMs = [],
  }: {
    orderId: string;
    asked: AskedPayment[];
    actor: string;
    reason: string;
    /** `SLOW_CHECKS`, ms after checkout: when the open pages of a cancelled order are queried. */
    slowChecksMs?: readonly number[];
  },
): Promise<CloseOutcome> {
  return transaction(db, async (trx) => {
    const order = await lockKnownOrder(trx, orderId);
    if (order.status === 'CLOSED') return 'already-closed';
    if (order.status === 'PAID') return 'paid';
    const payments = await findPaymentsOfOrder(trx, orderId);
    if (payments.some(isHolding)) return 'held';
    if (!sameSet(asked, payments.filter(isUnpaid))) return 'changed';
    const outTradeNos = asked.map(({ outTradeNo }) => outTradeNo);
    // It may be about money, so its run records it first.
    if (await owesEvidence(trx, outTradeNos)) return 'changed';

    for (const payment of asked) {
      await closePayment(trx, payment, { actor, reason });
      // "No such trade" is not final while the buyer may still begin one.
      if (payment.recheckInMs !== null) await planPageCheck(trx, payment.outTradeNo, slowChecksMs);
    }
    if (asked.length === 0) {
      await appendEvent(trx, { outTradeNo: null, actor, event: 'closed', detail: { orderId, reason } });
    }
    const last = payments.at(-1)?.outTradeNo ?? null;
    await settle(trx, { orderId, outTradeNo: last, status: 'CLOSED', amount: order.totalAmount });
    return 'closed';
  });
}

const isUnpaid = ({ status }: Payment): boolean => status === 'UNPAID';

function sameSet(asked: AskedPayment[], unpaid: Payment[]): boolean {
  const known = new Set(asked.map(({ outTradeNo }) => outTradeNo));
  return known.size === unpaid.length && unpaid.every(({ outTradeNo }) => known.has(outTradeNo));
}

async function closePayment(
  trx: Database,
  { outTradeNo, recheckInMs }: AskedPayment,
  { actor, reason }: { actor: string; reason: string },
): Promise<boolean> {
  const event = { actor, event: 'closed', detail: { reason } } as const;
  return movePayment(trx, outTradeNo, { from: ['UNPAID'], to: 'CLOSED' }, event, { recheckInMs });
}

/** Closes a leftover: an UNPAID payment of an order that is settled, or has another price. False if that is no longer so. */
export async function closeLeftover(db: Database, asked: AskedPayment, actor: string): Promise<boolean> {
  return transaction(db, async (trx) => {
    const order = await lockOrderOfPayment(trx, asked.outTradeNo);
    const payment = await findPayment(trx, asked.outTradeNo);
    if (!order || !payment) return false;
    if (order.status !== 'UNPAID') {
      return closePayment(trx, asked, { actor, reason: `order is ${order.status}` });
    }
    return isSuperseded(payment, order) && closePayment(trx, asked, { actor, reason: 'superseded' });
  });
}
