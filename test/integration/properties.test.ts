import { afterAll, beforeAll, describe, it } from '@jest/globals';
import fc from 'fast-check';
import type { AlipayGateway } from '../../activities/alipay/gateway';
import { PaymentError } from '../../client/payment-client';
import type { FaultMode } from '../../sandbox';
import { Refusal } from '../../sandbox';
import type { ReviewOutcome } from '../../workflows/messages';
import { Hands, expectLedgerRules, openShop } from '../support';
import type { Shop } from '../support';

// The rules of the ledger (docs/money.md) under whatever can happen, in whatever order: the real activities, the real
// Postgres, and the sandbox as the model of Alipay. No worker runs: each step is taken by hand.

let shop: Shop;
let hands: Hands;

let onNextAnswer: (() => Promise<void>) | undefined;

beforeAll(async () => {
  shop = await openShop(__filename, { queues: [] });
  interrupt(shop.deps.alipay);
  hands = new Hands(shop);
});
afterAll(() => shop.close());

/** Lets something happen after Alipay has answered a question and before anybody has read the answer. */
function interrupt(gateway: AlipayGateway): void {
  const query = gateway.query.bind(gateway);
  gateway.query = async (...question) => {
    const answer = await query(...question);
    const happen = onNextAnswer;
    onNextAnswer = undefined;
    await happen?.();
    return answer;
  };
}

/** A tab in which the order is paid; both tabs pay the same order. */
type Tab = 'a' | 'b';

type Step =
  /** `meanwhile` happens while the answer to the next question is on its way: between query and close, say. */
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
  | { do: 'decide'; tab: Tab; to: ReviewOutcome; outside: boolean }
  | { do: 'expire' | 'sweep' | 'cancel' | 'follow-up' }
  | { do: 'fault'; mode: FaultMode; when: 'before' | 'after'; method: string };

const tab = fc.constantFrom<Tab>('a', 'b');
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
  method: fc.constantFrom('alipay.trade.query', 'alipay.trade.close', 'alipay.trade.refund'),
});
const meanwhile = fc.record({
  do: fc.constant('meanwhile' as const),
  step: fc.oneof({ weight: 3, arbitrary: ofTab }, { weight: 1, arbitrary: ofOrder }),
});
const story = fc.array<Step>(
  fc.oneof(
    { weight: 6, arbitrary: ofTab },
    { weight: 3, arbitrary: ofOrder },
    { weight: 1, arbitrary: fault },
    { weight: 2, arbitrary: decision },
    { weight: 3, arbitrary: meanwhile },
  ),
  {
    minLength: 3,
    maxLength: 14,
  },
);

/** A is in review or being refunded, its order has expired, and B is paid without a word; then anything happens. */
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

let stories = 0;

class Story {
  readonly orderId = `order-${(stories += 1)}`;

  outTradeNo = (of: Tab): string => `${this.orderId.replace('-', '_')}_${of}`;

  async take(step: Step): Promise<void> {
    const { control } = shop.alipay;
    switch (step.do) {
      case 'checkout':
        return this.checkOut(step.tab);
      case 'pay':
        return ignoringRefusals(() => control.pay(this.outTradeNo(step.tab), { notify: true }));
      case 'pay, notification lost':
        return ignoringRefusals(() => control.pay(this.outTradeNo(step.tab), { notify: false }));
      case 'notify':
        // Of a trade that does not exist, Alipay says nothing.
        if (await control.trade(this.outTradeNo(step.tab))) await control.notify(this.outTradeNo(step.tab));
        return;
      case 'notify another amount':
        // Alipay's books and its word disagree, which only a person can settle.
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

  async checkOut(of: Tab): Promise<void> {
    try {
      const checkout = await shop.payments.checkout({
        orderId: this.orderId,
        outTradeNo: this.outTradeNo(of),
        subject: 'A pot of tea',
        totalAmount: '12.30',
      });
      await ignoringRefusals(() => shop.alipay.control.open(checkout.paymentUrl));
    } catch (error) {
      if (!(error instanceof PaymentError) || error.status !== 409) throw error;
    }
  }

  async ifOpened(of: Tab, act: () => Promise<void>): Promise<void> {
    const [row] = await shop.sql(`SELECT 1 FROM payments WHERE out_trade_no = :it`, {
      it: this.outTradeNo(of),
    });
    if (row) await act();
  }
}

/** The buyer cannot pay what is closed, paid or was never opened. */
async function ignoringRefusals(act: () => Promise<unknown>): Promise<void> {
  await act().catch((error: unknown) => {
    if (!(error instanceof Refusal)) throw error;
  });
}

const RUNS = Number(process.env['PROPERTY_RUNS'] ?? 150);

async function holds(steps: Step[]): Promise<void> {
  const it = new Story();
  await it.checkOut('a');
  for (const step of steps) await it.take(step);
  onNextAnswer = undefined;
  await shop.alipay.control.clearFaults();
  await expectLedgerRules(shop, it.orderId, await hands.settle(it.orderId));
}

describe('whatever happens, in whatever order', () => {
  it('every yuan ends PAID, refunded in full, or in REVIEW, and the order service is told one result', async () => {
    await fc.assert(fc.asyncProperty(story, holds), { numRuns: RUNS, endOnFailure: false });
  }, 240_000);

  it('of an expired order a payment in doubt never hides that another one was paid', async () => {
    await fc.assert(fc.asyncProperty(beforeSiblings, holds), { numRuns: RUNS / 3, endOnFailure: true });
  }, 240_000);
});
