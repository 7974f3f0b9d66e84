import { describe, expect, it } from '@jest/globals';
import type { Decision, Standing } from '../../db/rules';
import { decideClosed, decidePaid } from '../../db/rules';
import type { LatePaymentPolicy, OrderStatus, StoredPaymentStatus } from '../../workflows/messages';

const ORDERS: readonly OrderStatus[] = ['UNPAID', 'PAID', 'CLOSED'];
const PAYMENTS: readonly StoredPaymentStatus[] = [
  'UNPAID',
  'PAID',
  'CLOSED',
  'REFUNDING',
  'REFUNDED',
  'REVIEW',
];
const POLICIES: readonly LatePaymentPolicy[] = ['refund', 'review'];
const TOTAL = '12.30';

const short = (decision: Decision): string => {
  if (decision.do === 'nothing') return '-';
  const reason = decision.reason ? ` ${decision.reason}` : '';
  return decision.do === 'flag' ? `flag${reason}` : `${decision.to}${reason}`;
};

/** The arrows that evidence may follow (docs: States); a person's decisions are not among them. */
const ARROWS = new Set([
  'UNPAID>PAID',
  'UNPAID>CLOSED',
  'UNPAID>REFUNDING',
  'CLOSED>REFUNDING',
  'REFUNDING>REFUNDED',
  'UNPAID>REVIEW',
  'CLOSED>REVIEW',
  'REFUNDING>REVIEW',
]);

type Row = readonly [order: OrderStatus, payment: StoredPaymentStatus, refund: string, review: string];

/** Alipay says that exactly the order's amount was paid. */
const PAID_IN_FULL: readonly Row[] = [
  ['UNPAID', 'UNPAID', 'PAID', 'PAID'],
  ['UNPAID', 'CLOSED', 'REFUNDING', 'REVIEW LATE_PAYMENT'],
  ['PAID', 'UNPAID', 'REFUNDING', 'REVIEW DUPLICATE_PAYMENT'],
  ['PAID', 'CLOSED', 'REFUNDING', 'REVIEW DUPLICATE_PAYMENT'],
  ['CLOSED', 'UNPAID', 'REFUNDING', 'REVIEW LATE_PAYMENT'],
  ['CLOSED', 'CLOSED', 'REFUNDING', 'REVIEW LATE_PAYMENT'],
  ...ORDERS.flatMap((order) =>
    (['PAID', 'REFUNDING', 'REFUNDED', 'REVIEW'] as const).map((payment): Row => [order, payment, '-', '-']),
  ),
];

/** Alipay says that another amount was paid, or one that is no amount. */
const PAID_OTHERWISE: Record<StoredPaymentStatus, string> = {
  UNPAID: 'REVIEW AMOUNT_DIFFERS',
  CLOSED: 'REVIEW AMOUNT_DIFFERS',
  REFUNDING: 'REVIEW AMOUNT_DIFFERS',
  PAID: 'flag AMOUNT_DIFFERS',
  REFUNDED: '-',
  REVIEW: '-',
};

describe('Alipay says that the money was taken', () => {
  it('has a rule for every standing of order and payment', () => {
    expect(new Set(PAID_IN_FULL.map(([order, payment]) => `${order} ${payment}`)).size).toBe(
      ORDERS.length * PAYMENTS.length,
    );
  });

  it.each(PAID_IN_FULL)('order %s, payment %s: by policy refund %s, review %s', (order, payment, ...to) => {
    const standing: Standing = { order, payment, totalAmount: TOTAL };
    for (const amount of [TOTAL, '12.3']) {
      expect(POLICIES.map((policy) => short(decidePaid(standing, amount, policy)))).toEqual(to);
    }
  });

  it.each(Object.entries(PAID_OTHERWISE))('another amount, payment %s: %s', (payment, expected) => {
    for (const order of ORDERS) {
      for (const policy of POLICIES) {
        for (const amount of ['12.31', '12.29', '0.00', '1230', '', 'NaN', '-12.30', '1.23e1', '12.300']) {
          const standing = { order, payment: payment as StoredPaymentStatus, totalAmount: TOTAL };
          expect(short(decidePaid(standing, amount, policy))).toBe(expected);
        }
      }
    }
  });
});

type Closed = { wasPaid: boolean; refundedAmount?: string };

/** What TRADE_CLOSED says beside itself: nothing, that money had come, or that some or all of it went back. */
const SAID = {
  nothing: { wasPaid: false },
  paid: { wasPaid: true },
  'refunded in part': { wasPaid: true, refundedAmount: '2.30' },
  'refunded in full': { wasPaid: true, refundedAmount: '12.30' },
  'refunded in full, without a time of payment': { wasPaid: false, refundedAmount: '12.30' },
} as const satisfies Record<string, Closed>;

const REVIEW = 'REVIEW CLOSED_AFTER_PAYMENT';
const FLAG = 'flag CLOSED_AFTER_PAYMENT';

const TRADE_CLOSED: Record<StoredPaymentStatus, Record<keyof typeof SAID, string>> = {
  UNPAID: row('CLOSED', REVIEW, REVIEW, REVIEW, REVIEW),
  CLOSED: row('-', REVIEW, REVIEW, '-', '-'),
  PAID: row(FLAG, FLAG, FLAG, '-', '-'),
  REFUNDING: row('-', '-', '-', '-', '-'),
  REFUNDED: row('-', '-', '-', '-', '-'),
  REVIEW: row('-', '-', '-', '-', '-'),
};

function row(...to: [string, string, string, string, string]): Record<keyof typeof SAID, string> {
  return Object.fromEntries(Object.keys(SAID).map((said, i) => [said, to[i]])) as never;
}

describe('Alipay says TRADE_CLOSED', () => {
  const cases = Object.entries(TRADE_CLOSED).flatMap(([payment, by]) =>
    Object.entries(by).map(
      ([said, to]) => [payment, said, to] as [StoredPaymentStatus, keyof typeof SAID, string],
    ),
  );

  it.each(cases)('payment %s, told %s: %s, whatever the order is', (payment, said, expected) => {
    for (const order of ORDERS) {
      expect(short(decideClosed({ order, payment, totalAmount: TOTAL }, SAID[said]))).toBe(expected);
    }
  });
});

describe('whatever Alipay says', () => {
  const everything: Array<[Standing, Decision]> = ORDERS.flatMap((order) =>
    PAYMENTS.flatMap((payment) => {
      const standing = { order, payment, totalAmount: TOTAL };
      return [
        ...POLICIES.flatMap((policy) =>
          [TOTAL, '1.00', ''].map((amount) => decidePaid(standing, amount, policy)),
        ),
        ...Object.values(SAID).map((said) => decideClosed(standing, said)),
      ].map((decision): [Standing, Decision] => [standing, decision]);
    }),
  );

  it('no status moves backwards', () => {
    for (const [{ payment }, decision] of everything) {
      if (decision.do === 'move') expect(ARROWS).toContain(`${payment}>${decision.to}`);
    }
  });

  it('only an UNPAID payment of an UNPAID order becomes PAID', () => {
    const paid = everything.filter(([, decision]) => decision.do === 'move' && decision.to === 'PAID');
    expect(new Set(paid.map(([{ order, payment }]) => `${order} ${payment}`))).toEqual(
      new Set(['UNPAID UNPAID']),
    );
  });

  it("a PAID payment is never moved: the order's own payment is never taken for a duplicate", () => {
    const ofPaid = everything.filter(([{ payment }]) => payment === 'PAID');
    expect(ofPaid.map(([, decision]) => decision.do)).not.toContain('move');
  });
});
