import type { Recorded } from '../../workflows/messages';
import { UNTOLD_BY_KEY } from '../by-key';
import type { Database } from '../connect';
import { row } from '../connect';
import { unknownPayment } from './errors';

/**
 * What the ledger says about a payment.
 *
 * @throws PaymentError PAYMENT_UNKNOWN
 */
export async function readRecorded(db: Database, outTradeNo: string): Promise<Recorded> {
  // One statement, one snapshot: PAID with nothing to tell, or something to tell while UNPAID, was never true.
  const recorded = await row<Recorded>(
    db,
    `SELECT status, review_reason AS "reviewReason", order_id AS "orderId",
       EXISTS (SELECT 1 FROM :schema:.order_messages m WHERE m.order_id = p.order_id AND ${UNTOLD_BY_KEY}) AS undelivered
     FROM :schema:.payments p WHERE out_trade_no = :outTradeNo`,
    { outTradeNo },
  );
  if (!recorded) throw unknownPayment(outTradeNo);
  return recorded;
}
