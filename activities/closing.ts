import type { Client } from '@temporalio/client';
import type { Logger } from 'pino';
import type { CloseOrderInput, ClosedOrder } from '../workflows/messages';
import { PaymentError } from '../workflows/errors';
import type { Database } from '../db/connect';
import type { AskedPayment } from '../db/ledger';
import { closeOrderWithPayments, heldOrder, unknownOrder } from '../db/ledger';
import { findExpiredOrders, findOrder, findOrderToClose } from '../db/orders';
import type { ExpiredOrder, OrderToClose, PaymentToClose } from '../db/orders';
import { AlipayError } from './alipay/errors';
import type { AlipayGateway, QueryAnswer } from './alipay/gateway';
import type { Metrics } from './metrics';
import { tellOrder } from './orders';
import { storeAnswer } from './payments';
import { wakePayment } from './payment-workflow';

export interface ClosingDependencies {
  db: Database;
  alipay: AlipayGateway;
  temporal: Client;
  log: Logger;
  metrics: Metrics;
}

/**
 * What became of one order.
 * - `rescued`: Alipay took the money (or the trade ended in a way that a person must see); the payment's own
 *   workflow has been told and records it.
 * - `held`: left open, and asked about again by the next sweep.
 * - `settled`: it was not UNPAID any more.
 */
export type OrderOutcome =
  { is: 'closed' } | { is: 'settled' } | { is: 'rescued' } | { is: 'held'; because: string } | { is: 'down' };

export interface ChunkReport {
  closed: string[];
  rescued: string[];
  held: string[];
  failed: string[];
  /** The gateway's circuit breaker opened: the rest of the chunk was not asked about. */
  gatewayDown: boolean;
}

/** A payment that is closed here after "no such trade" is asked about once more, when Alipay's last repeat is over. */
export const RECHECK_AFTER_MS = 25 * 3_600_000;

/** What Alipay says of a payment that is to be closed, after it was asked and told to close it. */
export type Settlement =
  | { is: 'closable'; recheckInMs: number | null }
  | { is: 'evidence'; answer: QueryAnswer }
  | { is: 'held'; because: string };

/**
 * Makes sure, at Alipay, that a payment can never be made any more: query, close, ask again. A status error of
 * `alipay.trade.close` means that the buyer may have won, so it is never taken for "closed". "No such trade" is
 * believed only after expiry by Postgres' clock, because a page that is still open can yet become a trade.
 *
 * @throws AlipayError where the answer is unknown
 */
export async function settleAtAlipay(
  alipay: AlipayGateway,
  { outTradeNo }: Pick<PaymentToClose, 'outTradeNo'>,
  { expired }: { expired: boolean },
): Promise<Settlement> {
  const first = await alipay.query(outTradeNo);
  if (first.answer === 'paid' || first.answer === 'closed') return concluded(first);
  if (first.answer === 'not-exist' && !expired) {
    return { is: 'held', because: 'the buyer may still open the trade until it expires' };
  }
  const closing = await alipay.close(outTradeNo);
  if (closing === 'not-exist' && first.answer === 'not-exist') {
    return { is: 'closable', recheckInMs: RECHECK_AFTER_MS };
  }
  const again = await alipay.query(outTradeNo);
  if (again.answer === 'paid' || again.answer === 'closed') return concluded(again);
  // Closed, or never there: either way Alipay says that there is nothing to pay. A status error says that there is.
  if (again.answer === 'not-exist' && closing !== 'ask-again' && expired) {
    return { is: 'closable', recheckInMs: RECHECK_AFTER_MS };
  }
  return { is: 'held', because: `Alipay still says ${again.answer}` };
}

/** TRADE_CLOSED without a time of payment is the end that was wanted; anything else is for the payment's workflow. */
function concluded(answer: QueryAnswer): Settlement {
  if (answer.answer === 'closed' && answer.paidAt === null) return { is: 'closable', recheckInMs: null };
  return { is: 'evidence', answer };
}

interface CloseRequest {
  orderId: string;
  actor: string;
  reason: string;
  /** A shop's cancel need not wait for expiry; the sweep and the timer do. */
  beforeExpiry: boolean;
}

/** Closes one order safely, or says why not. The one function for the sweep, the timer and the operator. */
export async function closeSafely(
  deps: ClosingDependencies,
  { orderId, actor, reason, beforeExpiry }: CloseRequest,
): Promise<OrderOutcome> {
  const order = await findOrderToClose(deps.db, orderId);
  if (!order) throw unknownOrder(orderId);
  if (order.status !== 'UNPAID') return { is: 'settled' };
  if (!order.expired && !beforeExpiry) return { is: 'held', because: 'it has not expired' };
  const { payments } = order;
  const holder = payments.find(({ status }) => status === 'REVIEW' || status === 'REFUNDING');
  if (holder) return { is: 'held', because: `its payment ${holder.outTradeNo} is in ${holder.status}` };

  const asked: AskedPayment[] = [];
  for (const payment of payments.filter(({ status }) => status === 'UNPAID')) {
    const settlement = await askAbout(deps, order, payment);
    if (settlement.is !== 'closable') return settlement;
    asked.push({ outTradeNo: payment.outTradeNo, recheckInMs: settlement.recheckInMs });
  }
  const outcome = await closeOrderWithPayments(deps.db, { orderId, asked, actor, reason });
  switch (outcome) {
    case 'closed':
      deps.metrics.settled('CLOSED', asked.length);
      await tellOrder(deps, orderId);
      return { is: 'closed' };
    case 'already-closed':
    case 'paid':
      return { is: 'settled' };
    case 'held':
    case 'changed':
      return { is: 'held', because: 'something changed while Alipay was asked' };
  }
}

