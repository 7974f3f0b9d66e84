import { afterAll, beforeAll, expect, it } from '@jest/globals';
import type { Shop } from '../support';
import { openShop } from '../support';
import { Story } from './story';

let shop: Shop;
let back: string;
let outTradeNo: string;

beforeAll(async () => {
  shop = await openShop(__filename, { payments: { checks: 1, intervalMs: 600_000 } });
  const returnUrl = 'http://127.0.0.1:9/thanks';
  const checkout = await new Story(shop).checkOut({ orderId: 'A-1001', returnUrl });
  outTradeNo = checkout.outTradeNo;
  const cashier = await fetch(checkout.paymentUrl);
  const [, pay = ''] = /id="pay" formaction="([^"]+)"/.exec(await cashier.text()) ?? [];
  const html = await (await fetch(new URL(pay, cashier.url), { method: 'POST' })).text();
  back = (/id="back" href="([^"]+)"/.exec(html)?.[1] ?? '').replaceAll('&amp;', '&');
});
afterAll(() => shop.close());

it('a buyer who comes back is told without a long wait that no worker can say how it stands', async () => {
  await shop.stopWorkers();
  const cameAt = performance.now();
  await expect(shop.payments.verifyReturn(back)).rejects.toMatchObject({ code: 'TEMPORAL_UNAVAILABLE' });
  expect(performance.now() - cameAt).toBeLessThan(12_000);
  await shop.startWorkers();
});

it('a buyer who comes back names the order as well as the payment', async () => {
  expect(await shop.payments.verifyReturn(back)).toMatchObject({
    orderId: 'A-1001',
    outTradeNo,
    status: 'PAID',
  });
});
