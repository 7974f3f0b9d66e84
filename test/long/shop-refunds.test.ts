import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { RefundView } from '../../client/index';
import type { CallEntry } from '../../sandbox';
import type { RefundStatus } from '../../workflows/messages';
import { SIGNALS, refundWorkflowId } from '../../workflows/messages';
import type { Shop } from '../support';
import { openShop, waitFor } from '../support';
import { Story } from '../integration/story';

const REFUND = 'alipay.trade.refund';

let shop: Shop;
let story: Story;

beforeAll(async () => {
  shop = await openShop(__filename, {
    payments: { checks: 1, intervalMs: 500 },
  });
  story = new Story(shop);
});
afterAll(() => shop.close());

beforeEach(async () => {
  await shop.alipay.control.clearFaults();
  await shop.alipay.control.notifier({});
  await shop.alipay.control.refunds({ visibleAfterMs: 0, spacingMs: 0 });
});

async function paidOrder() {
  const checkout = await story.checkOut();
  await story.pay(checkout.outTradeNo, { notify: true });
  await story.until(checkout.outTradeNo, 'PAID');
  return checkout;
}

/** An order that is CLOSED here, whose payment can still be made at Alipay. */
async function closedOrder() {
  const checkout = await story.checkOut();
  await story.ended(checkout.outTradeNo);
  await story.expire(checkout.orderId);
  await story.sweep();
  return checkout;
}

let numbers = 0;

const ask = (orderId: string, amount: string): Promise<RefundView> =>
  shop.payments.refund({ orderId, refundId: `S-${(numbers += 1)}`, amount });

async function until(refundId: string, status: RefundStatus, timeoutMs = 30_000): Promise<void> {
  await waitFor(async () => (await shop.payments.refundStatus(refundId)).status === status, {
    what: `${refundId} to be ${status}`,
    timeoutMs,
  });
}

const runOf = ({ refundId, outTradeNo }: RefundView) =>
  shop.temporal.workflow.getHandle(refundWorkflowId({ kind: 'shop', outTradeNo, outRequestNo: refundId }));

const refundsOf = async (outTradeNo: string) => (await shop.alipay.control.trade(outTradeNo))?.refunds ?? [];

describe('a shop', () => {
  it('gives back parts, one at a time and three seconds apart, and the order service hears of each', async () => {
    // Anything sooner would be refused.
    await shop.alipay.control.refunds({ spacingMs: 2_900 });
    const { orderId, outTradeNo } = await paidOrder();
    const refunds = await Promise.all(['1.00', '2.00', '9.30'].map((amount) => ask(orderId, amount)));
    await story.until(outTradeNo, 'REFUNDED', 100_000);

    const calls = (await shop.alipay.control.journal()).filter(
      (entry): entry is CallEntry =>
        entry.kind === 'call' && entry.outTradeNo === outTradeNo && entry.method === REFUND,
    );
    expect(calls).toHaveLength(3);
    const made = await refundsOf(outTradeNo);
    expect(made.map(({ amount }) => amount).sort()).toEqual(['1.00', '2.00', '9.30']);
    const gaps = made.slice(1).map(({ at }, i) => Date.parse(at) - Date.parse(made[i]?.at ?? ''));
    for (const gap of gaps) {
      expect(gap).toBeGreaterThanOrEqual(2_900);
      // A refund that comes during another one does not wait until that one's process would count as dead.
      expect(gap).toBeLessThan(30_000);
    }
    expect(await story.told(orderId, 4)).toEqual([
      `PAID-${outTradeNo}`,
      ...made.map(({ outRequestNo }) => `REFUND-${outTradeNo}-${outRequestNo}`),
    ]);
    for (const refund of refunds) expect(await runOf(refund).result()).toMatchObject({ status: 'DONE' });
    expect(await story.standing(orderId)).toBe('PAID: REFUNDED');
  }, 120_000);

  it('whose answer was lost is given back once', async () => {
    const { orderId, outTradeNo } = await paidOrder();
    await shop.alipay.control.fault({ mode: 'reset', method: REFUND, outTradeNo, when: 'after', times: 1 });
    const { refundId } = await ask(orderId, '3.00');
    await until(refundId, 'DONE');
    expect(await refundsOf(outTradeNo)).toMatchObject([{ outRequestNo: refundId, amount: '3.00' }]);
    expect(await story.status(outTradeNo)).toBe('PAID');
  });

  it('whose refund stands still since its run is gone gets it by the follow-up', async () => {
    const { orderId, outTradeNo } = await paidOrder();
    await shop.alipay.control.fault({ mode: 'SYSTEM_ERROR', method: REFUND, outTradeNo });
    const refund = await ask(orderId, '3.00');
    await waitFor(async () => (await story.calls(outTradeNo)).includes('refund'), { what: 'the first try' });
    await runOf(refund).terminate('a test');
    await shop.alipay.control.clearFaults();
    await story.followUp();
    expect((await runOf(refund).describe()).status.name).toBe('TERMINATED');

    await shop.sql(`UPDATE refunds SET retry_at = now() WHERE out_request_no = :no`, { no: refund.refundId });
    expect(await story.followUp()).toMatchObject({ refunds: { done: 1, failed: 0 } });
    await until(refund.refundId, 'DONE');
    expect(await refundsOf(outTradeNo)).toHaveLength(1);
  });
});

