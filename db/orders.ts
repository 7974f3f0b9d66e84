import type { CloseBy, ExpiredOrder, OrderStatus, SweepCursor } from '../workflows/messages';
import type { Database } from './connect';
import { hasRow, row, rows, transaction } from './connect';
import type { DuePayment } from './due';
import { ofMerchants } from './merchants';
import type { NewOrderMessage } from './order-messages';
import { messageId } from './order-messages';
import type { Payment } from './payments';
import type { PriceFacts } from './rules';
import { IS_HOLDING, merchantPaused } from './rules';

/** A row of `orders`, in camelCase. Amounts are yuan with two decimals. */
export interface Order {
  id: string;
  subject: string;
  totalAmount: string;
  status: OrderStatus;
  closeBy: CloseBy;
  /** The id of a row of `merchants`; null if the order was inserted by hand. */
  merchant: string | null;
  createdAt: Date;
  expiresAt: Date;
  paidAt: Date | null;
  /** The payment that made it PAID. */
  paidBy: string | null;
  /** What of that has gone back so far, including outside Alipay. */
  refundedAmount: string;
  closedAt: Date | null;
  /** The shop wants to cancel it for good: money that comes once it is CLOSED is refunded, whatever the policy for late payments. */
  ifPaidLater: 'refund' | null;
}

/** An order, with what only Postgres' clock may say about it. */
export interface ClockedOrder extends Order {
  /** `now() >= expires_at` */
  expired: boolean;
  /** Milliseconds until `expires_at`; negative after it. */
  remainingMs: number;
}

export interface NewOrder extends Pick<Order, 'id' | 'subject' | 'totalAmount' | 'closeBy'> {
  merchant: string;
  ttlMs: number;
}

const COLUMNS = `
  o.id, o.subject, o.total_amount AS "totalAmount", o.status, o.close_by AS "closeBy", o.merchant,
  o.created_at AS "createdAt", o.expires_at AS "expiresAt", o.paid_at AS "paidAt", o.paid_by AS "paidBy",
  COALESCE((SELECT refunded_amount + COALESCE(outside_amount, 0) FROM :schema:.payments WHERE out_trade_no = o.paid_by), 0.00)
    AS "refundedAmount",
  o.closed_at AS "closedAt", o.if_paid_later AS "ifPaidLater"`;

const CLOCK = `
  now() >= o.expires_at AS expired,
  CAST(EXTRACT(EPOCH FROM o.expires_at - now()) * 1000 AS float8) AS "remainingMs"`;

/** Inserts the order; undefined if its id already exists: the first registration wins. */
export function insertOrder(db: Database, order: NewOrder): Promise<ClockedOrder | undefined> {
  return row(
    db,
    `INSERT INTO :schema:.orders AS o (id, subject, total_amount, close_by, merchant, expires_at)
     VALUES (:id, :subject, :totalAmount, :closeBy, :merchant, now() + :ttlMs * interval '1 millisecond')
     ON CONFLICT (id) DO NOTHING RETURNING ${COLUMNS}, ${CLOCK}`,
    order,
  );
}

export function findOrder(db: Database, orderId: string): Promise<ClockedOrder | undefined> {
  return row(db, `SELECT ${COLUMNS}, ${CLOCK} FROM :schema:.orders o WHERE o.id = :orderId`, { orderId });
}

/** Locks the order until the transaction ends. Everything that records, closes or checks out does this first. */
export function lockOrder(trx: Database, orderId: string): Promise<ClockedOrder | undefined> {
  return row(trx, `SELECT ${COLUMNS}, ${CLOCK} FROM :schema:.orders o WHERE o.id = :orderId FOR UPDATE`, {
    orderId,
  });
}

/** {@link lockOrder}, found by one of the order's payments. */
export function lockOrderOfPayment(trx: Database, outTradeNo: string): Promise<ClockedOrder | undefined> {
  return row(
    trx,
    `SELECT ${COLUMNS}, ${CLOCK} FROM :schema:.orders o
     WHERE o.id = (SELECT order_id FROM :schema:.payments WHERE out_trade_no = :outTradeNo) FOR UPDATE`,
    { outTradeNo },
  );
}

/** Gives the locked order another price. Returns false if it is no longer UNPAID. */
export function repriceOrder(trx: Database, price: { id: string; totalAmount: string }): Promise<boolean> {
  return hasRow(
    trx,
    `UPDATE :schema:.orders SET total_amount = CAST(:totalAmount AS numeric) WHERE id = :id AND status = 'UNPAID' RETURNING id`,
    price,
  );
}

