import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createPaymentsQueueActivities } from '../../activities';
import { diagnose } from '../../client/doctor';
import { openDatabase } from '../../db/connect';
import { listMerchants, registerMerchant } from '../../db/merchants';
import { pino } from 'pino';
import { Hands, freshDatabase, openShop } from '../support';
import type { Shop } from '../support';
import { durableAlipay, environmentOf } from './operator';
import { Story } from './story';

// Two installations with different app ids, each with its own Alipay, on one database: unwanted, and detected.

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
    const { gateway } = shop.gateway.settings;
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
    const before = [await story.everything(), await listMerchants(shop.db)];
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
    expect([await story.everything(), await listMerchants(shop.db)]).toEqual(before);
    await expect(shop.payments.checkout({ orderId, ...tea })).resolves.toMatchObject({ outTradeNo });
  });

  it('of an order inserted by hand goes on as before, and stamps the payment', async () => {
    await shop.sql(`INSERT INTO orders (id, subject, total_amount, expires_at)
      VALUES ('by-hand-2', 'A pot of tea', 12.30, now() + interval '1 day')`);
    await story.checkOut({ orderId: 'by-hand-2' });
    expect(await merchantsOf('payments', 'by-hand-2')).toEqual([{ merchant: OURS }]);
  });
});

/** {@link Hands} of a shop's worker, and what the worker logs. */
function logging(of: Shop): { hands: Hands; lines: () => Record<string, unknown>[] } {
  const written: string[] = [];
  const log = pino({}, { write: (line) => written.push(line) });
  return {
    hands: new Hands({ ...of, deps: { ...of.deps, log } }),
    lines: () => written.map((line) => JSON.parse(line) as Record<string, unknown>),
  };
}

describe('a merchant that is new', () => {
  it('is registered once, however many first checkouts come at the same time', async () => {
    const db = openDatabase({ url: await freshDatabase(), maxConnections: 20 });
    const ids = Array.from({ length: 200 }, (_, index) => `2021000000000${index + 100}`);
    try {
      for (const appId of ids) {
        const merchant = {
          name: 'default',
          appId,
          sellerId: '2088000000000000',
          gateway: 'https://alipay.example',
        };
        const registered = Array.from({ length: 20 }, () => registerMerchant(db, merchant));
        expect(new Set(await Promise.all(registered))).toEqual(new Set([`${appId}/2088000000000000`]));
      }
      expect(await listMerchants(db)).toHaveLength(ids.length);
    } finally {
      await db.destroy();
    }
  });
});

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
    const page = { after: null, limit: 100 };
    expect(await createPaymentsQueueActivities(other.deps).findExpiredOrders(page)).toEqual([]);

    const { hands: theirs, lines } = logging(other);
    for (const { orderId, outTradeNo } of paid) {
      await theirs.close(orderId);
      await expect(theirs.check(outTradeNo)).rejects.toMatchObject({
        type: 'MERCHANT_UNKNOWN',
        nonRetryable: false,
      });
    }
    expect(await callsOf(other)).toBe(calls);
    // Two each: one by the sweep, one by the check.
    const alerts = lines().filter(({ code, alert }) => code === 'MERCHANT_UNKNOWN' && alert === true);
    expect(alerts).toHaveLength(16);
    for (const { orderId } of paid) expect(await story.standing(orderId)).toBe('UNPAID: UNPAID');

    const ours = new Hands(shop);
    for (const { orderId, outTradeNo } of paid) {
      await ours.close(orderId);
      await ours.hear(outTradeNo);
      expect(await story.standing(orderId)).toBe('PAID: PAID');
    }
  });
});

describe('a notification of another merchant', () => {
  it('under the number of our payment says nothing of it: it is kept for a person', async () => {
    const { orderId, outTradeNo } = await story.checkOut();
    const url = other.gateway.settings.notifyUrl;
    const paid = { trade_status: 'TRADE_SUCCESS', total_amount: '12.30', notify_id: 'theirs' };
    expect(await other.alipay.control.notify(outTradeNo, paid, url)).toMatchObject({ body: 'success' });
    expect(await story.standing(orderId)).toBe('UNPAID: UNPAID');
    expect(await shop.sql(`SELECT 1 FROM evidence WHERE out_trade_no = :outTradeNo`, { outTradeNo })).toEqual(
      [],
    );
    expect(await shop.payments.unmatched()).toMatchObject([{ outTradeNo }]);
  });
});

