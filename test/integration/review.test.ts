import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { createAlipayQueueActivities, createPaymentsQueueActivities } from '../../activities';
import { AlipayGateway } from '../../activities/alipay/gateway';
import { AlipayGateways } from '../../activities/alipay/gateways';
import { storeAnswer } from '../../activities/payments';
import { insertRefund } from '../../db/refunds';
import type { Decided, ResolveReview, ReviewOutcome } from '../../workflows/messages';
import { UPDATES, paymentWorkflowId } from '../../workflows/messages';
import type { Shop } from '../support';
import { inActivity, openShop, waitFor } from '../support';
import { Story } from './story';

const REFUND = 'alipay.trade.refund';

let shop: Shop;
let story: Story;
let activities: ReturnType<typeof createAlipayQueueActivities>;
let writes: ReturnType<typeof createPaymentsQueueActivities>;

beforeAll(async () => {
  shop = await openShop(__filename, { payments: { checks: 0 } });
  story = new Story(shop);
  activities = createAlipayQueueActivities(shop.deps);
  writes = createPaymentsQueueActivities(shop.deps);
});
afterAll(() => shop.close());

beforeEach(() => shop.alipay.control.clearFaults());

const why = { actor: 'anna', reason: 'looked at the portal' };

/** The state of the trade at Alipay while its row is in REVIEW here. */
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
    await shop.gateway.close(no);
  },
  'refunded at the portal': async (no: string) => {
    await story.pay(no);
    await shop.alipay.control.notifier({ drop: 1 });
    await shop.alipay.control.refundByHand(no, '12.30');
    await shop.alipay.control.notifier({});
  },
} as const;

type TradeState = keyof typeof TRADES;

/** Which decisions agree with where the money is. What the buyer could still pay is first closed at Alipay. */
const AGREES: Record<Exclude<ReviewOutcome, 'REVIEW'>, readonly TradeState[]> = {
  PAID: ['paid', 'finished'],
  REFUNDING: ['paid', 'finished'],
  REFUNDED: ['refunded at the portal'],
  CLOSED: ['not there', 'closed unpaid', 'waiting'],
};

/** A payment whose row is in REVIEW, without a run. */
async function inReview(state: TradeState) {
  const checkout = await story.checkOut();
  await story.ended(checkout.outTradeNo);
  await TRADES[state](checkout.outTradeNo);
  await shop.sql(`UPDATE payments SET status = 'REVIEW', review_reason = 'a test' WHERE out_trade_no = :no`, {
    no: checkout.outTradeNo,
  });
  return checkout;
}

/** What the buyer reads about each refund that Alipay was asked for. */
async function wordsAtAlipay(outTradeNo: string): Promise<unknown[]> {
  const journal = await shop.alipay.control.journal();
  return journal.flatMap((entry) =>
    entry.kind === 'call' && entry.method === REFUND && entry.outTradeNo === outTradeNo
      ? [entry.bizContent?.['refund_reason']]
      : [],
  );
}

/** The message about an operator's refund. */
const refundOf = (outTradeNo: string): string => `REFUND-${outTradeNo}-OPERATOR_${outTradeNo}`;

const decide = (outTradeNo: string, to: ReviewOutcome, more: Partial<ResolveReview> = {}): Promise<Decided> =>
  inActivity(() => activities.resolveReview({ outTradeNo, to, ...why, ...more }));

