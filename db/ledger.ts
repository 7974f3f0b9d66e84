/**
 * The transactions that keep the ledger. Each locks the order's row first, then decides, then writes by
 * compare-and-set, with the event that tells of the change and the message to the order service beside it.
 */
import type {
  CloseBy,
  LatePaymentPolicy,
  Product,
  ResolveReview,
  ReviewOutcome,
  StoredPaymentStatus,
} from '../workflows/messages';
import { PaymentError } from '../workflows/errors';
import type { Database } from './connect';
import { row } from './connect';
import { toFen } from './money';
import { insertOrderMessage, paidItsOrder } from './order-messages';
import type { ClockedOrder } from './orders';
import {
  findOrder,
  insertOrder,
  lockOrder,
  lockOrderOfPayment,
  markOrderClosed,
  markOrderPaid,
} from './orders';
import { appendEvent, countUnproven } from './payment-events';
import type { Payment } from './payments';
import {
  findPayment,
  findPaymentsOfOrder,
  flagForReview,
  insertPayment,
  movePayment,
  raiseRefundedAmount,
} from './payments';
import type { ClosedEvidence, Decision, ReviewReason } from './rules';
import { REVIEW_REASONS, decideClosed, decidePaid } from './rules';

/** What the ledger says of a payment after it has been told something. */
export interface Recorded {
  status: StoredPaymentStatus;
  reviewReason: string | null;
  orderId: string;
  /** Whether the order service still has to be told something. */
  untold: boolean;
  /** Whether the call that answers this changed the status. */
  changed?: boolean;
}

export interface OrderToRegister {
  orderId: string;
  subject: string;
  totalAmount: string;
  closeBy: CloseBy;
  ttlMs: number;
}

/**
 * Registers an order, or finds it registered: the first registration wins.
 *
 * @throws PaymentError AMOUNT_DIFFERS where it is registered with another amount
 */
export async function registerOrder(db: Database, input: OrderToRegister): Promise<ClockedOrder> {
  const { orderId, ...rest } = input;
  await insertOrder(db, { id: orderId, ...rest });
  const order = await findOrder(db, orderId);
  if (!order) throw unknownOrder(orderId);
  if (toFen(order.totalAmount) !== toFen(input.totalAmount)) {
    throw new PaymentError(
      'AMOUNT_DIFFERS',
      `Order ${orderId} is registered with ${order.totalAmount} yuan, not ${input.totalAmount}. ` +
        'Use the registered amount, or a new orderId.',
    );
  }
  return order;
}

export interface PaymentToOpen {
  orderId: string;
  /** Given by the caller; without it the order's newest UNPAID payment of this product is opened again. */
  outTradeNo?: string;
  /** The number for a payment that has to be made anew. */
  newOutTradeNo: string;
  product: Product;
  /** `CLOSE_MARGIN` in milliseconds. */
  marginMs: number;
}

/**
 * Opens the payment that a checkout leads to.
 *
 * @throws PaymentError ORDER_UNKNOWN, ORDER_PAID, ORDER_CLOSED, ORDER_EXPIRED, ORDER_HELD, OUT_TRADE_NO_TAKEN,
 *   PAYMENT_SETTLED
 */
export async function openPayment(
  db: Database,
  input: PaymentToOpen,
): Promise<{ order: ClockedOrder; payment: Payment }> {
  return db.transaction(async (trx) => {
    const order = await lockOrder(trx, input.orderId);
    if (!order) throw unknownOrder(input.orderId);
    assertPayable(order, input.marginMs);
    const payments = await findPaymentsOfOrder(trx, order.id);
    assertNotHeld(order.id, payments);

    const outTradeNo = await chooseOutTradeNo(trx, input, payments);
    if (!(await findPayment(trx, outTradeNo))) await insertPayment(trx, { ...input, outTradeNo });
    const payment = await findPayment(trx, outTradeNo);
    if (!payment) throw unknownPayment(outTradeNo);
    // Its own order was not locked here: another checkout may have taken the number in this moment.
    if (payment.orderId !== order.id) throw takenOutTradeNo(outTradeNo);
    await appendEvent(trx, { outTradeNo, actor: 'checkout', event: 'checked-out' });
    return { order, payment };
  });
}

