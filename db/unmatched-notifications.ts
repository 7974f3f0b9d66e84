import type { WhoAndWhy } from '../workflows/messages';
import type { Database } from './connect';
import { hasRow, row, rows } from './connect';
import type { SignedBody } from './evidence';
import { signedColumns } from './evidence';
import { storableJson, storableText } from './storable';
import { PaymentError } from '../workflows/errors';

/** A genuine notification of a payment that is not here. */
interface Unmatched {
  outTradeNo: string;
  notifyId: string;
  /** Its fields, for people. */
  fields: Record<string, string>;
  /** The exact bytes, for anyone who doubts the fields. */
  signed: SignedBody;
}

/** Keeps a genuine notification of a payment that is not here. Returns false if it was kept before. */
export function keepUnmatched(
  db: Database,
  { outTradeNo, notifyId, fields, signed }: Unmatched,
): Promise<boolean> {
  return hasRow(
    db,
    `INSERT INTO :schema:.unmatched_notifications
       (out_trade_no, notify_id, content, body, signature, charset, key_fingerprint)
     VALUES (:outTradeNo, :notifyId, :content, :body, :signature, :charset, :keyFingerprint)
     ON CONFLICT DO NOTHING RETURNING id`,
    {
      outTradeNo: storableText(outTradeNo),
      notifyId: storableText(notifyId),
      content: storableJson(fields),
      ...signedColumns(signed),
    },
  );
}

/** What a person needs to find the money of a notification at Alipay; what concerns the buyer stays in the table. */
export interface UnmatchedNotification {
  /** A bigint, as a string. */
  id: string;
  outTradeNo: string;
  notifyId: string;
  at: Date;
  tradeNo: string | null;
  tradeStatus: string | null;
  /** Yuan, as Alipay wrote it. */
  totalAmount: string | null;
  /** Null, like the two below, until a person has dealt with it. */
  resolvedAt: Date | null;
  resolvedBy: string | null;
  resolution: string | null;
}

const COLUMNS = `id, out_trade_no AS "outTradeNo", notify_id AS "notifyId", at, content ->> 'trade_no' AS "tradeNo",
  content ->> 'trade_status' AS "tradeStatus", content ->> 'total_amount' AS "totalAmount",
  resolved_at AS "resolvedAt", resolved_by AS "resolvedBy", resolution`;

/** Newest first; `all`: including those that have been dealt with. */
export function listUnmatched(
  db: Database,
  { limit, all }: { limit: number; all: boolean },
): Promise<UnmatchedNotification[]> {
  return rows(
    db,
    `SELECT ${COLUMNS} FROM :schema:.unmatched_notifications WHERE resolved_at IS NULL OR :all ORDER BY id DESC LIMIT :limit`,
    { limit, all },
  );
}

/** Which notification a person has dealt with; who, and what was done about the money. */
export interface UnmatchedResolution extends WhoAndWhy {
  id: string;
}

/**
 * Marks a notification as dealt with, once, and records that in `payment_events`. Repeating the same succeeds.
 *
 * @throws PaymentError NOTIFICATION_UNKNOWN, NOTIFICATION_RESOLVED if it was resolved otherwise
 */
export async function resolveUnmatched(
  db: Database,
  { id, actor, reason }: UnmatchedResolution,
): Promise<UnmatchedNotification> {
  await rows(
    db,
    `WITH resolved AS (
       UPDATE :schema:.unmatched_notifications SET resolved_at = now(), resolved_by = :actor, resolution = :reason
       WHERE id = CAST(:id AS bigint) AND resolved_at IS NULL RETURNING id, out_trade_no, notify_id)
     INSERT INTO :schema:.payment_events (actor, event, detail)
     SELECT CAST(:actor AS text), 'unmatched-resolved',
       jsonb_build_object('id', CAST(id AS text), 'outTradeNo', out_trade_no, 'notifyId', notify_id,
         'reason', CAST(:reason AS text))
     FROM resolved`,
    { id, actor, reason },
  );
  const found = await row<UnmatchedNotification>(
    db,
    `SELECT ${COLUMNS} FROM :schema:.unmatched_notifications WHERE id = CAST(:id AS bigint)`,
    { id },
  );
  if (!found) {
    throw new PaymentError(
      'NOTIFICATION_UNKNOWN',
      `There is no unmatched notification ${id}. See: unmatched list`,
    );
  }
  if (found.resolvedBy !== actor || found.resolution !== reason) {
    throw new PaymentError(
      'NOTIFICATION_RESOLVED',
      `Notification ${id} was already resolved by ${String(found.resolvedBy)}. See: unmatched list --all`,
    );
  }
  return found;
}

/**
 * Removes from resolved notifications older than `olderThanMs`, at most `limit` of them, what Alipay signed and
 * everything about the buyer; a stub of each stays. An unresolved one is never pruned. Returns how many were.
 */
export async function pruneUnmatched(
  db: Database,
  { olderThanMs, limit }: { olderThanMs: number; limit: number },
): Promise<number> {
  const pruned = await rows(
    db,
    `WITH due AS (
       SELECT id FROM :schema:.unmatched_notifications
       WHERE resolved_at IS NOT NULL AND pruned_at IS NULL AND at <= now() - :olderThanMs * interval '1 millisecond'
       ORDER BY at LIMIT :limit FOR UPDATE SKIP LOCKED
     )
     UPDATE :schema:.unmatched_notifications n SET body = NULL, signature = NULL, pruned_at = now(),
       content = jsonb_strip_nulls(jsonb_build_object('trade_no', content -> 'trade_no',
         'trade_status', content -> 'trade_status', 'total_amount', content -> 'total_amount'))
     FROM due WHERE n.id = due.id RETURNING n.id`,
    { olderThanMs, limit },
  );
  return pruned.length;
}
