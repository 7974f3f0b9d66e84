import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { AlipayGateway } from '../../activities/alipay/gateway';
import { listMerchants, registerMerchant } from '../../db/merchants';
import type { Sandbox } from '../../sandbox';
import type { Shop } from '../support';
import { openShop, waitFor } from '../support';
import { Story } from '../integration/story';

const BOOKS = { appId: '2021000000000001', sellerId: '2088000000000001' };
const PARTNER = {
  appId: '2021000000000002',
  sellerId: '2088000000000002',
  authorised: { appAuthToken: '202108BBd9fc3b1a', authAppId: '2021000000000003' },
};

let shop: Shop;
let story: Story;
let books: Sandbox;
let partner: Sandbox;

beforeAll(async () => {
  shop = await openShop(__filename, {
    others: { books: BOOKS, partner: PARTNER },
    payments: { intervalMs: 4_000 },
  });
  story = new Story(shop);
  ({ books, partner } = shop.others as { books: Sandbox; partner: Sandbox });
});
afterAll(() => shop.close());
afterEach(async () => {
  await Promise.all([books, partner, shop.alipay].map(({ control }) => control.down(false)));
  await books.control.clearFaults();
});

let orders = 0;
async function checkOut(
  merchant?: string,
  client = shop.payments,
): Promise<{ orderId: string; outTradeNo: string; paymentUrl: string }> {
  orders += 1;
  const input = { orderId: `M-${orders}`, subject: 'A book', totalAmount: '12.30' };
  return client.checkout({ ...input, ...(merchant && { merchant }) });
}

const statusOf = async (outTradeNo: string) => (await shop.payments.payment(outTradeNo)).status;

const paid = (...outTradeNos: string[]) =>
  waitFor(async () => (await Promise.all(outTradeNos.map(statusOf))).every((status) => status === 'PAID'), {
    what: `${outTradeNos.join()} to be PAID`,
    timeoutMs: 60_000,
  });

describe('a checkout', () => {
  it('names its merchant: the order, the payment and the cashier are that merchant’s', async () => {
    const { orderId, outTradeNo, paymentUrl } = await checkOut('books');
    expect(new URL(paymentUrl).searchParams.get('app_id')).toBe(BOOKS.appId);
    const id = `${BOOKS.appId}/${BOOKS.sellerId}`;
    expect(await shop.payments.order(orderId)).toMatchObject({ merchant: id });
    expect(await shop.payments.payment(outTradeNo)).toMatchObject({ merchant: id });
    expect(await listMerchants(shop.db)).toContainEqual(expect.objectContaining({ id, name: 'books' }));
    await books.control.pay(paymentUrl, { notify: false });
    await paid(outTradeNo);
  });

  it('makes an order and a payment that were inserted by hand its merchant’s: only there is asked about them', async () => {
    const { orderId, outTradeNo } = { orderId: 'M-by-hand', outTradeNo: 'by_hand' };
    await shop.sql(
      `INSERT INTO orders (id, subject, total_amount, expires_at)
       VALUES (:orderId, 'A book', 12.30, now() + interval '1 day')`,
      { orderId },
    );
    await shop.sql(
      `INSERT INTO payments (out_trade_no, order_id, total_amount) VALUES (:outTradeNo, :orderId, 12.30)`,
      { outTradeNo, orderId },
    );
    const input = { orderId, subject: 'A book', totalAmount: '12.30', merchant: 'books' };
    const checkout = await shop.payments.checkout(input);
    expect(checkout).toMatchObject({ outTradeNo });
    const id = `${BOOKS.appId}/${BOOKS.sellerId}`;
    expect(await shop.payments.order(orderId)).toMatchObject({ merchant: id });
    expect(await shop.payments.payment(outTradeNo)).toMatchObject({ merchant: id });
    await books.control.pay(checkout.paymentUrl, { notify: false });
    await paid(outTradeNo);
  });

  it('is refused with a merchant that nobody has, and with another than the order’s', async () => {
    const unknown = await shop.http.inject({
      method: 'POST',
      url: '/checkout',
      payload: { orderId: 'M-unknown', subject: 'x', totalAmount: '1', merchant: 'shoes' },
    });
    expect([unknown.statusCode, unknown.json()]).toEqual([
      400,
      expect.objectContaining({ message: expect.stringContaining('default, books, partner') }),
    ]);
    await expect(shop.payments.order('M-unknown')).rejects.toMatchObject({ code: 'ORDER_UNKNOWN' });
    const { orderId } = await checkOut('books');
    await expect(
      shop.payments.checkout({ orderId, subject: 'A book', totalAmount: '12.30' }),
    ).rejects.toMatchObject({ code: 'MERCHANT_DIFFERS' });
  });
});

