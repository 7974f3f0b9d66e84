import type { Database } from './connect';
import { row, rows } from './connect';

/** A row of `payment_events`, in camelCase. */
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
 * `notified` and `answered` are evidence: verified bodies from Alipay, stored before anything is concluded from
 * them. All others tell of a change, in the transaction of that change.
 */
export type PaymentEventName =
  | 'checked-out'
  | 'checked'
  | 'notified'
  | 'answered'
  | 'paid'
  | 'closed'
  | 'refunding'
  | 'refunded'
  | 'refund-seen'
  | 'refund-unproven'
  | 'review'
  | 'review-resolved'
  | 'unmatched-resolved'
  | 'merchant-corrected'
  | 'store-taken-over'
  | 'recovery'
  /** A person's, written by SQL (docs/operations.md). */
  | 'note'
  | 'told';

export interface NewPaymentEvent {
  outTradeNo: string | null;
  actor: string;
  event: PaymentEventName;
  detail?: object;
}

const COLUMNS = `id, out_trade_no AS "outTradeNo", at, actor, event, detail`;

/** Appends one event; answers its id. */
export async function appendEvent(
  db: Database,
  { outTradeNo, actor, event, detail = {} }: NewPaymentEvent,
): Promise<string> {
  const [inserted] = await rows<{ id: string }>(
    db,
    `INSERT INTO :schema:.payment_events (out_trade_no, actor, event, detail)
     VALUES (:outTradeNo, :actor, :event, :detail) RETURNING id`,
    { outTradeNo, actor, event, detail: JSON.stringify(detail) },
  );
  return (inserted as { id: string }).id;
}

/**
 * Appends what Alipay answered; answers its id. In the same statement check number `check` is noted as made, 0 being
 * none. The number is set, never incremented: a lost workflow task makes the same check again.
 */
export async function appendAnswer(
  db: Database,
  check: number,
  { outTradeNo, actor, event, detail = {} }: NewPaymentEvent,
): Promise<string> {
  const [inserted] = await rows<{ id: string }>(
    db,
    `WITH counted AS (
       UPDATE :schema:.payments SET checks = :check, updated_at = now()
       WHERE out_trade_no = :outTradeNo AND checks <> :check AND :check > 0)
     INSERT INTO :schema:.payment_events (out_trade_no, actor, event, detail)
     VALUES (:outTradeNo, :actor, :event, :detail) RETURNING id`,
    { outTradeNo, check, actor, event, detail: JSON.stringify(detail) },
  );
  return (inserted as { id: string }).id;
}

/**
 * Stores a verified notification once per `notify_id`, which Alipay keeps constant over its repeats. Answers the
 * id of the row, old or new; undefined where the payment is not here.
 */
export async function storeNotification(
  db: Database,
  outTradeNo: string,
  fields: Record<string, string>,
): Promise<string | undefined> {
  const inserted = await row<{ id: string }>(
    db,
    `INSERT INTO :schema:.payment_events (out_trade_no, actor, event, detail)
     SELECT out_trade_no, 'alipay', 'notified', CAST(:detail AS jsonb) FROM :schema:.payments WHERE out_trade_no = :outTradeNo
     ON CONFLICT DO NOTHING RETURNING id`,
    { outTradeNo, detail: JSON.stringify(fields) },
  );
  const known =
    inserted ??
    (await row<{ id: string }>(
      db,
      `SELECT id FROM :schema:.payment_events
       WHERE out_trade_no = :outTradeNo AND event = 'notified' AND detail ->> 'notify_id' = :notifyId`,
      { outTradeNo, notifyId: fields['notify_id'] ?? '' },
    ));
  return known?.id;
}

/** One event of this payment; undefined where the id is unknown or another payment's (a restored backup). */
export function findEvent(db: Database, outTradeNo: string, id: string): Promise<PaymentEvent | undefined> {
  return row(
    db,
    `SELECT ${COLUMNS} FROM :schema:.payment_events WHERE id = CAST(:id AS bigint) AND out_trade_no = :outTradeNo`,
    { id, outTradeNo },
  );
}

/** Oldest first. */
export function findEvents(db: Database, outTradeNo: string): Promise<PaymentEvent[]> {
  return rows(
    db,
    `SELECT ${COLUMNS} FROM :schema:.payment_events WHERE out_trade_no = :outTradeNo ORDER BY id`,
    {
      outTradeNo,
    },
  );
}

/** The newest verified answer to a query of this payment. */
export function findNewestAnswer(db: Database, outTradeNo: string): Promise<PaymentEvent | undefined> {
  return row(
    db,
    `SELECT ${COLUMNS} FROM :schema:.payment_events WHERE out_trade_no = :outTradeNo AND event = 'answered'
     ORDER BY id DESC LIMIT 1`,
    { outTradeNo },
  );
}

/**
 * How often Alipay has answered without proving the refund since it was last decided to refund: by refusing it for now, or
 * else by not proving what it has taken on.
 */
export async function countUnproven(
  db: Database,
  outTradeNo: string,
  { refused }: { refused: boolean },
): Promise<number> {
  const [counted] = await rows<{ answers: number }>(
    db,
    `SELECT CAST(count(*) AS integer) AS answers FROM :schema:.payment_events
     WHERE out_trade_no = :outTradeNo AND event = 'refund-unproven'
       AND (detail ->> 'subCode' IS NOT NULL) = :refused AND id > COALESCE((
         SELECT max(id) FROM :schema:.payment_events
         WHERE out_trade_no = :outTradeNo AND event IN ('refunding', 'review-resolved')), 0)`,
    { outTradeNo, refused },
  );
  return (counted as { answers: number }).answers;
}
