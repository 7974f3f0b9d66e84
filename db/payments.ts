import type { Product, StoredPaymentStatus } from '../workflows/messages';
import type { Database } from './connect';
import { row, rows } from './connect';
import type { NewPaymentEvent } from './payment-events';

/** A row of `payments`, in camelCase. Amounts are yuan with two decimals. */
export interface Payment {
  outTradeNo: string;
  orderId: string;
  /** The id of a row of `merchants`; null where the payment was inserted by hand. */
  merchant: string | null;
  product: Product;
  totalAmount: string;
  status: StoredPaymentStatus;
  tradeNo: string | null;
  checks: number;
  timeExpire: Date | null;
  callbackTime: Date | null;
  callbackContent: Record<string, unknown> | null;
  reviewReason: string | null;
  refundedAmount: string;
  recheckAt: Date | null;
  createdAt: Date;
  updatedAt: Date;
  closedAt: Date | null;
  refundedAt: Date | null;
}

const COLUMNS = `
  p.out_trade_no AS "outTradeNo", p.order_id AS "orderId", p.merchant, p.product,
  p.total_amount AS "totalAmount", p.status, p.trade_no AS "tradeNo", p.checks, p.time_expire AS "timeExpire", p.callback_time AS "callbackTime",
  p.callback_content AS "callbackContent", p.review_reason AS "reviewReason", p.refunded_amount AS "refundedAmount",
  p.recheck_at AS "recheckAt", p.created_at AS "createdAt", p.updated_at AS "updatedAt", p.closed_at AS "closedAt",
  p.refunded_at AS "refundedAt"`;

export function findPayment(db: Database, outTradeNo: string): Promise<Payment | undefined> {
  return row(db, `SELECT ${COLUMNS} FROM :schema:.payments p WHERE out_trade_no = :outTradeNo`, {
    outTradeNo,
  });
}

/** All payments of one order, oldest first. */
export function findPaymentsOfOrder(db: Database, orderId: string): Promise<Payment[]> {
  return rows(
    db,
    `SELECT ${COLUMNS} FROM :schema:.payments p WHERE order_id = :orderId ORDER BY created_at, out_trade_no`,
    { orderId },
  );
}

/** Newest first. */
export function listPayments(
  db: Database,
  { status, orderId, limit = 50 }: { status?: StoredPaymentStatus; orderId?: string; limit?: number },
): Promise<Payment[]> {
  return rows(
    db,
    `SELECT ${COLUMNS} FROM :schema:.payments p
     WHERE true ${status ? 'AND status = :status' : ''} ${orderId ? 'AND order_id = :orderId' : ''}
     ORDER BY created_at DESC, out_trade_no LIMIT :limit`,
    { limit, ...(status && { status }), ...(orderId && { orderId }) },
  );
}

/** Changes nothing where the number is taken. Call it with the order's row locked. `marginMs` before the order expires, Alipay stops taking the money. */
export async function insertPayment(
  trx: Database,
  payment: { outTradeNo: string; orderId: string; merchant: string; product: Product; marginMs: number },
): Promise<void> {
  await rows(
    trx,
    `INSERT INTO :schema:.payments (out_trade_no, order_id, merchant, product, total_amount, time_expire)
     SELECT :outTradeNo, id, :merchant, :product, total_amount,
       -- whole seconds: that is all that Alipay's time_expire can say
       date_trunc('second', expires_at - :marginMs * interval '1 millisecond')
     FROM :schema:.orders WHERE id = :orderId ON CONFLICT (out_trade_no) DO NOTHING`,
    { ...payment },
  );
}

/** What a compare-and-set may write beside the status. */
export interface PaymentChange {
  tradeNo?: string | null;
  callbackTime?: Date | null;
  callbackContent?: object | null;
  reviewReason?: string | null;
  recheckInMs?: number | null;
}

/** What the timeline says of a change of status. */
export type MoveEvent = Omit<NewPaymentEvent, 'outTradeNo'>;

/**
 * The one way by which a payment's status changes: a compare-and-set, and in the same statement the event that tells of
 * it. False where the row was in none of `from`; then there is no event either. What `change` leaves out stays as it is.
 */
export async function movePayment(
  trx: Database,
  outTradeNo: string,
  { from, to }: { from: readonly StoredPaymentStatus[]; to: StoredPaymentStatus },
  { actor, event, detail = {} }: MoveEvent,
  change: PaymentChange = {},
): Promise<boolean> {
  const told = await rows(
    trx,
    `WITH moved AS (UPDATE :schema:.payments SET
       status = :to,
       updated_at = now(),
       closed_at = CASE WHEN :to = 'CLOSED' THEN now() ELSE closed_at END,
       refunded_at = CASE WHEN :to = 'REFUNDED' THEN now() ELSE refunded_at END,
       trade_no = COALESCE(:tradeNo, trade_no),
       callback_time = COALESCE(:callbackTime, callback_time),
       callback_content = COALESCE(CAST(:callbackContent AS jsonb), callback_content),
       review_reason = :reviewReason,
       recheck_at = now() + CAST(:recheckInMs AS float8) * interval '1 millisecond'
     WHERE out_trade_no = :outTradeNo AND status = ANY(:from)
     RETURNING out_trade_no)
     INSERT INTO :schema:.payment_events (out_trade_no, actor, event, detail)
     SELECT out_trade_no, :actor, :event, CAST(:detail AS jsonb) FROM moved RETURNING id`,
    {
      outTradeNo,
      from,
      to,
      actor,
      event,
      detail: JSON.stringify(detail),
      tradeNo: change.tradeNo ?? null,
      callbackTime: change.callbackTime ?? null,
      callbackContent: change.callbackContent ? JSON.stringify(change.callbackContent) : null,
      reviewReason: change.reviewReason ?? null,
      recheckInMs: change.recheckInMs ?? null,
    },
  );
  return told.length === 1;
}

