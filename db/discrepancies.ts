import type { DiscrepancyKind } from '../workflows/messages';
import type { Bill } from './bill-lines';
import { BILL, LINES } from './bill-lines';
import type { Database } from './connect';
import { hasRow, rows } from './connect';

/** Where a bill and the tables disagree. Amounts are yuan. */
export interface Discrepancy {
  /** A bigint, as a string. */
  id: string;
  kind: DiscrepancyKind;
  outTradeNo: string;
  /** Of a refund; otherwise empty. */
  outRequestNo: string;
  tradeNo: string | null;
  /** Null: the bill has no such line. */
  billAmount: string | null;
  ourAmount: string | null;
  foundAt: Date;
  /** Null: it is open. */
  goneAt: Date | null;
}

const COLUMNS = `
  id, kind, out_trade_no AS "outTradeNo", out_request_no AS "outRequestNo", trade_no AS "tradeNo",
  bill_amount AS "billAmount", our_amount AS "ourAmount", found_at AS "foundAt", gone_at AS "goneAt"`;

/** A bill, and whether its seller is this process's own. */
export interface OwnBill extends Bill {
  /** The seller is the environment's: payments inserted by hand, which name no merchant, belong to it. */
  isOwn: boolean;
}

/** How a comparison tells our lines of a bill from those of the seller's other applications. */
export interface Comparison extends OwnBill {
  /** What our `out_trade_no` begin with; none: Alipay is queried about each line that is not known here. */
  prefixes: readonly string[];
}

const MIDNIGHT = `(CAST(:date AS timestamp) AT TIME ZONE 'Asia/Shanghai')`;

/** Payments of this seller. */
const isOfSeller = (alias: string): string =>
  `((${alias}.merchant IS NULL AND CAST(:isOwn AS boolean))
    OR ${alias}.merchant IN (SELECT id FROM :schema:.merchants WHERE seller_id = :sellerId))`;

/** A line that no payment here explains belongs to another application, or somebody has dealt with it. */
const IS_FOREIGN = `(l.is_foreign OR (cardinality(CAST(:prefixes AS text[])) > 0 AND NOT EXISTS (
    SELECT 1 FROM unnest(CAST(:prefixes AS text[])) AS prefix WHERE starts_with(l.out_trade_no, prefix)))
  OR EXISTS (SELECT 1 FROM :schema:.unmatched_notifications u
    WHERE u.out_trade_no = l.out_trade_no AND u.resolved_at IS NOT NULL))`;

/** A person has decided about this payment after this bill put it into review. */
const IS_DECIDED = `EXISTS (
  SELECT 1 FROM :schema:.payment_events put JOIN :schema:.payment_events decided
    ON decided.out_trade_no = put.out_trade_no AND decided.event = 'review-resolved' AND decided.id > put.id
  WHERE put.out_trade_no = p.out_trade_no AND put.event = 'review' AND put.detail ->> 'bill' = :date)`;

/** The lines that count, of all bills of the seller. */
const SEALED = `(
  SELECT l.* FROM :schema:.bill_lines l JOIN :schema:.reconciliations sealed
    ON sealed.seller_id = l.seller_id AND sealed.bill_date = l.bill_date AND sealed.load = l.load
  WHERE l.seller_id = :sellerId)`;

/**
 * The time up to which the last bill before this one was compared, if all days between rightly have no bill; otherwise
 * null. The lines of bills older than a month may have been deleted.
 */
const COMPARED_UNTIL = `(
  SELECT (last.day + interval '23 hours') AT TIME ZONE 'Asia/Shanghai' FROM (
    SELECT max(bill_date) AS day FROM :schema:.reconciliations
    WHERE seller_id = :sellerId AND bill_date < CAST(:date AS date) AND bill_date > CAST(:date AS date) - 31
      AND load IS NOT NULL) last
  WHERE CAST(:date AS date) - last.day - 1 = (SELECT count(*) FROM :schema:.reconciliations quiet
    WHERE quiet.seller_id = :sellerId AND quiet.bill_date > last.day AND quiet.bill_date < CAST(:date AS date)
      AND quiet.status = 'NO_BILL' AND NOT quiet.moved))`;