async function chooseOutTradeNo(trx: Database, input: PaymentToOpen, payments: Payment[]): Promise<string> {
  if (input.outTradeNo === undefined) {
    const open = payments.filter(({ status, product }) => status === 'UNPAID' && product === input.product);
    return open.at(-1)?.outTradeNo ?? input.newOutTradeNo;
  }
  const known = await findPayment(trx, input.outTradeNo);
  if (known && known.orderId !== input.orderId) throw takenOutTradeNo(input.outTradeNo);
  if (known && known.status !== 'UNPAID') {
    throw new PaymentError(
      'PAYMENT_SETTLED',
      `Payment ${input.outTradeNo} is ${known.status}. Use a new outTradeNo, or leave it out.`,
    );
  }
  return input.outTradeNo;
}

const takenOutTradeNo = (outTradeNo: string): PaymentError =>
  new PaymentError(
    'OUT_TRADE_NO_TAKEN',
    `outTradeNo ${outTradeNo} pays another order. Use a new outTradeNo, or leave it out.`,
  );

function assertPayable(order: ClockedOrder, marginMs: number): void {
  if (order.status === 'PAID') {
    throw new PaymentError('ORDER_PAID', `Order ${order.id} is paid. There is nothing left to pay.`);
  }
  if (order.status === 'CLOSED') {
    throw new PaymentError('ORDER_CLOSED', `Order ${order.id} is closed. Place a new order.`);
  }
  if (order.remainingMs < 2 * marginMs) {
    throw new PaymentError(
      'ORDER_EXPIRED',
      `Order ${order.id} expires at ${order.expiresAt.toISOString()}, too soon to be paid. Place a new order.`,
    );
  }
}

const isHolding = ({ status }: Payment): boolean => status === 'REVIEW' || status === 'REFUNDING';

function assertNotHeld(orderId: string, payments: Payment[]): void {
  const holder = payments.find(isHolding);
  if (holder) throw heldOrder(orderId, `its payment ${holder.outTradeNo} is in ${holder.status}`);
}

/** ORDER_HELD, with the reason and what to do. */
export function heldOrder(orderId: string, because: string): PaymentError {
  return new PaymentError(
    'ORDER_HELD',
    `Order ${orderId} is held: ${because}. Wait until it is settled, or settle it, then try again.`,
  );
}

export function unknownOrder(orderId: string): PaymentError {
  return new PaymentError('ORDER_UNKNOWN', `There is no order ${orderId}. Register it, or check the id.`);
}

export function unknownPayment(outTradeNo: string): PaymentError {
  return new PaymentError('PAYMENT_UNKNOWN', `There is no payment ${outTradeNo}. Check the outTradeNo.`);
}

/** A verified word of Alipay that the money was taken. */
export interface PaidEvidence {
  outTradeNo: string;
  tradeNo: string | null;
  /** Yuan. */
  totalAmount: string;
  /** Yuan, cumulative; where Alipay says that some was given back. */
  refundedAmount?: string;
  /** When the buyer paid, where Alipay says. */
  at: Date | null;
  /** The verified body. */
  content: object | null;
  actor: string;
}

/**
 * Records that the money was taken, and answers what the payment is now. Safe to repeat.
 *
 * @throws PaymentError PAYMENT_UNKNOWN
 */
export function recordPaid(
  db: Database,
  evidence: PaidEvidence,
  policy: LatePaymentPolicy,
): Promise<Recorded> {
  return decideLocked(db, evidence.outTradeNo, evidence, (order, payment) =>
    decidePaid(
      { order: order.status, payment: payment.status, totalAmount: payment.totalAmount },
      evidence.totalAmount,
      policy,
    ),
  );
}

/** A verified word of Alipay that the trade is closed. */
export interface TradeClosed extends ClosedEvidence {
  outTradeNo: string;
  tradeNo: string | null;
  content: object | null;
  actor: string;
}

/**
 * Records TRADE_CLOSED, and answers what the payment is now. Safe to repeat.
 *
 * @throws PaymentError PAYMENT_UNKNOWN
 */
