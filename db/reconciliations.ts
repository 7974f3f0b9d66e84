import type {
  BillReport,
  BillState,
  KindOfDiscrepancy,
  ReconciliationStatus,
  Sum,
} from '../workflows/messages';
import type { Bill } from './bill-lines';
import { BILL } from './bill-lines';
import type { Database } from './connect';
import { oneRow, row, rows, slowTransaction } from './connect';
import type { Comparison, KindFigures, LineFigures, OwnBill } from './discrepancies';
import { countDiscrepancies, countLines, findDiscrepancies, hasMoved } from './discrepancies';
import { toFen, toYuan } from './money';
import { storableJson, storableText } from './storable';

export interface ReconciliationRow extends BillState {
  /** How many lines the current load has inserted so far. */
  lines: number;
  updatedAt: Date;
}

const COLUMNS = `
  seller_id AS "sellerId", to_char(bill_date, 'YYYY-MM-DD') AS date, status, because, report, lines,
  updated_at AS "updatedAt"`;

export function findReconciliation(db: Database, bill: Bill): Promise<ReconciliationRow | undefined> {
  return row(db, `SELECT ${COLUMNS} FROM :schema:.reconciliations WHERE ${BILL}`, bill);
}

/**
 * Compares a loaded bill with the tables and writes the report, in one transaction. The same bill and the same tables give
 * the same report.
 */
export function compareBill(db: Database, comparison: Comparison): Promise<BillReport> {
  return slowTransaction(db, async (trx) => {
    // The row exists: a bill is loaded before it is compared.
    const { round } = await oneRow<{ round: number }>(
      trx,
      `UPDATE :schema:.reconciliations SET round = round + 1 WHERE ${BILL} RETURNING round`,
      comparison,
    );
    await findDiscrepancies(trx, { ...comparison, round });
    const report = reportOf(await countLines(trx, comparison), await countDiscrepancies(trx, comparison));
    await rows(
      trx,
      `UPDATE :schema:.reconciliations SET status = 'COMPARED', because = NULL, report = CAST(:report AS jsonb), moved = true,
         updated_at = now() WHERE ${BILL}`,
      { ...comparison, report: storableJson(report) },
    );
    return report;
  });
}

/** Notes that there is no bill, or none that can be used. The report of an earlier comparison stays. */
export function noteNoBill(
  db: Database,
  bill: OwnBill,
  { status, because }: { status: Extract<ReconciliationStatus, 'NO_BILL' | 'FAILED'>; because: string },
): Promise<ReconciliationRow> {
  return slowTransaction(db, async (trx) =>
    oneRow(
      trx,
      `INSERT INTO :schema:.reconciliations AS r (seller_id, bill_date, status, because, moved)
       VALUES (:sellerId, CAST(:date AS date), :status, :because, :moved)
       ON CONFLICT (seller_id, bill_date) DO UPDATE SET because = excluded.because, updated_at = now(),
         status = CASE WHEN r.status = 'COMPARED' AND excluded.status = 'NO_BILL' THEN r.status ELSE excluded.status END,
         moved = excluded.moved
       RETURNING ${COLUMNS}`,
      { ...bill, status, because: storableText(because), moved: await hasMoved(trx, bill) },
    ),
  );
}

/** How many days back bills are looked for. */
const DAYS = 7;

/**
 * The bills of the last week that are due to be compared, oldest first: each until it has been, since one may come
 * late, and may be of a day of which nothing is known here; those with something open, again once a day.
 */
export function findDueBills(
  db: Database,
  merchants: readonly string[],
): Promise<{ merchant: string; sellerId: string; date: string }[]> {
  return rows(
    db,
    `SELECT merchant, s.seller_id AS "sellerId", to_char(d.day, 'YYYY-MM-DD') AS date
     FROM (SELECT min(id) AS merchant, seller_id, min(registered_at) AS since FROM :schema:.merchants
         WHERE id = ANY(:merchants) GROUP BY seller_id) s
       CROSS JOIN (SELECT CAST(now() AT TIME ZONE 'Asia/Shanghai' AS date) AS today) t
       CROSS JOIN LATERAL (SELECT t.today - back AS day FROM generate_series(1, ${DAYS}) AS back) d
       LEFT JOIN :schema:.reconciliations r ON r.seller_id = s.seller_id AND r.bill_date = d.day
     WHERE d.day >= CAST(s.since AT TIME ZONE 'Asia/Shanghai' AS date)
       AND (r.status IS DISTINCT FROM 'COMPARED'
         OR (r.updated_at < now() - interval '20 hours' AND CAST(r.report ->> 'open' AS integer) > 0))
     ORDER BY d.day, s.seller_id`,
    { merchants },
  );
}

const NO_LINES = { count: 0, amount: '0.00', foreign: 0, foreignAmount: '0.00', fees: '0.00' };

/** The report of a comparison: each line of the bill is matched, another application's, or a discrepancy. */
function reportOf(lines: LineFigures[], kinds: KindFigures[]): BillReport {
  const of = (kind: LineFigures['kind']): LineFigures =>
    lines.find((figures) => figures.kind === kind) ?? { ...NO_LINES, kind };
  const [payments, refunds, other] = [of('payment'), of('refund'), of('other')];
  const billed = (isOfRefund: boolean): Sum =>
    sumOf(
      kinds
        .filter(({ kind }) => kind !== 'not-understood' && kind.startsWith('refund') === isOfRefund)
        .map(({ billed: count, billedAmount: amount }) => ({ count, amount })),
    );
  return {
    bill: {
      payments: sumOf([payments]),
      refunds: sumOf([refunds]),
      other: sumOf([other]),
      fees: sumOf(lines.map(({ count, fees: amount }) => ({ count, amount }))).amount,
    },
    matched: {
      payments: less(payments, billed(false)),
      refunds: less(refunds, billed(true)),
    },
    foreign: sumOf(
      [payments, refunds].map(({ foreign: count, foreignAmount: amount }) => ({ count, amount })),
    ),
    discrepancies: Object.fromEntries(kinds.map((figures) => [figures.kind, kindOf(figures)])),
    open: kinds.reduce((sum, { open }) => sum + open, 0),
  };
}

/** Lines that are neither another application's nor in a discrepancy. */
const less = ({ count, amount, foreign, foreignAmount }: LineFigures, open: Sum): Sum => ({
  count: count - foreign - open.count,
  amount: toYuan(toFen(amount) - toFen(foreignAmount) - toFen(open.amount)),
});

const kindOf = ({ found, open, openAmount }: KindFigures): KindOfDiscrepancy => ({
  found,
  repaired: found - open,
  open,
  openAmount: toYuan(toFen(openAmount)),
});

const sumOf = (sums: readonly Sum[]): Sum => ({
  count: sums.reduce((all, { count }) => all + count, 0),
  amount: toYuan(sums.reduce((all, { amount }) => all + toFen(amount), 0)),
});
