import type { Product, StoredPaymentStatus } from '../workflows/messages';
import { PAYMENT_STATUS_BY_KEY } from './by-key';
import type { Database } from './connect';
import { hasRow, row, rows } from './connect';
import { ALL_ITS_IDS } from './merchants';
import type { NewPaymentEvent } from './payment-events';
import type { PaymentFacts } from './rules';
import { IS_HELD, IS_IN_REVIEW, isHolding } from './rules';
import { storableJson, storableText } from './storable';

/** A row of `payments`, in camelCase. Amounts are yuan with two decimals. */
export interface Payment extends PaymentFacts {
  outTradeNo: string;
  orderId: string;
  /** The id of a row of `merchants`; null if the payment was inserted by hand. */
  merchant: string | null;
  product: Product;
  /** SHA-256 of the buyer and the extra parameters that it was opened with; null: none. */
  requestDigest: string | null;
  checks: number;
  nextCheckAt: Date | null;
  timeExpire: Date | null;
  callbackTime: Date | null;
  callbackContent: Record<string, unknown> | null;
  /** What a person paid back outside Alipay, which refused to; never part of `refundedAmount`. */
  outsideAmount: string | null;
  outsideReference: string | null;
  recheckAt: Date | null;
  createdAt: Date;
  updatedAt: Date;
  closedAt: Date | null;
  refundedAt: Date | null;
}

const COLUMNS = `
  p.out_trade_no AS "outTradeNo", p.order_id AS "orderId", p.merchant, p.product, p.request_digest AS "requestDigest", p.total_amount AS "totalAmount",
  p.paid_amount AS "paidAmount", p.accepted_amount AS "acceptedAmount", p.status, p.trade_no AS "tradeNo", p.checks,
  p.next_check_at AS "nextCheckAt", p.time_expire AS "timeExpire", p.callback_time AS "callbackTime",
  p.callback_content AS "callbackContent", p.review_reason AS "reviewReason", p.refunded_amount AS "refundedAmount",
  p.outside_amount AS "outsideAmount", p.outside_reference AS "outsideReference",
  p.refund_seen AS "refundSeen", p.superseded_at AS "supersededAt", p.recheck_at AS "recheckAt",
  p.created_at AS "createdAt", p.updated_at AS "updatedAt", p.closed_at AS "closedAt", p.refunded_at AS "refundedAt"`;

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

/** Does nothing if the number is taken. Call it with the order's row locked. Alipay stops accepting money `marginMs` before the order expires. */
export async function insertPayment(
  trx: Database,
  payment: Pick<Payment, 'outTradeNo' | 'orderId' | 'product' | 'requestDigest'> & {
    merchant: string;
    marginMs: number;
  },
): Promise<void> {
  await rows(
    trx,
    `INSERT INTO :schema:.payments (out_trade_no, order_id, merchant, product, request_digest, total_amount, time_expire)
     SELECT :outTradeNo, id, :merchant, :product, :requestDigest, total_amount,
       -- whole seconds: that is all that Alipay's time_expire can say
       date_trunc('second', expires_at - :marginMs * interval '1 millisecond')
     FROM :schema:.orders WHERE id = :orderId ON CONFLICT (out_trade_no) DO NOTHING`,
    payment,
  );
}

/** What a compare-and-set may write besides the status. Omitted fields stay as they are. */
export interface PaymentChange {
  tradeNo?: string | null;
  callbackTime?: Date | null;
  callbackContent?: object | null;
  paidAmount?: string | undefined;
  acceptedAmount?: string | undefined;
  outside?: { amount: string; reference: string } | undefined;
  reviewReason?: string | null;
  recheckInMs?: number | null;
}

export type MoveEvent = Required<Omit<NewPaymentEvent, 'outTradeNo'>>;

/**
 * The only way to change a payment's status: a compare-and-set, and in the same statement the event that records it.
 * Returns false, without an event, if the row was in none of `from`. What is due for the payment follows its status,
 * too: no check once it is settled; its run is looked after while it is in review or being refunded, and once after
 * that, as it may not have been told; and its order is no longer held.
 */
export function movePayment(
  trx: Database,
  outTradeNo: string,
  { from, to }: { from: readonly StoredPaymentStatus[]; to: StoredPaymentStatus },
  { actor, event, detail }: MoveEvent,
  change: PaymentChange = {},
): Promise<boolean> {
  return hasRow(
    trx,
    `WITH moved AS (UPDATE :schema:.payments p SET
       status = :to,
       updated_at = now(),
       closed_at = CASE WHEN :to = 'CLOSED' THEN now() ELSE p.closed_at END,
       refunded_at = CASE WHEN :to = 'REFUNDED' THEN now() ELSE p.refunded_at END,
       trade_no = COALESCE(:tradeNo, p.trade_no),
       callback_time = COALESCE(:callbackTime, p.callback_time),
       callback_content = COALESCE(CAST(:callbackContent AS jsonb), p.callback_content),
       -- never below what is known to have gone back
       paid_amount = CASE WHEN CAST(:paidAmount AS numeric) IS NULL THEN p.paid_amount
         ELSE GREATEST(CAST(:paidAmount AS numeric), p.refunded_amount) END,
       accepted_amount = COALESCE(CAST(:acceptedAmount AS numeric), p.accepted_amount),
       outside_amount = COALESCE(CAST(:outsideAmount AS numeric), p.outside_amount),
       outside_reference = COALESCE(:outsideReference, p.outside_reference),
       review_reason = :reviewReason,
       recheck_at = now() + CAST(:recheckInMs AS float8) * interval '1 millisecond',
       next_check_at = NULL,
       slow_check_at = NULL,
       revive_at = CASE WHEN :isHeld OR ${IS_HELD} THEN now() + interval '1 minute' END,
       revivals = 0
     WHERE p.out_trade_no = :outTradeNo AND ${PAYMENT_STATUS_BY_KEY} = ANY(:from)
     RETURNING p.out_trade_no, p.order_id),
     released AS (UPDATE :schema:.orders o SET held_until = NULL, holds = 0
       FROM moved WHERE o.id = moved.order_id AND NOT :isHeld AND o.held_until IS NOT NULL)
     INSERT INTO :schema:.payment_events (out_trade_no, actor, event, detail)
     SELECT out_trade_no, :actor, :event, CAST(:detail AS jsonb) FROM moved RETURNING id`,
    {
      outTradeNo,
      from,
      to,
      actor,
      event,
      isHeld: isHolding({ status: to }),
      detail: storableJson(detail),
      tradeNo: change.tradeNo ? storableText(change.tradeNo) : null,
      callbackTime: change.callbackTime ?? null,
      callbackContent: change.callbackContent ? storableJson(change.callbackContent) : null,
      paidAmount: change.paidAmount ?? null,
      acceptedAmount: change.acceptedAmount ?? null,
      outsideAmount: change.outside?.amount ?? null,
      outsideReference: change.outside ? storableText(change.outside.reference) : null,
      reviewReason: change.reviewReason ?? null,
      recheckInMs: change.recheckInMs ?? null,
    },
  );
}

