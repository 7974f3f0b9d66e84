import { afterAll, beforeAll, expect, it } from '@jest/globals';
import type { Checkout } from '../../client/index';
import type { Sandbox } from '../../sandbox';
import type { Shop } from '../support';
import { openShop, waitFor } from '../support';
import type { Listener } from '../support/listener';
import { listen } from '../support/listener';

const BOOKS = { appId: '2021000000000001', sellerId: '2088000000000001' };
const EACH = 200;
const AT_ONCE = 8;

let shop: Shop;
let books: Sandbox;
let wire: Listener;

beforeAll(async () => {
  // Checks would query Alipay, and be right: here only notifications may tell.
  shop = await openShop(__filename, { others: { books: BOOKS }, payments: { checks: 0 } });
  books = shop.others['books'] as Sandbox;
  wire = await listen();
});
afterAll(async () => {
  await wire.close();
  await shop.close();
});

/** A few at a time: the database, Temporal and the workers share the two cores. */
async function each<T, R>(all: readonly T[], act: (one: T) => Promise<R>): Promise<R[]> {
  const done: R[] = [];
  for (let i = 0; i < all.length; i += AT_ONCE)
    done.push(...(await Promise.all(all.slice(i, i + AT_ONCE).map(act))));
  return done;
}

const statuses = async (): Promise<Record<string, number>> =>
  Object.fromEntries(
    (
      await shop.sql<{ merchant: string; status: string; n: number }>(
        `SELECT merchant, status, CAST(count(*) AS integer) AS n FROM payments GROUP BY 1, 2`,
      )
    ).map(({ merchant, status, n }) => [`${merchant} ${status}`, n]),
  );

it(`two merchants with ${EACH} payments each, and every notification crossed: none is believed by the wrong one`, async () => {
  const open = (merchant?: string) =>
    each(
      Array.from({ length: EACH }, (_, n) => n),
      (n) =>
        shop.payments.checkout({
          orderId: `${merchant ?? 'own'}-${n}`,
          subject: 'A book',
          totalAmount: '12.30',
          ...(merchant && { merchant }),
        }),
    );
  const [own, theirs] = [await open(), await open('books')];
  const paying = { trade_status: 'TRADE_SUCCESS', total_amount: '12.30' };

  /** What a merchant's Alipay signs, passed in without the HTTP server, which would soon limit so many forgeries. */
  async function tell(of: Sandbox, outTradeNo: string, fields: Record<string, string>): Promise<string> {
    await of.control.notify(outTradeNo, fields, wire.url);
    return shop.payments.handleNotify(wire.bodies.at(-1));
  }

  /** One merchant's Alipay reports the other's payments: in the other's name, which is a forgery, and in its own. */
  async function cross(payments: Checkout[], wrong: Sandbox, right: { appId: string; sellerId: string }) {
    const forged = { ...paying, app_id: right.appId, seller_id: right.sellerId };
    for (const { outTradeNo } of payments) {
      expect([await tell(wrong, outTradeNo, forged), await tell(wrong, outTradeNo, paying)]).toEqual([
        'fail',
        'success',
      ]);
    }
  }
  await cross(own, books, shop.alipay);
  await cross(theirs, shop.alipay, BOOKS);
  const [mine, other] = [shop.alipay, BOOKS].map(({ appId, sellerId }) => `${appId}/${sellerId}`);
  expect(await statuses()).toEqual({ [`${mine} UNPAID`]: EACH, [`${other} UNPAID`]: EACH });
  // Genuine, but of no payment of that merchant: each is kept for a person.
  expect(await shop.payments.unmatched({ limit: 1_000 })).toHaveLength(2 * EACH);

  await each(own, ({ paymentUrl }) => shop.alipay.control.pay(paymentUrl));
  await each(theirs, ({ paymentUrl }) => books.control.pay(paymentUrl));
  await waitFor(
    async () => {
      expect(await statuses()).toEqual({ [`${mine} PAID`]: EACH, [`${other} PAID`]: EACH });
      return true;
    },
    { what: 'all payments to be PAID by their own notifications', timeoutMs: 180_000, everyMs: 1_000 },
  );
}, 600_000);