export function recordClosed(db: Database, evidence: TradeClosed): Promise<Recorded> {
  return decideLocked(db, evidence.outTradeNo, { ...evidence, at: null }, (order, payment) =>
    decideClosed(
      { order: order.status, payment: payment.status, totalAmount: payment.totalAmount },
      { ...evidence, wasPaid: evidence.wasPaid || payment.tradeNo !== null },
    ),
  );
}

type Evidence = Pick<PaidEvidence, 'outTradeNo' | 'tradeNo' | 'refundedAmount' | 'at' | 'content' | 'actor'>;

async function decideLocked(
  db: Database,
  outTradeNo: string,
  evidence: Evidence,
  decide: (order: ClockedOrder, payment: Payment) => Decision,
): Promise<Recorded> {
  return db.transaction(async (trx) => {
    const order = await lockOrderOfPayment(trx, outTradeNo);
    const payment = await findPayment(trx, outTradeNo);
    if (!order || !payment) throw unknownPayment(outTradeNo);
    const changed = await apply(trx, decide(order, payment), order, payment, evidence);
    if (evidence.refundedAmount !== undefined) await noteRefund(trx, outTradeNo, evidence);
    return { ...(await readRecorded(trx, outTradeNo)), ...(changed && { changed }) };
  });
}

/** False where nothing changed. */
async function apply(
  trx: Database,
  decision: Decision,
  order: ClockedOrder,
  payment: Payment,
  evidence: Evidence,
): Promise<boolean> {
  const { outTradeNo, actor } = evidence;
  if (decision.do === 'nothing') return false;
  if (decision.do === 'flag') {
    const flagged = await flagForReview(trx, outTradeNo, decision.reason);
    if (flagged) {
      await appendEvent(trx, { outTradeNo, actor, event: 'review', detail: { reason: decision.reason } });
    }
    return flagged;
  }
  const { to, reason } = decision;
  const moved = await movePayment(
    trx,
    outTradeNo,
    { from: [payment.status], to },
    {
      tradeNo: to === 'CLOSED' ? null : evidence.tradeNo,
      callbackTime: to === 'CLOSED' ? null : (evidence.at ?? new Date()),
      callbackContent: to === 'CLOSED' ? null : evidence.content,
      reviewReason: reason ?? null,
    },
  );
  if (!moved) return false;
  await appendEvent(trx, {
    outTradeNo,
    actor,
    event: EVENT_OF[to],
    detail: { from: payment.status, reason },
  });
  if (to === 'PAID') await settleOrder(trx, order.id, payment);
  return true;
}

const EVENT_OF = {
  PAID: 'paid',
  CLOSED: 'closed',
  REFUNDING: 'refunding',
  REFUNDED: 'refunded',
  REVIEW: 'review',
  UNPAID: 'checked-out',
} as const;

async function settleOrder(trx: Database, orderId: string, payment: Payment): Promise<void> {
  if (!(await markOrderPaid(trx, orderId))) {
    throw new Error('invariant: a payment becomes PAID only while its order, locked, is UNPAID');
  }
  await insertOrderMessage(trx, {
    orderId,
    outTradeNo: payment.outTradeNo,
    status: 'PAID',
    amount: payment.totalAmount,
  });
}

/** A refund that Alipay tells of: what is known to have gone back only grows. */
async function noteRefund(trx: Database, outTradeNo: string, evidence: Evidence): Promise<void> {
  const amount = evidence.refundedAmount;
  if (amount === undefined || !(await raiseRefundedAmount(trx, outTradeNo, amount))) return;
  await appendEvent(trx, { outTradeNo, actor: evidence.actor, event: 'refund-seen', detail: { amount } });
  await tellRefund(trx, outTradeNo);
}

/**
 * The order service hears of a refund only where this payment made the order PAID, once per cumulative amount: of a
 * duplicate it never knew.
 */
async function tellRefund(trx: Database, outTradeNo: string): Promise<void> {
  const payment = await findPayment(trx, outTradeNo);
  if (!payment || !(await paidItsOrder(trx, outTradeNo))) return;
  const { orderId, refundedAmount } = payment;
  await insertOrderMessage(trx, { orderId, outTradeNo, status: 'REFUNDED', amount: refundedAmount });
}

