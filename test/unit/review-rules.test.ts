import { describe, expect, it } from '@jest/globals';
import type { FreshAnswer, FreshRefund, Proposal, Verdict } from '../../db/review-rules';
import { isDecided, judge, judgeRefund, leftToReturn, takenBy } from '../../db/review-rules';
import type { PaymentFacts } from '../../db/rules';
import { REVIEW_REASONS } from '../../db/rules';
import { isInReview } from '../../workflows/messages';
import type { OrderStatus, ReviewOutcome, StoredPaymentStatus } from '../../workflows/messages';
import { factsOf } from './rows';

const TOTAL = '12.30';
const OUTSIDE = { reference: 'ICBC 20261129-17' };

const OUTCOMES: readonly ReviewOutcome[] = ['PAID', 'REFUNDING', 'REFUNDED', 'CLOSED', 'REVIEW'];
const STATUSES: readonly StoredPaymentStatus[] = [
  'UNPAID',
  'PAID',
  'CLOSED',
  'REFUNDING',
  'REFUNDED',
  'REVIEW',
];

/** What the row knows of a payment. */
const EVIDENCE = {
  none: {},
  'what was paid': { paidAmount: TOTAL, tradeNo: '2026' },
  'another amount': { paidAmount: '12.31', tradeNo: '2026' },
  'a part refunded': { paidAmount: TOTAL, tradeNo: '2026', refundedAmount: '2.30' },
} as const satisfies Record<string, Partial<PaymentFacts>>;

const STATUS_OF = {
  paid: 'TRADE_SUCCESS',
  waiting: 'WAIT_BUYER_PAY',
  'not-exist': null,
  closed: 'TRADE_CLOSED',
} as const;

const ANSWERS: readonly FreshAnswer[] = (['paid', 'waiting', 'not-exist', 'closed'] as const).flatMap(
  (answer) =>
    [false, true].flatMap((wasPaid) =>
      [false, true].flatMap((isFinished) =>
        [false, true].map((isRefunded) => ({
          answer,
          wasPaid: answer === 'paid' || (answer === 'closed' && wasPaid),
          tradeStatus: answer === 'paid' && isFinished ? 'TRADE_FINISHED' : STATUS_OF[answer],
          isRefunded: (answer === 'paid' || answer === 'closed') && isRefunded,
          totalAmount: answer === 'not-exist' ? '0.00' : TOTAL,
        })),
      ),
    ),
);

type OrderOf = Pick<Proposal, 'order' | 'paidItsOrder'> & { isSuperseded?: boolean };

const ORDERS: readonly OrderOf[] = [
  { order: 'UNPAID', paidItsOrder: false },
  { order: 'UNPAID', paidItsOrder: false, isSuperseded: true },
  { order: 'PAID', paidItsOrder: true },
  { order: 'PAID', paidItsOrder: false },
  { order: 'CLOSED', paidItsOrder: false },
];

const REASONS: readonly (string | null)[] = [
  null,
  ...Object.values(REVIEW_REASONS),
  'REFUND_REFUSED ACQ.TRADE_HAS_FINISHED',
  'REFUND_REFUSED ACQ.SELLER_BALANCE_NOT_ENOUGH',
  'REFUND_REFUSED ACQ.TRADE_NOT_ALLOW_REFUND',
];

interface Case {
  payment: PaymentFacts;
  order: OrderOf;
  fresh: FreshAnswer;
}

const facts = (status: StoredPaymentStatus, more: Partial<PaymentFacts> = {}): PaymentFacts =>
  factsOf(status, { reviewReason: status === 'REVIEW' ? 'a test' : null, ...more });

const EVERYTHING: readonly Case[] = STATUSES.flatMap((status) =>
  REASONS.filter((reason) => reason === null || status === 'REVIEW' || status === 'PAID').flatMap(
    (reviewReason) =>
      Object.values(EVIDENCE).flatMap((evidence) =>
        ORDERS.flatMap((order) =>
          ANSWERS.map((fresh) => ({ payment: facts(status, { ...evidence, reviewReason }), order, fresh })),
        ),
      ),
  ),
);

const verdictOf = (
  { payment, order, fresh }: Case,
  to: ReviewOutcome,
  more: Partial<Proposal> = {},
): Verdict => judge(payment, { to, isSuperseded: false, ...order, refundMayCome: false, ...more }, fresh);

/** Tries every decision that a person could make on a case; returns those that end it. */
function exits(one: Case): string[] {
  return OUTCOMES.flatMap((to) => [
    ...(endsBy(one, to) ? [to] : []),
    ...(to === 'REFUNDED' && endsBy(one, to, { outside: OUTSIDE }) ? ['REFUNDED outside'] : []),
  ]);
}

