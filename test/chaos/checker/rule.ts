import { toFen } from '../../../db/money';
import type { TradeView } from '../../../sandbox';
import type { EventFact, Facts, PaymentFact } from './facts';

/** What a broken rule leads to. */
export type Harm = 'lost' | 'doubled' | 'wrong' | 'stuck';

/** One promise of docs/money.md, checked. */
export interface Rule {
  name: string;
  /** What it promises, after the number of the rule there. */
  says: string;
  harm: Harm;
  /** Judged only once nothing moves any more. */
  onlyAtRest?: true;
  /** What breaks it: the payment or the order, and how. */
  broken: (facts: Facts, books: Books) => Iterable<Breach>;
}

export interface Breach {
  outTradeNo?: string | undefined;
  orderId?: string | undefined;
  how: string;
}

/** The facts, indexed by their keys. */
export class Books {
  readonly trades: ReadonlyMap<string, TradeView>;
  readonly payments: ReadonlyMap<string, PaymentFact>;
  readonly #events: ReadonlyMap<string, EventFact[]>;
  readonly #ofOrder: ReadonlyMap<string, PaymentFact[]>;

  constructor(facts: Facts) {
    this.trades = new Map(facts.trades.map((trade) => [trade.outTradeNo, trade]));
    this.payments = new Map(facts.payments.map((payment) => [payment.outTradeNo, payment]));
    this.#events = grouped(facts.events, ({ outTradeNo }) => outTradeNo ?? '');
    this.#ofOrder = grouped(facts.payments, ({ orderId }) => orderId);
  }

  eventsOf(outTradeNo: string): readonly EventFact[] {
    return this.#events.get(outTradeNo) ?? [];
  }

  paymentsOf(orderId: string): readonly PaymentFact[] {
    return this.#ofOrder.get(orderId) ?? [];
  }

  /** Fen that Alipay took and gave back. */
  moneyOf(outTradeNo: string): { taken: number; back: number } {
    const trade = this.trades.get(outTradeNo);
    if (trade?.paidAt === undefined) return { taken: 0, back: 0 };
    return { taken: toFen(trade.totalAmount), back: toFen(trade.refundedAmount) };
  }
}

export const inReview = ({ status, reviewReason }: PaymentFact): boolean =>
  status === 'REVIEW' || reviewReason !== null;

/** Nothing is left to do. */
export const isSettled = (payment: PaymentFact): boolean =>
  !inReview(payment) && ['PAID', 'CLOSED', 'REFUNDED'].includes(payment.status);

/** In their original order; Node 20 has no Map.groupBy. */
export function grouped<Key, One>(all: readonly One[], keyOf: (one: One) => Key): Map<Key, One[]> {
  const groups = new Map<Key, One[]>();
  for (const one of all) {
    const group = groups.get(keyOf(one));
    if (group) group.push(one);
    else groups.set(keyOf(one), [one]);
  }
  return groups;
}
