/**
 * What the rows show to be due: one statement for each kind of follow-up work, each served by a partial index on its time,
 * so its cost depends on what is due, not on what is open. Only rows of the given merchants, or of none (inserted by hand).
 */
import type { CloseBy, StoredPaymentStatus } from '../workflows/messages';
import { PAYMENT_STATUS_BY_KEY, REFUND_STATUS_BY_KEY, UNRECORDED_BY_KEY, UNTOLD_BY_KEY } from './by-key';
import type { Database } from './connect';
import { hasRow, row, rows } from './connect';
import { ofMerchants } from './merchants';
import type { Payment } from './payments';
import type { Refund } from './refunds';
import { IS_HELD, merchantPaused } from './rules';

/** How much to find, and whose. */
export interface DueScan {
  /** Ids of merchants (`appId/sellerId`) that this process has. */
  merchants: readonly string[];
  /** In all, or for each merchant if the scan says so. */
  limit: number;
}

/** What every kind of work needs to know about a payment. */
export type DuePayment = Pick<Payment, 'outTradeNo' | 'orderId' | 'merchant' | 'totalAmount' | 'status'>;

const PAYMENT = `
  p.out_trade_no AS "outTradeNo", p.order_id AS "orderId", p.merchant, p.total_amount AS "totalAmount", p.status`;

/**
 * What `select` finds for each merchant, and for none, up to the limit for each, by an index on merchant and due time. Rows stay
 * due while their merchant cannot be queried (misconfigured, no quota), and must not hide another merchant's, nor be read again
 * for each of them: no index serves IS NOT DISTINCT FROM a merchant, so those of none are found separately.
 *
 * @param select - gets the condition that a row is theirs
 */
const ofEachMerchant = (select: (isTheirs: string) => string): string => `
  SELECT due.* FROM unnest(CAST(:merchants AS text[])) AS scanned(merchant), LATERAL (
    ${select('p.merchant = scanned.merchant')} LIMIT :limit) AS due
  UNION ALL (${select('p.merchant IS NULL')} LIMIT :limit)`;

/** A minute, doubled `times` times, at most `most` minutes. */
const doubled = (times: string, most: number): string =>
  `LEAST(power(2, LEAST(${times}, 16)), ${most}) * interval '1 minute'`;

/**
 * Notes that rows of a table are being worked on, and returns how often in a row that has been so; 0 if none are left.
 * They are due again after a minute, then two, four … up to `most` minutes.
 */
async function claim(db: Database, table: string, where: string, key: object, most = 60): Promise<number> {
  const claimed = await rows<{ attempts: number }>(
    db,
    `UPDATE :schema:.${table} SET attempts = attempts + 1, retry_at = now() + ${doubled('attempts', most)}
     WHERE ${where} RETURNING attempts`,
    key,
  );
  return Math.max(0, ...claimed.map(({ attempts }) => attempts));
}

/** When a payment is queried after its checkout. */
export interface CheckPlan {
  /** Milliseconds to the first check of its run; null: its run makes none. */
  firstCheckInMs: number | null;
  slowChecksMs: readonly number[];
}

/**
 * Plans the first check and the first slow check. Call it in the checkout's transaction. If checks of an earlier
 * checkout are still to come, they stay as planned: its run continues with them.
 */
export async function planChecks(
  trx: Database,
  outTradeNo: string,
  { firstCheckInMs, slowChecksMs }: CheckPlan,
): Promise<void> {
  await rows(
    trx,
    `UPDATE :schema:.payments p SET
       checked_out_at = now(),
       checks = CASE WHEN next_check_at > now() THEN checks ELSE 0 END,
       next_check_at = CASE WHEN next_check_at > now() THEN next_check_at
         ELSE now() + CAST(:firstCheckInMs AS float8) * interval '1 millisecond' END,
       revivals = 0,
       updated_at = now(),
       slow_check_at = ${nextTurn('now()')}
     FROM :schema:.orders o
     WHERE p.out_trade_no = :outTradeNo AND o.id = p.order_id AND ${PAYMENT_STATUS_BY_KEY} = 'UNPAID'`,
    { outTradeNo, firstCheckInMs, ...turns(slowChecksMs) },
  );
}

/**
 * The first turn after now, counted from a checkout; after the last one its pause repeats. Null once the order has
 * expired: then the sweep asks.
 */
