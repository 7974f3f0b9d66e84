import type { PaymentResult } from '../workflows/messages';
import type { Database } from './connect';
import { rows } from './connect';

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

/** What the order service has not been told yet about one order, oldest first. */
export async function findUndelivered(db: Database, orderId: string): Promise<PaymentResult[]> {
  const undelivered = await rows<Omit<PaymentResult, 'at'> & { createdAt: Date }>(
    db,
    `SELECT m.id AS "messageId", m.order_id AS "orderId", m.out_trade_no AS "outTradeNo", m.status,
       p.trade_no AS "tradeNo", m.amount AS "totalAmount", m.created_at AS "createdAt"
     FROM :schema:.order_messages m LEFT JOIN :schema:.payments p USING (out_trade_no)
     WHERE m.order_id = :orderId AND m.told_at IS NULL ORDER BY m.created_at, m.id`,
    { orderId },
  );
  return undelivered.map(
    ({ messageId: id, orderId: order, outTradeNo, status, tradeNo, totalAmount, createdAt }) => ({
      messageId: id,
      orderId: order,
      ...(outTradeNo && { outTradeNo }),
      status,
      ...(tradeNo && { tradeNo }),
      totalAmount,
      at: createdAt.toISOString(),
    }),
  );
}

/** Marks a message as told, once, and in the same statement says so in the timeline. */
export async function markTold(db: Database, id: string): Promise<void> {
  await rows(
    db,
    `WITH told AS (
       UPDATE :schema:.order_messages SET told_at = now() WHERE id = :id AND told_at IS NULL RETURNING id, out_trade_no, status)
     INSERT INTO :schema:.payment_events (out_trade_no, actor, event, detail)
     SELECT out_trade_no, 'outbox', 'told', jsonb_build_object('messageId', id, 'status', status) FROM told`,
    { id },
  );
}

/** Orders with a message that has stood undelivered for `olderThanMs`, the longest waiting first. */
export async function findOrdersToTell(
  db: Database,
  { olderThanMs, limit }: { olderThanMs: number; limit: number },
): Promise<string[]> {
  const orders = await rows<{ orderId: string }>(
    db,
    `SELECT order_id AS "orderId" FROM :schema:.order_messages
     WHERE told_at IS NULL AND created_at <= now() - :olderThanMs * interval '1 millisecond'
     GROUP BY order_id ORDER BY min(created_at) LIMIT :limit`,
    { olderThanMs, limit },
  );
  return orders.map(({ orderId }) => orderId);
}
