import type { Client } from '@temporalio/client';
import type { Database } from '../../db/connect';
import type { AlipayGateway, QueryAnswer } from '../alipay/gateway';
import type { PaymentIdentity } from '../payment-workflow';
import { wakePayment } from '../payment-workflow';
import { soon } from '../temporal-calls';
import type { AskedBy } from '../payments';
import { storeAnswer } from '../payments';

/** A payment closed here after "no such trade" is queried once more, after Alipay's last repeat of a notification. */
export const RECHECK_AFTER_MS = 25 * 3_600_000;

/** What Alipay says about a payment to be closed. */
export type Settlement =
  /** Nobody can pay it any more. `recheckInMs`: when to ask once more; null: never. */
  | { kind: 'closable'; recheckInMs: number | null }
  /** Money moved, or may have: for the payment's own workflow. */
  | { kind: 'evidence'; answer: QueryAnswer }
  /** `isThere`: the buyer has opened the trade, and can still pay it. */
  | { kind: 'held'; because: string; isThere?: true; advice?: string };

/** Neither paid nor closed: it has to be closed at Alipay before it is closed here. */
export interface Open {
  kind: 'open';
  first: 'waiting' | 'not-exist';
}

const PAGE_OPEN = {
  kind: 'held',
  because: 'its cashier page may still be open until it expires',
  advice:
    'It is closed once it has expired. To close it now, and refund what is paid later, pass ifPaidLater: refund ' +
    '(order close --if-paid-later refund).',
} as const;

/**
 * The first half of making sure, at Alipay, that a payment can no longer be made: query, close, ask again. "No such
 * trade" is trusted only after expiry by Postgres' clock, because a page that is still open can still become a trade,
 * and only if Alipay says nothing else.
 *
 * @throws AlipayError if the answer is unknown
 */
export async function askAlipay(
  alipay: AlipayGateway,
  outTradeNo: string,
  { expired }: { expired: boolean },
): Promise<Settlement | Open> {
  const answer = await alipay.query(outTradeNo);
  switch (answer.answer) {
    case 'paid':
    case 'closed':
      return concluded(answer);
    case 'not-exist':
      if (!expired) return PAGE_OPEN;
      return { kind: 'open', first: 'not-exist' };
    case 'waiting':
      return { kind: 'open', first: 'waiting' };
  }
}

/**
 * The second half, see {@link askAlipay}; separate, for callers that must know all payments' first answers before they
 * close any. A status error of `alipay.trade.close` means that the buyer may have won, so it never counts as "closed".
 *
 * @throws AlipayError if the answer is unknown
 */
export async function closeAtAlipay(
  alipay: AlipayGateway,
  outTradeNo: string,
  { first }: Open,
): Promise<Settlement> {
  const closing = await alipay.close(outTradeNo);
  if (first === 'not-exist' && closing === 'not-exist') {
    return { kind: 'closable', recheckInMs: RECHECK_AFTER_MS };
  }
  const again = await alipay.query(outTradeNo);
  if (again.answer === 'paid' || again.answer === 'closed') return concluded(again);
  // A status error means that there is something to pay; and a trade that existed does not vanish.
  return {
    kind: 'held',
    because: `Alipay said ${first}, then ${closing} to the close, then ${again.answer}`,
    isThere: true,
  };
}

/** TRADE_CLOSED without a time of payment is the desired end; anything else is for the payment's workflow. */
function concluded(answer: QueryAnswer): Settlement {
  if (answer.answer === 'closed' && answer.paidAt === null) return { kind: 'closable', recheckInMs: null };
  return { kind: 'evidence', answer };
}

/** Stores what Alipay said and wakes the payment's own workflow: only that records money. */
export async function handOver(
  { db, temporal }: { db: Database; temporal: Client },
  payment: PaymentIdentity,
  answer: QueryAnswer,
  askedBy: AskedBy,
): Promise<void> {
  const eventId = await storeAnswer(db, payment.outTradeNo, askedBy, answer);
  await soon(temporal, () => wakePayment(temporal, payment, eventId));
}
