import type { PaymentResult, WhoAndWhy } from '../workflows/messages';
import { UNTOLD_BY_KEY } from './by-key';
import type { Database } from './connect';
import { oneRow, row, rows } from './connect';

export interface NewOrderMessage {
  orderId: string;
  outTradeNo: string | null;
  status: PaymentResult['status'];
  /** Yuan: for a refund what has gone back so far, otherwise the order's amount. */
  amount: string;
  /** The refund that it reports. `id` is null if it was made outside Alipay. */
  refund?: { id: string | null; amount: string };
}

/**
 * The id says what is told, not when: the same result recorded again (after a restored backup, say) keeps its id,
 * and an order service that deduplicates by it acts once.
 */
export function messageId({ orderId, outTradeNo, status, amount, refund }: NewOrderMessage): string {
  switch (status) {
    case 'CLOSED':
      return `CLOSED-${orderId}`;
    case 'PAID':
      return `PAID-${outTradeNo ?? orderId}`;
    case 'PARTIALLY_REFUNDED':
    case 'REFUNDED':
      return `REFUND-${outTradeNo ?? orderId}-${refund?.id ?? amount}`;
  }
}

/** Call it in the transaction of the change that the message reports. */
export async function insertOrderMessage(trx: Database, message: NewOrderMessage): Promise<void> {
  await rows(
    trx,
    `INSERT INTO :schema:.order_messages (id, order_id, out_trade_no, status, amount, refund_id, refund_amount)
     VALUES (:id, :orderId, :outTradeNo, :status, :amount, :refundId, :refundAmount) ON CONFLICT (id) DO NOTHING`,
    {
      ...message,
      id: messageId(message),
      refundId: message.refund?.id ?? null,
      refundAmount: message.refund?.amount ?? null,
    },
  );
}

/** The columns of a message `m`, with its order `o` and payment `p`. */
const COLUMNS = `
  m.id AS "messageId", m.order_id AS "orderId", m.out_trade_no AS "outTradeNo", m.status, p.trade_no AS "tradeNo",
  o.total_amount AS "totalAmount", CASE WHEN m.status IN ('PAID', 'CLOSED') THEN 0.00 ELSE m.amount END AS "refundedAmount",
  m.refund_id AS "refundId", m.refund_amount AS "refundAmount", m.created_at AS "createdAt"`;

const JOINED = `JOIN :schema:.orders o ON o.id = m.order_id LEFT JOIN :schema:.payments p USING (out_trade_no)`;

type MessageRow = Omit<PaymentResult, 'at'> & { createdAt: Date };

const resultOf = ({ createdAt, ...message }: MessageRow): PaymentResult => ({
  // Fields that a result does not have are omitted.
  ...(Object.fromEntries(
    Object.entries(message).filter(([, value]) => (value as string | null) !== null),
  ) as typeof message),
  at: createdAt.toISOString(),
});

/** A message that only the caller may deliver now. */
export interface LeasedMessage {
  message: PaymentResult;
  /** Of PAID, told for the first time: what found the payment. */
  foundBy: string | null;
  /** When the buyer paid according to Alipay, or else when that was recorded. */
  paidAt: Date | null;
}

/** Why nothing of an order can be delivered now. */
export interface Unleased {
  /** For how long at most, ms; 0: nothing is undelivered. */
  busyMs: number;
  /** No caller is delivering it: the order service did not take it a moment ago, or has asked for a pause. */
  isPaused?: true;
}

/**
 * Leases an order's oldest undelivered message to one caller, unless another has it or the order service is left alone.
 *
 * A lease, not a lock in a transaction: that would hold a connection while the order service is slow, and a few slow
 * deliveries would keep everything else from Postgres. All callers lease the same row first, the oldest undelivered
 * one, so an order's messages are delivered one by one, in the order of `seq`.
 */
