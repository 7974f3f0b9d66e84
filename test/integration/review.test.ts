import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import { createAlipayQueueActivities, createPaymentsQueueActivities } from '../../activities';
import type { Recorded } from '../../workflows/messages';
import type { ResolveReview, ReviewOutcome } from '../../workflows/messages';
import { paymentWorkflowId } from '../../workflows/messages';
import type { Shop } from '../support';
import { openShop, waitFor } from '../support';
import { Story } from './story';

const REFUND = 'alipay.trade.refund';

let shop: Shop;
let story: Story;
let activities: ReturnType<typeof createAlipayQueueActivities>;

beforeAll(async () => {
  shop = await openShop(__filename, { payments: { checks: 0 }, alipay: { timeoutMs: 1_000 } });
  story = new Story(shop);
  activities = createAlipayQueueActivities(shop.deps);
});
afterAll(() => shop.close());

beforeEach(() => shop.alipay.control.clearFaults());

const why = { actor: 'anna', reason: 'looked at the portal' };

/** Where the trade is at Alipay while its row is in REVIEW here. */
const TRADES = {
  'not there': () => Promise.resolve(),
  waiting: async (no: string) => {
    await shop.alipay.control.scan(no);
  },
  paid: (no: string) => story.pay(no),
  finished: async (no: string) => {
    await story.pay(no);
    await shop.alipay.control.finish(no, { notify: false });
  },
  'closed unpaid': async (no: string) => {
    await shop.alipay.control.scan(no);
    await shop.deps.alipay.close(no);
  },
  'refunded at the portal': async (no: string) => {
    await story.pay(no);
    await shop.alipay.control.notifier({ drop: 1 });
    await shop.alipay.control.refundByHand(no, '12.30');
    await shop.alipay.control.notifier({});
  },
} as const;

type TradeState = keyof typeof TRADES;

/** Which decisions agree with where the money is. */
const AGREES: Record<ReviewOutcome, readonly TradeState[]> = {
  PAID: ['paid', 'finished'],
  REFUNDING: ['paid', 'finished'],
  REFUNDED: ['refunded at the portal'],
  CLOSED: ['not there', 'closed unpaid'],
};

/** A payment whose row is in REVIEW, and no run looks after it. */
async function inReview(state: TradeState) {
  const checkout = await story.checkOut();
  await story.ended(checkout.outTradeNo);
  await TRADES[state](checkout.outTradeNo);
  await shop.sql(`UPDATE payments SET status = 'REVIEW', review_reason = 'a test' WHERE out_trade_no = :no`, {
    no: checkout.outTradeNo,
  });
  return checkout;
}

const inActivity = (run: () => Promise<Recorded>): Promise<Recorded> =>
  new MockActivityEnvironment({}, { logger: new DefaultLogger('ERROR') }).run<
    [],
    Recorded,
    () => Promise<Recorded>
  >(run);

const decide = (
  outTradeNo: string,
  to: ReviewOutcome,
  more: Partial<ResolveReview> = {},
): Promise<Recorded> => inActivity(() => activities.resolveReview({ outTradeNo, to, ...why, ...more }));

describe('a decision is carried out only where Alipay agrees', () => {
  const cases = (Object.keys(TRADES) as TradeState[]).flatMap((state) =>
    (Object.keys(AGREES) as ReviewOutcome[]).map(
      (to) => [state, to, AGREES[to].includes(state) ? 'done' : 'refused'] as const,
    ),
  );

  it.each(cases)('trade %s, decided %s: %s', async (state, to, expected) => {
    const { orderId, outTradeNo } = await inReview(state);
    if (expected === 'refused') {
      await expect(decide(outTradeNo, to)).rejects.toMatchObject({
        type: 'REVIEW_REFUSED',
        nonRetryable: true,
      });
      expect(await story.standing(orderId)).toBe('UNPAID: REVIEW');
      expect(await story.events(outTradeNo, 'review-resolved')).toEqual([]);
      return;
    }
    expect(await decide(outTradeNo, to)).toMatchObject({ status: to });
    expect(await story.standing(orderId)).toBe(`${to === 'PAID' ? 'PAID' : 'UNPAID'}: ${to}`);
    expect(await story.events(outTradeNo, 'review-resolved')).toMatchObject([
      { actor: 'anna', detail: { from: 'REVIEW', to, reason: why.reason } },
    ]);
  });

  it.each(['hang', '20000', 'SYSTEM_ERROR', 'bad-signature'] as const)(
    'an unknown answer (%s) decides nothing',
    async (mode) => {
      const { orderId, outTradeNo } = await inReview('paid');
      await shop.alipay.control.fault({ mode, outTradeNo });
      await expect(decide(outTradeNo, 'PAID')).rejects.toMatchObject({ type: 'ALIPAY_UNKNOWN' });
      expect(await story.standing(orderId)).toBe('UNPAID: REVIEW');
    },
  );

  it('made twice because its answer was lost, it is made once', async () => {
    const { orderId, outTradeNo } = await inReview('paid');
    expect(await decide(outTradeNo, 'PAID')).toMatchObject({ status: 'PAID' });
    expect(await decide(outTradeNo, 'PAID')).toMatchObject({ status: 'PAID' });
    expect(await story.events(outTradeNo, 'review-resolved')).toHaveLength(1);
    expect(await story.standing(orderId)).toBe('PAID: PAID');
  });
});