describe('a person at the command line', () => {
  const inDatabase = async () => ({
    orders: await shop.sql(
      `SELECT merchant, CAST(count(*) AS integer) AS n FROM orders GROUP BY 1 ORDER BY 1`,
    ),
    payments: await shop.sql(
      `SELECT merchant, CAST(count(*) AS integer) AS n FROM payments GROUP BY 1 ORDER BY 1`,
    ),
  });

  it('sees every merchant, the open payments of each, and which one is configured here', async () => {
    const { code, out } = await durableAlipay(environmentOf(other), 'merchant', 'list', '--json');
    expect(code).toBe(0);
    const open = await shop.sql(`SELECT 1 FROM payments WHERE merchant = :id AND status = 'UNPAID'`, {
      id: OURS,
    });
    expect(JSON.parse(out)).toMatchObject([{ id: OURS, configured: false, openPayments: open.length }]);
  });

  it('corrects a seller id: all rows follow, and who and why is kept', async () => {
    const before = await inDatabase();
    const [id, sellerId] = [OURS, '2088000000000077'];
    const corrected = '2021000000000000/2088000000000077';
    const set = [
      'merchant',
      'set',
      id,
      '--seller-id',
      sellerId,
      '--reason',
      'a digit was wrong',
      '--actor',
      'li',
    ];
    const { code, out } = await durableAlipay(environmentOf(shop), ...set, '--json');
    expect([code, JSON.parse(out)]).toMatchObject([0, { from: OURS, to: corrected }]);

    const follow = (rows: Record<string, unknown>[]) =>
      rows.map((row) => (row['merchant'] === OURS ? { ...row, merchant: corrected } : row));
    const after = await inDatabase();
    expect(after).toEqual({ orders: follow(before.orders), payments: follow(before.payments) });
    const events = await shop.sql(
      `SELECT actor, detail FROM payment_events WHERE event = 'merchant-corrected'`,
    );
    expect(events).toEqual([
      { actor: 'li', detail: { from: OURS, to: corrected, reason: 'a digit was wrong' } },
    ]);

    // A process with the new seller id takes them over; one with the old id no longer does.
    const renamed = { ...environmentOf(shop), ALIPAY_SELLER_ID: sellerId };
    const [{ id: orderId }] = (await shop.sql<{ id: string }>(
      `SELECT id FROM orders WHERE status = 'UNPAID' AND merchant IS NOT NULL AND expires_at > now() LIMIT 1`,
    )) as [{ id: string }];
    const checkout = ['checkout', orderId, '--amount', '12.30', '--subject', 'A pot of tea'];
    expect(await durableAlipay(renamed, ...checkout)).toMatchObject({ code: 0 });
    expect(await durableAlipay(environmentOf(shop), ...checkout)).toMatchObject({
      code: 4,
      err: expect.stringMatching(/^MERCHANT_DIFFERS: Order .* belongs to merchant .*0077/),
    });

    // And back again, as if the correction had been the mistake.
    const back = [
      'merchant',
      'set',
      corrected,
      '--seller-id',
      '2088000000000000',
      '--reason',
      'it was right',
    ];
    expect(await durableAlipay(environmentOf(shop), ...back)).toMatchObject({ code: 0 });
    expect((await inDatabase()).orders).toEqual(before.orders);
    expect(await listMerchants(shop.db)).toMatchObject([
      { id: OURS, correctedTo: null },
      { id: corrected, correctedTo: OURS, openPayments: 0 },
    ]);
  }, 120_000);

  it.each([
    [
      ['2021000000000000/2088999999999999', '--seller-id', '2088000000000077'],
      3,
      /^NOT_FOUND: There is no merchant/,
    ],
    [
      ['2021000000000000', '--seller-id', '2088000000000077'],
      2,
      /^INVALID_INPUT: id must be appId\/sellerId/,
    ],
    [[OURS, '--seller-id', '2088/1'], 2, /^INVALID_INPUT: sellerId must be 1 to 28 letters or digits/],
  ])('is told what is wrong with %j, and nothing is written', async (args, exitCode, words) => {
    const before = await story.everything();
    const { code, err } = await durableAlipay(
      environmentOf(shop),
      'merchant',
      'set',
      ...args,
      '--reason',
      'x',
    );
    expect([code, err]).toEqual([exitCode, expect.stringMatching(words)]);
    expect(await story.everything()).toEqual(before);
  });
});

describe('the doctor', () => {
  const merchantsFinding = async (env: Record<string, string>) =>
    (await diagnose(env)).find(({ check }) => check === 'merchants');

  it('is content where the database is of the configured merchant', async () => {
    expect(await merchantsFinding(environmentOf(shop))).toMatchObject({ verdict: 'ok' });
  });

  it('finds a database of other merchants at fault, with the number of their open payments', async () => {
    expect(await merchantsFinding(environmentOf(other))).toMatchObject({
      verdict: 'fault',
      says: expect.stringMatching(/belongs to 2021000000000000\/2088000000000000 \(\d+ open payments\)/),
    });
  });

  it('names a merchant that was taken out of the configuration while its payments are open', async () => {
    await other.payments.checkout({ orderId: 'of-the-other', subject: 'tea', totalAmount: '1.00' });
    const before = await merchantsOf('payments', 'of-the-other');
    expect(await merchantsFinding(environmentOf(shop))).toMatchObject({
      verdict: 'warning',
      says: 'not in this environment: 2021000000009999/2088000000009999 (1 open payments)',
      advice: expect.stringContaining('durable-alipay merchant set'),
    });
    // It is held unchanged.
    const [payment] = await shop.payments.payments({ orderId: 'of-the-other' });
    await expect(new Hands(shop).check(payment?.outTradeNo ?? '')).rejects.toMatchObject({
      type: 'MERCHANT_UNKNOWN',
    });
    expect(await merchantsOf('payments', 'of-the-other')).toEqual(before);
  });
});