describe('a refund that Alipay never proves', () => {
  async function inReview() {
    const { orderId, outTradeNo } = await paidOrder();
    await shop.alipay.control.refunds({ visibleAfterMs: 3_600_000 });
    await shop.alipay.control.fault({ mode: 'reset', method: REFUND, outTradeNo, when: 'after', times: 1 });
    await shop.sql(
      `UPDATE payments SET refund_turn_until = now() + interval '5 seconds' WHERE out_trade_no = :outTradeNo`,
      { outTradeNo },
    );
    const refund = await ask(orderId, '3.00');
    // As if nine answers had come before; then it is queried again at once.
    await shop.sql(`UPDATE refunds SET unproven = 9 WHERE out_request_no = :no`, { no: refund.refundId });
    await waitFor(async () => (await story.calls(outTradeNo)).includes('refund'), { what: 'the first try' });
    await runOf(refund).signal(SIGNALS.rowMoved);
    await until(refund.refundId, 'REVIEW', 60_000);
    await shop.sql(`UPDATE refunds SET asked_at = now() - interval '1 hour' WHERE out_request_no = :no`, {
      no: refund.refundId,
    });
    return { orderId, outTradeNo, refund };
  }

  const why = { actor: 'anna', reason: 'looked at the portal' };

  it('waits for a person, is found in the work list, and ends as Alipay says in the end', async () => {
    const { orderId, outTradeNo, refund } = await inReview();
    expect(await shop.payments.refundStatus(refund.refundId)).toMatchObject({ because: 'REFUND_NOT_PROVEN' });
    await waitFor(
      async () => {
        const query = `PaymentStatus = "REVIEW" AND ExecutionStatus = "Running" AND WorkflowType = "refundPayment"`;
        for await (const { workflowId } of shop.temporal.workflow.list({ query }))
          if (workflowId === runOf(refund).workflowId) return true;
        return false;
      },
      { what: 'the refund to be listed' },
    );
    const contradicted = shop.payments.resolveRefund(refund.refundId, { to: 'DONE', ...why });
    await expect(contradicted).rejects.toMatchObject({ code: 'REVIEW_REFUSED', status: 409 });

    await shop.alipay.control.refunds({ visibleAfterMs: 0 });
    const notMade = shop.payments.resolveRefund(refund.refundId, { to: 'REFUSED', ...why });
    await expect(notMade).rejects.toMatchObject({ code: 'REVIEW_REFUSED' });
    expect(await shop.payments.resolveRefund(refund.refundId, { to: 'DONE', ...why })).toMatchObject({
      status: 'DONE',
    });
    expect(await runOf(refund).result()).toMatchObject({ status: 'DONE' });
    expect(await shop.payments.payment(outTradeNo)).toMatchObject({ status: 'PAID', refundedAmount: '3.00' });
    expect(await story.told(orderId, 2)).toEqual([
      `PAID-${outTradeNo}`,
      `REFUND-${outTradeNo}-${refund.refundId}`,
    ]);
    expect(await story.events(outTradeNo, 'refund-resolved')).toMatchObject([{ actor: 'anna' }]);
  });
});

describe('a late payment that somebody refunded by hand first', () => {
  it('wholly, its notification lost: it is REFUNDED, and nobody is called', async () => {
    const { orderId, outTradeNo } = await closedOrder();
    await story.pay(outTradeNo);
    await shop.alipay.control.notifier({ drop: 1 });
    await shop.alipay.control.refundByHand(outTradeNo, '12.30');
    // Alipay only repeats the notification of the payment.
    await shop.alipay.control.notify(outTradeNo, {
      trade_status: 'TRADE_SUCCESS',
      ...{ refund_fee: '', gmt_refund: '', out_biz_no: '', send_back_fee: '', gmt_close: '' },
    });
    await story.until(outTradeNo, 'REFUNDED', 30_000);
    expect(await refundsOf(outTradeNo)).toHaveLength(1);
    expect(await shop.payments.payment(outTradeNo)).toMatchObject({ refundedAmount: '12.30' });
    expect(await story.events(outTradeNo, 'review')).toEqual([]);
    expect(await story.standing(orderId)).toBe('CLOSED: REFUNDED');
  });

  it('in part, and the notification tells it: the rest is given back', async () => {
    const { orderId, outTradeNo } = await closedOrder();
    await story.pay(outTradeNo);
    await shop.alipay.control.refundByHand(outTradeNo, '2.30');
    await story.until(outTradeNo, 'REFUNDED', 40_000);
    expect((await refundsOf(outTradeNo)).map(({ amount }) => amount)).toEqual(['2.30', '10.00']);
    expect(await story.standing(orderId)).toBe('CLOSED: REFUNDED');
    expect(await story.told(orderId, 1)).toEqual([`CLOSED-${orderId}`]);
  });

  it('in part, and the notification comes after ours was refused: the rest is given back too', async () => {
    const { orderId, outTradeNo } = await closedOrder();
    await story.pay(outTradeNo);
    await shop.alipay.control.notifier({ drop: 1 });
    await shop.alipay.control.refundByHand(outTradeNo, '2.30');
    await shop.alipay.control.notify(outTradeNo, {
      ...{ refund_fee: '', gmt_refund: '', out_biz_no: '', send_back_fee: '' },
    });
    await waitFor(async () => (await story.calls(outTradeNo)).includes('refund'), {
      what: 'ours to be refused',
    });
    expect(await story.status(outTradeNo)).toBe('REFUNDING');
    await shop.alipay.control.notify(outTradeNo);
    await story.until(outTradeNo, 'REFUNDED', 60_000);
    expect((await refundsOf(outTradeNo)).map(({ amount }) => amount)).toEqual(['2.30', '10.00']);
    expect(await story.events(outTradeNo, 'review')).toEqual([]);
    expect(await story.standing(orderId)).toBe('CLOSED: REFUNDED');
  });
});
