import { afterAll, beforeAll, describe, it } from '@jest/globals';
import fc from 'fast-check';
import type { AlipayGateway } from '../../activities/alipay/gateway';
import { PaymentError } from '../../client/index';
import type { FaultMode } from '../../sandbox';
import { Refusal } from '../../sandbox';
import type { ReviewOutcome } from '../../workflows/messages';
import { Hands, expectLedgerRules, openShop, waitFor } from '../support';
import type { Shop } from '../support';

// The rules of the ledger (docs/money.md) under anything that can happen, in any order: the real activities, the real
// Postgres, and the sandbox as the model of Alipay. No worker runs: the test takes each step itself.

let shop: Shop;
let hands: Hands;

let onNextAnswer: (() => Promise<void>) | undefined;

beforeAll(async () => {
  shop = await openShop(__filename, { queues: [] });
  interrupt(shop.gateway);
  hands = new Hands(shop);
});
afterAll(() => shop.close());

/** Runs something after Alipay has answered a call and before the answer is read. */
function interrupt(gateway: AlipayGateway): void {
  const interrupted =
    <Args extends unknown[], T>(ask: (...question: Args) => Promise<T>) =>
    async (...question: Args): Promise<T> => {
      const answer = await ask(...question);
      const happen = onNextAnswer;
      onNextAnswer = undefined;
      await happen?.();
      return answer;
    };
  gateway.query = interrupted(gateway.query.bind(gateway));
  gateway.refund = interrupted(gateway.refund.bind(gateway));
}

/** A tab in which the order is paid; all tabs pay the same order. */
type Tab = 'a' | 'b' | 'c';

type Step =
  /** `meanwhile` happens while the next answer is on its way: between query and close, say. */
  | { do: 'meanwhile'; step: Step }
  | {
      do:
        | 'checkout'
        | 'pay'
        | 'pay, notification lost'
        | 'notify'
        | 'notify another amount'
        | 'check'
        | 'hear'
        | 'hear again'
        | 'refund';
      tab: Tab;
    }
  /** A tab that is not open yet opens at another price; the others keep the old one. */
  | { do: 'reprice'; tab: Tab; amount: string }
  /** Refund 1 is the same refund, however often and with whatever amount it is requested. */
  | { do: 'shop refund'; number: 1 | 2 | 3; amount: string }
  | { do: 'portal refund'; tab: Tab; amount: string }
  | { do: 'decide'; tab: Tab; to: ReviewOutcome; outside: boolean }
  | { do: 'expire' | 'sweep' | 'cancel' | 'follow-up' }
  | { do: 'fault'; mode: FaultMode; when: 'before' | 'after'; method: string };

const tab = fc.constantFrom<Tab>('a', 'b', 'c');
const ofTab = fc.record({
  do: fc.constantFrom(
    'checkout' as const,
    'pay' as const,
    'pay, notification lost' as const,
    'notify' as const,
    'notify another amount' as const,
    'check' as const,
    'hear' as const,
    'hear again' as const,
    'refund' as const,
  ),
  tab,
});
const decision = fc.record({
  do: fc.constant('decide' as const),
  tab,
  to: fc.constantFrom<ReviewOutcome>('PAID', 'REFUNDING', 'REFUNDED', 'CLOSED', 'REVIEW'),
  outside: fc.boolean(),
});
const amount = fc.constantFrom('0.01', '2.30', '10.00', '12.30');
const refund = fc.oneof(
  fc.record({
    do: fc.constant('shop refund' as const),
    number: fc.constantFrom(1 as const, 2 as const, 3 as const),
    amount,
  }),
  fc.record({ do: fc.constant('portal refund' as const), tab, amount }),
);
const reprice = fc.record({
  do: fc.constant('reprice' as const),
  tab: fc.constantFrom<Tab>('b', 'c'),
  amount: fc.constantFrom('9.90', '12.30', '15.00'),
});
const ofOrder = fc.record({
  do: fc.constantFrom('expire' as const, 'sweep' as const, 'cancel' as const, 'follow-up' as const),
});
const fault = fc.record({
  do: fc.constant('fault' as const),
  mode: fc.constantFrom<FaultMode>(
    '20000',
    'SYSTEM_ERROR',
    'http-500',
    'reset',
    'truncated',
    'no-signature',
    'bad-signature',
    'other-order',
  ),
  when: fc.constantFrom('before' as const, 'after' as const),
  method: fc.constantFrom(
    'alipay.trade.query',
    'alipay.trade.close',
    'alipay.trade.refund',
    'alipay.trade.fastpay.refund.query',
  ),
});
const meanwhile = fc.record({
  do: fc.constant('meanwhile' as const),
  step: fc.oneof(
    { weight: 3, arbitrary: ofTab },
    { weight: 1, arbitrary: ofOrder },
    { weight: 1, arbitrary: refund },
    { weight: 1, arbitrary: reprice },
  ),
});
const story = fc.array<Step>(
  fc.oneof(
    { weight: 6, arbitrary: ofTab },
    { weight: 3, arbitrary: ofOrder },
    { weight: 1, arbitrary: fault },
    { weight: 2, arbitrary: decision },
    { weight: 2, arbitrary: refund },
    { weight: 2, arbitrary: reprice },
    { weight: 3, arbitrary: meanwhile },
  ),
  {
    minLength: 3,
    maxLength: 14,
  },
);

