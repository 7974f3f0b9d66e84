import type { Database } from './connect';
import { oneRow, row, rows } from './connect';

/** Identifies a bill: its seller and its day in Beijing (`yyyy-MM-dd`). */
export interface Bill {
  sellerId: string;
  date: string;
}

/** One line of a bill. Amounts are yuan with two decimals. */
export interface BillLine {
  /** Counted from 1. */
  line: number;
  kind: 'payment' | 'refund' | 'other';
  tradeNo: string;
  outTradeNo: string;
  /** Of a refund. */
  outRequestNo: string | null;
  /** What the buyer paid or got back (订单金额), never negative. */
  amount: string;
  /** What the seller got (商家实收); negative for refunds. */
  received: string;
  fee: string;
  /** When it was paid or refunded. */
  doneAt: Date;
}

/** The condition for rows of a {@link Bill}. */
export const BILL = `seller_id = :sellerId AND bill_date = CAST(:date AS date)`;

/** The lines that count: those of the last load that was sealed. */
export const LINES = `(
  SELECT * FROM :schema:.bill_lines WHERE ${BILL} AND load = (SELECT load FROM :schema:.reconciliations WHERE ${BILL}))`;

/** Begins to load a bill, and returns the number of this attempt. The previous load counts until this one is sealed. */
export async function beginLoad(db: Database, bill: Bill): Promise<number> {
  const { load } = await oneRow<{ load: number }>(
    db,
    `INSERT INTO :schema:.reconciliations AS r (seller_id, bill_date, loads) VALUES (:sellerId, CAST(:date AS date), 1)
     ON CONFLICT (seller_id, bill_date) DO UPDATE SET loads = r.loads + 1, lines = 0, updated_at = now()
     RETURNING loads AS load`,
    bill,
  );
  return load;
}

export async function insertLines(
  db: Database,
  bill: Bill & { load: number },
  lines: readonly BillLine[],
): Promise<void> {
  await rows(
    db,
    `WITH inserted AS (
       INSERT INTO :schema:.bill_lines
         (seller_id, bill_date, load, line, kind, trade_no, out_trade_no, out_request_no, amount, received, fee, done_at)
       SELECT :sellerId, CAST(:date AS date), :load, brought.* FROM json_to_recordset(CAST(:lines AS json)) AS brought (
         line integer, kind text, "tradeNo" text, "outTradeNo" text, "outRequestNo" text, amount numeric, received numeric,
         fee numeric, "doneAt" timestamptz))
     UPDATE :schema:.reconciliations SET lines = :last WHERE ${BILL} AND loads = :load`,
    { ...bill, lines: JSON.stringify(lines), last: lines.at(-1)?.line ?? 0 },
  );
}

/** Makes the lines of this load the only ones that count. Call it once they are complete and add up. */
export async function sealLoad(db: Database, bill: Bill & { load: number }): Promise<void> {
  await rows(
    db,
    `UPDATE :schema:.reconciliations SET load = :load, updated_at = now()
     WHERE ${BILL} AND (load IS NULL OR load < :load)`,
    bill,
  );
  for (let left = await findLeftLoad(db, bill); left; left = await findLeftLoad(db, bill)) {
    await deleteLoad(db, { sellerId: bill.sellerId, ...left });
  }
  // Postgres has no statistics on a million new lines yet, and would look up each one separately.
  await rows(db, `ANALYZE :schema:.bill_lines`);
}

/**
 * A load whose lines no longer count, or never will: an earlier one of this day, or what a killed attempt has left of
 * another of the seller's days. No attempt takes a day. Only the lowest and highest load numbers are looked up, and no
 * lines read: there may be a million for each day.
 */
function findLeftLoad(db: Database, bill: Bill): Promise<{ date: string; load: number } | undefined> {
  const numbers = (which: 'min' | 'max'): string =>
    `(SELECT ${which}(l.load) FROM :schema:.bill_lines l
       WHERE l.seller_id = r.seller_id AND l.bill_date = r.bill_date)`;
  return row(
    db,
    `SELECT to_char(bill_date, 'YYYY-MM-DD') AS date, load FROM (
       SELECT bill_date, CASE
         WHEN sealed IS NULL OR lowest < sealed THEN lowest
         WHEN highest > sealed AND is_over THEN highest END AS load
       FROM (
         SELECT r.bill_date, r.load AS sealed, r.updated_at < now() - interval '1 day' AS is_over,
           ${numbers('min')} AS lowest, ${numbers('max')} AS highest
         FROM :schema:.reconciliations r WHERE r.seller_id = :sellerId) days
       WHERE is_over OR bill_date = CAST(:date AS date)) found
     WHERE load IS NOT NULL LIMIT 1`,
    bill,
  );
}

/** Deletes the lines of an attempt. Call it only if they do not count and nobody is about to seal them. */
export async function deleteLoad(db: Database, bill: Bill & { load: number }): Promise<void> {
  while (await deleteLines(db, bill));
}

/** Deletes some lines of a load; returns false if none were left. A million in one statement would take too long. */
async function deleteLines(db: Database, bill: Bill & { load: number }): Promise<boolean> {
  const { count } = await oneRow<{ count: number }>(
    db,
    `WITH old AS (
       SELECT line FROM :schema:.bill_lines WHERE ${BILL} AND load = :load LIMIT 50000
     ), gone AS (
       DELETE FROM :schema:.bill_lines l USING old
       WHERE l.seller_id = :sellerId AND l.bill_date = CAST(:date AS date) AND l.load = :load AND l.line = old.line
       RETURNING 1)
     SELECT CAST(count(*) AS integer) AS count FROM gone`,
    bill,
  );
  return count > 0;
}

/** Marks a trade that Alipay does not know as ours: it belongs to another application of the seller. */
export async function markForeign(db: Database, bill: Bill, outTradeNo: string): Promise<void> {
  await rows(
    db,
    `UPDATE :schema:.bill_lines SET is_foreign = true WHERE ${BILL} AND out_trade_no = :outTradeNo`,
    { ...bill, outTradeNo },
  );
}
