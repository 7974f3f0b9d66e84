import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { handOver } from '../../activities/closing';
import type { Shop } from '../support';
import { openShop, waitFor } from '../support';
import { Story } from '../integration/story';

/** Long enough for a buyer to pay before the check that must find it, even on a busy machine. */
const INTERVAL_S = 10;

/** What one loaded machine adds to what was waited for. */
const SLACK_S = 20;

/** Alipay gives the time of a payment to the second only. */
const SECOND = 1;

let shop: Shop;
let story: Story;
let told: { path: string; seconds: number }[] = [];

beforeAll(async () => {
  shop = await openShop(__filename, {
    payments: { checks: 2, intervalMs: INTERVAL_S * 1_000, slowChecksMs: [8_000] },
  });
  story = new Story(shop);
  shop.deps.metrics.told = (payment) => void told.push(payment);
});
afterAll(() => shop.close());
beforeEach(() => void (told = []));

async function untilTold(orderId: string): Promise<void> {
  await story.told(orderId, 1);
  await waitFor(() => Promise.resolve(told.length > 0), { what: 'it to be measured' });
}

describe('the time from a payment to the order service knowing it', () => {
  it('by a notification: at once', async () => {
    const { orderId, outTradeNo } = await story.checkOut();
    await story.pay(outTradeNo, { notify: true });
    await untilTold(orderId);
    expect(told).toEqual([{ path: 'notified', seconds: expect.any(Number) }]);
    expect(told[0]?.seconds).toBeLessThan(SECOND + SLACK_S);
  });

  it.each([1, 2])('with all notifications lost: by check %i, within an interval', async (check) => {
    const { orderId, outTradeNo } = await story.checkOut();
    await waitFor(async () => (await story.calls(outTradeNo)).length === check - 1, {
      what: `check ${check - 1} to be over`,
    });
    await story.pay(outTradeNo);
    await untilTold(orderId);
    expect(told).toEqual([{ path: `check-${check}`, seconds: expect.any(Number) }]);
    expect(told[0]?.seconds).toBeLessThan(INTERVAL_S + SECOND + SLACK_S);
  });

  it('by a slow check, by the sweep, by the bill: it says which, and how long it really took', async () => {
    const orders = [await story.checkOut(), await story.checkOut(), await story.checkOut()] as const;
    for (const { outTradeNo } of orders) await story.ended(outTradeNo);
    for (const { outTradeNo } of orders) await story.pay(outTradeNo);
    const [slow, swept, billed] = orders;
    await story.expire(swept.orderId);
    expect(await story.sweep()).toMatchObject({ rescued: 1 });
    await story.told(swept.orderId, 1);

    const payment = await shop.payments.payment(billed.outTradeNo);
    await handOver(shop.deps, payment, await shop.gateway.query(billed.outTradeNo), 'bill');
    await story.told(billed.orderId, 1);

    await waitFor(
      async () => {
        await story.followUp();
        return (await story.status(slow.outTradeNo)) === 'PAID';
      },
      { what: 'the slow check', timeoutMs: 60_000, everyMs: 1_000 },
    );
    await story.told(slow.orderId, 1);
    await waitFor(() => Promise.resolve(told.length === 3), { what: 'all to be measured' });
    expect(told.map(({ path }) => path).sort()).toEqual(['bill', 'slow-check', 'sweep']);
  });

  it('what is told again is not measured again', async () => {
    const { orderId, outTradeNo } = await story.checkOut();
    await story.ended(outTradeNo);
    await story.pay(outTradeNo);
    await shop.payments.checkNow(outTradeNo);
    await untilTold(orderId);
    expect(told).toMatchObject([{ path: 'check-now' }]);
    await shop.payments.resendResults({ orderId, actor: 'li', reason: 'lost' });
    await story.followUp();
    await waitFor(async () => (await story.events(outTradeNo, 'told')).length === 2, {
      what: 'it to be told again',
    });
    expect(told).toHaveLength(1);
  });
});