describe('what a decision may not do', () => {
  it('pay an order that another payment has paid', async () => {
    const { orderId, outTradeNo } = await inReview('paid');
    await shop.sql(`UPDATE payments SET status = 'UNPAID' WHERE out_trade_no = :outTradeNo`, { outTradeNo });
    const other = await story.secondTab(orderId, `${outTradeNo}b`);
    await shop.sql(`UPDATE payments SET status = 'REVIEW' WHERE out_trade_no = :outTradeNo`, { outTradeNo });
    await story.pay(other.outTradeNo, { notify: true });
    await story.until(other.outTradeNo, 'PAID');
    await expect(decide(outTradeNo, 'PAID')).rejects.toMatchObject({ type: 'REVIEW_REFUSED' });
    expect(await story.standing(orderId)).toBe('PAID: PAID, REVIEW');
    expect(await decide(outTradeNo, 'REFUNDING')).toMatchObject({ status: 'REFUNDING' });
  });

  it('close the payment that its order was paid by, though Alipay says that no money is there', async () => {
    const { orderId, outTradeNo } = await inReview('closed unpaid');
    await shop.sql(
      `UPDATE payments SET status = 'PAID', review_reason = 'CLOSED_AFTER_PAYMENT' WHERE out_trade_no = :outTradeNo`,
      { outTradeNo },
    );
    await shop.sql(`UPDATE orders SET status = 'PAID' WHERE id = :orderId`, { orderId });
    await expect(decide(outTradeNo, 'CLOSED')).rejects.toMatchObject({ type: 'REVIEW_REFUSED' });
    expect(await story.standing(orderId)).toBe('PAID: PAID');
  });

  it('refund another amount than was paid: a fen would stay behind unseen', async () => {
    const { orderId, outTradeNo } = await inReview('paid');
    await shop.alipay.control.fault({ mode: 'wrong-amount', method: 'alipay.trade.query', outTradeNo });
    await expect(decide(outTradeNo, 'REFUNDING')).rejects.toMatchObject({
      type: 'REVIEW_REFUSED',
      message: expect.stringMatching(/12\.31/) as unknown,
    });
    expect(await story.standing(orderId)).toBe('UNPAID: REVIEW');
  });
});

describe('a payment closed by decision', () => {
  it('while Alipay knows no trade is asked about once more, as every such close', async () => {
    const { outTradeNo } = await inReview('not there');
    await decide(outTradeNo, 'CLOSED');
    expect((await shop.payments.payment(outTradeNo)).recheckAt).not.toBeNull();
    await story.pay(outTradeNo);
    await story.age('payments', outTradeNo, 'recheck_at', 0);
    await story.sweep();
    await story.until(outTradeNo, 'REFUNDED');
  });
});

describe('a payment closed by decision after Alipay had closed its trade', () => {
  it('stays closed when Alipay says so once more: nobody paid it', async () => {
    const { outTradeNo } = await inReview('closed unpaid');
    expect(await decide(outTradeNo, 'CLOSED')).toMatchObject({ status: 'CLOSED' });

    const writes = createPaymentsQueueActivities(shop.deps);
    expect(await story.events(outTradeNo, 'answered')).toMatchObject([
      { detail: { trade_status: 'TRADE_CLOSED' } },
    ]);
    expect(await writes.recordEvidence({ outTradeNo })).toMatchObject({
      status: 'CLOSED',
      reviewReason: null,
    });
  });
});

describe('a late payment that Alipay refunds no more', () => {
  it("comes back to the person whatever is decided: Alipay has the money down as the shop's", async () => {
    const { orderId, outTradeNo } = await inReview('finished');
    await shop.sql(`UPDATE orders SET status = 'CLOSED' WHERE id = :orderId`, { orderId });
    for (const to of ['PAID', 'REFUNDED', 'CLOSED'] as const) {
      await expect(decide(outTradeNo, to)).rejects.toMatchObject({ type: 'REVIEW_REFUSED' });
    }
    expect(await decide(outTradeNo, 'REFUNDING')).toMatchObject({ status: 'REFUNDING' });
    expect(await inActivity(() => activities.refundPayment({ outTradeNo }))).toMatchObject({
      status: 'REVIEW',
      reviewReason: 'REFUND_REFUSED ACQ.TRADE_HAS_FINISHED',
    });
  });
});