export async function leaseUndelivered(
  db: Database,
  orderId: string,
  leaseMs: number,
): Promise<LeasedMessage | Unleased> {
  const leased = await row<MessageRow & Omit<LeasedMessage, 'message'>>(
    db,
    `WITH leased AS (
       UPDATE :schema:.order_messages SET leased_until = clock_timestamp() + CAST(:leaseMs AS float8) * interval '1 millisecond'
       WHERE id = (SELECT id FROM :schema:.order_messages
           WHERE order_id = :orderId AND ${UNTOLD_BY_KEY} ORDER BY seq LIMIT 1)
         AND ${UNTOLD_BY_KEY} AND COALESCE(GREATEST(leased_until, not_before) <= clock_timestamp(), true)
       RETURNING *)
     SELECT ${COLUMNS}, m.found_by AS "foundBy", p.callback_time AS "paidAt" FROM leased m ${JOINED}`,
    { orderId, leaseMs },
  );
  if (!leased) return whyUnleased(db, orderId);
  const { foundBy, paidAt, ...message } = leased;
  return { message: resultOf(message), foundBy, paidAt };
}

async function whyUnleased(db: Database, orderId: string): Promise<Unleased> {
  const next = await row<{ busyMs: number; isPaused: boolean }>(
    db,
    `SELECT COALESCE(not_before > clock_timestamp(), false) AS "isPaused", CAST(GREATEST(
       EXTRACT(EPOCH FROM GREATEST(leased_until, not_before) - clock_timestamp()) * 1000, 1) AS float8) AS "busyMs"
     FROM :schema:.order_messages WHERE order_id = :orderId AND ${UNTOLD_BY_KEY} ORDER BY seq LIMIT 1`,
    { orderId },
  );
  return { busyMs: next?.busyMs ?? 0, ...(next?.isPaused === true && { isPaused: true }) };
}

/** How a delivery has failed. */
export interface FailedDelivery {
  why: string;
  /** For how long nobody may deliver it again. */
  pauseMs: number;
}

/** Ends a lease after a failed delivery, so that the next attempt need not wait for it, and stores the reason. */
export async function releaseLease(db: Database, id: string, failed: FailedDelivery): Promise<void> {
  const until = `clock_timestamp() + CAST(:pauseMs AS float8) * interval '1 millisecond'`;
  await rows(
    db,
    `UPDATE :schema:.order_messages SET leased_until = clock_timestamp(),
       not_before = ${until}, retry_at = GREATEST(retry_at, ${until}), last_error = :why
     WHERE id = :id AND ${UNTOLD_BY_KEY}`,
    { id, ...failed },
  );
}

/**
 * Marks a message as told, once, with an event in the same statement. `toldAt` is null if it was told before; `hasMore`: the
 * order has another undelivered message, perhaps since the delivery began.
 */
export function markTold(
  db: Database,
  id: string,
  by: 'signal' | 'webhook' | 'process',
): Promise<{ toldAt: Date | null; hasMore: boolean }> {
  return oneRow(
    db,
    `WITH told AS (
       UPDATE :schema:.order_messages SET told_at = now(), told_by = :by, leased_until = NULL, last_error = NULL
       WHERE id = :id AND ${UNTOLD_BY_KEY} RETURNING id, out_trade_no, status, told_at
     ), said AS (
       INSERT INTO :schema:.payment_events (out_trade_no, actor, event, detail)
       SELECT out_trade_no, 'outbox', 'told', jsonb_build_object('messageId', id, 'status', status) FROM told)
     SELECT (SELECT told_at FROM told) AS "toldAt", EXISTS (
       SELECT 1 FROM :schema:.order_messages WHERE id <> :id AND ${UNTOLD_BY_KEY}
         AND order_id = (SELECT order_id FROM :schema:.order_messages WHERE id = :id)) AS "hasMore"`,
    { id, by },
  );
}

/** A result as an operator sees it. */
export interface OrderMessage {
  messageId: string;
  orderId: string;
  outTradeNo: string | null;
  status: PaymentResult['status'];
  createdAt: Date;
  toldAt: Date | null;
  /** `nobody`: a person has skipped it. */
  toldBy: 'signal' | 'webhook' | 'process' | 'nobody' | null;
  /** Why the last delivery failed. */
  lastError: string | null;
  /** When the follow-up sends it, unless its payment's run does so before; null once it is told or skipped. */
  nextAttemptAt: Date | null;
}

const SHOWN = `
  id AS "messageId", order_id AS "orderId", out_trade_no AS "outTradeNo", status, created_at AS "createdAt",
  told_at AS "toldAt", told_by AS "toldBy", last_error AS "lastError",
  CASE WHEN told_at IS NULL THEN GREATEST(retry_at, not_before) END AS "nextAttemptAt"`;

