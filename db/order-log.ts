import type { PaymentResult } from '../workflows/messages';
import type { Database } from './connect';
import { hasRow } from './connect';

/** Remembers that the order service acted on a message. Returns false if it had before: then it must not again. */
export function logMessage(db: Database, message: PaymentResult): Promise<boolean> {
  return hasRow(
    db,
    `INSERT INTO :schema:.order_log (message_id, order_id, out_trade_no, status)
     VALUES (:messageId, :orderId, :outTradeNo, :status) ON CONFLICT (message_id) DO NOTHING RETURNING message_id`,
    { ...message, outTradeNo: message.outTradeNo ?? null },
  );
}
