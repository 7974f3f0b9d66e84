import { afterAll, beforeAll, expect, it } from '@jest/globals';
import type { Shop } from '../support';
import { openShop } from '../support';
import { Story } from '../integration/story';

let shop: Shop;
let story: Story;

beforeAll(async () => {
  shop = await openShop(__filename, { payments: { checks: 1, intervalMs: 500 } });
  story = new Story(shop);
});
afterAll(() => shop.close());

/** An order that is CLOSED here, whose payment can still be made at Alipay. */
async function closedOrder(): Promise<string> {
  const { orderId, outTradeNo } = await story.checkOut();
  await story.ended(outTradeNo);
  await story.expire(orderId);
  await story.sweep();
  return outTradeNo;
}

it('a refund that Alipay says it made of another amount is no proof: the same refund is asked for again', async () => {
  const outTradeNo = await closedOrder();
  // Validly signed, fund_change=Y, a fen too much, and no money has moved.
  await shop.alipay.control.fault({ mode: 'wrong-amount', method: 'alipay.trade.refund', times: 1 });
  await story.pay(outTradeNo, { notify: true });

  await story.until(outTradeNo, 'REFUNDED', 120_000);
  expect(await shop.alipay.control.trade(outTradeNo)).toMatchObject({ refundedAmount: '12.30' });
});

it('nor is a refund query that tells of another amount: it is asked again', async () => {
  const outTradeNo = await closedOrder();
  // The refund is made and its answer lost, so that only the query can prove it.
  await shop.alipay.control.fault({ mode: 'reset', method: 'alipay.trade.refund', when: 'after', times: 1 });
  await shop.alipay.control.fault({
    mode: 'wrong-amount',
    method: 'alipay.trade.fastpay.refund.query',
    times: 2,
  });
  await story.pay(outTradeNo, { notify: true });

  await story.until(outTradeNo, 'REFUNDED', 120_000);
  expect(await story.events(outTradeNo, 'refund-unproven')).toHaveLength(1);
  expect(await shop.alipay.control.trade(outTradeNo)).toMatchObject({ refundedAmount: '12.30' });
});

it('a part that somebody gave back under our own number counts: the rest is given back under another', async () => {
  const outTradeNo = await closedOrder();
  await story.pay(outTradeNo);
  await shop.gateway.refund({
    outTradeNo,
    amount: '1.00',
    outRequestNo: `LATE_${outTradeNo}`,
    reason: 'a part of it',
  });
  await shop.alipay.control.notify(outTradeNo);

  await story.until(outTradeNo, 'REFUNDED', 120_000);
  expect(await shop.alipay.control.trade(outTradeNo)).toMatchObject({
    refundedAmount: '12.30',
    refunds: [{ amount: '1.00' }, { amount: '11.30', outRequestNo: `LATE2_${outTradeNo}` }],
  });
});
