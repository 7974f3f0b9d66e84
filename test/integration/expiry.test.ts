import { afterAll, beforeAll, expect, it } from '@jest/globals';
import type { Shop } from '../support';
import { openShop } from '../support';

/** No check is due: one that found the payment before the sweep would leave it nothing to rescue. */
const DAY = { orderTtlMs: 24 * 3_600_000, intervalMs: 600_000 };

let shop: Shop;
let orders = 0;
beforeAll(async () => {
  shop = await openShop(__filename, { payments: DAY });
});
afterAll(() => shop.close());

/** An order placed this long ago: Postgres' clock cannot be moved, the order can. */
async function orderOf(age: string): Promise<{ orderId: string; outTradeNo: string }> {
  orders += 1;
  const checkout = await shop.payments.checkout({
    orderId: `order-${orders}`,
    subject: 'A pot of tea',
    totalAmount: '12.30',
  });
  await shop.alipay.control.open(checkout.paymentUrl);
  await shop.sql(
    `UPDATE orders SET created_at = now() - CAST(:age AS interval),
       expires_at = now() - CAST(:age AS interval) + (expires_at - created_at)
     WHERE id = :orderId`,
    { age, orderId: checkout.orderId },
  );
  return checkout;
}

const statusesOf = async ({ orderId, outTradeNo }: { orderId: string; outTradeNo: string }) => [
  (await shop.payments.order(orderId)).status,
  (await shop.payments.payment(outTradeNo)).status,
];

it('an order expires a day after it was placed', async () => {
  const { orderId } = await orderOf('0 seconds');
  const [row] = await shop.sql<{ ttl: string }>(
    `SELECT CAST(EXTRACT(EPOCH FROM expires_at - created_at) AS text) AS ttl FROM orders WHERE id = :orderId`,
    { orderId },
  );
  expect(Number(row?.ttl)).toBe(24 * 3_600);
});

it('an order of 23 h 59 min is not closed, one of 24 h 1 min is', async () => {
  const younger = await orderOf('23 hours 59 minutes');
  const older = await orderOf('24 hours 1 minute');

  expect(await shop.payments.sweep.run()).toMatchObject({ scanned: 1, closed: 1, held: 0, failed: 0 });
  expect(await statusesOf(younger)).toEqual(['UNPAID', 'UNPAID']);
  expect(await statusesOf(older)).toEqual(['CLOSED', 'CLOSED']);
});

it('an order of 24 h 1 min that was paid is rescued, not closed', async () => {
  const paid = await orderOf('24 hours 1 minute');
  await shop.alipay.control.pay(paid.outTradeNo, { notify: false });

  const report = await shop.payments.sweep.run();
  await shop.temporal.workflow.getHandle(`payment-${paid.outTradeNo}`).result();
  expect(report).toMatchObject({ scanned: 1, closed: 0, rescued: 1, rescuedIds: [paid.orderId] });
  expect(await statusesOf(paid)).toEqual(['PAID', 'PAID']);
});

it('a dry run of the sweep closes nothing, however old', async () => {
  const older = await orderOf('24 hours 1 minute');

  expect(await shop.payments.sweep.run({ dryRun: true })).toMatchObject({ scanned: 1, closed: 1 });
  expect(await statusesOf(older)).toEqual(['UNPAID', 'UNPAID']);
});
