import { REFUND_STATUS_BY_KEY } from './by-key';
import type { Database } from './connect';
import { rows } from './connect';
import type { Refund } from './refunds';
import { REVIEW_REASONS, refundsPaused } from './rules';

/** Why a refund that is REQUESTED has not been made: REFUNDS_PAUSED, ALIPAY_UNKNOWN, REFUND_NOT_PROVEN, or Alipay's code. */
export interface RefundWait extends Pick<Refund, 'outTradeNo' | 'outRequestNo'> {
  waitsFor: string;
}

/** What each of some refunds waits for, if it was tried without success or must not be tried. */
export async function findRefundWaits(
  db: Database,
  refunds: readonly Pick<Refund, 'outTradeNo' | 'outRequestNo' | 'status'>[],
): Promise<RefundWait[]> {
  const open = refunds.filter(({ status }) => status === 'REQUESTED');
  if (open.length === 0) return [];
  return rows(
    db,
    `SELECT w.* FROM (
       SELECT r.out_trade_no AS "outTradeNo", r.out_request_no AS "outRequestNo",
         CASE WHEN ${refundsPaused('p.merchant')} THEN 'REFUNDS_PAUSED'
           WHEN r.unknown_since IS NOT NULL THEN 'ALIPAY_UNKNOWN'
           WHEN r.unproven + r.unfunded > 0 THEN (
             SELECT COALESCE(e.detail ->> 'subCode', :notProven) FROM :schema:.payment_events e
             WHERE e.out_trade_no = r.out_trade_no AND e.event = 'refund-unproven'
               AND e.detail ->> 'outRequestNo' = r.out_request_no ORDER BY e.id DESC LIMIT 1)
         END AS "waitsFor"
       FROM :schema:.refunds r JOIN :schema:.payments p USING (out_trade_no)
       WHERE ${REFUND_STATUS_BY_KEY} = 'REQUESTED' AND r.out_trade_no = ANY(:outTradeNos)) w
     WHERE w."waitsFor" IS NOT NULL`,
    { outTradeNos: open.map(({ outTradeNo }) => outTradeNo), notProven: REVIEW_REASONS.refundNotProven },
  );
}
