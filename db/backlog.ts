import type { Database } from './connect';
import { oneRow } from './connect';
import { sellerOf } from './merchants';
import { IS_IN_REVIEW, REVIEW_REASONS } from './rules';

/** How much is waiting, and for how long, in seconds; 0 if nothing is. */
export interface Backlog {
  /** How long ago the oldest order that is still UNPAID expired. */
  oldestUnresolvedSeconds: number;
  /** How long the oldest message to the order service has been undelivered. */
  oldestUndeliveredSeconds: number;
  /** How long the oldest refund has been under way, including one that waits for a person. */
  oldestRefundingSeconds: number;
  inReview: number;
  refundsInReview: number;
  /** Payments whose refund `REFUND_BRAKE` has stopped. */
  braked: number;
  paused: number;
  /** Notifications of unknown payments that nobody has dealt with. */
  unmatched: number;
  openDiscrepancies: number;
  /** Days of the last month on which money moved here, and whose bill has not been compared. */
  unreconciledDays: number;
  /**
   * Payments that were found by asking 15 to 60 minutes ago, while no notification at all came in this hour; 0 if one
   * did. In 15 minutes Alipay sends a notification three times.
   */
  foundByAskingAlone: number;
}

/**
 * A day counts from 23:00 in Beijing on the next day, when the Schedule has asked for its bill all day. A seller whose bills were
 * never asked for is not counted. Nor is a day of which nothing is known, if the seller has left: nobody can ask for its bills.
 */
const UNRECONCILED_DAYS = `(
  SELECT CAST(count(*) AS int) FROM (SELECT seller_id, min(bill_date) AS since FROM :schema:.reconciliations GROUP BY seller_id) s
    CROSS JOIN LATERAL generate_series(
      GREATEST(s.since, CAST(now() AS date) - 30), (now() AT TIME ZONE 'Asia/Shanghai') - interval '47 hours', '1 day') AS day
    LEFT JOIN :schema:.reconciliations r ON r.seller_id = s.seller_id AND r.bill_date = CAST(day AS date)
  WHERE (r.status IS NULL AND s.seller_id = ANY(:sellers)) OR (r.status <> 'COMPARED' AND r.moved))`;

/** At most this many are counted. */
const MOST_FOUND = 1_000;

/** Matches the predicate of the partial index `evidence_prunable`. */
const RECORDED_THIS_HOUR = `e.recorded_at IS NOT NULL AND e.pruned_at IS NULL AND e.received_at > now() - interval '1 hour'`;

/**
 * One round trip; every part is served by a partial index. With many refunds open, Postgres would look for the oldest
 * among all there ever were, by the index on their times: OFFSET 0 prevents that.
 *
 * @param merchants - the ids that this process has
 */
export function readBacklog(db: Database, merchants: readonly string[]): Promise<Backlog> {
  return oneRow(
    db,
    `SELECT
       (SELECT ${secondsSince('min(expires_at)')} FROM :schema:.orders WHERE status = 'UNPAID' AND expires_at <= now())
         AS "oldestUnresolvedSeconds",
       (SELECT ${secondsSince('min(created_at)')} FROM :schema:.order_messages WHERE told_at IS NULL) AS "oldestUndeliveredSeconds",
       (SELECT ${secondsSince('min(requested_at)')} FROM (
         SELECT requested_at FROM :schema:.refunds WHERE status IN ('REQUESTED', 'REVIEW') OFFSET 0) open) AS "oldestRefundingSeconds",
       (SELECT CAST(count(*) AS int) FROM :schema:.refunds WHERE status = 'REVIEW') AS "refundsInReview",
       (SELECT CAST(count(*) AS int) FROM :schema:.payments p WHERE ${IS_IN_REVIEW})
         AS "inReview",
       (SELECT CAST(count(*) AS int) FROM :schema:.payments p
         WHERE p.status = 'REVIEW' AND p.review_reason = '${REVIEW_REASONS.refundBrake}') AS "braked",
       (SELECT CAST(count(*) AS int) FROM :schema:.pauses) AS "paused",
       (SELECT CAST(count(*) AS int) FROM :schema:.unmatched_notifications WHERE resolved_at IS NULL) AS "unmatched",
       (SELECT CAST(count(*) AS int) FROM :schema:.discrepancies WHERE gone_at IS NULL) AS "openDiscrepancies",
       ${UNRECONCILED_DAYS} AS "unreconciledDays",
       CASE WHEN EXISTS (SELECT 1 FROM :schema:.evidence e
           WHERE ${RECORDED_THIS_HOUR} AND e.kind = 'notification') THEN 0
         ELSE (SELECT CAST(count(*) AS int) FROM (
           SELECT 1 FROM :schema:.evidence e JOIN :schema:.payments p USING (out_trade_no)
           WHERE ${RECORDED_THIS_HOUR} AND e.kind = 'answer' AND e.received_at < now() - interval '15 minutes'
             AND p.paid_amount IS NOT NULL LIMIT ${MOST_FOUND}) found) END AS "foundByAskingAlone"`,
    { sellers: merchants.map(sellerOf) },
  );
}

const secondsSince = (time: string): string =>
  `CAST(COALESCE(EXTRACT(EPOCH FROM now() - ${time}), 0) AS float8)`;
