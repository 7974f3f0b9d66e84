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