/** Puts a PAID row under review without touching its status. Returns false if it was already, or is not PAID. */
export function flagForReview(trx: Database, outTradeNo: string, reason: string): Promise<boolean> {
  return hasRow(
    trx,
    `UPDATE :schema:.payments SET review_reason = :reason, updated_at = now(),
       revive_at = now() + interval '1 minute', revivals = 0
     WHERE out_trade_no = :outTradeNo AND status = 'PAID' AND review_reason IS NULL RETURNING out_trade_no`,
    { outTradeNo, reason },
  );
}

/** Notes what Alipay took, yuan, if the row does not know it yet; never below what is known to have gone back. */
export async function notePaidAmount(trx: Database, outTradeNo: string, amount: string): Promise<void> {
  await rows(
    trx,
    `UPDATE :schema:.payments SET paid_amount = GREATEST(CAST(:amount AS numeric), refunded_amount)
     WHERE out_trade_no = :outTradeNo AND paid_amount IS NULL`,
    { outTradeNo, amount },
  );
}

/**
 * Supersedes the UNPAID payments of a locked order whose price has changed: they are due to be closed at Alipay, and
 * their timelines record both amounts.
 */
export async function supersedePayments(
  trx: Database,
  price: { id: string; totalAmount: string },
): Promise<void> {
  await rows(
    trx,
    `WITH superseded AS (UPDATE :schema:.payments SET superseded_at = now(), recheck_at = now(), updated_at = now()
       WHERE order_id = :id AND status = 'UNPAID' AND superseded_at IS NULL RETURNING out_trade_no, total_amount)
     INSERT INTO :schema:.payment_events (out_trade_no, actor, event, detail)
     SELECT out_trade_no, 'checkout', 'superseded',
       jsonb_build_object('from', CAST(total_amount AS text), 'to', CAST(:totalAmount AS text)) FROM superseded`,
    price,
  );
}

/** Notes the highest sum of refunds that Alipay has reported, yuan. */
export async function raiseRefundSeen(trx: Database, outTradeNo: string, amount: string): Promise<void> {
  await rows(
    trx,
    `UPDATE :schema:.payments SET refund_seen = CAST(:amount AS numeric)
     WHERE out_trade_no = :outTradeNo AND refund_seen < CAST(:amount AS numeric)`,
    { outTradeNo, amount },
  );
}

/**
 * Sums up its DONE refunds, never above what was taken, which is set with the first of them. Returns by how much the
 * sum has grown, yuan.
 */
export async function sumUpRefunds(trx: Database, outTradeNo: string): Promise<string> {
  const summed = await row<{ grown: string }>(
    trx,
    `UPDATE :schema:.payments p SET
       paid_amount = COALESCE(p.paid_amount, p.total_amount),
       refunded_amount = LEAST(back.amount, COALESCE(p.paid_amount, p.total_amount)),
       updated_at = now()
     FROM (SELECT COALESCE(sum(amount), 0) AS amount FROM :schema:.refunds
         WHERE out_trade_no = :outTradeNo AND status = 'DONE') back,
       (SELECT refunded_amount FROM :schema:.payments WHERE out_trade_no = :outTradeNo) before
     WHERE p.out_trade_no = :outTradeNo
     RETURNING p.refunded_amount - before.refunded_amount AS grown`,
    { outTradeNo },
  );
  return summed?.grown ?? '0.00';
}

/**
 * Payments that wait for a person's decision, the longest waiting first; `because`: only those with this reason. Pages exclude
 * what was already seen (`except`): a row that is touched meanwhile would move past a cursor, or back before it.
 */
export function listReviews(
  db: Database,
  limit: number,
  {
    because,
    merchant,
    except = [],
  }: { because?: string; merchant?: string; except?: readonly string[] } = {},
): Promise<Payment[]> {
  return rows(
    db,
    `SELECT ${COLUMNS} FROM :schema:.payments p
     WHERE ${IS_IN_REVIEW} AND p.out_trade_no <> ALL(:except)
       ${because === undefined ? '' : `AND :because IN (p.review_reason, split_part(p.review_reason, ' ', 1))`}
       ${merchant === undefined ? '' : `AND p.merchant IN ${ALL_ITS_IDS}`}
     ORDER BY updated_at, out_trade_no LIMIT :limit`,
    { limit, except, ...(because !== undefined && { because }), ...(merchant !== undefined && { merchant }) },
  );
}
