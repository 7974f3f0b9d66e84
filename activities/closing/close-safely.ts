import { Context } from '@temporalio/activity';
import type { Client } from '@temporalio/client';
import type { Logger } from 'pino';
import type { Database } from '../../db/connect';
import { closeOrderWithPayments, unknownOrder } from '../../db/ledger';
import { assertOurs } from '../../db/merchants';
import { findOrderToClose, holdOrder } from '../../db/orders';
import type { HoldReason, OrderToClose, PaymentToClose } from '../../db/orders';
import { isHolding } from '../../db/rules';
import { PaymentError } from '../../workflows/errors';
import { paymentWorkflowId } from '../../workflows/messages';
import { AlipayError } from '../alipay/errors';
import type { AlipayGateway } from '../alipay/gateway';
import type { Metrics } from '../metrics';
import { tellOrder } from '../orders';
import { tellRowMoved } from '../payment-workflow';
import type { Open, Settlement } from './at-alipay';
import { askAlipay, closeAtAlipay, handOver } from './at-alipay';

export interface ClosingDependencies {
  db: Database;
  alipay: AlipayGateway;
  temporal: Client;
  log: Logger;
  metrics: Metrics;
  /** Ids of the merchants that this process has: it asks about no other's payments. */
  merchants: readonly string[];
}

/**
 * What became of one order.
 * - `rescued`: Alipay took the money (or the trade ended in a way that a person must see); the payment's own
 *   workflow has been told and records it.
 * - `down`: this process cannot reach Alipay; another one may.
 * - `foreign`: a payment is of a merchant that this process does not have.
 * - `held`: left open, and asked about again after a pause.
 * - `settled`: it was not UNPAID any more.
 */
export type OrderOutcome =
  | { is: 'closed' }
  | { is: 'settled' }
  | { is: 'rescued' }
  | { is: 'down'; error: AlipayError }
  | { is: 'foreign'; error: PaymentError }
  | { is: 'held'; because: string };

/** Why a payment keeps its order open. */
type Doubt =
  | Extract<OrderOutcome, { is: 'rescued' | 'down' | 'foreign' }>
  | { is: 'held'; because: string; waitsFor: HoldReason };

/** What is known of one payment: nothing keeps it from being closed, or a doubt. */
type Verdict = Extract<Settlement, { is: 'closable' }> | Doubt;

export interface CloseRequest {
  orderId: string;
  actor: string;
  reason: string;
  /** A shop's cancel need not wait for expiry; the sweep and the timer do. */
  beforeExpiry?: boolean;
  /** The same questions, and nothing else: nothing is written, closed at Alipay, or handed over. */
  dryRun?: boolean;
}

/** So many payments of one order are asked about side by side. */
const SIBLINGS_AT_ONCE = 10;

/**
 * Closes one order safely, or says why not. The one function for the sweep, the timer and the operator.
 *
 * Every UNPAID payment is asked about, whatever is known of the others, and all evidence is handed over; then the worst
 * doubt is the order's.
 *
 * @throws PaymentError ORDER_UNKNOWN
 */
export async function closeSafely(deps: ClosingDependencies, request: CloseRequest): Promise<OrderOutcome> {
  const { orderId, actor, reason, beforeExpiry = false, dryRun = false } = request;
  const order = await findOrderToClose(deps.db, orderId);
  if (!order) throw unknownOrder(orderId);
  if (order.status !== 'UNPAID') return { is: 'settled' };
  if (!order.expired && !beforeExpiry) return notNow('it has not expired');
  const decision = findDecision(order);
  // It goes on being payable after the decision, so nothing of it is closed at Alipay.
  if (!order.expired && decision) return decision;

  const unpaid = order.payments.filter(({ status }) => status === 'UNPAID');
  const verdicts = await judge(deps, order, unpaid, dryRun);
  const doubt = worstOf(decision ? [...verdicts, decision] : verdicts);
  if (doubt) {
    if (order.expired && !dryRun) await hold(deps, orderId, doubt);
    return doubt;
  }
  if (dryRun) return { is: 'closed' };

  const asked = unpaid.map(({ outTradeNo }, i) => ({ outTradeNo, recheckInMs: recheckOf(verdicts[i]) }));
  switch (await closeOrderWithPayments(deps.db, { orderId, asked, actor, reason })) {
    case 'closed':
      deps.metrics.settled('CLOSED', asked.length);
      await Promise.all([tellOrder(deps, orderId), tellRuns(deps, order)]);
      return { is: 'closed' };
    case 'already-closed':
    case 'paid':
      return { is: 'settled' };
    case 'held':
    case 'changed':
      return notNow('something changed while Alipay was asked');
  }
}

/** Held for this moment only: the next sweep decides. */
const notNow = (because: string): OrderOutcome => ({ is: 'held', because });

function findDecision({ payments }: OrderToClose): Doubt | undefined {
  const holder = payments.find(isHolding);
  if (!holder) return undefined;
  const because = `its payment ${holder.outTradeNo} is in ${holder.status}`;
  return { is: 'held', because, waitsFor: 'decision' };
}

