import { toFen } from '../../db/money';
import type { Facts } from './checker';
import { Books, inReview } from './checker/rule';

/** Alipay's books and ours, in sums: fen. */
export interface Balance {
  payments: number;
  orders: number;
  paid: number;
  refunded: number;
  closed: number;
  review: number;
  /** Not settled: UNPAID or REFUNDING. 0 at rest, except what a review holds. */
  open: number;
  /** What Alipay took and gave back, by its books and by ours; without what is in review. */
  taken: { alipay: number; ours: number };
  givenBack: { alipay: number; ours: number };
  /** What Alipay took for payments that are in review. */
  takenInReview: number;
  /** Results that the order service should know, and those that it acted on. */
  results: { written: number; actedOn: number; undelivered: number };
}

export function strikeBalance(facts: Facts): Balance {
  const { payments, orders, messages, acts } = facts;
  const books = new Books(facts);
  const settled = payments.filter((payment) => !inReview(payment));
  const reviewed = payments.filter(inReview);
  const sum = <T>(all: readonly T[], fen: (one: T) => number): number =>
    all.reduce((total, one) => total + fen(one), 0);
  const count = (...statuses: string[]): number =>
    settled.filter(({ status }) => statuses.includes(status)).length;
  return {
    payments: payments.length,
    orders: orders.length,
    paid: count('PAID'),
    refunded: count('REFUNDED'),
    closed: count('CLOSED'),
    review: reviewed.length,
    open: count('UNPAID', 'REFUNDING'),
    taken: {
      alipay: sum(settled, ({ outTradeNo }) => books.moneyOf(outTradeNo).taken),
      // A CLOSED row whose money came and went back again, in the merchant portal, knows what went back.
      ours: sum(settled, ({ status, paidAmount, refundedAmount }) =>
        toFen(status === 'PAID' || status === 'REFUNDED' ? (paidAmount ?? '0') : refundedAmount),
      ),
    },
    givenBack: {
      alipay: sum(settled, ({ outTradeNo }) => books.moneyOf(outTradeNo).back),
      ours: sum(settled, ({ refundedAmount }) => toFen(refundedAmount)),
    },
    takenInReview: sum(reviewed, ({ outTradeNo }) => {
      const { taken, back } = books.moneyOf(outTradeNo);
      return taken - back;
    }),
    results: {
      written: messages.length,
      actedOn: acts.length,
      undelivered: messages.filter(({ toldAt }) => toldAt === null).length,
    },
  };
}