/** Puts a PAID row under review without touching its status. False where it was so already, or is not PAID. */
export async function flagForReview(trx: Database, outTradeNo: string, reason: string): Promise<boolean> {
  const changed = await rows(
    trx,
    `UPDATE :schema:.payments SET review_reason = :reason, updated_at = now()
     WHERE out_trade_no = :outTradeNo AND status = 'PAID' AND review_reason IS NULL RETURNING out_trade_no`,
    { outTradeNo, reason },
  );
  return changed.length === 1;
}

/** Refunds only grow: true where `amount` (yuan, cumulative) is more than was known. */
export async function raiseRefundedAmount(
  trx: Database,
  outTradeNo: string,
  amount: string,
): Promise<boolean> {
  const changed = await rows(
    trx,
    `UPDATE :schema:.payments SET refunded_amount = :amount, updated_at = now()
     WHERE out_trade_no = :outTradeNo AND refunded_amount < CAST(:amount AS numeric) RETURNING out_trade_no`,
    { outTradeNo, amount },
  );
  return changed.length === 1;
}

/**
 * Notes that check number `check` has been made. The number is set, never incremented: a lost workflow task makes the
 * same check again.
 */
export async function setChecks(db: Database, outTradeNo: string, check: number): Promise<void> {
  await rows(
    db,
    `UPDATE :schema:.payments SET checks = :check, updated_at = now() WHERE out_trade_no = :outTradeNo AND checks <> :check`,
    { outTradeNo, check },
  );
}

/** When Alipay is to be asked again about a row that is settled here; null: never. */
export async function setRecheck(db: Database, outTradeNo: string, inMs: number | null): Promise<void> {
  await rows(
    db,
    `UPDATE :schema:.payments SET recheck_at = now() + CAST(:inMs AS float8) * interval '1 millisecond', updated_at = now()
     WHERE out_trade_no = :outTradeNo`,
    { outTradeNo, inMs },
  );
}

/** An UNPAID payment of an order that is settled. */
export interface LeftoverPayment extends Payment {
  /** Whether its order's time is over, by Postgres' clock. */
  expired: boolean;
  /** Milliseconds until the order expires. */
  remainingMs: number;
}

/** Leftovers that are due to be closed, the longest waiting first. */
export function findLeftovers(db: Database, limit: number): Promise<LeftoverPayment[]> {
  return rows(
    db,
    `SELECT ${COLUMNS}, now() >= o.expires_at AS expired,
       CAST(EXTRACT(EPOCH FROM o.expires_at - now()) * 1000 AS float8) AS "remainingMs"
     FROM :schema:.payments p JOIN :schema:.orders o ON o.id = p.order_id
     WHERE p.status = 'UNPAID' AND o.status <> 'UNPAID' AND (p.recheck_at IS NULL OR p.recheck_at <= now())
     ORDER BY p.updated_at, p.out_trade_no LIMIT :limit`,
    { limit },
  );
}

/** Payments closed here whose time to be asked about once more has come, the longest waiting first. */
export function findRechecks(db: Database, limit: number): Promise<Payment[]> {
  return rows(
    db,
    `SELECT ${COLUMNS} FROM :schema:.payments p WHERE status = 'CLOSED' AND recheck_at <= now()
     ORDER BY recheck_at LIMIT :limit`,
    { limit },
  );
}

/** Payments that a workflow should be looking after: in review, or REFUNDING for longer than `refundingForMs`. */
export function findUnattended(
  db: Database,
  { refundingForMs, limit }: { refundingForMs: number; limit: number },
): Promise<Payment[]> {
  return rows(
    db,
    `SELECT ${COLUMNS} FROM :schema:.payments p
     WHERE status = 'REVIEW' OR (status = 'PAID' AND review_reason IS NOT NULL)
       OR (status = 'REFUNDING' AND updated_at <= now() - :refundingForMs * interval '1 millisecond')
     -- in no order, so that a full batch that stays as it is does not keep the rest away for ever
     ORDER BY random() LIMIT :limit`,
    { refundingForMs, limit },
  );
}

/** Payments that wait for a person's decision, the longest waiting first. */
export function listReviews(db: Database, limit: number): Promise<Payment[]> {
  return rows(
    db,
    `SELECT ${COLUMNS} FROM :schema:.payments p
     WHERE status = 'REVIEW' OR (status = 'PAID' AND review_reason IS NOT NULL)
     ORDER BY updated_at, out_trade_no LIMIT :limit`,
    { limit },
  );
}
