import type { CloseBy, OrderStatus } from '../workflows/messages';
import type { Database } from './connect';
import { row, rows } from './connect';

/** A row of `orders`, in camelCase. Amounts are yuan with two decimals. */
export interface Order {
  id: string;
  subject: string;
  totalAmount: string;
  status: OrderStatus;
  closeBy: CloseBy;
  createdAt: Date;
  expiresAt: Date;
  paidAt: Date | null;
  closedAt: Date | null;
}

/** An order with what only Postgres' clock may say of it. */
export interface ClockedOrder extends Order {
  /** `now() >= expires_at` */
  expired: boolean;
  /** Milliseconds until `expires_at`; negative after it. */
  remainingMs: number;
}

export interface NewOrder {
  id: string;
  subject: string;
  totalAmount: string;
  closeBy: CloseBy;
  ttlMs: number;
}

const COLUMNS = `
  o.id, o.subject, o.total_amount AS "totalAmount", o.status, o.close_by AS "closeBy", o.created_at AS "createdAt",
  o.expires_at AS "expiresAt", o.paid_at AS "paidAt", o.closed_at AS "closedAt"`;

const CLOCK = `
  now() >= o.expires_at AS expired,
  CAST(EXTRACT(EPOCH FROM o.expires_at - now()) * 1000 AS float8) AS "remainingMs"`;

/** Inserts the order, unless its id is there already: the first registration wins. */
export async function insertOrder(db: Database, order: NewOrder): Promise<void> {
  await rows(
    db,
    `INSERT INTO orders (id, subject, total_amount, close_by, expires_at)
     VALUES (:id, :subject, :totalAmount, :closeBy, now() + :ttlMs * interval '1 millisecond')
     ON CONFLICT (id) DO NOTHING`,
    { ...order },
  );
}

export function findOrder(db: Database, orderId: string): Promise<ClockedOrder | undefined> {
  return row(db, `SELECT ${COLUMNS}, ${CLOCK} FROM orders o WHERE o.id = :orderId`, { orderId });
}

/** Locks the order until the transaction ends. Whoever records, closes or checks out does this first. */
export function lockOrder(trx: Database, orderId: string): Promise<ClockedOrder | undefined> {
  return row(trx, `SELECT ${COLUMNS}, ${CLOCK} FROM orders o WHERE o.id = :orderId FOR UPDATE`, { orderId });
}

/** {@link lockOrder}, found by one of the order's payments. */
export function lockOrderOfPayment(trx: Database, outTradeNo: string): Promise<ClockedOrder | undefined> {
  return row(
    trx,
    `SELECT ${COLUMNS}, ${CLOCK} FROM orders o
     WHERE o.id = (SELECT order_id FROM payments WHERE out_trade_no = :outTradeNo) FOR UPDATE`,
    { outTradeNo },
  );
}

/** UNPAID → PAID. False where the order was not UNPAID. */
export async function markOrderPaid(trx: Database, orderId: string): Promise<boolean> {
  const changed = await rows(
    trx,
    `UPDATE orders SET status = 'PAID', paid_at = now() WHERE id = :orderId AND status = 'UNPAID' RETURNING id`,
    { orderId },
  );
  return changed.length === 1;
}

/** UNPAID → CLOSED. False where the order was not UNPAID. */
export async function markOrderClosed(trx: Database, orderId: string): Promise<boolean> {
  const changed = await rows(
    trx,
    `UPDATE orders SET status = 'CLOSED', closed_at = now() WHERE id = :orderId AND status = 'UNPAID' RETURNING id`,
    { orderId },
  );
  return changed.length === 1;
}

export interface ExpiredOrder {
  id: string;
  /** ISO 8601 with microseconds: a Date would round the cursor and skip or repeat orders. */
  expiresAt: string;
}

/**
 * One page of expired UNPAID orders by Postgres' clock, oldest first, after the cursor (keyset: rows that leave the
 * set while it is walked shift nothing). Orders that close by timer are left to their own workflow until
 * `timerGraceMs` after they expire.
 */
export function findExpiredOrders(
  db: Database,
  {
    after,
    limit,
    timerGraceMs,
  }: { after: { expiresAt: string; orderId: string } | null; limit: number; timerGraceMs: number },
): Promise<ExpiredOrder[]> {
  return rows(
    db,
    `SELECT id, to_char(expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS "expiresAt"
     FROM orders
     WHERE status = 'UNPAID' AND expires_at <= now()
       AND (close_by = 'sweep' OR expires_at <= now() - :timerGraceMs * interval '1 millisecond')
       ${after ? 'AND (expires_at, id) > (CAST(:expiresAt AS timestamptz), :orderId)' : ''}
     ORDER BY expires_at, id
     LIMIT :limit`,
    { limit, timerGraceMs, ...(after ?? {}) },
  );
}
