import type { Database } from './connect';
import { row, rows } from './connect';

/** Whose bill, of which day in Beijing (`yyyy-MM-dd`). */
export interface Bill {
  sellerId: string;
  date: string;
}

/** One line of a bill. Amounts are yuan with two decimals. */
export interface BillLine {
  /** From 1 up. */
  line: number;
  kind: 'payment' | 'refund' | 'other';
  tradeNo: string;
  outTradeNo: string;
  /** Of a refund. */
  outRequestNo: string | null;
  /** What the buyer paid or got back (订单金额), never below 0. */
  amount: string;
  /** What the seller got (商家实收); below 0 for refunds. */
  received: string;
  fee: string;
  /** When it was paid or given back. */
  doneAt: Date;
}

/** The lines that count: those of the last load that was sealed. For `:sellerId` and `:date`. */
export const LINES = `(
  SELECT * FROM :schema:.bill_lines WHERE seller_id = :sellerId AND bill_date = CAST(:date AS date) AND load = (
    SELECT load FROM :schema:.reconciliations WHERE seller_id = :sellerId AND bill_date = CAST(:date AS date)))`;

/** Begins to load a bill, and returns the number of this attempt. The previous load counts until this one is sealed. */
export async function beginLoad(db: Database, bill: Bill): Promise<number> {
  const begun = await row<{ load: number }>(
    db,
    `INSERT INTO :schema:.reconciliations AS r (seller_id, bill_date, loads) VALUES (:sellerId, CAST(:date AS date), 1)
     ON CONFLICT (seller_id, bill_date) DO UPDATE SET loads = r.loads + 1, lines = 0, updated_at = now()
     RETURNING loads AS load`,
    { ...bill },
  );
  return (begun as { load: number }).load;
}

export async function insertLines(
  db: Database,
  bill: Bill & { load: number },
  lines: readonly BillLine[],
): Promise<void> {
  const column = <K extends keyof BillLine>(name: K): BillLine[K][] => lines.map((line) => line[name]);
  await rows(
    db,
    `WITH inserted AS (
       INSERT INTO :schema:.bill_lines
         (seller_id, bill_date, load, line, kind, trade_no, out_trade_no, out_request_no, amount, received, fee, done_at)
       SELECT :sellerId, CAST(:date AS date), :load, brought.* FROM unnest(
         CAST(:line AS integer[]), CAST(:kind AS text[]), CAST(:tradeNo AS text[]), CAST(:outTradeNo AS text[]),
         CAST(:outRequestNo AS text[]), CAST(:amount AS numeric[]), CAST(:received AS numeric[]), CAST(:fee AS numeric[]),
         CAST(:doneAt AS timestamptz[])) AS brought)
     UPDATE :schema:.reconciliations SET lines = :lines
     WHERE seller_id = :sellerId AND bill_date = CAST(:date AS date) AND loads = :load`,
    {
      ...bill,
      line: column('line'),
      kind: column('kind'),
      tradeNo: column('tradeNo'),
      outTradeNo: column('outTradeNo'),
      outRequestNo: column('outRequestNo'),
      amount: column('amount'),
      received: column('received'),
      fee: column('fee'),
      doneAt: column('doneAt'),
      lines: lines.at(-1)?.line ?? 0,
    },
  );
}

/** Makes the lines of this load the only ones that count. Call it once they are complete and add up. */
export async function sealLoad(
  db: Database,
  { sellerId, date, load }: Bill & { load: number },
): Promise<void> {
  await rows(
    db,
    `UPDATE :schema:.reconciliations SET load = :load, updated_at = now()
     WHERE seller_id = :sellerId AND bill_date = CAST(:date AS date) AND (load IS NULL OR load < :load)`,
    { sellerId, date, load },
  );
  while (await deleteOldLines(db, { sellerId, date }));
  // Postgres has no statistics of a million new lines yet, and would look up each one separately.
  await rows(db, `ANALYZE :schema:.bill_lines`);
}

/** Some lines of earlier loads; false where none is left. A million in one statement would take too long. */
async function deleteOldLines(db: Database, bill: Bill): Promise<boolean> {
  const deleted = await row<{ count: number }>(
    db,
    `WITH old AS (
       SELECT l.load, l.line FROM :schema:.bill_lines l JOIN :schema:.reconciliations r USING (seller_id, bill_date)
       WHERE l.seller_id = :sellerId AND l.bill_date = CAST(:date AS date) AND l.load < r.load LIMIT 50000
     ), gone AS (
       DELETE FROM :schema:.bill_lines l USING old
       WHERE l.seller_id = :sellerId AND l.bill_date = CAST(:date AS date) AND l.load = old.load AND l.line = old.line
       RETURNING 1)
     SELECT CAST(count(*) AS integer) AS count FROM gone`,
    { ...bill },
  );
  return (deleted?.count ?? 0) > 0;
}

/** Alipay knows no such trade of ours: it is of another application of the seller. */
export async function markForeign(db: Database, { sellerId, date }: Bill, outTradeNo: string): Promise<void> {
  await rows(
    db,
    `UPDATE :schema:.bill_lines SET is_foreign = true
     WHERE seller_id = :sellerId AND bill_date = CAST(:date AS date) AND out_trade_no = :outTradeNo`,
    { sellerId, date, outTradeNo },
  );
}
