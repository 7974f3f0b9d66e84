import { Context } from '@temporalio/activity';
import { bulkhead } from 'cockatiel';
import { closeOrderWithPayments, unknownOrder } from '../../db/ledger';
import { findOrderToClose, holdOrder } from '../../db/orders';
import type { HoldReason, OrderToClose, PaymentToClose } from '../../db/orders';
import { decidePaid, isHolding } from '../../db/rules';
import { PaymentError } from '../../workflows/errors';
import { paymentWorkflowId } from '../../workflows/messages';
import { AlipayError } from '../alipay/errors';
import type { QueryAnswer } from '../alipay/gateway';
import type { AlipayGateways } from '../alipay/gateways';
import type { ActivityDependencies } from '../dependencies';
import { tellOrder } from '../orders';
import { tellRowMoved } from '../payment-workflow';
import type { Open, Settlement } from './at-alipay';
import { askAlipay, closeAtAlipay, handOver } from './at-alipay';

/**
 * What became of one order.
 * - `rescued`: Alipay took the money (or the trade ended in a way that a person must see); the payment's own workflow
 *   has been told and records it. `paysOrder`: this makes the order PAID; otherwise the order is held.
 * - `down`: this process cannot reach Alipay; another one may.
 * - `foreign`: a payment belongs to a merchant that this process does not have.
 * - `held`: left open, and queried again after a pause. `error`: because Alipay gave no reliable answer.
 * - `settled`: it was no longer UNPAID.
 */
export type OrderOutcome =
  | { kind: 'closed' }
  | { kind: 'settled' }
  | { kind: 'rescued'; outTradeNo: string; paysOrder: boolean }
  | { kind: 'down'; error: AlipayError }
  | { kind: 'foreign'; error: PaymentError }
  | { kind: 'held'; because: string; advice?: string; error?: AlipayError };

/** Why a payment keeps its order open. */
type Doubt =
  | Extract<OrderOutcome, { kind: 'rescued' | 'down' | 'foreign' }>
  | (Extract<OrderOutcome, { kind: 'held' }> & { waitsFor: HoldReason });

/** What is known about one payment: it can be closed, or there is a doubt. */
type Verdict = Extract<Settlement, { kind: 'closable' }> | Doubt;

export interface CloseRequest {
  orderId: string;
  actor: string;
  reason: string;
  /** A shop's cancel need not wait for expiry; the sweep and the timer do. */
  beforeExpiry?: boolean;
  /** What is paid later is refunded, so an open page does not stop the order from being closed. */
  despiteOpenPages?: boolean;
  /** The same questions, and nothing else: nothing is written, closed at Alipay, or handed over. */
  dryRun?: boolean;
}

/** This many payments of one order are queried in parallel. */
const SIBLINGS_AT_ONCE = 10;

/**
 * Closes one order safely, or says why not. The sweep, the timer and the operator all use this function.
 *
 * Every UNPAID payment is queried, whatever is known about the others, and all evidence is handed over; then the most serious
 * doubt decides for the order.
 *
 * @throws PaymentError ORDER_UNKNOWN
 */
export async function closeSafely(deps: ActivityDependencies, request: CloseRequest): Promise<OrderOutcome> {
  const { orderId, actor, reason, beforeExpiry = false, despiteOpenPages = false, dryRun = false } = request;
  const order = await findOrderToClose(deps.db, orderId);
  if (!order) throw unknownOrder(orderId);
  if (order.status !== 'UNPAID') return { kind: 'settled' };
  if (!order.expired && !beforeExpiry) return notNow('it has not expired');
  const decision = findDecision(order);
  // The order must stay payable after the decision, so none of its payments is closed at Alipay.
  if (!order.expired && decision) return decision;

  const unpaid = order.payments.filter(({ status }) => status === 'UNPAID');
  const verdicts = await judge(deps, order, unpaid, { despiteOpenPages, dryRun });
  const waits = [decision, order.isPaused ? PAUSED : undefined].filter((wait) => wait !== undefined);
  const doubt = worstOf([...verdicts, ...waits]);
  if (doubt) {
    if (order.expired && !dryRun) await hold(deps, orderId, doubt);
    return doubt;
  }
  if (dryRun) return { kind: 'closed' };

  const asked = unpaid.map(({ outTradeNo }, i) => ({ outTradeNo, recheckInMs: recheckOf(verdicts[i]) }));
  switch (
    await closeOrderWithPayments(deps.db, { orderId, asked, actor, reason, slowChecksMs: deps.slowChecksMs })
  ) {
    case 'closed':
      deps.metrics.settled('CLOSED', asked.length);
      await Promise.all([tellOrder(deps, orderId), tellRuns(deps, order)]);
      return { kind: 'closed' };
    case 'already-closed':
    case 'paid':
      return { kind: 'settled' };
    case 'held':
    case 'changed':
      if (order.expired) await holdOrder(deps.db, orderId, 'recording');
      return notNow('something changed while Alipay was asked, or is not recorded yet');
  }
}

const PAUSED: Doubt = { kind: 'held', because: 'its merchant is paused', waitsFor: 'pause' };

const notNow = (because: string): OrderOutcome => ({ kind: 'held', because });

function findDecision({ payments }: OrderToClose): Doubt | undefined {
  const holder = payments.find(isHolding);
  if (!holder) return undefined;
  const because = `its payment ${holder.outTradeNo} is in ${holder.status}`;
  return { kind: 'held', because, waitsFor: 'decision' };
}

const recheckOf = (verdict: Verdict | undefined): number | null =>
  verdict?.kind === 'closable' ? verdict.recheckInMs : null;