async function askAbout(
  deps: ClosingDependencies,
  order: OrderToClose,
  payment: PaymentToClose,
): Promise<Extract<Settlement, { is: 'closable' }> | Exclude<OrderOutcome, { is: 'closed' | 'settled' }>> {
  try {
    const settlement = await settleAtAlipay(deps.alipay, payment, order);
    if (settlement.is !== 'evidence') return settlement;
    await handOver(deps, payment, settlement.answer);
    return { is: 'rescued' };
  } catch (error) {
    if (!(error instanceof AlipayError)) throw error;
    if (error.kind === 'down') return { is: 'down' };
    return { is: 'held', because: error.message };
  }
}

/** Stores what Alipay said and tells the payment's own workflow: it alone records money. */
export async function handOver(
  { db, temporal }: Pick<ClosingDependencies, 'db' | 'temporal'>,
  payment: PaymentToClose,
  answer: QueryAnswer,
): Promise<void> {
  const eventId = await storeAnswer(db, payment.outTradeNo, 0, answer);
  await wakePayment(temporal, payment, eventId);
}

export function createExpiryActivities({ db, closeMarginMs }: { db: Database; closeMarginMs: number }) {
  return {
    /** One page of expired UNPAID orders, oldest first, by Postgres' clock. */
    findExpiredOrders({
      after,
      limit,
    }: {
      after: { expiresAt: string; orderId: string } | null;
      limit: number;
    }): Promise<ExpiredOrder[]> {
      return findExpiredOrders(db, { after, limit, timerGraceMs: 2 * closeMarginMs });
    },
  };
}

export function createClosingActivities(deps: ClosingDependencies) {
  return {
    /**
     * Closes a chunk of expired orders, one after the other, Alipay asked first. An order that breaks is reported
     * as failed and never stops the rest. Safe to repeat.
     */
    async closeExpiredOrders({
      orderIds,
      actor,
      dryRun = false,
    }: {
      orderIds: string[];
      actor: string;
      dryRun?: boolean;
    }): Promise<ChunkReport> {
      const report: ChunkReport = { closed: [], rescued: [], held: [], failed: [], gatewayDown: false };
      for (const orderId of orderIds) {
        const outcome = await attempt(deps, orderId, () =>
          dryRun
            ? foresee(deps, orderId)
            : closeSafely(deps, { orderId, actor, reason: 'expired', beforeExpiry: false }),
        );
        if (outcome === 'failed') report.failed.push(orderId);
        else if (outcome.is === 'down') return { ...report, gatewayDown: true };
        else if (outcome.is !== 'settled') report[outcome.is].push(orderId);
      }
      return report;
    },

    /**
     * Cancels an order for the shop.
     *
     * Fails with ORDER_UNKNOWN, ORDER_PAID, ORDER_HELD.
     */
    async cancelOrder({ orderId, actor, reason }: CloseOrderInput): Promise<ClosedOrder> {
      const outcome = await closeSafely(deps, { orderId, actor, reason, beforeExpiry: true });
      switch (outcome.is) {
        case 'closed':
          return { orderId, status: 'CLOSED' };
        case 'settled':
          return settledOrder(deps.db, orderId);
        case 'rescued':
          throw paidOrder(orderId);
        case 'held':
          throw heldOrder(orderId, outcome.because);
        case 'down':
          throw heldOrder(orderId, 'Alipay cannot be asked at the moment');
      }
    },
  };
}

async function attempt(
  { log }: ClosingDependencies,
  orderId: string,
  close: () => Promise<OrderOutcome>,
): Promise<OrderOutcome | 'failed'> {
  try {
    return await close();
  } catch (err) {
    log.error(
      { orderId, err, code: 'SWEEP_FAILED' },
      'order could not be closed; the next sweep tries again',
    );
    return 'failed';
  }
}

/** What a sweep would do with an order: the same questions, no writes, nothing closed at Alipay. */
async function foresee({ db, alipay }: ClosingDependencies, orderId: string): Promise<OrderOutcome> {
  const order = await findOrderToClose(db, orderId);
  if (order?.status !== 'UNPAID') return { is: 'settled' };
  const { payments } = order;
  if (payments.some(({ status }) => status === 'REVIEW' || status === 'REFUNDING')) {
    return { is: 'held', because: 'a payment is in review or being refunded' };
  }
  for (const { outTradeNo } of payments.filter(({ status }) => status === 'UNPAID')) {
    try {
      const answer = await alipay.query(outTradeNo);
      if (answer.answer === 'paid' || answer.paidAt !== null) return { is: 'rescued' };
    } catch (error) {
      if (!(error instanceof AlipayError)) throw error;
      return error.kind === 'down' ? { is: 'down' } : { is: 'held', because: error.message };
    }
  }
  return { is: 'closed' };
}

async function settledOrder(db: Database, orderId: string): Promise<ClosedOrder> {
  const order = await findOrder(db, orderId);
  if (!order) throw unknownOrder(orderId);
  if (order.status === 'PAID') throw paidOrder(orderId);
  return { orderId, status: order.status };
}

const paidOrder = (orderId: string): PaymentError =>
  new PaymentError('ORDER_PAID', `Order ${orderId} is paid: it cannot be closed. Refund it instead.`);