/** The bill of the day before or after has reported it, whatever has become of it since. */
const isReportedBy = (neighbour: '- 1' | '+ 1', discrepancy: string): string => `EXISTS (
      SELECT 1 FROM :schema:.discrepancies reported
      WHERE reported.seller_id = :sellerId AND reported.bill_date = CAST(:date AS date) ${neighbour}
        AND (reported.kind, reported.out_trade_no, reported.out_request_no) = ${discrepancy})`;

/**
 * Whether money that moved at a time must be in this bill or an earlier one. Around midnight it may be in either day's bill, so
 * these two hours are checked with the bill that comes second, usually the later one; what it reports stays with that bill.
 *
 * @param discrepancy - what it would be, as an SQL row
 */
const isOfDay = (time: string, discrepancy: string): string => `
    ${time} >= COALESCE(${COMPARED_UNTIL}, ${MIDNIGHT} + interval '1 hour') AND ${time} < ${MIDNIGHT} + interval '25 hours'
    AND (${time} >= ${MIDNIGHT} + interval '1 hour' OR NOT ${isReportedBy('- 1', discrepancy)})
    AND (${time} < ${MIDNIGHT} + interval '23 hours' OR NOT ${isReportedBy('+ 1', discrepancy)} AND EXISTS (
      SELECT 1 FROM :schema:.reconciliations next
      WHERE next.seller_id = :sellerId AND next.bill_date = CAST(:date AS date) + 1 AND next.load IS NOT NULL))`;

const NUMBER = `COALESCE(l.out_request_no, l.out_trade_no)`;

/** A line whose payment is not here. */
const unknown = (kind: string): string =>
  `WHEN p.out_trade_no IS NULL THEN CASE WHEN NOT ${IS_FOREIGN} THEN '${kind}' END`;

/** Payments in the bill that are not paid here, not known here, or have another amount. */
const OF_PAYMENT_LINES = `
  SELECT kind, out_trade_no, '' AS out_request_no, trade_no, bill_amount, our_amount FROM (
    SELECT CASE
        ${unknown('payment-unknown')}
        WHEN p.status = 'UNPAID' THEN 'payment-unrecorded'
        WHEN p.status = 'CLOSED' THEN 'payment-late'
        WHEN COALESCE(p.paid_amount, p.total_amount) <> l.amount AND NOT ${IS_DECIDED} THEN 'payment-differs'
      END AS kind,
      l.out_trade_no, l.trade_no, l.amount AS bill_amount, COALESCE(p.paid_amount, p.total_amount) AS our_amount
    FROM ${LINES} l LEFT JOIN :schema:.payments p ON p.out_trade_no = l.out_trade_no AND ${isOfSeller('p')}
    WHERE l.kind = 'payment') compared
  WHERE kind IS NOT NULL`;

/** Payments here that no bill has. */
const ABSENT_PAYMENTS = `
  SELECT 'payment-absent', p.out_trade_no, '', p.trade_no, CAST(NULL AS numeric), p.paid_amount FROM :schema:.payments p
  WHERE p.paid_amount IS NOT NULL AND ${isOfSeller('p')}
    AND ${isOfDay('p.callback_time', `('payment-absent', p.out_trade_no, '')`)}
    AND NOT EXISTS (SELECT 1 FROM ${SEALED} l WHERE l.out_trade_no = p.out_trade_no AND l.kind = 'payment')
    AND NOT ${IS_DECIDED}`;

/**
 * Refunds in the bill that are not DONE here, or have another amount. One that was requested without a number has the
 * payment's.
 */
const OF_REFUND_LINES = `
  SELECT kind, out_trade_no, out_request_no, trade_no, bill_amount, our_amount FROM (
    SELECT CASE
        ${unknown('refund-unknown')}
        WHEN r.status IS DISTINCT FROM 'DONE' THEN 'refund-unrecorded'
        WHEN r.amount <> l.amount AND NOT ${IS_DECIDED} THEN 'refund-differs'
      END AS kind,
      l.out_trade_no, ${NUMBER} AS out_request_no, l.trade_no, l.amount AS bill_amount, r.amount AS our_amount
    FROM ${LINES} l LEFT JOIN :schema:.payments p ON p.out_trade_no = l.out_trade_no AND ${isOfSeller('p')}
      LEFT JOIN :schema:.refunds r ON r.out_trade_no = p.out_trade_no AND r.out_request_no = ${NUMBER}
    WHERE l.kind = 'refund') compared
  WHERE kind IS NOT NULL`;