/** All first questions come before any trade is closed. Returns one verdict for each payment, in order. */
async function judge(
  deps: ActivityDependencies,
  order: OrderToClose,
  payments: PaymentToClose[],
  { despiteOpenPages, dryRun }: { despiteOpenPages: boolean; dryRun: boolean },
): Promise<Verdict[]> {
  const { expired, isPaused } = order;
  const ask = (payment: PaymentToClose, question: () => Promise<Settlement | Open>) =>
    verdictOn(deps, { order, payment }, question, dryRun);
  const first = await eachOf(payments, (payment) =>
    ask(payment, () =>
      askAlipay(deps.alipay.of(payment), payment.outTradeNo, { expired: expired || despiteOpenPages }),
    ),
  );
  if (dryRun) return first.map((verdict) => (verdict.kind === 'open' ? CLOSABLE : verdict));
  // Before it expires, or while its merchant is paused, an order that will not be closed stays payable as it is.
  const mayClose =
    !isPaused && (expired || !first.some(({ kind }) => kind !== 'open' && kind !== 'closable'));
  return eachOf(payments, async (payment, i) => {
    const verdict = first[i] as Verdict | Open;
    if (verdict.kind !== 'open') return verdict;
    if (!mayClose) return CLOSABLE;
    return (await ask(payment, () =>
      closeAtAlipay(deps.alipay.of(payment), payment.outTradeNo, verdict),
    )) as Verdict;
  });
}

const CLOSABLE = { kind: 'closable', recheckInMs: null } as const;

async function verdictOn(
  deps: ActivityDependencies,
  standing: { order: OrderToClose; payment: PaymentToClose },
  question: () => Promise<Settlement | Open>,
  dryRun: boolean,
): Promise<Verdict | Open> {
  const { payment } = standing;
  try {
    const settlement = await question();
    if (settlement.kind === 'held') return { ...settlement, waitsFor: 'trade' };
    if (settlement.kind !== 'evidence') return settlement;
    if (!dryRun) await handOver(deps, payment, settlement.answer, 'sweep');
    return {
      kind: 'rescued',
      outTradeNo: payment.outTradeNo,
      paysOrder: paysOrder(standing, settlement.answer),
    };
  } catch (error) {
    if (error instanceof PaymentError && error.code === 'MERCHANT_UNKNOWN') {
      const { orderId, outTradeNo, merchant } = payment;
      deps.log.error({ orderId, outTradeNo, merchant, code: error.code, alert: true }, error.message);
      return { kind: 'foreign', error };
    }
    if (!(error instanceof AlipayError)) throw error;
    if (error.kind === 'down' && !isItsOwnOutage(deps.alipay, payment)) return { kind: 'down', error };
    return { kind: 'held', because: error.message, error, waitsFor: 'answer' };
  }
}

/** Whether recording this answer will make the order PAID; the policy for late payments plays no part in that. */
function paysOrder(
  standing: { order: OrderToClose; payment: PaymentToClose },
  { answer, totalAmount }: QueryAnswer,
): boolean {
  if (answer !== 'paid') return false;
  const decision = decidePaid(standing, totalAmount ?? '', 'review');
  return decision.kind === 'move' && decision.to === 'PAID';
}

/**
 * Whether this process reaches other merchants' gateways: then no other worker is likely to reach this one, and its orders
 * wait while the others' are closed.
 */
function isItsOwnOutage(alipay: AlipayGateways, payment: PaymentToClose): boolean {
  return alipay.of(payment).circuit.isOpen && !alipay.circuit.isOpen;
}

/** Does all of them, a few at a time; one that throws does not stop the others. */
async function eachOf<T, R>(all: readonly T[], act: (one: T, index: number) => Promise<R>): Promise<R[]> {
  const lanes = bulkhead(SIBLINGS_AT_ONCE, Infinity);
  const ended = await Promise.allSettled(all.map((one, i) => lanes.execute(() => act(one, i))));
  return ended.map((end) => {
    if (end.status === 'rejected') throw end.reason;
    return end.value;
  });
}

/**
 * Most urgent first: money that has arrived, then a query that another process may be able to make, then whatever wait is
 * likely to end soonest.
 */
function worstOf(verdicts: Verdict[]): Doubt | undefined {
  const doubts = verdicts.filter((verdict) => verdict.kind !== 'closable');
  return doubts.sort((a, b) => rankOf(a) - rankOf(b))[0];
}

function rankOf(doubt: Doubt): number {
  // Whatever else has moved money, this settles the order.
  if (doubt.kind === 'rescued' && doubt.paysOrder) return -1;
  const key = doubt.kind === 'held' ? doubt.waitsFor : doubt.kind;
  return ['rescued', 'down', 'foreign', 'answer', 'pause', 'trade', 'decision'].indexOf(key);
}

/** What could not be asked is left to the next sweep, without a pause. */
async function hold({ db }: ActivityDependencies, orderId: string, doubt: Doubt): Promise<void> {
  switch (doubt.kind) {
    case 'rescued':
      return holdOrder(db, orderId, 'recording');
    case 'foreign':
      return holdOrder(db, orderId, 'answer');
    case 'held':
      return holdOrder(db, orderId, doubt.waitsFor);
    case 'down':
  }
}

/** Tells runs that may still be watching the order's payments that nothing is left to watch. */
async function tellRuns({ temporal, log }: ActivityDependencies, order: OrderToClose): Promise<void> {
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
        log.warn(
          { outTradeNo, err },
          'run not told that its payment is closed; it will notice by itself later',
        );
      }
    }),
  );
}
