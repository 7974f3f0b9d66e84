import { afterAll, beforeAll, expect, it } from '@jest/globals';
import type { Shop } from '../support';
import { openShop } from '../support';
import { Story } from './story';

let shop: Shop;
let story: Story;

beforeAll(async () => {
  shop = await openShop(__filename, { payments: { checks: 1, intervalMs: 500 } });
  story = new Story(shop);
});
afterAll(() => shop.close());

it('a refund that Alipay says it made of another amount is no proof: the same refund is asked for again', async () => {
  const { orderId, outTradeNo } = await story.checkOut();
  await story.ended(outTradeNo);
  await story.expire(orderId);
  await story.sweep();
  // Truly signed, fund_change=Y, a fen too much, and nothing has moved.
  await shop.alipay.control.fault({ mode: 'wrong-amount', method: 'alipay.trade.refund', times: 1 });
  await story.pay(outTradeNo, { notify: true });

  await story.until(outTradeNo, 'REFUNDED', 40_000);
  expect(await shop.alipay.control.trade(outTradeNo)).toMatchObject({ refundedAmount: '12.30' });
});