describe('a notification', () => {
  it('finds its merchant, and is believed by no other', async () => {
    const [own, theirs] = [await checkOut(), await checkOut('books')];
    const url = shop.gateway.settings.notifyUrl;
    // Signed by the other merchant's Alipay, in this one's name.
    const inNameOf = (merchant: { appId: string; sellerId: string }) => ({
      app_id: merchant.appId,
      seller_id: merchant.sellerId,
      trade_status: 'TRADE_SUCCESS',
      total_amount: '12.30',
    });
    expect(await books.control.notify(own.outTradeNo, inNameOf(shop.alipay), url)).toMatchObject({
      body: 'fail',
    });
    expect(await shop.alipay.control.notify(theirs.outTradeNo, inNameOf(BOOKS), url)).toMatchObject({
      body: 'fail',
    });
    // Genuine, but of the other merchant's payment: money without an order.
    expect(await books.control.notify(own.outTradeNo, inNameOf(BOOKS), url)).toMatchObject({
      accepted: true,
    });
    expect((await shop.payments.unmatched()).map(({ outTradeNo }) => outTradeNo)).toEqual([own.outTradeNo]);
    expect(await Promise.all([own, theirs].map((one) => statusOf(one.outTradeNo)))).toEqual([
      'UNPAID',
      'UNPAID',
    ]);

    await shop.alipay.control.pay(own.paymentUrl);
    await books.control.pay(theirs.paymentUrl);
    await paid(own.outTradeNo, theirs.outTradeNo);
  });
});

describe('one merchant’s outage', () => {
  it('leaves the other’s checks on time, and the rest of the sweep', async () => {
    await books.control.down(true, 'reset');
    const down = shop.deps.alipay.named('books');
    await waitFor(
      async () => {
        await down.query('breaks_the_circuit').catch(() => undefined);
        return down.circuit.isOpen;
      },
      { what: 'the circuit of books to open' },
    );
    await waitFor(() => !shop.deps.alipay.circuit.isOpen, { what: 'the own gateway to answer' });

    const many = <T>(make: () => Promise<T>) => Promise.all(Array.from({ length: 10 }, make));
    // Paid before their first check, however long ten checkouts take.
    const unhurried = shop.clientWith({ intervalMs: 20_000 });
    const own = await many(() => checkOut(undefined, unhurried));
    for (const { paymentUrl } of own) await shop.alipay.control.pay(paymentUrl, { notify: false });
    const theirs = await many(() => checkOut('books'));
    await paid(...own.map(({ outTradeNo }) => outTradeNo));
    const checks = await Promise.all(
      own.map(async ({ outTradeNo }) => (await shop.payments.payment(outTradeNo)).checks),
    );
    expect(checks).toEqual(own.map(() => 1));

    // One chunk with both merchants: what is down waits, what is not is closed.
    const mine = await many(() => checkOut());
    const expired = mine.flatMap((order, i) => [order.orderId, theirs[i]?.orderId ?? '']);
    await story.expire(...expired);
    await waitFor(
      async () => {
        await story.sweep({ parallel: 1 });
        const states = await Promise.all(
          mine.map(async ({ orderId }) => (await shop.payments.order(orderId)).status),
        );
        return states.every((status) => status === 'CLOSED');
      },
      { what: 'the own orders to be closed', timeoutMs: 60_000, everyMs: 500 },
    );
    const held = await Promise.all(
      theirs.map(async ({ orderId }) => (await shop.payments.order(orderId)).status),
    );
    expect(held).toEqual(theirs.map(() => 'UNPAID'));

    await books.control.down(false);
    await waitFor(
      async () => {
        await story.endPause(...theirs.map(({ orderId }) => orderId));
        await story.sweep();
        const states = await Promise.all(
          theirs.map(async ({ orderId }) => (await shop.payments.order(orderId)).status),
        );
        return states.every((status) => status === 'CLOSED');
      },
      { what: 'their orders to be closed once the gateway is back', timeoutMs: 90_000, everyMs: 1_000 },
    );
  }, 400_000);
});