/** Whether a decision is accepted, and no person has to decide about the payment afterwards. */
function endsBy(one: Case, to: ReviewOutcome, more: Partial<Proposal> = {}): boolean {
  const verdict = verdictOf(one, to, more);
  if (verdict.kind === 'refused') return false;
  if (verdict.kind === 'close-first') {
    return endsBy({ ...one, fresh: { ...one.fresh, answer: 'closed' } }, to, more);
  }
  switch (to) {
    case 'REFUNDING':
      return canRefund(one) || (!isRefused(one) && exits(refusedRefund(one)).length > 0);
    case 'REVIEW':
      return exits({ ...one, payment: { ...one.payment, status: 'REVIEW' } }).length > 0;
    case 'PAID':
    case 'REFUNDED':
    case 'CLOSED':
      return true;
  }
}

/** Alipay refunds what is not finished, unless it has refused that for good. An empty account may be topped up. */
const canRefund = ({ payment, fresh }: Case): boolean =>
  fresh.tradeStatus !== 'TRADE_FINISHED' && !/^REFUND_REFUSED ACQ\.TRADE_/.test(payment.reviewReason ?? '');

const isRefused = ({ payment }: Case): boolean =>
  /^REFUND_REFUSED ACQ\.TRADE_/.test(payment.reviewReason ?? '');

/** The decision to refund is refused by Alipay. */
const refusedRefund = (one: Case): Case => ({
  ...one,
  payment: { ...one.payment, status: 'REVIEW', reviewReason: 'REFUND_REFUSED ACQ.TRADE_HAS_FINISHED' },
});

describe('what waits for a person', () => {
  const waiting = EVERYTHING.filter(({ payment }) => isInReview(payment) || payment.status === 'REFUNDING');

  it('is every payment in REVIEW, PAID and flagged, or REFUNDING, with every answer of Alipay', () => {
    expect(new Set(waiting.map(({ payment }) => payment.status))).toEqual(
      new Set(['REVIEW', 'PAID', 'REFUNDING']),
    );
    expect(waiting.length).toBeGreaterThan(5_000);
  });

  it('has a decision that ends it, whatever Alipay answers', () => {
    expect(waiting.filter((one) => exits(one).length === 0)).toEqual([]);
  });

  it('is never CLOSED where anything says that it was paid', () => {
    for (const one of waiting) {
      const { payment, fresh } = one;
      const wasPaid =
        payment.paidAmount !== null || payment.status !== 'REVIEW' || fresh.wasPaid || fresh.isRefunded;
      if (wasPaid) expect(verdictOf(one, 'CLOSED').kind).toBe('refused');
    }
  });

  it("never pays an order that is closed, or another payment's", () => {
    for (const one of waiting.filter(({ payment }) => payment.status === 'REVIEW')) {
      const { order, paidItsOrder } = one.order;
      if (order !== 'UNPAID' && !paidItsOrder) expect(verdictOf(one, 'PAID').kind).toBe('refused');
    }
  });

  it('never pays an order at a price that it no longer has', () => {
    for (const one of waiting.filter(({ payment }) => payment.status === 'REVIEW')) {
      if (one.order.isSuperseded) expect(verdictOf(one, 'PAID').kind).toBe('refused');
    }
  });

  it('is never PAID, nor paid back outside, while a refund that was stopped may still come', () => {
    for (const one of waiting.filter(({ payment }) => payment.status !== 'REFUNDING')) {
      const more = { refundMayCome: true };
      // One that is PAID and flagged may stay so while a part of it is refunded.
      if (one.payment.status === 'REVIEW') expect(verdictOf(one, 'PAID', more).kind).toBe('refused');
      expect(verdictOf(one, 'REFUNDED', { ...more, outside: OUTSIDE }).kind).toBe('refused');
    }
  });
});

describe('what waits for nobody', () => {
  const row = (status: StoredPaymentStatus, more: Partial<PaymentFacts> = {}) => ({
    ...facts(status, more),
    outsideReference: null,
  });
  const settled = EVERYTHING.filter(({ payment }) => !isInReview(payment) && payment.status !== 'REFUNDING');

  it('may only be refunded, if it is PAID and Alipay has the money', () => {
    for (const one of settled) {
      const mayRefund = one.payment.status === 'PAID' && one.fresh.answer === 'paid';
      const accepted = OUTCOMES.filter((to) => verdictOf(one, to).kind !== 'refused');
      expect(accepted).toEqual(mayRefund ? ['REFUNDING'] : []);
    }
  });

  it('is decided already where it is what a person wants', () => {
    for (const to of ['PAID', 'REFUNDING', 'REFUNDED', 'CLOSED', 'REVIEW'] as const) {
      expect(isDecided(row(to), { to })).toBe(true);
    }
    expect(isDecided(row('PAID', { reviewReason: 'AMOUNT_DIFFERS' }), { to: 'PAID' })).toBe(false);
  });

  it.each([
    ['the same reference', 'ICBC 1', 'ICBC 1', true],
    ['the same reference, as Postgres could hold it', 'ICBC \0', 'ICBC \uFFFD', true],
    ['another reference', 'ICBC 2', 'ICBC 1', false],
    ['a reference where Alipay gave it back', 'ICBC 1', null, false],
  ])('is paid back outside already with %s: %j, recorded %j: %s', (_, reference, outsideReference, so) => {
    expect(
      isDecided({ ...facts('REFUNDED'), outsideReference }, { to: 'REFUNDED', outside: { reference } }),
    ).toBe(so);
  });
});