describe('a decision is carried out only where Alipay agrees', () => {
  const cases = (Object.keys(TRADES) as TradeState[]).flatMap((state) =>
    (Object.keys(AGREES) as (keyof typeof AGREES)[]).map(
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
      const impatient = new AlipayGateway({ ...shop.gateway.settings, timeoutMs: 1_000 });
      const deps = { ...shop.deps, alipay: new AlipayGateways([impatient]) };
      await expect(
        inActivity(() => createAlipayQueueActivities(deps).resolveReview({ outTradeNo, to: 'PAID', ...why })),
      ).rejects.toMatchObject({ type: 'ALIPAY_UNKNOWN' });
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

  it('close a payment of which evidence has come in that nobody has recorded yet', async () => {
    const { orderId, outTradeNo } = await inReview('not there');
    await story.pay(outTradeNo);
    await storeAnswer(shop.db, outTradeNo, 0, await shop.gateway.query(outTradeNo));
    await shop.alipay.control.fault({ mode: 'ACQ.TRADE_NOT_EXIST', outTradeNo });
    await expect(decide(outTradeNo, 'CLOSED')).rejects.toMatchObject({
      type: 'REVIEW_REFUSED',
      message: expect.stringMatching(/not recorded yet/) as unknown,
    });
    expect(await story.standing(orderId)).toBe('UNPAID: REVIEW');
  });

  it('close what Alipay once said was paid, though it knows of no trade now; paid back outside, it ends', async () => {
    const { orderId, outTradeNo } = await inReview('not there');
    await shop.sql(`UPDATE payments SET paid_amount = 12.30 WHERE out_trade_no = :outTradeNo`, {
      outTradeNo,
    });
    for (const to of ['PAID', 'REFUNDING', 'REFUNDED', 'CLOSED'] as const) {
      await expect(decide(outTradeNo, to)).rejects.toMatchObject({ type: 'REVIEW_REFUSED' });
    }
    await decide(outTradeNo, 'REFUNDED', { outside: { reference: 'ICBC 17' } });
    expect(await story.standing(orderId)).toBe('UNPAID: REFUNDED');
  });

  it.each([
    ['no text', { reference: 17 }],
    ['blank', { reference: ' ' }],
    ['of 64 KB', { reference: 'x'.repeat(65_536) }],
    ['nothing', {}],
  ])('take a reference that is %s', async (_, outside) => {
    const { orderId, outTradeNo } = await inReview('finished');
    await expect(decide(outTradeNo, 'REFUNDED', { outside: outside as never })).rejects.toMatchObject({
      type: 'INVALID_INPUT',
    });
    expect(await story.standing(orderId)).toBe('UNPAID: REVIEW');
  });
});

describe('another amount than was asked for', () => {
  /** The buyer has paid 12.31, and the row asks for 12.30. */
  async function paidAnother() {
    const { orderId, outTradeNo } = await story.checkOut({ totalAmount: '12.31' });
    await shop.sql(`UPDATE orders SET total_amount = 12.30 WHERE id = :orderId`, { orderId });
    await shop.sql(`UPDATE payments SET total_amount = 12.30 WHERE order_id = :orderId`, { orderId });
    await story.pay(outTradeNo, { notify: true });
    await story.until(outTradeNo, 'REVIEW');
    expect(await shop.payments.payment(outTradeNo)).toMatchObject({
      reviewReason: 'AMOUNT_DIFFERS',
      totalAmount: '12.30',
      paidAmount: '12.31',
      acceptedAmount: null,
    });
    return { orderId, outTradeNo };
  }

  it('accepted by a person is not asked about again by a later notification', async () => {
    const { orderId, outTradeNo } = await paidAnother();
    await shop.payments.resolveReview(outTradeNo, { to: 'PAID', ...why });
    expect(await shop.payments.payment(outTradeNo)).toMatchObject({ acceptedAmount: '12.31' });
    await story.ended(outTradeNo);

    expect(await shop.alipay.control.notify(outTradeNo)).toMatchObject({ body: 'success' });
    const { status } = await inActivity(() => writes.recordAndTell({ outTradeNo }));
    expect(status).toBe('PAID');
    expect(await shop.payments.payment(outTradeNo)).toMatchObject({ reviewReason: null });
    expect(await story.isRunning(outTradeNo)).toBe(false);
    expect(await story.standing(orderId)).toBe('PAID: PAID');
    expect(await story.told(orderId, 1)).toEqual([`PAID-${outTradeNo}`]);
  });

  it('accepted by a person is not given back by a later decision about all that were in review for that reason', async () => {
    const { outTradeNo } = await paidAnother();
    const { reviewReason } = await shop.payments.payment(outTradeNo);
    const because = reviewReason?.split(' ')[0];
    await shop.payments.resolveReview(outTradeNo, { to: 'PAID', ...why, because });
    await expect(
      shop.payments.resolveReview(outTradeNo, { to: 'REFUNDING', ...why, because }),
    ).rejects.toMatchObject({ code: 'REVIEW_REFUSED', message: expect.stringContaining('not in review') });
    expect(await story.status(outTradeNo)).toBe('PAID');
    expect(await shop.alipay.control.trade(outTradeNo)).toMatchObject({ refunds: [] });
  });

  it('of which a part went back before it was accepted: the order service hears of that too', async () => {
    const { orderId, outTradeNo } = await paidAnother();
    await shop.alipay.control.refundByHand(outTradeNo, '0.01');
    await waitFor(async () => (await shop.payments.payment(outTradeNo)).refundedAmount === '0.01', {
      what: 'the refund to be recorded',
    });
    await shop.payments.resolveReview(outTradeNo, { to: 'PAID', ...why });
    const [paid, back] = await story.told(orderId, 2);
    expect([paid, back?.startsWith(`REFUND-${outTradeNo}-`)]).toEqual([`PAID-${outTradeNo}`, true]);
    const { found } = await shop.payments.audit.run({ settledMs: 0 });
    expect(found.filter((one) => one.outTradeNo === outTradeNo)).toEqual([]);
  });

  it('is given back as it was paid, and proven with it', async () => {
    const { orderId, outTradeNo } = await paidAnother();
    await shop.payments.resolveReview(outTradeNo, { to: 'REFUNDING', ...why });
    await story.until(outTradeNo, 'REFUNDED');
    expect(await shop.alipay.control.trade(outTradeNo)).toMatchObject({
      refundedAmount: '12.31',
      refunds: [{ amount: '12.31' }],
    });
    expect(await shop.payments.payment(outTradeNo)).toMatchObject({
      paidAmount: '12.31',
      refundedAmount: '12.31',
    });
    expect(await story.standing(orderId)).toBe('UNPAID: REFUNDED');
  });

  it('accepted and refunded later is given back as it was paid, too, and the order service hears of it', async () => {
    const { orderId, outTradeNo } = await paidAnother();
    await shop.payments.resolveReview(outTradeNo, { to: 'PAID', ...why });
    await shop.payments.resolveReview(outTradeNo, { to: 'REFUNDING', ...why });
    await story.until(outTradeNo, 'REFUNDED');
    expect((await shop.alipay.control.trade(outTradeNo))?.refundedAmount).toBe('12.31');
    expect(await story.told(orderId, 2)).toEqual([`PAID-${outTradeNo}`, refundOf(outTradeNo)]);
  });

  it('told of once and denied by the fresh answer is corrected by it', async () => {
    const { outTradeNo } = await inReview('paid');
    await shop.sql(`UPDATE payments SET paid_amount = 12.31 WHERE out_trade_no = :outTradeNo`, {
      outTradeNo,
    });
    await decide(outTradeNo, 'PAID');
    expect(await shop.payments.payment(outTradeNo)).toMatchObject({
      paidAmount: '12.30',
      acceptedAmount: null,
    });
  });
});

describe('a refund under way', () => {
  async function refunding() {
    const checkout = await inReview('paid');
    await shop.sql(
      `UPDATE payments SET status = 'REFUNDING', review_reason = NULL WHERE out_trade_no = :no`,
      {
        no: checkout.outTradeNo,
      },
    );
    const { orderId, outTradeNo } = checkout;
    await insertRefund(shop.db, {
      ...{ orderId, outTradeNo, outRequestNo: `LATE_${outTradeNo}`, amount: '12.30', kind: 'late' },
      reason: 'too late',
      requestedBy: 'a test',
    });
    return checkout;
  }

  it('is stopped while Alipay is down: nothing is asked for that', async () => {
    const { orderId, outTradeNo } = await refunding();
    const before = await story.calls(outTradeNo);
    await shop.alipay.control.down(true, 'reset');
    const stopped = await decide(outTradeNo, 'REVIEW').finally(() => shop.alipay.control.down(false));
    expect(stopped).toMatchObject({ status: 'REVIEW', reviewReason: 'REFUND_STOPPED' });
    expect(await story.standing(orderId)).toBe('UNPAID: REVIEW');
    expect(await shop.payments.refundStatus(`LATE_${outTradeNo}`)).toMatchObject({ status: 'REVIEW' });
    expect(await story.calls(outTradeNo)).toEqual(before);
  });

  it('is stopped by a person, and decided then', async () => {
    const { orderId, outTradeNo } = await refunding();
    for (const to of ['PAID', 'REFUNDED', 'CLOSED'] as const) {
      await expect(decide(outTradeNo, to)).rejects.toMatchObject({ type: 'REVIEW_REFUSED' });
    }
    expect(await decide(outTradeNo, 'REVIEW')).toMatchObject({
      status: 'REVIEW',
      reviewReason: 'REFUND_STOPPED',
    });
    expect(await decide(outTradeNo, 'REVIEW')).toMatchObject({ status: 'REVIEW' });
    expect(await story.events(outTradeNo, 'review-resolved')).toHaveLength(1);
    expect(await story.standing(orderId)).toBe('UNPAID: REVIEW');
  });

  it('may still come for a minute after it was stopped: until then the money is not taken for ours', async () => {
    const { outTradeNo } = await refunding();
    await decide(outTradeNo, 'REVIEW');
    await expect(decide(outTradeNo, 'PAID')).rejects.toMatchObject({
      type: 'REVIEW_REFUSED',
      message: expect.stringMatching(/wait a minute/) as unknown,
    });
    expect(await decide(outTradeNo, 'REFUNDING')).toMatchObject({ status: 'REFUNDING' });
  });

  it('that Alipay makes although it was stopped is found by the next decision: all of it has gone back', async () => {
    const { orderId, outTradeNo } = await refunding();
    await shop.sql(`UPDATE refunds SET asked_at = now() WHERE out_trade_no = :outTradeNo`, { outTradeNo });
    await decide(outTradeNo, 'REVIEW');
    await shop.gateway.refund({
      outTradeNo,
      amount: '12.30',
      outRequestNo: `LATE_${outTradeNo}`,
      reason: 'on its way',
    });
    await expect(decide(outTradeNo, 'PAID')).rejects.toMatchObject({ type: 'REVIEW_REFUSED' });
    expect(await shop.payments.payment(outTradeNo)).toMatchObject({
      status: 'REFUNDED',
      refundedAmount: '12.30',
    });
    expect(await decide(outTradeNo, 'REFUNDED')).toMatchObject({ status: 'REFUNDED' });
    expect(await story.standing(orderId)).toBe('UNPAID: REFUNDED');
  });
});

describe('an order that was held for a payment in review', () => {
  const heldUntil = async (orderId: string) =>
    shop.sql(`SELECT held_until, holds FROM orders WHERE id = :orderId`, { orderId });

  it('is looked at again as soon as that is decided', async () => {
    const { orderId, outTradeNo } = await inReview('paid');
    await shop.sql(`UPDATE orders SET held_until = 'infinity', holds = 7 WHERE id = :orderId`, { orderId });
    await decide(outTradeNo, 'REFUNDING');
    await story.until(outTradeNo, 'REFUNDED');
    expect(await heldUntil(orderId)).toEqual([{ held_until: null, holds: 0 }]);
  });
});

describe('a payment closed by decision', () => {
  it('while Alipay knows no trade is asked about once more, as every such close', async () => {
    const { outTradeNo } = await inReview('not there');
    await decide(outTradeNo, 'CLOSED');
    expect((await shop.payments.payment(outTradeNo)).recheckAt).not.toBeNull();
    await story.pay(outTradeNo);
    await story.age('payments', outTradeNo, 'recheck_at', 0);
    await inActivity(() => activities.recheckClosed());
    await story.until(outTradeNo, 'REFUNDED');
  });
});

describe('a payment closed by decision after Alipay had closed its trade', () => {
  it('stays closed when Alipay says so once more: nobody paid it', async () => {
    const { outTradeNo } = await inReview('closed unpaid');
    expect(await decide(outTradeNo, 'CLOSED')).toMatchObject({ status: 'CLOSED' });

    expect(await story.events(outTradeNo, 'answered')).toMatchObject([
      { detail: { trade_status: 'TRADE_CLOSED' } },
    ]);
    await shop.sql(`UPDATE evidence SET recorded_at = NULL WHERE out_trade_no = :outTradeNo`, { outTradeNo });
    expect(await inActivity(() => writes.recordAndTell({ outTradeNo }))).toMatchObject({
      status: 'CLOSED',
      reviewReason: null,
    });
  });
});

describe('a late payment that Alipay refunds no more', () => {
  const outside = { reference: 'ICBC 20261129-17' };

  async function lateAndFinished() {
    const checkout = await inReview('finished');
    const { orderId } = checkout;
    await shop.sql(`UPDATE orders SET status = 'CLOSED' WHERE id = :orderId`, { orderId });
    return checkout;
  }

  it('comes back to the person, who pays it back outside Alipay; that is recorded apart', async () => {
    const { orderId, outTradeNo } = await lateAndFinished();
    for (const to of ['PAID', 'REFUNDED', 'CLOSED'] as const) {
      await expect(decide(outTradeNo, to)).rejects.toMatchObject({ type: 'REVIEW_REFUSED' });
    }
    // It has not been tried yet whether Alipay refunds it.
    await expect(decide(outTradeNo, 'REFUNDED', { outside })).rejects.toMatchObject({
      type: 'REVIEW_REFUSED',
    });
    expect(await decide(outTradeNo, 'REFUNDING')).toMatchObject({ status: 'REFUNDING' });
    await story.until(outTradeNo, 'REVIEW');
    expect(await shop.payments.payment(outTradeNo)).toMatchObject({
      reviewReason: 'REFUND_REFUSED ACQ.TRADE_HAS_FINISHED',
    });
    expect(await decide(outTradeNo, 'REFUNDED', { outside })).toMatchObject({
      status: 'REFUNDED',
      answer: 'paid',
    });
    expect(await shop.payments.payment(outTradeNo)).toMatchObject({
      paidAmount: '12.30',
      refundedAmount: '0.00',
      outsideAmount: '12.30',
      outsideReference: outside.reference,
    });
    expect(await story.events(outTradeNo, 'review-resolved')).toMatchObject([
      { detail: { to: 'REFUNDING' } },
      { detail: { to: 'REFUNDED', outside: outside.reference } },
    ]);
    expect(await story.standing(orderId)).toBe('CLOSED: REFUNDED');

    // The answer was lost, and another person has paid it back by bank transfer, too.
    expect(await decide(outTradeNo, 'REFUNDED', { outside })).toMatchObject({ status: 'REFUNDED' });
    const twice = decide(outTradeNo, 'REFUNDED', { outside: { reference: 'ICBC 20261129-18' } });
    await expect(twice).rejects.toMatchObject({ type: 'REVIEW_REFUSED' });
    expect(await story.events(outTradeNo, 'review-resolved')).toHaveLength(2);
  });

  it('is not paid back outside where Alipay has given it back already', async () => {
    const { outTradeNo } = await inReview('refunded at the portal');
    expect(await decide(outTradeNo, 'REFUNDED')).toMatchObject({ status: 'REFUNDED' });
    await expect(decide(outTradeNo, 'REFUNDED', { outside })).rejects.toMatchObject({
      type: 'REVIEW_REFUSED',
    });
  });

  it('is not paid back outside where Alipay would still refund it', async () => {
    const { orderId, outTradeNo } = await inReview('paid');
    const before = await story.everything();
    await expect(decide(outTradeNo, 'REFUNDED', { outside })).rejects.toMatchObject({
      type: 'REVIEW_REFUSED',
      message: expect.stringMatching(/would still refund/) as unknown,
    });
    const [orders, payments] = (await story.everything()) as unknown[][];
    expect([orders, payments]).toEqual((before as unknown[][]).slice(0, 2));
    expect(await story.standing(orderId)).toBe('UNPAID: REVIEW');
  });

  it('of the order that it paid, is told to the order service as refunded', async () => {
    const { orderId, outTradeNo } = await story.checkOut();
    await story.pay(outTradeNo, { notify: true });
    await story.until(outTradeNo, 'PAID');
    await shop.alipay.control.finish(outTradeNo, { notify: false });
    await shop.payments.resolveReview(outTradeNo, { to: 'REFUNDING', ...why });
    await story.until(outTradeNo, 'REVIEW');
    await shop.payments.resolveReview(outTradeNo, { to: 'REFUNDED', ...why, outside });
    expect(await story.told(orderId, 2)).toEqual([`PAID-${outTradeNo}`, `REFUND-${outTradeNo}-12.30`]);
    expect(await story.standing(orderId)).toBe('PAID: REFUNDED');
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
      lastAnswer: 'paid',
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

  it('writes the reason for the shop: the buyer reads words of ours at Alipay', async () => {
    const { outTradeNo } = await otherAmount();
    await shop.payments.resolveReview(outTradeNo, {
      to: 'REFUNDING',
      actor: 'anna',
      reason: 'looks like fraud',
    });
    await story.until(outTradeNo, 'REFUNDED');
    expect(await wordsAtAlipay(outTradeNo)).toEqual(['refunded by the seller']);
    expect(await story.events(outTradeNo, 'review-resolved')).toMatchObject([
      { actor: 'anna', detail: { reason: 'looks like fraud' } },
    ]);
  });

  it.each([
    ['of 300 characters', 'x'.repeat(300)],
    ['with a line break', 'one\ntwo'],
  ])(
    'cannot give a reason %s by the bare update; recorded by an older run, it still refunds',
    async (_, reason) => {
      const { outTradeNo } = await otherAmount();
      const decision: ResolveReview = { to: 'REFUNDING', actor: 'anna', reason };
      const handle = shop.temporal.workflow.getHandle(paymentWorkflowId(outTradeNo));
      await expect(handle.executeUpdate(UPDATES.resolveReview, { args: [decision] })).rejects.toMatchObject({
        cause: { type: 'INVALID_INPUT' },
      });
      expect(await decide(outTradeNo, 'REFUNDING', { reason })).toMatchObject({ status: 'REFUNDING' });
      await story.until(outTradeNo, 'REFUNDED');
      expect(await wordsAtAlipay(outTradeNo)).toEqual(['refunded by the seller']);
    },
  );

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
    expect(await story.told(orderId, 2)).toEqual([`PAID-${outTradeNo}`, refundOf(outTradeNo)]);
    expect(await story.standing(orderId)).toBe('PAID: REFUNDED');
  });
});

describe('a run that a restored Temporal store shows in review, while its row has moved on', () => {
  const running = async () => {
    const { orderId, outTradeNo } = await story.checkOut();
    await story.pay(outTradeNo);
    await shop.alipay.control.notify(outTradeNo, { total_amount: '12.31' });
    await story.until(outTradeNo, 'REVIEW');
    const query = `OutTradeNo = '${outTradeNo}' AND PaymentStatus = 'REVIEW' AND ExecutionStatus = 'Running'`;
    await waitFor(async () => (await shop.temporal.workflow.count(query)).count === 1, {
      what: `${outTradeNo} to be listed in review`,
    });
    return { orderId, outTradeNo };
  };
  const recover = (dryRun = false) =>
    shop.payments.recover({ since: new Date(Date.now() - 1_000).toISOString(), actor: 'li', dryRun });

  it('is told by recover, and ends', async () => {
    const { orderId, outTradeNo } = await running();
    const other = await running();
    const before = await recover(true);
    await shop.sql(
      `UPDATE payments SET status = 'PAID', review_reason = NULL, paid_amount = 12.30 WHERE out_trade_no = :outTradeNo`,
      { outTradeNo },
    );
    await shop.sql(`UPDATE orders SET status = 'PAID', paid_at = now() WHERE id = :orderId`, { orderId });
    // Its row made it count before, its run does now.
    expect((await recover(true)).unattended).toBe(before.unattended);
    expect(await story.isRunning(outTradeNo)).toBe(true);
    expect((await recover()).unattended).toBe(before.unattended);
    expect(await story.ended(outTradeNo)).toMatchObject({ status: 'PAID' });
    expect(await story.isRunning(other.outTradeNo)).toBe(true);
  });
});
