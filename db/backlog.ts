import type { Database } from './connect';
import { row } from './connect';
import { IS_IN_REVIEW } from './rules';

/** How much is waiting, and for how long, in seconds; 0 where nothing is. */
export interface Backlog {
  /** How long the longest expired order has been UNPAID. */
  oldestUnresolvedSeconds: number;
  /** How long the oldest message to the order service has stood undelivered. */
  oldestUndeliveredSeconds: number;
  /** How long the oldest refund has been under way. */
  oldestRefundingSeconds: number;
  inReview: number;
  /** Notifications of unknown payments that nobody has dealt with. */
  unmatched: number;
}

/** One round trip; every part is answered from a partial index. */
export async function readBacklog(db: Database): Promise<Backlog> {
  const backlog = await row<Backlog>(
    db,
    `SELECT
       (SELECT ${secondsSince('min(expires_at)')} FROM :schema:.orders WHERE status = 'UNPAID' AND expires_at <= now())
         AS "oldestUnresolvedSeconds",
       (SELECT ${secondsSince('min(created_at)')} FROM :schema:.order_messages WHERE told_at IS NULL) AS "oldestUndeliveredSeconds",
       (SELECT ${secondsSince('min(updated_at)')} FROM :schema:.payments WHERE status = 'REFUNDING') AS "oldestRefundingSeconds",
       (SELECT CAST(count(*) AS int) FROM :schema:.payments p WHERE ${IS_IN_REVIEW})
         AS "inReview",
       (SELECT CAST(count(*) AS int) FROM :schema:.unmatched_notifications WHERE resolved_at IS NULL) AS "unmatched"`,
  );
  if (!backlog) throw new Error('a SELECT without FROM answers one row');
  return backlog;
}

const secondsSince = (time: string): string =>
  `CAST(COALESCE(EXTRACT(EPOCH FROM now() - ${time}), 0) AS float8)`;