describe('money paid back outside Alipay', () => {
  const paid: FreshAnswer = {
    answer: 'paid',
    tradeStatus: 'TRADE_SUCCESS',
    wasPaid: true,
    totalAmount: TOTAL,
    isRefunded: false,
  };
  const late: OrderOf = { order: 'CLOSED', paidItsOrder: false };
  const inReview = (reviewReason: string, more: Partial<PaymentFacts> = {}): PaymentFacts =>
    facts('REVIEW', { ...EVIDENCE['what was paid'], reviewReason, ...more });
  const outside = (payment: PaymentFacts, fresh: FreshAnswer): Verdict =>
    verdictOf({ payment, order: late, fresh }, 'REFUNDED', { outside: OUTSIDE });

  it('is accepted of a finished trade once Alipay has refused to refund it', () => {
    const finished = { ...paid, tradeStatus: 'TRADE_FINISHED' };
    expect(outside(inReview('REFUND_REFUSED ACQ.TRADE_HAS_FINISHED'), finished)).toEqual({
      kind: 'accepted',
    });
    expect(outside(inReview('REFUND_REFUSED ACQ.TRADE_NOT_ALLOW_REFUND'), paid)).toEqual({
      kind: 'accepted',
    });
  });

  it.each([
    ['LATE_PAYMENT', paid, /would still refund/],
    ['REFUND_REFUSED ACQ.SELLER_BALANCE_NOT_ENOUGH', paid, /would still refund/],
    ['REFUND_REFUSED', paid, /would still refund/],
    ['REFUND_REFUSED DECIDED', paid, /would still refund/],
    ['REFUND_REFUSED DECIDED_OTHERWISE', paid, /would still refund/],
    ['REFUND_REFUSED NOTHING_LEFT', paid, /would still refund/],
    ['REFUND_REFUSED UNKNOWN', paid, /would still refund/],
    ['REFUND_NOT_PROVEN', paid, /would still refund/],
    ['AMOUNT_DIFFERS', { ...paid, tradeStatus: 'TRADE_FINISHED' }, /has not refused/],
    [
      'REFUND_REFUSED ACQ.TRADE_HAS_CLOSE',
      { ...paid, answer: 'closed' as const, tradeStatus: 'TRADE_CLOSED' },
      /Alipay says TRADE_CLOSED after a payment/,
    ],
  ])('is refused after %s, where Alipay gives it back itself, or has', (reason, fresh, because) => {
    expect(outside(inReview(reason), fresh)).toMatchObject({
      kind: 'refused',
      because: expect.stringMatching(because) as unknown,
    });
  });

  it('is offered where REFUNDED without a reference is refused; REFUNDING is, where Alipay still refunds it', () => {
    const because = (reason: string, fresh: FreshAnswer): Verdict =>
      verdictOf({ payment: inReview(reason), order: late, fresh }, 'REFUNDED');
    const finished = { ...paid, tradeStatus: 'TRADE_FINISHED' };
    expect(because('REFUND_REFUSED ACQ.TRADE_HAS_FINISHED', finished)).toEqual({
      kind: 'refused',
      because:
        "Alipay says TRADE_FINISHED; if it was paid back outside Alipay, add the bank's reference " +
        '(--outside <reference>, or outside in the update)',
    });
    expect(because('AMOUNT_DIFFERS', paid)).toEqual({
      kind: 'refused',
      because:
        'Alipay says TRADE_SUCCESS; if the buyer did not get it back in another way, resolve to REFUNDING',
    });
  });

  it('is refused where all has gone back, and with any other decision', () => {
    const all = inReview('REFUND_REFUSED ACQ.TRADE_HAS_FINISHED', { refundedAmount: TOTAL });
    expect(outside(all, { ...paid, tradeStatus: 'TRADE_FINISHED' }).kind).toBe('refused');
    const one = { payment: inReview('AMOUNT_DIFFERS'), order: late, fresh: paid };
    expect(verdictOf(one, 'REFUNDING', { outside: OUTSIDE }).kind).toBe('refused');
  });
});

