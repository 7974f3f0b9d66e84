import { describe, expect, it } from '@jest/globals';
import { messageId } from '../../db/order-messages';
import { OWN_REFUND_NUMBER, ownRefundNumber } from '../../db/refunds';
import type { ClosedTrade, Decision, PaymentFacts, Standing } from '../../db/rules';
import { decideClosed, decidePaid, isNews } from '../../db/rules';
import type { LatePaymentPolicy, OrderStatus, StoredPaymentStatus } from '../../workflows/messages';
import { factsOf } from './rows';

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

const standing = (
  order: OrderStatus,
  status: StoredPaymentStatus,
  more: Partial<PaymentFacts> = {},
): Standing => ({ order: { status: order, totalAmount: TOTAL }, payment: factsOf(status, more) });

const short = (decision: Decision): string => {
  if (decision.kind === 'nothing') return '-';
  const reason = decision.reason ? ` ${decision.reason}` : '';
  return decision.kind === 'flag' ? `flag${reason}` : `${decision.to}${reason}`;
};

/** The transitions that evidence may cause (docs: States), without a person's decisions. */
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

/** Alipay says that another amount was paid, or something that is not an amount. */
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
    for (const amount of [TOTAL, '12.3']) {
      expect(POLICIES.map((policy) => short(decidePaid(standing(order, payment), amount, policy)))).toEqual(
        to,
      );
    }
  });

  it.each([
    ['superseded, though the price is the old one again', { supersededAt: new Date() }, TOTAL],
    ['of another amount than the order', {}, '9.90'],
  ])('a payment %s never pays it: it is late', (_what, more, totalAmount) => {
    const old = { order: { status: 'UNPAID' as const, totalAmount }, payment: factsOf('UNPAID', more) };
    expect(POLICIES.map((policy) => short(decidePaid(old, TOTAL, policy)))).toEqual([
      'REFUNDING',
      'REVIEW LATE_PAYMENT',
    ]);
  });

  it.each(Object.entries(PAID_OTHERWISE))('another amount, payment %s: %s', (payment, expected) => {
    for (const order of ORDERS) {
      for (const policy of POLICIES) {
        for (const amount of ['12.31', '12.29', '0.00', '1230', '', 'NaN', '-12.30', '1.23e1', '12.300']) {
          const row = standing(order, payment as StoredPaymentStatus);
          expect(short(decidePaid(row, amount, policy))).toBe(expected);
        }
      }
    }
  });

  it("an amount that a person has accepted is no surprise any more; the order's own would be one", () => {
    const accepted = standing('PAID', 'PAID', { paidAmount: '12.31', acceptedAmount: '12.31' });
    expect(short(decidePaid(accepted, '12.31', 'refund'))).toBe('-');
    expect(short(decidePaid(accepted, TOTAL, 'refund'))).toBe('flag AMOUNT_DIFFERS');
  });

  it('of a payment being refunded, what was paid is no surprise, and anything else is', () => {
    const refunding = standing('CLOSED', 'REFUNDING', { paidAmount: '12.31' });
    expect(short(decidePaid(refunding, '12.31', 'refund'))).toBe('-');
    expect(short(decidePaid(refunding, TOTAL, 'refund'))).toBe('REVIEW AMOUNT_DIFFERS');
  });
});

/** What TRADE_CLOSED says in addition: nothing, that money had come, or that some or all of it went back. */
const SAID = {
  nothing: { wasPaid: false },
  paid: { wasPaid: true },
  'refunded in part': { wasPaid: true, refundedAmount: '2.30' },
  'refunded in full': { wasPaid: true, refundedAmount: '12.30' },
  'refunded in full, without a time of payment': { wasPaid: false, refundedAmount: '12.30' },
} as const satisfies Record<string, ClosedTrade>;

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
      expect(short(decideClosed(standing(order, payment), SAID[said]))).toBe(expected);
    }
  });

  it('of a payment that is known to be refunded in full: nothing, though Alipay says of no refund', () => {
    for (const paidAmount of [TOTAL, null]) {
      const refunded = standing('PAID', 'PAID', { paidAmount, refundedAmount: TOTAL });
      expect(short(decideClosed(refunded, { wasPaid: true }))).toBe('-');
    }
  });

  it("a refund of the order's amount is not the whole of another amount that was paid", () => {
    const accepted = { paidAmount: '12.31', acceptedAmount: '12.31' };
    const trade = { wasPaid: true, refundedAmount: TOTAL };
    expect(short(decideClosed(standing('PAID', 'PAID', accepted), trade))).toBe(FLAG);
    expect(
      short(decideClosed(standing('PAID', 'PAID', accepted), { ...trade, refundedAmount: '12.31' })),
    ).toBe('-');
  });

  it('of a row that has evidence of a payment: never "nobody paid"', () => {
    for (const evidence of [{ paidAmount: TOTAL }, { tradeNo: '2026' }, { refundedAmount: '1.00' }]) {
      expect(short(decideClosed(standing('CLOSED', 'UNPAID', evidence), { wasPaid: false }))).toBe(REVIEW);
    }
  });
});