/** A is in review or being refunded, its order has expired, and B is paid unnoticed; then anything happens. */
const beforeSiblings = fc
  .record({
    refunding: fc.boolean(),
    expireFirst: fc.boolean(),
    then: fc.array<Step>(
      fc.oneof(
        { weight: 3, arbitrary: ofTab },
        { weight: 3, arbitrary: ofOrder },
        { weight: 2, arbitrary: decision },
        { weight: 1, arbitrary: fault },
      ),
      { maxLength: 6 },
    ),
  })
  .map(({ refunding, expireFirst, then }): Step[] => [
    { do: 'checkout', tab: 'b' },
    { do: 'pay, notification lost', tab: 'a' },
    { do: 'notify another amount', tab: 'a' },
    { do: 'hear', tab: 'a' },
    ...(refunding ? [{ do: 'decide', tab: 'a', to: 'REFUNDING', outside: false } as const] : []),
    ...(expireFirst ? [{ do: 'expire' } as const, { do: 'sweep' } as const] : []),
    { do: 'pay, notification lost', tab: 'b' },
    { do: 'expire' },
    ...then,
  ]);

/** The order is paid, and from then on anyone gives parts of it back; then anything happens. */
const refunded = fc
  .array<Step>(
    fc.oneof(
      { weight: 5, arbitrary: refund },
      { weight: 4, arbitrary: ofTab },
      { weight: 2, arbitrary: fault },
      { weight: 2, arbitrary: meanwhile },
      { weight: 1, arbitrary: decision },
      { weight: 1, arbitrary: ofOrder },
    ),
    { minLength: 4, maxLength: 14 },
  )
  .map((then): Step[] => [
    { do: 'checkout', tab: 'b' },
    { do: 'pay', tab: 'a' },
    { do: 'check', tab: 'a' },
    ...then,
  ]);

/** The price changes while the page at the old one is open, or was paid unnoticed; then anything happens. */
const repriced = fc
  .record({
    paidBefore: fc.boolean(),
    then: fc.array<Step>(
      fc.oneof(
        { weight: 5, arbitrary: ofTab },
        { weight: 3, arbitrary: ofOrder },
        { weight: 2, arbitrary: reprice },
        { weight: 2, arbitrary: meanwhile },
        { weight: 1, arbitrary: decision },
        { weight: 1, arbitrary: fault },
      ),
      { minLength: 2, maxLength: 10 },
    ),
  })
  .map(({ paidBefore, then }): Step[] => [
    ...(paidBefore ? [{ do: 'pay, notification lost', tab: 'a' } as const] : []),
    { do: 'reprice', tab: 'b', amount: '9.90' },
    ...then,
  ]);

let stories = 0;

class RandomStory {
  readonly orderId = `order-${(stories += 1)}`;

  #price = '12.30';

  outTradeNo = (of: Tab): string => `${this.orderId.replace('-', '_')}_${of}`;