/**
 * What the ledger says of a payment.
 *
 * @throws PaymentError PAYMENT_UNKNOWN
 */
export async function readRecorded(db: Database, outTradeNo: string): Promise<Recorded> {
  // One statement, one snapshot: PAID with nothing to tell, or something to tell while UNPAID, was never true.
  const recorded = await row<Recorded>(
    db,
    `SELECT status, review_reason AS "reviewReason", order_id AS "orderId",
       EXISTS (SELECT 1 FROM order_messages m WHERE m.order_id = p.order_id AND m.told_at IS NULL) AS untold
     FROM payments p WHERE out_trade_no = :outTradeNo`,
    { outTradeNo },
  );
  if (!recorded) throw unknownPayment(outTradeNo);
  return recorded;
}

/** `changed`: something happened since Alipay was asked; ask again before closing anything. */
export type CloseOutcome = 'closed' | 'already-closed' | 'paid' | 'held' | 'changed';

/** A payment that Alipay was asked about, and when to ask once more after it has been closed here. */
export interface AskedPayment {
  outTradeNo: string;
  recheckInMs: number | null;
}

/**
 * Closes an order together with exactly the payments that Alipay was asked about, or nothing at all.
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
  }: { orderId: string; asked: AskedPayment[]; actor: string; reason: string },
): Promise<CloseOutcome> {
  return db.transaction(async (trx) => {
    const order = await lockOrder(trx, orderId);
    if (!order) throw unknownOrder(orderId);
    if (order.status === 'CLOSED') return 'already-closed';
    if (order.status === 'PAID') return 'paid';
    const payments = await findPaymentsOfOrder(trx, orderId);
    if (payments.some(isHolding)) return 'held';
    if (!sameSet(asked, payments.filter(isUnpaid))) return 'changed';

    for (const payment of asked) await closePayment(trx, payment, { actor, reason });
    await markOrderClosed(trx, orderId);
    if (asked.length === 0) {
      await appendEvent(trx, { outTradeNo: null, actor, event: 'closed', detail: { orderId, reason } });
    }
    const last = payments.at(-1)?.outTradeNo ?? null;
    await insertOrderMessage(trx, {
      orderId,
      outTradeNo: last,
      status: 'CLOSED',
      amount: order.totalAmount,
    });
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
  const moved = await movePayment(trx, outTradeNo, { from: ['UNPAID'], to: 'CLOSED' }, { recheckInMs });
  if (moved) await appendEvent(trx, { outTradeNo, actor, event: 'closed', detail: { reason } });
  return moved;
}

/** Closes a leftover UNPAID payment of an order that is settled already. False where either is no longer so. */
export async function closeLeftover(db: Database, asked: AskedPayment, actor: string): Promise<boolean> {
  return db.transaction(async (trx) => {
    const order = await lockOrderOfPayment(trx, asked.outTradeNo);
    if (!order || order.status === 'UNPAID') return false;
    return closePayment(trx, asked, { actor, reason: `order is ${order.status}` });
  });
}

