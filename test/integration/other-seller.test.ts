import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { diagnose } from '../../client/doctor';
import { correctMerchant, registerMerchant } from '../../db/merchants';
import type { Shop } from '../support';
import { openShop } from '../support';
import { environmentOf } from './operator';
import { Story } from './story';

// No answer of Alipay names the seller before a payment: a wrong ALIPAY_SELLER_ID shows only in refused notifications.

const RIGHT = '2088000000000042';

let shop: Shop;
let story: Story;
beforeAll(async () => {
  shop = await openShop(__filename, { payments: { checks: 0 } });
  story = new Story(shop);
});
afterAll(() => shop.close());

const finding = async () => (await diagnose(environmentOf(shop))).find(({ check }) => check === 'seller-ids');

it('a wrong seller id is named by the doctor once Alipay has notified of a payment', async () => {
  const { outTradeNo } = await story.checkOut();
  await story.pay(outTradeNo);
  expect(await finding()).toMatchObject({ verdict: 'ok' });

  // A forged notification proves nothing.
  await shop.payments.handleNotify(
    `app_id=${shop.alipay.appId}&seller_id=${RIGHT}&out_trade_no=${outTradeNo}&sign=x`,
  );
  expect(await finding()).toMatchObject({ verdict: 'ok' });

  expect(await shop.alipay.control.notify(outTradeNo, { seller_id: RIGHT })).toMatchObject({
    accepted: false,
  });
  expect(await finding()).toMatchObject({
    verdict: 'fault',
    says: expect.stringContaining(`to seller ${RIGHT}, but the environment has ${shop.alipay.sellerId}`),
    advice: expect.stringMatching(/ALIPAY_SELLER_ID.*durable-alipay merchant set/),
  });

  // Alipay repeats for 25 hours; anything older was corrected, or comes again.
  await shop.sql(`UPDATE merchants SET other_seller_at = now() - interval '49 hours'`);
  expect(await finding()).toMatchObject({ verdict: 'ok' });
});

it('until a person has corrected the rows, Alipay is to repeat what the right seller is notified of', async () => {
  const { appId, sellerId } = shop.alipay;
  const { outTradeNo } = await story.checkOut();
  await story.pay(outTradeNo);
  // The processes already have the right seller id, the row still names the wrong one.
  const [wrong, right] = [`${appId}/${RIGHT}`, `${appId}/${sellerId}`];
  await registerMerchant(shop.db, { ...shop.gateway.settings, sellerId: RIGHT });
  await shop.sql(`UPDATE payments SET merchant = :wrong WHERE out_trade_no = :outTradeNo`, {
    wrong,
    outTradeNo,
  });
  await shop.sql(
    `UPDATE orders SET merchant = :wrong WHERE id IN (SELECT order_id FROM payments WHERE merchant = :wrong)`,
    { wrong },
  );
  expect(await shop.alipay.control.notify(outTradeNo)).toMatchObject({ body: 'fail' });
  expect(await shop.payments.unmatched()).toEqual([]);

  expect(
    await correctMerchant(shop.db, { id: wrong, sellerId, actor: 'li', reason: 'a digit was wrong' }),
  ).toMatchObject({ to: right, payments: 1 });
  expect(await shop.alipay.control.notify(outTradeNo)).toMatchObject({ body: 'success' });
  await story.until(outTradeNo, 'PAID');
});