describe('a person, by the running workflow', () => {
  async function otherAmount() {
    const checkout = await story.checkOut();
    await story.pay(checkout.outTradeNo);
    await shop.alipay.control.notify(checkout.outTradeNo, { total_amount: '12.31' });
    await story.until(checkout.outTradeNo, 'REVIEW');
    return checkout;
  }

  it('finds it by the search attribute, and pays the order with it', async () => {
    const { orderId, outTradeNo } = await otherAmount();
    await waitFor(
      async () => {
        const listed = [];
        for await (const { workflowId } of shop.temporal.workflow.list({
          query: `PaymentStatus = "REVIEW" AND ExecutionStatus = "Running"`,
        }))
          listed.push(workflowId);
        return listed.includes(paymentWorkflowId(outTradeNo));
      },
      { what: 'the payment to be listed' },
    );
    expect(await shop.payments.resolveReview(outTradeNo, { to: 'PAID', ...why })).toMatchObject({
      status: 'PAID',
    });
    expect(await story.ended(outTradeNo)).toMatchObject({ status: 'PAID' });
    expect(await story.told(orderId, 1)).toEqual([`PAID-${outTradeNo}`]);
  });

  it('has it refunded, and the run ends only then', async () => {
    const { orderId, outTradeNo } = await otherAmount();
    await shop.payments.resolveReview(outTradeNo, { to: 'REFUNDING', ...why });
    expect(await story.ended(outTradeNo)).toMatchObject({ status: 'REFUNDED' });
    expect((await shop.alipay.control.trade(outTradeNo))?.refundedAmount).toBe('12.30');
    expect(await story.standing(orderId)).toBe('UNPAID: REFUNDED');
  });

  it('is told that Alipay does not agree, and it stays in review', async () => {
    const { outTradeNo } = await otherAmount();
    await expect(shop.payments.resolveReview(outTradeNo, { to: 'CLOSED', ...why })).rejects.toMatchObject({
      code: 'REVIEW_REFUSED',
      status: 409,
    });
    expect(await story.isRunning(outTradeNo)).toBe(true);
    expect(await story.status(outTradeNo)).toBe('REVIEW');
  });

  it.each([
    ['an outcome that there is not', { to: 'UNPAID', ...why }],
    ['nobody', { to: 'PAID', actor: ' ', reason: 'r' }],
    ['no reason', { to: 'PAID', actor: 'a', reason: '' }],
  ])('cannot decide with %s', async (_, decision) => {
    const { outTradeNo } = await otherAmount();
    await expect(shop.payments.resolveReview(outTradeNo, decision as ResolveReview)).rejects.toMatchObject({
      code: 'INVALID_INPUT',
    });
    expect(await story.status(outTradeNo)).toBe('REVIEW');
  });

  it('may refund the payment that paid its order; where Alipay refuses, it becomes PAID again', async () => {
    const { orderId, outTradeNo } = await story.checkOut();
    await story.pay(outTradeNo, { notify: true });
    await story.until(outTradeNo, 'PAID');
    await shop.alipay.control.fault({ mode: 'ACQ.TRADE_NOT_ALLOW_REFUND', method: REFUND, outTradeNo });
    await shop.payments.resolveReview(outTradeNo, { to: 'REFUNDING', ...why });
    await story.until(outTradeNo, 'REVIEW');
    expect(await story.standing(orderId)).toBe('PAID: REVIEW');
    await shop.payments.resolveReview(outTradeNo, { to: 'PAID', ...why });
    expect(await story.standing(orderId)).toBe('PAID: PAID');
    expect(await story.told(orderId, 1)).toEqual([`PAID-${outTradeNo}`]);
  });

  it('may refund the payment that paid its order, and the order service hears of it once', async () => {
    const { orderId, outTradeNo } = await story.checkOut();
    await story.pay(outTradeNo, { notify: true });
    await story.until(outTradeNo, 'PAID');
    await shop.payments.resolveReview(outTradeNo, { to: 'REFUNDING', ...why });
    await story.until(outTradeNo, 'REFUNDED');
    expect(await story.told(orderId, 2)).toEqual([`PAID-${outTradeNo}`, `REFUNDED-${outTradeNo}-12.30`]);
    expect(await story.standing(orderId)).toBe('PAID: REFUNDED');
  });
});
