import type { PaymentResult } from '../workflows/messages';
import type { Database } from './connect';
import { row, rows } from './connect';

export interface NewOrderMessage {
  orderId: string;
  outTradeNo: string | null;
  status: PaymentResult['status'];
  /** Yuan; for REFUNDED cumulative. */
  amount: string;
}

/**
 * The id says what is told, not when: the same result recorded again (after a restored backup, say) keeps its id,
 * and an order service that deduplicates by it acts once.
 */
export function messageId({ orderId, outTradeNo, status, amount }: NewOrderMessage): string {
  switch (status) {
    case 'CLOSED':
      return `CLOSED-${orderId}`;
    case 'PAID':
      return `PAID-${outTradeNo ?? orderId}`;
    case 'REFUNDED':
      return `REFUNDED-${outTradeNo ?? orderId}-${amount}`;
  }
}

/** Call it in the transaction of the change that the message tells of. */
export async function insertOrderMessage(trx: Database, message: NewOrderMessage): Promise<void> {
  await rows(
    trx,
    `INSERT INTO :schema:.order_messages (id, order_id, out_trade_no, status, amount)
     VALUES (:id, :orderId, :outTradeNo, :status, :amount) ON CONFLICT (id) DO NOTHING`,
    { id: messageId(message), ...message },
  );
}

/** How a message, `m`, with its payment, `p`, is read. */
const COLUMNS = `
  m.id AS "messageId", m.order_id AS "orderId", m.out_trade_no AS "outTradeNo", m.status, p.trade_no AS "tradeNo",
  m.amount AS "totalAmount", m.created_at AS "createdAt"`;

type MessageRow = Omit<PaymentResult, 'at'> & { createdAt: Date };

const resultOf = ({
  messageId: id,
  orderId,
  outTradeNo,
  status,
  tradeNo,
  totalAmount,
  createdAt,
}: MessageRow): PaymentResult => ({
  messageId: id,
  orderId,
  ...(outTradeNo && { outTradeNo }),
  status,
  ...(tradeNo && { tradeNo }),
  totalAmount,
  at: createdAt.toISOString(),
});

/** What the order service has not been told yet about one order, oldest first. */
export async function findUndelivered(db: Database, orderId: string): Promise<PaymentResult[]> {
  const undelivered = await rows<MessageRow>(
    db,
    `SELECT ${COLUMNS} FROM :schema:.order_messages m LEFT JOIN :schema:.payments p USING (out_trade_no)
     WHERE m.order_id = :orderId AND m.told_at IS NULL ORDER BY m.seq`,
    { orderId },
  );
  return undelivered.map(resultOf);
}

/** A message that the caller, and nobody else, is to deliver now. */
export interface LeasedMessage {
  message: PaymentResult;
  /** Whether the order has more that is undelivered. */
  hasMore: boolean;
}

/** Longer than one delivery may take. */
const LEASE = `interval '10 seconds'`;

/**
 * Leases the oldest undelivered message of an order to one caller; undefined where there is none, or somebody else delivers it.
 *
 * A lease, not a lock in a transaction: that would hold a connection while the order service is slow, and a few slow
 * deliveries would keep everything else from Postgres. All callers lease the same row first, the oldest undelivered one, so
 * that an order's messages leave one after the other, in the order of `seq`.
 */
export async function leaseUndelivered(db: Database, orderId: string): Promise<LeasedMessage | undefined> {
  const leased = await row<MessageRow & { hasMore: boolean }>(
    db,
    `WITH leased AS (
       UPDATE :schema:.order_messages SET leased_until = clock_timestamp() + ${LEASE}
       WHERE id = (SELECT id FROM :schema:.order_messages
           WHERE order_id = :orderId AND told_at IS NULL ORDER BY seq LIMIT 1)
         AND told_at IS NULL AND (leased_until IS NULL OR leased_until <= clock_timestamp())
       RETURNING *)
     SELECT ${COLUMNS}, EXISTS (SELECT 1 FROM :schema:.order_messages o
         WHERE o.order_id = m.order_id AND o.told_at IS NULL AND o.seq > m.seq) AS "hasMore"
     FROM leased m LEFT JOIN :schema:.payments p USING (out_trade_no)`,
    { orderId },
  );
  return leased && { message: resultOf(leased), hasMore: leased.hasMore };
}

/** Gives a lease back after a delivery that failed, so that the next try need not wait for its end. */
export async function releaseLease(db: Database, id: string): Promise<void> {
  await rows(
    db,
    `UPDATE :schema:.order_messages SET leased_until = NULL WHERE id = :id AND told_at IS NULL`,
    { id },
  );
}

/** Marks a message as told, once, and in the same statement says so in the timeline. */
export async function markTold(db: Database, id: string): Promise<void> {
  await rows(
    db,
    `WITH told AS (
       UPDATE :schema:.order_messages SET told_at = now(), leased_until = NULL WHERE id = :id AND told_at IS NULL
       RETURNING id, out_trade_no, status)
     INSERT INTO :schema:.payment_events (out_trade_no, actor, event, detail)
     SELECT out_trade_no, 'outbox', 'told', jsonb_build_object('messageId', id, 'status', status) FROM told`,
    { id },
  );
}