const recheckOf = (verdict: Verdict | undefined): number | null =>
  verdict?.is === 'closable' ? verdict.recheckInMs : null;

/** All first questions come before any trade is closed. One verdict for each payment, in order. */
async function judge(
  deps: ClosingDependencies,
  { expired }: OrderToClose,
  payments: PaymentToClose[],
  dryRun: boolean,
): Promise<Verdict[]> {
  const ask = (payment: PaymentToClose, question: () => Promise<Settlement | Open>) =>
    verdictOn(deps, payment, question, dryRun);
  const first = await eachOf(payments, (payment) =>
    ask(payment, () => askAlipay(deps.alipay, payment.outTradeNo, { expired })),
  );
  if (dryRun) return first.map((verdict) => (verdict.is === 'open' ? CLOSABLE : verdict));
  // Before it expires, an order that will not be closed stays payable as it is.
  const mayClose = expired || !first.some(({ is }) => is !== 'open' && is !== 'closable');
  return eachOf(payments, async (payment, i) => {
    const verdict = first[i] as Verdict | Open;
    if (verdict.is !== 'open') return verdict;
    if (!mayClose) return CLOSABLE;
    return (await ask(payment, () => closeAtAlipay(deps.alipay, payment.outTradeNo, verdict))) as Verdict;
  });
}

const CLOSABLE = { is: 'closable', recheckInMs: null } as const;

async function verdictOn(
  deps: ClosingDependencies,
  payment: PaymentToClose,
  question: () => Promise<Settlement | Open>,
  dryRun: boolean,
): Promise<Verdict | Open> {
  try {
    assertOurs(payment, deps.merchants);
    const settlement = await question();
    if (settlement.is === 'held') return { ...settlement, waitsFor: 'trade' };
    if (settlement.is !== 'evidence') return settlement;
    if (!dryRun) await handOver(deps, payment, settlement.answer);
    return { is: 'rescued' };
  } catch (error) {
    if (error instanceof PaymentError && error.code === 'MERCHANT_UNKNOWN') {
      const { orderId, outTradeNo, merchant } = payment;
      deps.log.error({ orderId, outTradeNo, merchant, code: error.code, alert: true }, error.message);
      return { is: 'foreign', error };
    }
    if (!(error instanceof AlipayError)) throw error;
    if (error.kind === 'down') return { is: 'down', error };
    return { is: 'held', because: error.message, waitsFor: 'answer' };
  }
}

/** All of them, a few at a time; one that throws keeps none of the others from being done. */
async function eachOf<T, R>(all: readonly T[], act: (one: T, index: number) => Promise<R>): Promise<R[]> {
  const ended: PromiseSettledResult<R>[] = [];
  for (let i = 0; i < all.length; i += SIBLINGS_AT_ONCE) {
    const some = all.slice(i, i + SIBLINGS_AT_ONCE);
    ended.push(...(await Promise.allSettled(some.map((one, j) => act(one, i + j)))));
  }
  return ended.map((end) => {
    if (end.status === 'rejected') throw end.reason;
    return end.value;
  });
}

/**
 * What must be acted on first: money that has come, then a question that another process may put, then of what waits
 * what may change soonest.
 */
function worstOf(verdicts: Verdict[]): Doubt | undefined {
  const doubts = verdicts.filter((verdict) => verdict.is !== 'closable');
  return doubts.sort((a, b) => rankOf(a) - rankOf(b))[0];
}

function rankOf(doubt: Doubt): number {
  const key = doubt.is === 'held' ? doubt.waitsFor : doubt.is;
  return ['rescued', 'down', 'foreign', 'answer', 'trade', 'decision'].indexOf(key);
}

/** What is rescued or not asked about is the next sweep's at once. */
async function hold({ db }: ClosingDependencies, orderId: string, doubt: Doubt): Promise<void> {
  if (doubt.is === 'held') await holdOrder(db, orderId, doubt.waitsFor);
  if (doubt.is === 'foreign') await holdOrder(db, orderId, 'answer');
}

/** Runs that may still be watching the order's payments hear that nothing is left to watch. */
async function tellRuns({ temporal, log }: ClosingDependencies, order: OrderToClose): Promise<void> {
  const caller = Context.current().info.workflowExecution?.workflowId;
  const watched = order.payments.filter(
    ({ status, nextCheckAt, outTradeNo }) =>
      status === 'UNPAID' &&
      (nextCheckAt !== null || order.closeBy === 'timer') &&
      paymentWorkflowId(outTradeNo) !== caller,
  );
  await Promise.all(
    watched.map(async ({ outTradeNo }) => {
      try {
        await tellRowMoved(temporal, outTradeNo);
      } catch (err) {
        log.warn({ outTradeNo, err }, 'run not told that its payment is closed; it sees it by itself later');
      }
    }),
  );
}