function nextTurn(checkedOutAt: string): string {
  const elapsedMs = `CAST(EXTRACT(EPOCH FROM now() - ${checkedOutAt}) * 1000 AS float8)`;
  return `(
    SELECT turn.at FROM (SELECT ${checkedOutAt} + interval '1 millisecond' * COALESCE(
      (SELECT min(ms) FROM unnest(CAST(:turnsMs AS float8[])) AS ms WHERE ms > ${elapsedMs}),
      CAST(:lastTurnMs AS float8) + (floor((${elapsedMs} - :lastTurnMs) / CAST(:lastPauseMs AS float8)) + 1) * :lastPauseMs
    )) AS turn(at) WHERE turn.at < o.expires_at)`;
}

function turns(slowChecksMs: readonly number[]) {
  const turnsMs = [...new Set(slowChecksMs)].filter((ms) => ms > 0).sort((a, b) => a - b);
  const lastTurnMs = turnsMs.at(-1) ?? null;
  return {
    turnsMs,
    lastTurnMs,
    lastPauseMs: lastTurnMs === null ? null : lastTurnMs - (turnsMs.at(-2) ?? 0),
  };
}

/** Payments of each merchant whose slow check is due, the newest turn first: a backlog must not delay buyers who have just paid. */
export function findSlowChecks(db: Database, scan: DueScan): Promise<DuePayment[]> {
  return rows(
    db,
    ofEachMerchant(
      (isTheirs) => `
      SELECT ${PAYMENT} FROM :schema:.payments p
      WHERE p.status = 'UNPAID' AND p.slow_check_at <= now() AND ${isTheirs}
      ORDER BY p.slow_check_at DESC`,
    ),
    scan,
  );
}

/** Plans the next slow check after one was made, which counts for every turn until now. */
export async function planSlowCheck(
  db: Database,
  outTradeNo: string,
  slowChecksMs: readonly number[],
): Promise<void> {
  await rows(
    db,
    `UPDATE :schema:.payments p SET slow_check_at = ${nextTurn('COALESCE(p.checked_out_at, p.created_at)')}
     FROM :schema:.orders o
     WHERE p.out_trade_no = :outTradeNo AND o.id = p.order_id AND p.slow_check_at <= now()`,
    { outTradeNo, ...turns(slowChecksMs) },
  );
}

/** How long a check may be overdue before the payment counts as unwatched. */
const UNWATCHED = `interval '2 minutes'`;

/** A payment that nobody watches. */
export interface UnwatchedPayment extends DuePayment {
  /** How many checks have been made since checkout. */
  checks: number;
  nextCheckAt: Date;
  closeBy: CloseBy;
  expiresAt: Date;
}

/** Payments whose next check is overdue by two minutes, the longest overdue first. */
export function findUnwatched(db: Database, scan: DueScan): Promise<UnwatchedPayment[]> {
  return rows(
    db,
    `SELECT ${PAYMENT}, p.checks, p.next_check_at AS "nextCheckAt", o.close_by AS "closeBy", o.expires_at AS "expiresAt"
     FROM :schema:.payments p JOIN :schema:.orders o ON o.id = p.order_id
     WHERE p.status = 'UNPAID' AND p.next_check_at <= now() - ${UNWATCHED} AND ${ofMerchants('p')}
     ORDER BY p.next_check_at LIMIT :limit`,
    scan,
  );
}

/**
 * Notes that an unwatched payment is given to a run now, and returns how often in a row this was necessary; 0 if it is
 * watched by now. The check is overdue again after two minutes, then four, eight … up to an hour, unless its run moves it.
 */
export async function claimUnwatched(db: Database, outTradeNo: string): Promise<number> {
  const claimed = await row<{ revivals: number }>(
    db,
    `UPDATE :schema:.payments p SET (revivals, next_check_at, revive_at, updated_at) = (
       SELECT times, at, at, now() FROM (SELECT CASE WHEN next_check_at = revive_at THEN revivals + 1 ELSE 1 END AS times) AS repeat,
         LATERAL (SELECT now() + ${doubled('times', 60)} - ${UNWATCHED} AS at) AS again)
     WHERE out_trade_no = :outTradeNo AND ${PAYMENT_STATUS_BY_KEY} = 'UNPAID' AND next_check_at <= now() - ${UNWATCHED}
     RETURNING revivals`,
    { outTradeNo },
  );
  return claimed?.revivals ?? 0;
}

/** Leaves an unwatched payment alone for another minute. */
export async function postponeUnwatched(db: Database, outTradeNo: string): Promise<void> {
  await rows(
    db,
    `UPDATE :schema:.payments SET next_check_at = now() - ${UNWATCHED} + interval '1 minute'
     WHERE out_trade_no = :outTradeNo AND next_check_at <= now() - ${UNWATCHED}`,
    { outTradeNo },
  );
}

