import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { listMerchants } from '../../db/merchants';
import { pino } from 'pino';
import { Hands, openShop } from '../support';
import type { Shop } from '../support';
import { Story } from './story';

// Two installations with different app ids, each with an Alipay of its own, on one database: nobody's wish, and seen.

const OURS = '2021000000000000/2088000000000000';

let shop: Shop;
let other: Shop;
let story: Story;

beforeAll(async () => {
  shop = await openShop(__filename, { queues: [] });
  other = await openShop(__filename, {
    queues: [],
    databaseUrl: shop.databaseUrl,
    merchant: { appId: '2021000000009999', sellerId: '2088000000009999' },
  });
  story = new Story(shop);
});
afterAll(async () => {
  await other.close();
  await shop.close();
});

const callsOf = async ({ alipay }: Shop): Promise<number> =>
  (await alipay.control.journal()).filter(({ kind }) => kind === 'call').length;

const merchantsOf = (table: 'orders' | 'payments', orderId: string): Promise<{ merchant: string | null }[]> =>
  shop.sql(`SELECT merchant FROM ${table} WHERE ${table === 'orders' ? 'id' : 'order_id'} = :orderId`, {
    orderId,
  });

describe('a checkout', () => {
  it('registers its merchant, and stamps order and payment with it', async () => {
    const { orderId } = await story.checkOut();
    expect(await merchantsOf('orders', orderId)).toEqual([{ merchant: OURS }]);
    expect(await merchantsOf('payments', orderId)).toEqual([{ merchant: OURS }]);
    expect(await listMerchants(shop.db)).toMatchObject([
      { id: OURS, appId: '2021000000000000', sellerId: '2088000000000000', gateway: shop.alipay.gateway },
    ]);
  });

  it('follows a gateway that has moved, and keeps the identity', async () => {
    const { gateway } = shop.deps.alipay.settings;
    await shop.sql(`UPDATE merchants SET gateway = 'https://old.example/gateway.do' WHERE id = :id`, {
      id: OURS,
    });
    await story.checkOut();
    expect((await listMerchants(shop.db)).map((merchant) => [merchant.id, merchant.gateway])).toEqual([
      [OURS, gateway],
    ]);
  });

  it('of an order or a payment of another merchant is refused with 409, and writes nothing', async () => {
    const { orderId, outTradeNo } = await story.checkOut();
    await shop.sql(`INSERT INTO orders (id, subject, total_amount, expires_at)
      VALUES ('by-hand', 'A pot of tea', 12.30, now() + interval '1 day')`);
    await shop.sql(
      `INSERT INTO payments (out_trade_no, order_id, total_amount, merchant) VALUES ('theirs1', 'by-hand', 12.30, :id)`,
      { id: OURS },
    );
    const tea = { subject: 'A pot of tea', totalAmount: '12.30' };
    const before = await story.everything();
    const asked = [
      other.payments.registerOrder({ orderId, ...tea }),
      other.payments.checkout({ orderId, ...tea }),
      other.payments.checkout({ orderId: 'by-hand', outTradeNo: 'theirs1', ...tea }),
    ];
    for (const refused of asked) {
      await expect(refused).rejects.toMatchObject({
        code: 'MERCHANT_DIFFERS',
        status: 409,
        message: expect.stringContaining(OURS),
      });
    }
    expect(await story.everything()).toEqual(before);
    await expect(shop.payments.checkout({ orderId, ...tea })).resolves.toMatchObject({ outTradeNo });
  });

  it('of an order inserted by hand goes on as before, and stamps the payment', async () => {
    await shop.sql(`INSERT INTO orders (id, subject, total_amount, expires_at)
      VALUES ('by-hand-2', 'A pot of tea', 12.30, now() + interval '1 day')`);
    await story.checkOut({ orderId: 'by-hand-2' });
    expect(await merchantsOf('payments', 'by-hand-2')).toEqual([{ merchant: OURS }]);
  });
});

/** {@link Hands} of a shop's worker, and what it logs. */
function logging(of: Shop): { hands: Hands; lines: () => Record<string, unknown>[] } {
  const written: string[] = [];
  const log = pino({}, { write: (line) => written.push(line) });
  return {
    hands: new Hands({ ...of, deps: { ...of.deps, log } }),
    lines: () => written.map((line) => JSON.parse(line) as Record<string, unknown>),
  };
}

describe('the installation of another merchant', () => {
  it('closes none of eight paid orders, and asks nobody about them', async () => {
    const paid = [];
    for (let i = 0; i < 8; i += 1) {
      const one = await story.checkOut();
      await story.pay(one.outTradeNo);
      paid.push(one);
    }
    await story.expire(...paid.map(({ orderId }) => orderId));
    const calls = await callsOf(other);

    const { hands: theirs, lines } = logging(other);
    for (const { orderId, outTradeNo } of paid) {
      await theirs.close(orderId);
      await expect(theirs.check(outTradeNo)).rejects.toMatchObject({
        type: 'MERCHANT_UNKNOWN',
        nonRetryable: false,
      });
    }
    expect(await callsOf(other)).toBe(calls);
    expect(lines().filter(({ code, alert }) => code === 'MERCHANT_UNKNOWN' && alert === true)).toHaveLength(
      8,
    );
    for (const { orderId } of paid) expect(await story.standing(orderId)).toBe('UNPAID: UNPAID');

    const ours = new Hands(shop);
    for (const { orderId, outTradeNo } of paid) {
      await ours.close(orderId);
      await ours.hear(outTradeNo);
      expect(await story.standing(orderId)).toBe('PAID: PAID');
    }
  });
});