describe('a merchant that refuses every question', () => {
  /** Due payments of each kind that needs a query, `place` seconds back in its order (slow checks: youngest first). */
  async function insertDue({ settings }: AlipayGateway, count: number, place: number): Promise<string> {
    const merchant = await registerMerchant(shop.db, settings);
    await shop.sql(
      `WITH due AS (
         SELECT replace(:merchant, '/', '_') || kind || n AS id, kind, kind = 'slow' AS slow, now() - interval '1 hour' AS at,
           :place * interval '1 second' AS place
         FROM unnest(ARRAY['slow', 'leftover', 'recheck']) AS kind, generate_series(1, :count) AS n),
       ordered AS (
         INSERT INTO orders (id, subject, total_amount, merchant, status, expires_at, closed_at)
         SELECT id, 'A book', 12.30, :merchant, CASE WHEN slow THEN 'UNPAID' ELSE 'CLOSED' END,
           CASE WHEN slow THEN now() + interval '1 hour' ELSE at END, CASE WHEN NOT slow THEN at END
         FROM due)
       INSERT INTO payments (out_trade_no, order_id, total_amount, merchant, status, slow_check_at, recheck_at)
       SELECT id, id, 12.30, :merchant, CASE kind WHEN 'recheck' THEN 'CLOSED' ELSE 'UNPAID' END,
         CASE WHEN slow THEN at - place END, CASE WHEN NOT slow THEN at + place END
       FROM due`,
      { merchant, count, place },
    );
    return merchant;
  }
  const countDue = async (merchant: string) =>
    (
      await shop.sql(
        `SELECT FROM payments WHERE merchant = :merchant AND (slow_check_at <= now() OR recheck_at <= now())`,
        { merchant },
      )
    ).length;

  it('hides no other’s due payments, however many of its own stay due', async () => {
    const theirs = await insertDue(shop.deps.alipay.named('books'), 2_100, 0);
    const own = await insertDue(shop.gateway, 1, 60);
    await books.control.fault({ mode: '40006' });
    const alerts = jest.spyOn(shop.deps.log, 'error');
    const report = await story.followUp();
    expect(await countDue(own)).toBe(0);
    expect(await countDue(theirs)).toBe(3 * 2_100);
    // What was done for the others counts, and nothing retries uselessly: the next follow-up is soon enough.
    for (const kind of ['slowChecks', 'leftovers', 'rechecks'] as const)
      expect([kind, report[kind]]).toEqual([
        kind,
        { done: expect.any(Number), failed: expect.any(Number), left: true },
      ]);
    expect(report.slowChecks?.failed).toBeGreaterThan(0);
    // A check of an earlier test's payment may be due now too.
    const misconfigured = alerts.mock.calls.filter(([facts]) => {
      const { code, activity } = facts as { code?: string; activity?: string };
      return code === 'ALIPAY_MISCONFIGURED' && activity !== 'queryAlipay';
    });
    expect(misconfigured).toHaveLength(3);
    expect(misconfigured[0]).toMatchObject([{ alert: true, alipayCode: '40006' }, expect.any(String)]);
    alerts.mockRestore();
  });
});

describe('an application that acts for another merchant (ISV)', () => {
  it('names the merchant’s authorisation with every request and pay URL, and reads its notifications', async () => {
    const { outTradeNo, paymentUrl } = await checkOut('partner');
    await partner.control.pay(paymentUrl);
    await paid(outTradeNo);
    const [first] = await shop.payments.events(outTradeNo);
    expect(first).toMatchObject({ event: 'checked-out' });
    await expect(shop.deps.alipay.named('partner').query(outTradeNo)).resolves.toMatchObject({
      answer: 'paid',
    });
  });

  it.each([
    ['without it', undefined],
    ['with another one', 'of-somebody-else'],
  ])('is refused %s', async (_how, appAuthToken) => {
    const { settings } = shop.deps.alipay.named('partner');
    await expect(new AlipayGateway({ ...settings, appAuthToken }).query('any')).rejects.toMatchObject({
      kind: 'misconfigured',
      code: '20001',
      subCode: 'aop.invalid-app-auth-token',
    });
  });
});