/** Notes that whatever is paid for an order after the shop has cancelled it is to be refunded. */
export async function refundIfPaidLater(db: Database, orderId: string): Promise<void> {
  await rows(
    db,
    `UPDATE :schema:.orders SET if_paid_later = 'refund' WHERE id = :orderId AND status <> 'PAID'`,
    { orderId },
  );
}

/**
 * UNPAID → PAID or CLOSED, with the message to the order service in the same statement. Payments of the order that are still
 * UNPAID become due to be closed at Alipay. `foundBy`: what found the payment. Returns false, and writes nothing, if the order
 * was not UNPAID.
 */
export function settle(
  trx: Database,
  message: NewOrderMessage & { status: 'PAID' | 'CLOSED' },
  foundBy: string | null = null,
): Promise<boolean> {
  return hasRow(
    trx,
    `WITH settled AS (
       UPDATE :schema:.orders SET
         status = :status,
         paid_at = CASE WHEN :status = 'PAID' THEN now() ELSE paid_at END,
         paid_by = CASE WHEN :status = 'PAID' THEN :outTradeNo ELSE paid_by END,
         closed_at = CASE WHEN :status = 'CLOSED' THEN now() ELSE closed_at END
       WHERE id = :orderId AND status = 'UNPAID' RETURNING id
     ), told AS (
       INSERT INTO :schema:.order_messages (id, order_id, out_trade_no, status, amount, found_by)
       SELECT :messageId, id, :outTradeNo, :status, CAST(:amount AS numeric), :foundBy FROM settled
       ON CONFLICT (id) DO NOTHING
     ), leftovers AS (
       UPDATE :schema:.payments p SET recheck_at = now() FROM settled
       WHERE p.order_id = settled.id AND p.status = 'UNPAID'
     )
     SELECT id FROM settled`,
    { messageId: messageId(message), ...message, foundBy },
  );
}

export function paidItsOrder(
  db: Database,
  payment: Pick<Payment, 'orderId' | 'outTradeNo'>,
): Promise<boolean> {
  return hasRow(
    db,
    `SELECT 1 AS found FROM :schema:.orders WHERE id = :orderId AND paid_by = :outTradeNo`,
    payment,
  );
}

/** What closing an order needs to know about it. */
export interface OrderToClose extends Pick<ClockedOrder, 'status' | 'totalAmount' | 'closeBy' | 'expired'> {
  /** Its merchant is paused: it is asked about, but not closed. */
  isPaused: boolean;
  /** Oldest first. */
  payments: PaymentToClose[];
}

export interface PaymentToClose extends DuePayment, PriceFacts {
  /** When its run makes the next check; null: it makes none. */
  nextCheckAt: Date | null;
}

/** An order with its payments, as they are at one moment. It locks nothing. */
export async function findOrderToClose(db: Database, orderId: string): Promise<OrderToClose | undefined> {
  const found = await rows<
    PaymentToClose &
      Pick<OrderToClose, 'closeBy' | 'expired' | 'isPaused'> & { orderStatus: OrderStatus; price: string }
  >(
    db,
    `SELECT o.status AS "orderStatus", o.total_amount AS price, o.close_by AS "closeBy", now() >= o.expires_at AS expired,
       o.id AS "orderId", p.out_trade_no AS "outTradeNo", p.total_amount AS "totalAmount", p.accepted_amount AS "acceptedAmount",
       p.paid_amount AS "paidAmount", p.superseded_at AS "supersededAt", p.status, p.merchant,
       p.next_check_at AS "nextCheckAt", ${merchantPaused('COALESCE(o.merchant, p.merchant)')} AS "isPaused"
     FROM :schema:.orders o LEFT JOIN :schema:.payments p ON p.order_id = o.id
     WHERE o.id = :orderId ORDER BY p.created_at, p.out_trade_no`,
    { orderId },
  );
  const [first] = found;
  if (!first) return undefined;
  // An order without payments is one row of nulls.
  const payments = found.filter(({ outTradeNo }) => (outTradeNo as string | null) !== null);
  const { orderStatus: status, price: totalAmount, closeBy, expired, isPaused } = first;
  return { status, totalAmount, closeBy, expired, isPaused, payments };
}

/**
 * One page of expired UNPAID orders by Postgres' clock, oldest first, after the cursor (keyset: rows that leave the set
 * while it is read shift nothing). Orders that close by timer are left to their own workflow until `timerGraceMs` after
 * they expire, held ones until their pause is over.
 */
