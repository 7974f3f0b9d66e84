import type { Database } from './connect';
import { hasRow, rows } from './connect';
import { storableJson } from './storable';

export interface PaymentEvent {
  /** A bigint, as a string. */
  id: string;
  outTradeNo: string | null;
  at: Date;
  actor: string;
  event: PaymentEventName;
  detail: Record<string, unknown>;
}

/**
 * `notified` and `answered` name evidence, which has its own table. All others record a change, in the transaction
 * of that change. None holds anything about a buyer.
 */
type PaymentEventName =
  | 'checked-out'
  | 'superseded'
  | 'checked'
  | 'notified'
  | 'answered'
  | 'paid'
  | 'closed'
  | 'refunding'
  | 'refunded'
  | 'refund-requested'
  | 'refund-seen'
  | 'refund-unproven'
  | 'refund-done'
  | 'refund-refused'
  | 'refund-review'
  | 'refund-resolved'
  | 'review'
  | 'review-resolved'
  | 'unmatched-resolved'
  | 'merchant-corrected'
  | 'paused'
  | 'resumed'
  | 'store-taken-over'
  | 'recovery'
  /** Written by a person, with SQL (docs/operations.md). */
  | 'note'
  | 'told'
  | 'resent'
  | 'skipped';

export interface NewPaymentEvent {
  outTradeNo: string | null;
  actor: string;
  event: PaymentEventName;
  detail?: object;
}

export async function appendEvent(db: Database, event: NewPaymentEvent): Promise<void> {
  await rows(
    db,
    `INSERT INTO :schema:.payment_events (out_trade_no, actor, event, detail)
     VALUES (:outTradeNo, :actor, :event, :detail)`,
    { ...event, detail: storableJson(event.detail ?? {}) },
  );
}

/** Oldest first. */
export function findEvents(db: Database, outTradeNo: string): Promise<PaymentEvent[]> {
  return rows(
    db,
    `SELECT id, out_trade_no AS "outTradeNo", at, actor, event, detail
     FROM :schema:.payment_events WHERE out_trade_no = :outTradeNo ORDER BY id`,
    { outTradeNo },
  );
}

/** Whether a person has stopped the refund of this payment less than a minute ago. */
export function wasRefundStopped(db: Database, outTradeNo: string): Promise<boolean> {
  return hasRow(
    db,
    `SELECT 1 AS found FROM :schema:.payment_events
     WHERE out_trade_no = :outTradeNo AND event = 'review-resolved' AND detail ->> 'from' = 'REFUNDING'
       AND at > now() - interval '1 minute' LIMIT 1`,
    { outTradeNo },
  );
}