/**
 * Refunds here that no bill has, as in {@link ABSENT_PAYMENTS}. A provisional one has no number yet: while a line of
 * its payment is not DONE here, that line may be it.
 */
const ABSENT_REFUNDS = `
  SELECT 'refund-absent', r.out_trade_no, r.out_request_no, p.trade_no, CAST(NULL AS numeric), r.amount
  FROM :schema:.refunds r JOIN :schema:.payments p ON p.out_trade_no = r.out_trade_no
  WHERE r.status = 'DONE' AND ${isOfSeller('p')}
    AND ${isOfDay('r.done_at', `('refund-absent', r.out_trade_no, r.out_request_no)`)}
    AND NOT EXISTS (SELECT 1 FROM ${SEALED} l
      WHERE l.out_trade_no = r.out_trade_no AND l.kind = 'refund' AND (${NUMBER} = r.out_request_no
        OR r.provisional AND NOT EXISTS (SELECT 1 FROM :schema:.refunds known
          WHERE known.out_trade_no = l.out_trade_no AND known.out_request_no = ${NUMBER} AND known.status = 'DONE')))
    AND NOT ${IS_DECIDED}`;

/** Duplicate lines. The amount is the sum of the surplus ones. */
const DOUBLED_LINES = `
  SELECT kind || '-doubled', out_trade_no, CASE kind WHEN 'refund' THEN ${NUMBER} ELSE '' END, max(trade_no), sum(amount) - max(amount), max(amount)
  FROM ${LINES} l WHERE kind IN ('payment', 'refund')
  GROUP BY kind, out_trade_no, out_request_no HAVING count(*) > 1`;

/** Lines of a kind (业务类型) that is not understood here. */
const OTHER_LINES = `
  SELECT 'not-understood', out_trade_no, COALESCE(out_request_no, ''), max(trade_no), sum(amount), CAST(NULL AS numeric)
  FROM ${LINES} l WHERE kind = 'other' GROUP BY out_trade_no, out_request_no`;

const ALL = [
  OF_PAYMENT_LINES,
  ABSENT_PAYMENTS,
  OF_REFUND_LINES,
  ABSENT_REFUNDS,
  DOUBLED_LINES,
  OTHER_LINES,
].join('\nUNION ALL');

/** Finds all discrepancies of round `round` of a bill, and marks those that no longer exist. */
export async function findDiscrepancies(
  trx: Database,
  comparison: Comparison & { round: number },
): Promise<void> {
  await rows(
    trx,
    `INSERT INTO :schema:.discrepancies AS known
       (seller_id, bill_date, kind, out_trade_no, out_request_no, trade_no, bill_amount, our_amount, seen)
     SELECT DISTINCT ON (found.kind, found.out_trade_no, found.out_request_no)
       :sellerId, CAST(:date AS date), found.*, CAST(:round AS integer) FROM (${ALL}) found
     ON CONFLICT (seller_id, bill_date, kind, out_trade_no, out_request_no) DO UPDATE SET
       seen = excluded.seen, gone_at = NULL, trade_no = excluded.trade_no, bill_amount = excluded.bill_amount,
       our_amount = excluded.our_amount`,
    comparison,
  );
  await rows(
    trx,
    `UPDATE :schema:.discrepancies SET gone_at = now() WHERE ${BILL} AND gone_at IS NULL AND seen < CAST(:round AS integer)`,
    comparison,
  );
}

/** One to repair. `merchant`: its payment's; null for an unknown one, since the repair has yet to find out whose it is. */
export type ToRepair = Discrepancy & { merchant: string | null };

/**
 * Open ones whose repair has not been tried since the last comparison: oldest first, but last those of a payment whose
 * merchant this process does not have.
 */