/** What the order service was told about an order and will be told, in the order of `seq`. */
export function listOrderMessages(db: Database, orderId: string): Promise<OrderMessage[]> {
  return rows(db, `SELECT ${SHOWN} FROM :schema:.order_messages WHERE order_id = :orderId ORDER BY seq`, {
    orderId,
  });
}

/** Undelivered results of all orders, the longest waiting first. */
export function listUndelivered(db: Database, limit: number): Promise<OrderMessage[]> {
  return rows(
    db,
    `SELECT ${SHOWN} FROM :schema:.order_messages WHERE told_at IS NULL ORDER BY created_at, seq LIMIT :limit`,
    { limit },
  );
}

/** How many results have waited for longer than a minute, and what went wrong with the newest one that failed. */
export function findOwed(db: Database): Promise<{ count: number; lastError: string | null }> {
  return oneRow(
    db,
    `WITH owed AS (
       SELECT last_error, seq FROM :schema:.order_messages
       WHERE told_at IS NULL AND created_at < now() - interval '1 minute')
     SELECT CAST((SELECT count(*) FROM owed) AS integer) AS count, tried.last_error AS "lastError"
     FROM (SELECT 1) AS one LEFT JOIN LATERAL (
       SELECT last_error FROM owed WHERE last_error IS NOT NULL ORDER BY seq DESC LIMIT 1) AS tried ON true`,
  );
}

/** The ways in which results were told in the last ten minutes. Workers with different settings use several. */
export function countRecentlyTold(db: Database): Promise<{ by: string; count: number }[]> {
  return rows(
    db,
    `SELECT told_by AS by, CAST(count(*) AS integer) AS count FROM :schema:.order_messages
     WHERE told_at > now() - interval '10 minutes' AND told_by <> 'nobody' GROUP BY told_by ORDER BY told_by`,
  );
}

/** A person's decision about results of an order. */
export interface MessageDecision extends WhoAndWhy {
  orderId: string;
  messageId: string;
}

/** Records the decision in the timeline, in the same statement. */
const DECIDED = (event: 'skipped' | 'resent'): string => `
  , said AS (
    INSERT INTO :schema:.payment_events (out_trade_no, actor, event, detail)
    SELECT "outTradeNo", :actor, '${event}', jsonb_build_object('messageId', "messageId", 'reason', CAST(:reason AS text))
    FROM changed)
  SELECT * FROM changed`;

/**
 * Makes an order's results, or one of them, due to be told again, with their old ids. Returns them. A skipped result is
 * told again only by its id: whoever skipped it may have done in the shop what it says.
 */
export function resendOrderMessages(
  db: Database,
  { messageId: id, ...decision }: Omit<MessageDecision, 'messageId'> & { messageId?: string | undefined },
): Promise<OrderMessage[]> {
  return rows(
    db,
    `WITH changed AS (
       UPDATE :schema:.order_messages SET told_at = NULL, told_by = NULL, found_by = NULL, attempts = 0, retry_at = now(),
         not_before = NULL
       WHERE order_id = :orderId AND (id = :id OR CAST(:id AS text) IS NULL AND told_by IS DISTINCT FROM 'nobody')
       RETURNING ${SHOWN}) ${DECIDED('resent')}`,
    { ...decision, id: id ?? null },
  );
}

/** How long after a delivery the shop may still act on it. A refusal may follow a delivery that was never answered. */
const MAY_ACT = `interval '1 minute'`;

/**
 * Skips an undelivered result, so that later ones of its order are told. Undefined if it has been told already, is being
 * delivered, or was within the last minute, whatever the outcome: the shop may still act on it, in addition to the person.
 */
export function skipOrderMessage(db: Database, decision: MessageDecision): Promise<OrderMessage | undefined> {
  return row(
    db,
    `WITH changed AS (
       UPDATE :schema:.order_messages SET told_at = now(), told_by = 'nobody', leased_until = NULL
       WHERE order_id = :orderId AND id = :messageId AND ${UNTOLD_BY_KEY}
         AND (leased_until IS NULL OR leased_until <= clock_timestamp() - ${MAY_ACT}) RETURNING ${SHOWN}) ${DECIDED('skipped')}`,
    decision,
  );
}