describe('whatever Alipay says', () => {
  const everything: Array<[Standing, Decision]> = ORDERS.flatMap((order) =>
    PAYMENTS.flatMap((payment) => {
      const row = standing(order, payment);
      return [
        ...POLICIES.flatMap((policy) => [TOTAL, '1.00', ''].map((amount) => decidePaid(row, amount, policy))),
        ...Object.values(SAID).map((said) => decideClosed(row, said)),
      ].map((decision): [Standing, Decision] => [row, decision]);
    }),
  );

  it('no status moves backwards', () => {
    for (const [{ payment }, decision] of everything) {
      if (decision.kind === 'move') expect(ARROWS).toContain(`${payment.status}>${decision.to}`);
    }
  });

  it('only an UNPAID payment of an UNPAID order becomes PAID', () => {
    const paid = everything.filter(([, decision]) => decision.kind === 'move' && decision.to === 'PAID');
    expect(new Set(paid.map(([{ order, payment }]) => `${order.status} ${payment.status}`))).toEqual(
      new Set(['UNPAID UNPAID']),
    );
  });

  it("a PAID payment is never moved: the order's own payment is never taken for a duplicate", () => {
    const ofPaid = everything.filter(([{ payment }]) => payment.status === 'PAID');
    expect(ofPaid.map(([, decision]) => decision.kind)).not.toContain('move');
  });
});

describe('what may be news', () => {
  const paid = { kind: 'paid', totalAmount: TOTAL, paidAt: null } as const;
  const closed = { kind: 'closed', totalAmount: TOTAL, paidAt: null } as const;

  it('is every decision that would change a row: nothing that matters counts as recorded unseen', () => {
    const at = new Date();
    for (const order of ORDERS) {
      for (const status of PAYMENTS) {
        const row = standing(order, status);
        for (const totalAmount of [TOTAL, '12.31']) {
          if (decidePaid(row, totalAmount, 'refund').kind === 'nothing') continue;
          expect(isNews(row.payment, { ...paid, totalAmount })).toBe(true);
        }
        for (const paidAt of [null, at]) {
          if (decideClosed(row, { wasPaid: paidAt !== null }).kind === 'nothing') continue;
          expect(isNews(row.payment, { ...closed, paidAt })).toBe(true);
        }
      }
    }
  });

  it('is not a repeat, nor the TRADE_FINISHED of months later, nor that a trade waits', () => {
    expect(isNews(factsOf('PAID'), paid)).toBe(false);
    expect(isNews(factsOf('REFUNDED'), paid)).toBe(false);
    expect(isNews(factsOf('CLOSED'), closed)).toBe(false);
    expect(isNews(factsOf('UNPAID'), { ...paid, kind: 'nothing' })).toBe(false);
    expect(isNews(factsOf('PAID', { acceptedAmount: '12.31' }), { ...paid, totalAmount: '12.31' })).toBe(
      false,
    );
  });

  it('is a refund that the row does not know of, and of a row in doubt everything', () => {
    expect(isNews(factsOf('PAID'), { ...paid, refundedAmount: '2.30' })).toBe(true);
    expect(isNews(factsOf('PAID', { refundedAmount: '2.30' }), { ...paid, refundedAmount: '2.30' })).toBe(
      false,
    );
    expect(isNews(factsOf('REVIEW'), paid)).toBe(true);
    expect(isNews(factsOf('REFUNDING'), paid)).toBe(true);
  });
});

describe('the number of a refund that we decide upon ourselves', () => {
  it('says who decided, and which of its payment it is', () => {
    expect(ownRefundNumber('operator', 'P1', 1)).toBe('OPERATOR_P1');
    expect(ownRefundNumber('late', 'P1', 1)).toBe('LATE_P1');
    expect(ownRefundNumber('duplicate', 'P1', 2)).toBe('LATE2_P1');
  });

  it('has at most the 64 characters that Alipay takes, and is another one for each payment', () => {
    const longest = ['a', 'b'].map((last) => `${'x'.repeat(63)}${last}`);
    const numbers = longest.flatMap((outTradeNo) => [
      ownRefundNumber('late', outTradeNo, 1),
      ownRefundNumber('operator', outTradeNo, 12),
    ]);
    expect(new Set(numbers).size).toBe(4);
    for (const number of numbers) {
      expect(number.length).toBeLessThanOrEqual(64);
      expect(number).toMatch(OWN_REFUND_NUMBER);
    }
    expect(ownRefundNumber('late', longest[0] ?? '', 1)).toBe(numbers[0]);
  });
});

it("a result's id says what is told: of which payment, or of which order where there is none", () => {
  const told = { orderId: 'A-1', outTradeNo: 'P1', amount: '12.30' } as const;
  const refund = { id: 'R-17', amount: '2.30' };
  expect(messageId({ ...told, status: 'CLOSED' })).toBe('CLOSED-A-1');
  expect(messageId({ ...told, status: 'PAID' })).toBe('PAID-P1');
  expect(messageId({ ...told, status: 'PARTIALLY_REFUNDED', refund })).toBe('REFUND-P1-R-17');
  expect(messageId({ ...told, status: 'REFUNDED', refund: { ...refund, id: null } })).toBe('REFUND-P1-12.30');
  expect(messageId({ ...told, outTradeNo: null, status: 'PAID' })).toBe('PAID-A-1');
  expect(messageId({ ...told, outTradeNo: null, status: 'REFUNDED', refund })).toBe('REFUND-A-1-R-17');
});
