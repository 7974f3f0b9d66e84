import type { LedgerLine } from '../../sandbox';
import type { Database } from '../../db/connect';
import { row, rows } from '../../db/connect';
import type { OrderStatus, StoredPaymentStatus } from '../../workflows/messages';

/** One payment as our tables have it. Integer fen. */
interface OurLine {
  outTradeNo: string;
  orderId: string;
  orderStatus: OrderStatus;
  status: StoredPaymentStatus;
  inReview: boolean;
  totalFen: number;
  refundedFen: number;
}

/** Alipay's books against ours. */
export interface Balance {
  payments: number;
  orders: number;
  paid: number;
  refunded: number;
  closed: number;
  review: number;
  /** Neither here nor there: UNPAID or REFUNDING. 0 at rest, but for what a review holds. */
  open: number;
  /** What Alipay took and gave back, by its books and by ours, fen; without what is in review. */
  taken: { alipay: number; ours: number };
  givenBack: { alipay: number; ours: number };
  /** What Alipay took for payments that are in review, fen. */
  takenInReview: number;
  /** Payments whose money Alipay has, and that are neither PAID nor in review here. */
  lost: string[];
  /** Orders paid for twice, payments refunded twice, good payments refunded by us. */
  doubled: string[];
  /** Payments whose sums differ by a fen or more. */
  differing: string[];
  /** Results that the order service should know, those that it acted on, and orders with none or more than one. */
  results: { written: number; actedOn: number; undelivered: number; wrong: string[] };
}

/** Strikes the balance. */
export async function strikeBalance(db: Database, books: LedgerLine[]): Promise<Balance> {
  const ours = await ourLines(db);
  const alipay = new Map(books.map((line) => [line.outTradeNo, line]));
  const known = new Set(ours.map(({ outTradeNo }) => outTradeNo));
  const count = (holds: (line: OurLine) => boolean): number => ours.filter(holds).length;
  const settled = ours.filter(({ inReview }) => !inReview);
  const inReview = ours.filter((line) => line.inReview);
  const theirs = ({ outTradeNo }: OurLine): Pick<LedgerLine, 'paidFen' | 'refundedFen'> =>
    alipay.get(outTradeNo) ?? { paidFen: 0, refundedFen: 0 };

  return {
    payments: ours.length,
    orders: new Set(ours.map(({ orderId }) => orderId)).size,
    paid: count(({ status, inReview: held }) => status === 'PAID' && !held),
    refunded: count(({ status }) => status === 'REFUNDED'),
    closed: count(({ status }) => status === 'CLOSED'),
    review: inReview.length,
    open: count(({ status }) => status === 'UNPAID' || status === 'REFUNDING'),
    taken: { alipay: sum(settled, (line) => theirs(line).paidFen), ours: sum(settled, takenByOurBooks) },
    givenBack: {
      alipay: sum(settled, (line) => theirs(line).refundedFen),
      ours: sum(settled, ({ refundedFen }) => refundedFen),
    },
    takenInReview: sum(inReview, (line) => theirs(line).paidFen - theirs(line).refundedFen),
    lost: [
      ...settled
        .filter((line) => line.status !== 'PAID' && theirs(line).paidFen > theirs(line).refundedFen)
        .map(({ outTradeNo }) => outTradeNo),
      ...books.filter((line) => !known.has(line.outTradeNo)).map(({ outTradeNo }) => outTradeNo),
    ],
    doubled: doubled(ours, alipay),
    differing: settled
      .filter(
        (line) =>
          takenByOurBooks(line) !== theirs(line).paidFen || line.refundedFen !== theirs(line).refundedFen,
      )
      .map(({ outTradeNo }) => outTradeNo),
    results: await results(db),
  };
}

/** Whether the ledger's rules held. */
export function isBalanced({
  lost,
  doubled: twice,
  differing,
  results: told,
  open,
  review,
}: Balance): boolean {
  const restless = review === 0 && open > 0;
  return (
    [lost, twice, differing, told.wrong].every(({ length }) => length === 0) &&
    told.undelivered === 0 &&
    !restless
  );
}

/** A CLOSED row whose money came and went back again (in the merchant portal) knows what went back. */
function takenByOurBooks({ status, totalFen, refundedFen }: OurLine): number {
  return status === 'PAID' || status === 'REFUNDED' ? totalFen : refundedFen;
}

function doubled(ours: OurLine[], alipay: Map<string, LedgerLine>): string[] {
  const paid = ours.filter(({ status }) => status === 'PAID');
  const twice = paid.filter((line) => paid.some((other) => other !== line && other.orderId === line.orderId));
  const overRefunded = [...alipay.values()].filter(({ paidFen, refundedFen }) => refundedFen > paidFen);
  // An order is PAID by one payment that stays PAID; refunding a good payment would leave it without.
  const unpaidFor = ours.filter(
    (line) => line.orderStatus === 'PAID' && !paid.some(({ orderId }) => orderId === line.orderId),
  );
  return [...new Set([...twice, ...overRefunded, ...unpaidFor].map(({ outTradeNo }) => outTradeNo))];
}

function sum<T>(all: T[], fen: (one: T) => number): number {
  return all.reduce((total, one) => total + fen(one), 0);
}

async function ourLines(db: Database): Promise<OurLine[]> {
  return rows(
    db,
    `SELECT p.out_trade_no AS "outTradeNo", p.order_id AS "orderId", o.status AS "orderStatus", p.status,
       p.status = 'REVIEW' OR p.review_reason IS NOT NULL AS "inReview",
       CAST(p.total_amount * 100 AS float8) AS "totalFen", CAST(p.refunded_amount * 100 AS float8) AS "refundedFen"
     FROM payments p JOIN orders o ON o.id = p.order_id`,
  );
}

async function results(db: Database): Promise<Balance['results']> {
  const counted = await row<Omit<Balance['results'], 'wrong'>>(
    db,
    `SELECT (SELECT count(*)::int FROM order_messages) AS written, (SELECT count(*)::int FROM order_log) AS "actedOn",
       (SELECT count(*)::int FROM order_messages WHERE told_at IS NULL) AS undelivered`,
  );
  const wrong = await rows<{ id: string }>(
    db,
    `SELECT o.id FROM orders o WHERE
       (SELECT count(*) FROM order_log l WHERE l.order_id = o.id AND l.status IN ('PAID', 'CLOSED'))
         <> CASE WHEN o.status = 'UNPAID' THEN 0 ELSE 1 END
       OR NOT EXISTS (SELECT FROM order_log l WHERE l.order_id = o.id AND l.status = o.status) AND o.status <> 'UNPAID'
     UNION SELECT order_id FROM order_messages m
       WHERE NOT EXISTS (SELECT FROM order_log l WHERE l.message_id = m.id AND l.status = m.status)
     UNION SELECT order_id FROM order_log l WHERE NOT EXISTS (SELECT FROM order_messages m WHERE m.id = l.message_id)`,
  );
  return {
    ...(counted ?? { written: 0, actedOn: 0, undelivered: 0 }),
    wrong: wrong.map(({ id }) => id),
  };
}