it('a trade that the buyer could still pay is closed at Alipay first', () => {
  const fresh: FreshAnswer = {
    answer: 'waiting',
    tradeStatus: 'WAIT_BUYER_PAY',
    wasPaid: false,
    totalAmount: TOTAL,
    isRefunded: false,
  };
  const order = { order: 'UNPAID' as OrderStatus, paidItsOrder: false };
  expect(verdictOf({ payment: facts('REVIEW'), order, fresh }, 'CLOSED')).toEqual({ kind: 'close-first' });
});

describe('what Alipay took', () => {
  const paid: FreshAnswer = {
    answer: 'paid',
    tradeStatus: 'TRADE_SUCCESS',
    wasPaid: true,
    totalAmount: '12.31',
    isRefunded: false,
  };

  it("is Alipay's newest word, of a trade that was paid; else what the row has", () => {
    const known = facts('REVIEW', { paidAmount: '12.29' });
    expect(takenBy(known, paid)).toBe('12.31');
    expect(takenBy(known, { ...paid, answer: 'closed' })).toBe('12.31');
    for (const fresh of [
      { ...paid, totalAmount: null },
      { ...paid, totalAmount: '0.00' },
      { ...paid, answer: 'closed' as const, wasPaid: false },
    ])
      expect(takenBy(known, fresh)).toBe('12.29');
  });

  it('is left to return but for what has gone back', () => {
    expect(leftToReturn(facts('REVIEW', { refundedAmount: '2.30' }), { ...paid, totalAmount: null })).toBe(
      '10.00',
    );
    expect(leftToReturn(facts('REVIEW', { refundedAmount: '12.31' }), paid)).toBeUndefined();
  });

  it.each(['PAID', 'REFUNDING'] as const)('is needed for %s: without an amount it is refused', (to) => {
    for (const totalAmount of [null, 'much']) {
      const fresh = { ...paid, totalAmount };
      const one = {
        payment: facts('REVIEW'),
        order: { order: 'UNPAID', paidItsOrder: false } as const,
        fresh,
      };
      expect(verdictOf(one, to)).toEqual({ kind: 'refused', because: 'Alipay names no amount' });
    }
  });
});

describe('a refund in review', () => {
  const inReview = { status: 'REVIEW', kind: 'shop', amount: '2.30', justAsked: false } as const;
  const silent: FreshRefund = { isProven: false, allWentBack: false, left: 1_230 };
  const refusal = (because: string): Verdict => ({ kind: 'refused', because });

  it('is DONE where Alipay proves it, or all went back and it is not more than the rest', () => {
    expect(judgeRefund(inReview, 'DONE', { ...silent, isProven: true })).toEqual({ kind: 'accepted' });
    expect(judgeRefund(inReview, 'DONE', { ...silent, allWentBack: true })).toEqual({ kind: 'accepted' });
    for (const [refund, fresh] of [
      [inReview, silent],
      [inReview, { ...silent, allWentBack: true, left: 229 }],
      [
        { ...inReview, amount: null },
        { ...silent, allWentBack: true },
      ],
    ] as const)
      expect(judgeRefund(refund, 'DONE', fresh)).toEqual(refusal('Alipay does not say that it was made'));
  });

  it('is REFUSED only where Alipay does not prove it, a minute after it was asked for', () => {
    expect(judgeRefund(inReview, 'REFUSED', silent)).toEqual({ kind: 'accepted' });
    expect(judgeRefund(inReview, 'REFUSED', { ...silent, isProven: true })).toEqual(
      refusal('Alipay says that it was made; resolve to DONE'),
    );
    expect(judgeRefund({ ...inReview, justAsked: true }, 'REFUSED', silent)).toMatchObject({
      kind: 'refused',
      because: expect.stringContaining('wait a minute') as unknown,
    });
  });

  it.each([
    [
      'REQUESTED',
      'shop',
      '; Alipay may still make it. To see what it waits for: durable-alipay refund show; to send no refund for now: durable-alipay pause refunds --reason "…"',
    ],
    ['REQUESTED', 'late', '; to stop it, resolve its payment to REVIEW'],
    ['REQUESTED', 'portal', ''],
    ['DONE', 'shop', ''],
    ['REFUSED', 'shop', ''],
  ] as const)('only: one that is %s (%s) is not decided', (status, kind, wayOut) => {
    for (const to of ['DONE', 'REFUSED'] as const)
      expect(judgeRefund({ ...inReview, status, kind }, to, { ...silent, isProven: to === 'DONE' })).toEqual(
        refusal(`it is ${status}, not in review${wayOut}`),
      );
  });
});