/** A payment that waits, or waited, for a person or a refund: its run must agree with the row, and exist while it is held. */
export interface UnattendedPayment extends DuePayment {
  /** In REVIEW (also a PAID one) or REFUNDING. */
  isHeld: boolean;
  /** What its run should show in `PaymentStatus`. */
  shown: StoredPaymentStatus;
  /** How often in a row its run has been looked after before. */
  revivals: number;
}

/** Payments whose run is due to be looked after, the longest due first. */
export function findUnattended(db: Database, scan: DueScan): Promise<UnattendedPayment[]> {
  return rows(
    db,
    `SELECT ${PAYMENT}, CASE WHEN p.review_reason IS NULL THEN p.status ELSE 'REVIEW' END AS shown, p.revivals,
       ${IS_HELD} AS "isHeld"
     FROM :schema:.payments p
     WHERE (p.status <> 'UNPAID' AND p.revive_at <= now() OR ${IS_HELD} AND p.revive_at IS NULL) AND ${ofMerchants('p')}
     ORDER BY p.revive_at NULLS FIRST LIMIT :limit`,
    scan,
  );
}

/** Notes that its run has been looked after: it is due again after a minute, then two, four … up to an hour. */
export async function postponeAttending(db: Database, outTradeNo: string): Promise<void> {
  await rows(
    db,
    `UPDATE :schema:.payments SET revivals = revivals + 1, revive_at = now() + ${doubled('revivals', 60)}
     WHERE out_trade_no = :outTradeNo`,
    { outTradeNo },
  );
}

/** Notes that its run needs no more looking after, unless the payment is held again meanwhile. */
export async function endAttending(db: Database, outTradeNo: string): Promise<void> {
  await rows(
    db,
    `UPDATE :schema:.payments p SET revive_at = NULL, revivals = 0
     WHERE p.out_trade_no = :outTradeNo AND p.status <> 'UNPAID' AND NOT ${IS_HELD}`,
    { outTradeNo },
  );
}

/** A payment that may have to be closed at Alipay. */
export interface ClosablePayment extends DuePayment {
  /** Its merchant is paused: it is asked about, but not closed. */
  isPaused: boolean;
}

/** An UNPAID payment of an order that is settled, or has another price now. */
export interface LeftoverPayment extends ClosablePayment {
  /** Whether its order has expired, by Postgres' clock. */
  expired: boolean;
  remainingMs: number;
}

/** Leftovers of each merchant that are due to be closed, the longest due first. */
export function findLeftovers(db: Database, scan: DueScan): Promise<LeftoverPayment[]> {
  return rows(
    db,
    ofEachMerchant(
      (isTheirs) => `
      SELECT ${PAYMENT}, now() >= o.expires_at AS expired, ${merchantPaused('p.merchant')} AS "isPaused",
        CAST(EXTRACT(EPOCH FROM o.expires_at - now()) * 1000 AS float8) AS "remainingMs"
      FROM :schema:.payments p JOIN :schema:.orders o ON o.id = p.order_id
      WHERE p.status = 'UNPAID' AND p.recheck_at <= now()
        AND (o.status <> 'UNPAID' OR p.superseded_at IS NOT NULL) AND ${isTheirs}
      ORDER BY p.recheck_at`,
    ),
    scan,
  );
}

/** Payments of each merchant, closed here, that are due to be queried once more, the longest due first. */
export function findRechecks(db: Database, scan: DueScan): Promise<ClosablePayment[]> {
  return rows(
    db,
    ofEachMerchant(
      (isTheirs) => `
      SELECT ${PAYMENT}, ${merchantPaused('p.merchant')} AS "isPaused" FROM :schema:.payments p
      WHERE p.status = 'CLOSED' AND p.recheck_at <= now() AND ${isTheirs}
      ORDER BY p.recheck_at`,
    ),
    scan,
  );
}

/** Sets when Alipay is asked again about a leftover, or a payment closed here; null: never. */
export async function setRecheck(db: Database, outTradeNo: string, inMs: number | null): Promise<void> {
  await rows(
    db,
    `UPDATE :schema:.payments SET recheck_at = now() + CAST(:inMs AS float8) * interval '1 millisecond'
     WHERE out_trade_no = :outTradeNo AND status IN ('UNPAID', 'CLOSED')`,
    { outTradeNo, inMs },
  );
}

/**
 * Plans the next question about a payment closed here while its cashier page may be open: at its next slow check, at
 * the latest a minute after the page has expired. Only for an order refunded if paid later; otherwise returns false.
 */
