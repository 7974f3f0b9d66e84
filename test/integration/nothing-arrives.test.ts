import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { diagnose } from '../../client/doctor';
import { readBacklog } from '../../db/backlog';
import type { Shop } from '../support';
import { openShop, waitFor } from '../support';
import { environmentOf } from './operator';
import { Story } from './story';

let shop: Shop;
let story: Story;
beforeAll(async () => {
  shop = await openShop(__filename, { payments: { checks: 20, intervalMs: 1_000 } });
  story = new Story(shop);
});
afterAll(() => shop.close());

/** A payment that became PAID this long ago, by a check or by its notification. */
async function paid(by: 'check' | 'notification', minutesAgo: number): Promise<void> {
  const { outTradeNo } = await story.checkOut();
  await story.pay(outTradeNo, { notify: by === 'notification' });
  await story.until(outTradeNo, 'PAID');
  // On a busy machine the check may come first, and the notification must have arrived before it is aged.
  if (by === 'notification') {
    const heard = `SELECT 1 FROM evidence WHERE out_trade_no = :outTradeNo AND kind = 'notification'`;
    await waitFor(async () => (await shop.sql(heard, { outTradeNo })).length > 0, {
      what: 'the notification',
    });
  }
  await shop.sql(
    `UPDATE evidence SET received_at = now() - :minutesAgo * interval '1 minute' WHERE out_trade_no = :outTradeNo`,
    { outTradeNo, minutesAgo },
  );
}

const found = async () => (await readBacklog(shop.db, [])).foundByAskingAlone;

const finding = async () =>
  (await diagnose(environmentOf(shop))).find(({ check }) => check === 'notifications');

it('payments that are found by asking, while no notification comes for an hour, are counted and told of', async () => {
  expect(await found()).toBe(0);
  await paid('check', 5);
  // Alipay's first repeats are still to come.
  expect(await found()).toBe(0);
  await paid('notification', 70);
  await paid('check', 90);
  await paid('check', 20);
  await paid('check', 40);
  expect(await found()).toBe(2);
  expect(await finding()).toMatchObject({
    verdict: 'warning',
    says: 'no notification has arrived for an hour, and 2 payments were found by asking',
    advice: expect.stringMatching(/certificate chain.*CDN.*redirects from http:\/\//),
  });

  await paid('notification', 30);
  expect(await found()).toBe(0);
  expect(await finding()).toMatchObject({ verdict: 'ok' });
});