export function findToRepair(
  db: Database,
  bill: Bill,
  search: { kinds: readonly DiscrepancyKind[]; merchants: readonly string[]; limit: number },
): Promise<ToRepair[]> {
  return rows(
    db,
    `SELECT * FROM (
       SELECT ${COLUMNS}, (SELECT p.merchant FROM :schema:.payments p WHERE p.out_trade_no = d.out_trade_no
         AND d.kind NOT IN ('payment-unknown', 'refund-unknown')) AS merchant
       FROM :schema:.discrepancies d WHERE ${BILL} AND gone_at IS NULL AND kind = ANY(:kinds) AND tried < seen) due
     ORDER BY merchant IS NOT NULL AND merchant <> ALL(:merchants), id LIMIT :limit`,
    { ...bill, ...search },
  );
}

/** Notes that its repair has been tried for this comparison. */
export async function noteTried(db: Database, id: string): Promise<void> {
  await rows(db, `UPDATE :schema:.discrepancies SET tried = seen WHERE id = CAST(:id AS bigint)`, { id });
}

/** The discrepancies of one bill, the open ones first. */
export function listDiscrepancies(
  db: Database,
  bill: Bill,
  { limit }: { limit: number },
): Promise<Discrepancy[]> {
  return rows(
    db,
    `SELECT ${COLUMNS} FROM :schema:.discrepancies WHERE ${BILL} ORDER BY gone_at IS NOT NULL, kind, id LIMIT :limit`,
    { ...bill, limit },
  );
}

/** How many of a kind, and their sum, yuan. */
export interface KindFigures {
  kind: DiscrepancyKind;
  found: number;
  open: number;
  /** Of the open ones; what the bill says, or else what is here. */
  openAmount: string;
  /** Of the open ones that are in the bill. */
  billedAmount: string;
  billed: number;
}

/** Figures of all kinds that were ever found in a bill. */
export function countDiscrepancies(db: Database, bill: Bill): Promise<KindFigures[]> {
  return rows(
    db,
    `SELECT kind, CAST(count(*) AS integer) AS found,
       CAST(count(*) FILTER (WHERE gone_at IS NULL) AS integer) AS open,
       COALESCE(sum(COALESCE(bill_amount, our_amount)) FILTER (WHERE gone_at IS NULL), 0.00) AS "openAmount",
       COALESCE(sum(bill_amount) FILTER (WHERE gone_at IS NULL), 0.00) AS "billedAmount",
       CAST(count(bill_amount) FILTER (WHERE gone_at IS NULL) AS integer) AS billed
     FROM :schema:.discrepancies WHERE ${BILL} GROUP BY kind ORDER BY kind`,
    bill,
  );
}

/** Lines of one kind: how many, and their sum, yuan. */
export interface LineFigures {
  kind: 'payment' | 'refund' | 'other';
  count: number;
  amount: string;
  /** How many of these belong to another application of the seller. */
  foreign: number;
  foreignAmount: string;
  fees: string;
}

export function countLines(db: Database, comparison: Comparison): Promise<LineFigures[]> {
  return rows(
    db,
    `SELECT kind, CAST(count(*) AS integer) AS count, sum(amount) AS amount, sum(fee) AS fees,
       CAST(count(*) FILTER (WHERE is_another) AS integer) AS foreign,
       COALESCE(sum(amount) FILTER (WHERE is_another), 0.00) AS "foreignAmount"
     FROM (SELECT l.kind, l.amount, l.fee, p.out_trade_no IS NULL AND ${IS_FOREIGN} AS is_another
       FROM ${LINES} l LEFT JOIN :schema:.payments p ON p.out_trade_no = l.out_trade_no AND ${isOfSeller('p')}) lines
     GROUP BY kind`,
    comparison,
  );
}

/** Whether these tables know of money that moved on a day. */
export function hasMoved(db: Database, bill: OwnBill): Promise<boolean> {
  return hasRow(
    db,
    `SELECT 1 AS found FROM :schema:.payments p
     WHERE p.paid_amount IS NOT NULL AND ${isOfSeller('p')}
       AND p.callback_time >= ${MIDNIGHT} AND p.callback_time < ${MIDNIGHT} + interval '1 day'
     UNION ALL
     SELECT 1 FROM :schema:.refunds r JOIN :schema:.payments p ON p.out_trade_no = r.out_trade_no
     WHERE r.status = 'DONE' AND ${isOfSeller('p')}
       AND r.done_at >= ${MIDNIGHT} AND r.done_at < ${MIDNIGHT} + interval '1 day' LIMIT 1`,
    bill,
  );
}
