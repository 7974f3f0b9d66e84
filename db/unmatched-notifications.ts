import type { Database } from './connect';
import { rows } from './connect';

/** Keeps a genuine notification of a payment that is not here. False where it was kept before. */
export async function keepUnmatched(
  db: Database,
  outTradeNo: string,
  fields: Record<string, string>,
): Promise<boolean> {
  const inserted = await rows(
    db,
    `INSERT INTO unmatched_notifications (out_trade_no, notify_id, content)
     VALUES (:outTradeNo, :notifyId, :content) ON CONFLICT DO NOTHING RETURNING id`,
    { outTradeNo, notifyId: fields['notify_id'] ?? '', content: JSON.stringify(fields) },
  );
  return inserted.length === 1;
}

/** What a person needs to find the money of a notification at Alipay; the buyer stays in the table. */
export interface UnmatchedNotification {
  outTradeNo: string;
  notifyId: string;
  at: Date;
  tradeNo: string | null;
  tradeStatus: string | null;
  /** Yuan, as Alipay wrote it. */
  totalAmount: string | null;
}

/** Newest first. */
export function listUnmatched(db: Database, limit: number): Promise<UnmatchedNotification[]> {
  return rows(
    db,
    `SELECT out_trade_no AS "outTradeNo", notify_id AS "notifyId", at, content ->> 'trade_no' AS "tradeNo",
       content ->> 'trade_status' AS "tradeStatus", content ->> 'total_amount' AS "totalAmount"
     FROM unmatched_notifications ORDER BY id DESC LIMIT :limit`,
    { limit },
  );
}