export function findExpiredOrders(
  db: Database,
  {
    after,
    ...page
  }: { after: SweepCursor | null; limit: number; timerGraceMs: number; merchants: readonly string[] },
): Promise<ExpiredOrder[]> {
  return rows(
    db,
    `SELECT id, to_char(expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS "expiresAt"
     FROM :schema:.orders o
     WHERE status = 'UNPAID' AND expires_at <= now()
       AND (held_until IS NULL OR held_until <= now()) AND ${ofMerchants('o')}
       AND (close_by = 'sweep' OR expires_at <= now() - :timerGraceMs * interval '1 millisecond')
       ${after ? 'AND (expires_at, id) > (CAST(:expiresAt AS timestamptz), :orderId)' : ''}
     ORDER BY expires_at, id
     LIMIT :limit`,
    { ...page, ...after },
  );
}

/**
 * What an expired order waits for.
 * - `answer`: Alipay did not answer, or not clearly. The pause is short, so that orders close soon after an outage.
 * - `trade`: Alipay does not let the trade be closed.
 * - `pause`: its merchant is paused. Resuming the merchant ends the pause.
 * - `recording`: what Alipay said is not recorded yet. Recording it ends the pause.
 * - `decision`: a payment in REVIEW or REFUNDING. There is nothing to ask; its decision ends the pause.
 */
export type HoldReason = 'answer' | 'trade' | 'pause' | 'recording' | 'decision';

const FIRST_PAUSE_S = 30;
const LONGEST_PAUSE_S: Record<Exclude<HoldReason, 'decision'>, number> = {
  answer: 120,
  trade: 3_600,
  pause: 3_600,
  recording: 3_600,
};

/**
 * Keeps the sweep from asking about an UNPAID order for a pause that doubles each time, from 30 s. It is not held for a
 * merchant that was resumed meanwhile. Earlier holds count only up to this reason's longest pause: after an outage the
 * first hold for another reason takes minutes, not an hour.
 */
export async function holdOrder(db: Database, orderId: string, reason: HoldReason): Promise<void> {
  if (reason === 'decision') return holdForDecision(db, orderId);
  const longest = LONGEST_PAUSE_S[reason];
  const most = Math.ceil(Math.log2(longest / FIRST_PAUSE_S));
  await rows(
    db,
    `UPDATE :schema:.orders o SET holds = LEAST(holds, :most) + 1,
       held_until = now() + LEAST(:first * power(2, LEAST(holds, :most)), :longest) * interval '1 second'
     WHERE id = :orderId AND status = 'UNPAID' AND (CAST(:reason AS text) <> 'pause' OR ${merchantPaused('o.merchant')})`,
    { orderId, reason, first: FIRST_PAUSE_S, longest, most },
  );
}

/**
 * The hold has no end, so it may only be set while a decision is pending. It takes the lock that a decision takes first: a
 * single statement that waited for that lock would still see the payment as it was before.
 */
function holdForDecision(db: Database, orderId: string): Promise<void> {
  return transaction(db, async (trx) => {
    await lockOrder(trx, orderId);
    await rows(
      trx,
      `UPDATE :schema:.orders SET holds = 0, held_until = 'infinity'
       WHERE id = :orderId AND status = 'UNPAID' AND EXISTS (
         SELECT FROM :schema:.payments p WHERE p.order_id = :orderId AND ${IS_HOLDING})`,
      { orderId },
    );
  });
}

/** Orders of one page of {@link releaseOrders}, which is one transaction. */
const RELEASE_PAGE = 1_000;

/**
 * Lets the next sweep ask about expired orders of these merchants that are held, except those that wait for a decision. Page
 * by page: after a long pause there may be more than one statement has time for. Each once, the oldest first: a sweep may hold
 * them again meanwhile. One that is locked is skipped, and waits until its pause is over.
 */
export async function releaseOrders(db: Database, merchants: readonly string[]): Promise<void> {
  let after: SweepCursor | undefined = { expiresAt: '-infinity', orderId: '' };
  while (after) {
    const cursor: SweepCursor = after;
    after = await transaction(db, (trx) => releasePage(trx, merchants, cursor));
  }
}

/** Returns where the next page begins; undefined: there is none. */
function releasePage(
  trx: Database,
  merchants: readonly string[],
  after: SweepCursor,
): Promise<SweepCursor | undefined> {
  return row(
    trx,
    `WITH page AS (
       SELECT id, expires_at FROM :schema:.orders o
       WHERE status = 'UNPAID' AND expires_at <= now() AND held_until < 'infinity' AND ${ofMerchants('o')}
         AND (expires_at, id) > (CAST(:expiresAt AS timestamptz), :orderId)
       ORDER BY expires_at, id LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED
     ), released AS (
       UPDATE :schema:.orders o SET held_until = NULL, holds = 0 FROM page WHERE o.id = page.id)
     SELECT id AS "orderId", to_char(expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS "expiresAt"
     FROM page ORDER BY expires_at DESC, id DESC LIMIT 1`,
    { ...after, merchants, limit: RELEASE_PAGE },
  );
}