  async take(step: Step): Promise<void> {
    const { control } = shop.alipay;
    switch (step.do) {
      case 'checkout':
        return this.checkOut(step.tab);
      case 'reprice':
        return this.checkOut(step.tab, step.amount);
      case 'pay':
        return ignoringRefusals(() => control.pay(this.outTradeNo(step.tab), { notify: true }));
      case 'pay, notification lost':
        return ignoringRefusals(() => control.pay(this.outTradeNo(step.tab), { notify: false }));
      case 'notify':
        // Alipay says nothing about a trade that does not exist.
        if (await control.trade(this.outTradeNo(step.tab))) await control.notify(this.outTradeNo(step.tab));
        return;
      case 'notify another amount':
        // Alipay's books and its notification disagree, which only a person can settle.
        if ((await control.trade(this.outTradeNo(step.tab)))?.status !== 'TRADE_SUCCESS') return;
        await control.notify(this.outTradeNo(step.tab), { total_amount: '12.31' });
        return;
      case 'decide': {
        const outside = step.outside ? { reference: 'a bank transfer' } : undefined;
        return this.ifOpened(step.tab, () => hands.decide(this.outTradeNo(step.tab), step.to, outside));
      }
      case 'check':
        return this.ifOpened(step.tab, () => hands.check(this.outTradeNo(step.tab)));
      case 'hear':
        return hands.hear(this.outTradeNo(step.tab));
      case 'hear again':
        return hands.hear(this.outTradeNo(step.tab), { again: true });
      case 'refund':
        return this.ifOpened(step.tab, () => hands.refund(this.outTradeNo(step.tab)));
      case 'shop refund': {
        const { number, amount } = step;
        const asked = { orderId: this.orderId, refundId: `${this.orderId}-${number}`, amount };
        return ignoringConflicts(() => shop.payments.refund(asked));
      }
      case 'portal refund':
        return ignoringRefusals(() => control.refundByHand(this.outTradeNo(step.tab), step.amount));
      case 'expire':
        await shop.sql(`UPDATE orders SET expires_at = now() WHERE id = :id`, { id: this.orderId });
        return;
      case 'sweep':
        return hands.close(this.orderId);
      case 'cancel':
        return hands.cancel(this.orderId);
      case 'follow-up':
        return hands.followUp();
      case 'meanwhile':
        onNextAnswer = () => this.take(step.step);
        return;
      case 'fault':
        return control.fault({ method: step.method, mode: step.mode, when: step.when, times: 1 });
    }
  }

  /** With a price, uses that price from now on. */
  async checkOut(of: Tab, price?: string): Promise<void> {
    try {
      const checkout = await shop.payments.checkout({
        orderId: this.orderId,
        outTradeNo: this.outTradeNo(of),
        subject: 'A pot of tea',
        totalAmount: price ?? this.#price,
        ...(price !== undefined && { reprice: true }),
      });
      this.#price = price ?? this.#price;
      await ignoringRefusals(() => shop.alipay.control.open(checkout.paymentUrl));
    } catch (error) {
      if (!(error instanceof PaymentError) || error.status !== 409) throw error;
    }
  }

  /** Waits until everything has arrived: Alipay repeats what was not accepted. */
  async hearEverything(): Promise<void> {
    await waitFor(async () => (await shop.alipay.control.pendingNotifications()) === 0, {
      what: 'every notification to be taken',
    });
  }

  async ifOpened(of: Tab, act: () => Promise<void>): Promise<void> {
    const [row] = await shop.sql(`SELECT 1 FROM payments WHERE out_trade_no = :it`, {
      it: this.outTradeNo(of),
    });
    if (row) await act();
  }
}

/** What is not paid, or has gone back, cannot be refunded. */
async function ignoringConflicts(act: () => Promise<unknown>): Promise<void> {
  await act().catch((error: unknown) => {
    if (!(error instanceof PaymentError) || error.status !== 409) throw error;
  });
}

/** The buyer cannot pay what is closed, paid or was never opened. */
async function ignoringRefusals(act: () => Promise<unknown>): Promise<void> {
  await act().catch((error: unknown) => {
    if (!(error instanceof Refusal)) throw error;
  });
}

/** `npm run test:long` runs more. */
const RUNS = Number(process.env['PROPERTY_RUNS'] ?? 15);

async function holds(steps: Step[]): Promise<void> {
  const it = new RandomStory();
  await it.checkOut('a');
  for (const step of steps) await it.take(step);
  onNextAnswer = undefined;
  await shop.alipay.control.clearFaults();
  await it.hearEverything();
  await expectLedgerRules(shop, it.orderId, await hands.settle(it.orderId));
}

describe('whatever happens, in whatever order', () => {
  it('every yuan ends PAID, refunded in full, or in REVIEW, and the order service is told one result', async () => {
    await fc.assert(fc.asyncProperty(story, holds), { numRuns: RUNS, endOnFailure: false });
  }, 1_200_000);

  it('shop, portal, operators and late payments give back to the fen, and nothing twice', async () => {
    await fc.assert(fc.asyncProperty(refunded, holds), { numRuns: RUNS, endOnFailure: false });
  }, 900_000);

  it('an order whose price changes is paid at its own price or not at all', async () => {
    await fc.assert(fc.asyncProperty(repriced, holds), { numRuns: RUNS / 3, endOnFailure: false });
  }, 900_000);

  it('of an expired order a payment in doubt never hides that another one was paid', async () => {
    await fc.assert(fc.asyncProperty(beforeSiblings, holds), { numRuns: RUNS / 3, endOnFailure: true });
  }, 1_200_000);
});