export function planPageCheck(
  db: Database,
  outTradeNo: string,
  slowChecksMs: readonly number[],
): Promise<boolean> {
  return hasRow(
    db,
    `UPDATE :schema:.payments p SET recheck_at = LEAST(
       COALESCE(${nextTurn('COALESCE(p.checked_out_at, p.created_at)')}, 'infinity'), p.time_expire + interval '1 minute')
     FROM :schema:.orders o
     WHERE p.out_trade_no = :outTradeNo AND o.id = p.order_id AND p.status = 'CLOSED'
       AND o.if_paid_later IS NOT NULL AND now() < p.time_expire + interval '1 minute'
     RETURNING p.out_trade_no`,
    { outTradeNo, ...turns(slowChecksMs) },
  );
}

/** A refund that is under way: its run must exist. */
export type DueRefund = Pick<Refund, 'outTradeNo' | 'outRequestNo' | 'orderId' | 'amount' | 'kind'>;

/** Refunds under way whose run is due to be looked after, the longest due first. */
export function findStandingRefunds(db: Database, scan: DueScan): Promise<DueRefund[]> {
  return rows(
    db,
    `SELECT r.out_trade_no AS "outTradeNo", r.out_request_no AS "outRequestNo", r.order_id AS "orderId", r.amount, r.kind
     FROM :schema:.refunds r JOIN :schema:.payments p USING (out_trade_no)
     WHERE r.status IN ('REQUESTED', 'REVIEW') AND r.retry_at <= now() AND ${ofMerchants('p')}
     ORDER BY r.retry_at LIMIT :limit`,
    scan,
  );
}

/** {@link claim}: the run of a refund under way is looked after. The run itself may postpone the next time. */
export function claimRefund(db: Database, refund: DueRefund): Promise<number> {
  const where = `out_trade_no = :outTradeNo AND out_request_no = :outRequestNo AND ${REFUND_STATUS_BY_KEY} IN ('REQUESTED', 'REVIEW')`;
  return claim(db, 'refunds r', where, refund);
}

/** Orders with a message due for delivery, longest due first, without those whose order service is left alone. */
export async function findUndeliveredOrders(db: Database, scan: DueScan): Promise<string[]> {
  const due = await rows<{ orderId: string }>(
    db,
    `SELECT m.order_id AS "orderId" FROM :schema:.order_messages m JOIN :schema:.orders o ON o.id = m.order_id
     WHERE m.told_at IS NULL AND m.retry_at <= now() AND ${ofMerchants('o')}
       AND COALESCE((SELECT next.not_before FROM :schema:.order_messages next
         WHERE next.order_id = m.order_id AND ${UNTOLD_BY_KEY} ORDER BY next.seq LIMIT 1) <= now(), true)
     ORDER BY m.retry_at LIMIT :limit`,
    scan,
  );
  return [...new Set(due.map(({ orderId }) => orderId))];
}

/** {@link claim}: an order's messages are delivered. */
export const claimUndelivered = (db: Database, orderId: string): Promise<number> =>
  claim(db, 'order_messages', `order_id = :orderId AND ${UNTOLD_BY_KEY}`, { orderId }, 10);

/** Notes that a caller delivers an order's messages and keeps trying: the follow-up leaves them alone for `ms`. */
export async function postponeUndelivered(db: Database, orderId: string, ms: number): Promise<void> {
  await rows(
    db,
    `UPDATE :schema:.order_messages SET attempts = attempts + 1,
       retry_at = GREATEST(now() + CAST(:ms AS float8) * interval '1 millisecond', not_before)
     WHERE order_id = :orderId AND ${UNTOLD_BY_KEY}`,
    { orderId, ms },
  );
}

/** A payment with evidence that nobody has recorded. */
export interface UnrecordedPayment extends DuePayment {
  /** The newest evidence that is due; a bigint, as a string. */
  eventId: string;
}

/** Payments with unrecorded evidence that is due, the longest due first. */
export async function findUnrecorded(db: Database, scan: DueScan): Promise<UnrecordedPayment[]> {
  const due = await rows<UnrecordedPayment>(
    db,
    `SELECT e.id AS "eventId", ${PAYMENT}
     FROM :schema:.evidence e JOIN :schema:.payments p ON p.out_trade_no = e.out_trade_no
     WHERE e.recorded_at IS NULL AND e.retry_at <= now() AND ${ofMerchants('p')}
     ORDER BY e.retry_at LIMIT :limit`,
    scan,
  );
  return [...new Map(due.map((payment) => [payment.outTradeNo, payment])).values()];
}

/** {@link claim}: a payment's run is woken for its unrecorded evidence. */
export const claimUnrecorded = (db: Database, outTradeNo: string): Promise<number> =>
  claim(db, 'evidence', `out_trade_no = :outTradeNo AND ${UNRECORDED_BY_KEY}`, { outTradeNo });