/** REFUNDING → REFUNDED, the whole amount; the proof is Alipay's. Finding it REFUNDED is success. */
export async function recordRefunded(db: Database, outTradeNo: string, actor: string): Promise<Recorded> {
  return db.transaction(async (trx) => {
    await lockOrderOfPayment(trx, outTradeNo);
    const payment = await findPayment(trx, outTradeNo);
    if (!payment) throw unknownPayment(outTradeNo);
    const changed = await movePayment(trx, outTradeNo, { from: ['REFUNDING'], to: 'REFUNDED' });
    if (changed) {
      await raiseRefundedAmount(trx, outTradeNo, payment.totalAmount);
      await appendEvent(trx, {
        outTradeNo,
        actor,
        event: 'refunded',
        detail: { amount: payment.totalAmount },
      });
      await tellRefund(trx, outTradeNo);
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
  return db.transaction(async (trx) => {
    await lockOrderOfPayment(trx, outTradeNo);
    return giveToPerson(trx, outTradeNo, { actor, reason: REVIEW_REASONS.refundRefused, subCode });
  });
}

/**
 * Alipay answered, and the refund is still not proven; `subCode` says why, where Alipay does. After `mostAnswers` of
 * them a person decides (REFUNDING → REVIEW). `answers` is how many there have been since the refund was decided.
 */
export async function recordUnproven(
  db: Database,
  outTradeNo: string,
  { actor, subCode, mostAnswers }: { actor: string; subCode?: string | undefined; mostAnswers: number },
): Promise<Recorded & { answers: number }> {
  return db.transaction(async (trx) => {
    await lockOrderOfPayment(trx, outTradeNo);
    await appendEvent(trx, { outTradeNo, actor, event: 'refund-unproven', detail: { subCode } });
    const answers = await countUnproven(trx, outTradeNo);
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
  const changed = await movePayment(trx, outTradeNo, { from: ['REFUNDING'], to: 'REVIEW' }, change);
  if (changed) await appendEvent(trx, { outTradeNo, actor, event: 'review', detail: { reason, subCode } });
  return { ...(await readRecorded(trx, outTradeNo)), changed };
}

/**
 * A person's decision about a payment in review, after Alipay has been asked afresh.
 *
 * @throws PaymentError PAYMENT_UNKNOWN, REVIEW_REFUSED
 */
export async function recordReview(
  db: Database,
  {
    outTradeNo,
    to,
    actor,
    reason,
    tradeNo,
    recheckInMs,
  }: ResolveReview & { outTradeNo: string; tradeNo: string | null; recheckInMs: number | null },
): Promise<Recorded> {
  return db.transaction(async (trx) => {
    const order = await lockOrderOfPayment(trx, outTradeNo);
    const payment = await findPayment(trx, outTradeNo);
    if (!order || !payment) throw unknownPayment(outTradeNo);
    if (isDecided(payment, to)) return readRecorded(trx, outTradeNo);
    assertDecidable(payment, to);
    if (to === 'PAID' && payment.status === 'REVIEW') await assertCanPay(trx, order, outTradeNo);
    const from = payment.status;
    const change = {
      tradeNo,
      recheckInMs,
      ...(to === 'PAID' && { callbackTime: payment.callbackTime ?? new Date() }),
    };
    await movePayment(trx, outTradeNo, { from: [from], to }, change);
    await appendEvent(trx, { outTradeNo, actor, event: 'review-resolved', detail: { from, to, reason } });
    if (to === 'PAID' && order.status === 'UNPAID') await settleOrder(trx, order.id, payment);
    if (to === 'REFUNDED') {
      await raiseRefundedAmount(trx, outTradeNo, payment.totalAmount);
      await tellRefund(trx, outTradeNo);
    }
    return { ...(await readRecorded(trx, outTradeNo)), changed: true };
  });
}

/** An order is paid by one payment: this one, if it is open, or if this one had paid it before its refund failed. */
async function assertCanPay(trx: Database, order: ClockedOrder, outTradeNo: string): Promise<void> {
  if (order.status === 'UNPAID') return;
  if (order.status === 'PAID' && (await paidItsOrder(trx, outTradeNo))) return;
  throw new PaymentError(
    'REVIEW_REFUSED',
    `Order ${order.id} is ${order.status}: ${outTradeNo} cannot pay it. Resolve to REFUNDING instead.`,
  );
}

/** Whether what a person wants is so already, as where a lost answer makes them, or Temporal, say it again. */
export const isDecided = ({ status, reviewReason }: Payment, to: ReviewOutcome): boolean =>
  status === to && reviewReason === null;

/**
 * A person decides about a payment in review, and may have one that is PAID refunded.
 *
 * @throws PaymentError REVIEW_REFUSED
 */
export function assertDecidable({ outTradeNo, status, reviewReason }: Payment, to: ReviewOutcome): void {
  if (status === 'REVIEW') return;
  // The payment that its order was paid by is never closed: that would be a PAID order with nothing behind it.
  if (status === 'PAID' && (reviewReason === null ? to === 'REFUNDING' : to !== 'CLOSED')) return;
  throw new PaymentError(
    'REVIEW_REFUSED',
    `Payment ${outTradeNo} is ${status}${reviewReason === null ? ', not in review' : ''}: it cannot become ${to}.`,
  );
}
