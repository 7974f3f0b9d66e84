import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Client, Connection } from '@temporalio/client';
import { PaymentClient } from '../../client/index';
import type { Checkout, CheckoutInput } from '../../client/index';
import { Refusal } from '../../sandbox';
import { Hands, expectLedgerRules, openShop } from '../support';
import type { Shop } from '../support';
import { Story } from './story';

// The shop changes the price of an order that is not paid yet. The test takes each step that workers would take.

const OLD = '12.30';
const NEW = '9.90';

let shop: Shop;
let story: Story;
let hands: Hands;

beforeAll(async () => {
  shop = await openShop(__filename, { queues: [] });
  story = new Story(shop);
  hands = new Hands(shop);
});
afterAll(() => shop.close());

beforeEach(() => shop.alipay.control.clearFaults());

const checkOut = (
  orderId: string,
  totalAmount: string,
  more: Partial<CheckoutInput> = {},
): Promise<Checkout> => shop.payments.checkout({ orderId, subject: 'A pot of tea', totalAmount, ...more });

const reprice = (orderId: string, totalAmount = NEW, more: Partial<CheckoutInput> = {}): Promise<Checkout> =>
  checkOut(orderId, totalAmount, { ...more, reprice: true });

const priceOf = async (orderId: string): Promise<string> => (await shop.payments.order(orderId)).totalAmount;

const messagesOf = (orderId: string) =>
  shop.sql(`SELECT id, amount FROM order_messages WHERE order_id = :orderId`, { orderId });

const expectRules = async (orderId: string): Promise<void> =>
  expectLedgerRules(shop, orderId, await hands.settle(orderId));

describe('an order at another price', () => {
  it('has a payment at the new price, and the old one is never returned again, at the old price neither', async () => {
    const { orderId, outTradeNo } = await story.checkOut();
    const { outTradeNo: second, paymentUrl } = await reprice(orderId);
    expect(second).not.toBe(outTradeNo);
    expect(paymentUrl).toContain(encodeURIComponent(`"total_amount":"${NEW}"`));
    expect(await shop.payments.payment(second)).toMatchObject({ totalAmount: NEW, supersededAt: null });
    expect((await checkOut(orderId, NEW)).outTradeNo).toBe(second);
    expect((await reprice(orderId)).outTradeNo).toBe(second);

    const { outTradeNo: third } = await reprice(orderId, OLD);
    expect([outTradeNo, second]).not.toContain(third);
    expect((await checkOut(orderId, OLD)).outTradeNo).toBe(third);
    expect((await story.events(outTradeNo, 'superseded'))[0]).toMatchObject({
      actor: 'checkout',
      detail: { from: OLD, to: NEW },
    });
    await expectRules(orderId);
  });

  it('has its old page closed at Alipay where the buyer has scanned it', async () => {
    const { orderId, outTradeNo } = await story.checkOut();
    await shop.alipay.control.scan(outTradeNo);
    const { outTradeNo: second } = await reprice(orderId);
    await hands.followUp();
    expect(await story.status(outTradeNo)).toBe('CLOSED');
    await expect(story.pay(outTradeNo)).rejects.toThrow('TRADE_HAS_CLOSE');
    expect(await story.status(second)).toBe('UNPAID');
    expect(await priceOf(orderId)).toBe(NEW);
  });

  it('keeps a page that nobody has scanned as a leftover until its time is over', async () => {
    const { orderId, outTradeNo } = await story.checkOut();
    const { outTradeNo: second, paymentUrl } = await reprice(orderId);
    await hands.followUp();
    expect(await story.status(outTradeNo)).toBe('UNPAID');
    await shop.alipay.control.open(paymentUrl);
    await story.pay(second);
    await hands.check(second);
    expect(await story.standing(orderId)).toBe('PAID: PAID, UNPAID');
    await hands.settle(orderId);
    expect(await story.standing(orderId)).toBe('PAID: CLOSED, PAID');
  });

  it('is not paid by the old page: the money goes back, and the order service hears of the new price alone', async () => {
    const { orderId, outTradeNo } = await story.checkOut();
    const { outTradeNo: second, paymentUrl } = await reprice(orderId);
    await story.pay(outTradeNo);
    await hands.check(outTradeNo);
    expect(await story.standing(orderId)).toBe('UNPAID: REFUNDING, UNPAID');
    await expect(reprice(orderId, OLD)).rejects.toMatchObject({ code: 'ORDER_HELD' });
    await hands.refund(outTradeNo);
    expect(await story.standing(orderId)).toBe('UNPAID: REFUNDED, UNPAID');
    expect(await messagesOf(orderId)).toEqual([]);

    await shop.alipay.control.open(paymentUrl);
    await story.pay(second);
    await hands.check(second);
    expect(await messagesOf(orderId)).toEqual([{ id: `PAID-${second}`, amount: NEW }]);
    await expectRules(orderId);
  });

  it('is not paid by the old page by a person’s decision either, who may give the money back', async () => {
    const { orderId, outTradeNo } = await story.checkOut();
    await reprice(orderId);
    await story.pay(outTradeNo);
    await shop.alipay.control.notify(outTradeNo, { total_amount: '12.31' });
    await hands.hear(outTradeNo);
    expect(await story.status(outTradeNo)).toBe('REVIEW');
    await hands.decide(outTradeNo, 'PAID');
    expect(await story.status(outTradeNo)).toBe('REVIEW');
    await hands.decide(outTradeNo, 'REFUNDING');
    await hands.refund(outTradeNo);
    expect(await story.status(outTradeNo)).toBe('REFUNDED');
    await expectRules(orderId);
  });

  it('is asked for by HTTP', async () => {
    const { orderId, outTradeNo } = await story.checkOut();
    const post = (body: object) =>
      shop.http.inject({
        method: 'POST',
        url: '/checkout',
        payload: { orderId, subject: 'tea', totalAmount: NEW, ...body },
      });
    expect((await post({})).json()).toMatchObject({ code: 'AMOUNT_DIFFERS' });
    expect((await post({ reprice: 'yes' })).json()).toMatchObject({ code: 'INVALID_INPUT' });
    const repriced = await post({ reprice: true });
    expect(repriced.statusCode).toBe(200);
    expect(repriced.json<Checkout>().outTradeNo).not.toBe(outTradeNo);
    expect(await priceOf(orderId)).toBe(NEW);
  });

  it('is registered where it is new', async () => {
    await reprice('never-seen');
    expect(await priceOf('never-seen')).toBe(NEW);
  });
});

describe('nothing changes', () => {
  it('where nobody has asked for another price', async () => {
    const { orderId } = await story.checkOut();
    await expect(checkOut(orderId, NEW)).rejects.toMatchObject({ code: 'AMOUNT_DIFFERS', status: 409 });
    expect(await priceOf(orderId)).toBe(OLD);
  });

  it('where the payment that is named belongs to the old price', async () => {
    const { orderId, outTradeNo } = await story.checkOut();
    const before = await story.everything();
    await expect(reprice(orderId, NEW, { outTradeNo })).rejects.toMatchObject({ code: 'PAYMENT_SETTLED' });
    expect(await story.everything()).toEqual(before);
    await reprice(orderId);
    await expect(checkOut(orderId, NEW, { outTradeNo })).rejects.toMatchObject({ code: 'PAYMENT_SETTLED' });
  });

  it('where the order is held, paid or closed', async () => {
    const held = await story.checkOut();
    await story.pay(held.outTradeNo);
    await shop.alipay.control.notify(held.outTradeNo, { total_amount: '12.31' });
    await hands.hear(held.outTradeNo);
    await expect(reprice(held.orderId)).rejects.toMatchObject({ code: 'ORDER_HELD' });
    await hands.decide(held.outTradeNo, 'PAID');
    await expect(reprice(held.orderId)).rejects.toMatchObject({ code: 'ORDER_PAID' });
    // If a new price would be refused, none is advised.
    const plain = checkOut(held.orderId, NEW);
    await expect(plain).rejects.toMatchObject({ code: 'AMOUNT_DIFFERS' });
    await expect(plain).rejects.toThrow(
      /It is PAID, and its price cannot change\. For another purchase, use a new orderId\.$/,
    );
    expect(await priceOf(held.orderId)).toBe(OLD);

    const closed = await story.checkOut();
    await story.expire(closed.orderId);
    await hands.close(closed.orderId);
    await expect(reprice(closed.orderId)).rejects.toMatchObject({ code: 'ORDER_CLOSED' });
  });
});

describe('the notification of the old payment', () => {
  it('that came just before keeps the old price: the buyer has paid it', async () => {
    const { orderId, outTradeNo } = await story.checkOut();
    await story.pay(outTradeNo);
    // Stored and acknowledged with `success`; no worker has recorded it yet.
    expect(await shop.alipay.control.notify(outTradeNo)).toMatchObject({ accepted: true });
    await expect(reprice(orderId)).rejects.toMatchObject({ code: 'ORDER_HELD' });
    await hands.hear(outTradeNo);
    await expect(reprice(orderId)).rejects.toMatchObject({ code: 'ORDER_PAID' });
    expect(await story.standing(orderId)).toBe('PAID: PAID');
    expect(await messagesOf(orderId)).toEqual([{ id: `PAID-${outTradeNo}`, amount: OLD }]);
  });

  it('that comes just after is of a late payment', async () => {
    const { orderId, outTradeNo } = await story.checkOut();
    await story.pay(outTradeNo);
    await reprice(orderId);
    expect(await shop.alipay.control.notify(outTradeNo)).toMatchObject({ accepted: true });
    await hands.hear(outTradeNo);
    expect(await story.standing(orderId)).toBe('UNPAID: REFUNDING, UNPAID');
    await expectRules(orderId);
  });

  it('that comes truly at once has one winner, twenty times', async () => {
    for (let i = 0; i < 20; i += 1) {
      const { orderId, outTradeNo } = await story.checkOut();
      await story.pay(outTradeNo);
      await Promise.all([
        shop.alipay.control.notify(outTradeNo).then(() => hands.hear(outTradeNo)),
        reprice(orderId).catch((error: unknown) => {
          if (!/^ORDER_(HELD|PAID)$/.test((error as { code: string }).code)) throw error;
        }),
      ]);
      await hands.hear(outTradeNo);
      expect(['PAID: PAID', 'UNPAID: REFUNDING, UNPAID']).toContain(await story.standing(orderId));
      expect(await priceOf(orderId)).toBe((await story.status(outTradeNo)) === 'PAID' ? OLD : NEW);
      await expectRules(orderId);
    }
  });
});

it('fifty other prices at once, and a payment of the old page: one price, one open payment, every yuan accounted for', async () => {
  const { orderId, outTradeNo } = await story.checkOut();
  await shop.alipay.control.scan(outTradeNo);
  const paying = shop.alipay.control
    .pay(outTradeNo, { notify: false })
    .then(() => hands.check(outTradeNo))
    .catch((error: unknown) => {
      if (!(error instanceof Refusal)) throw error;
    });
  const asked = await Promise.allSettled(
    Array.from({ length: 50 }, (_, i) => reprice(orderId, `${i + 1}.00`)),
  );
  await paying;
  for (const one of asked) {
    if (one.status === 'rejected')
      expect((one.reason as { code: string }).code).toMatch(/^ORDER_(HELD|PAID)$|^DATABASE_UNAVAILABLE$/);
  }
  const payments = await shop.payments.payments({ orderId, limit: 100 });
  const price = await priceOf(orderId);
  const current = payments.filter(({ supersededAt }) => supersededAt === null);
  expect(current.map(({ totalAmount }) => totalAmount)).toEqual([price]);
  await expectRules(orderId);
});

it('a process that dies before the new payment is watched leaves nothing behind', async () => {
  const { orderId, outTradeNo } = await story.checkOut();
  await shop.alipay.control.scan(outTradeNo);
  // Never closed: a call that Temporal's client retries later would throw from its timer.
  const connection = Connection.lazy({ address: '127.0.0.1:9', connectTimeout: 200 });
  const dying = new PaymentClient({
    temporal: new Client({ connection, namespace: shop.namespace }),
    db: shop.db,
    alipay: shop.deps.alipay,
    settings: { ...shop.deps, orderTtlMs: 86_400_000, sweep: { cron: '0/2 * * * * * *', parallel: 4 } },
    log: shop.deps.log,
  });
  const input = { orderId, subject: 'A pot of tea', totalAmount: NEW, reprice: true };
  await expect(dying.checkout(input)).rejects.toMatchObject({ code: 'TEMPORAL_UNAVAILABLE' });

  // The new price is kept, and the rows alone are enough to close the old page.
  const [second] = await shop.payments.payments({ orderId });
  expect(second).toMatchObject({ totalAmount: NEW, nextCheckAt: expect.any(Date) as unknown });
  await hands.followUp();
  expect(await story.status(outTradeNo)).toBe('CLOSED');
  // The shop tries again.
  expect((await shop.payments.checkout(input)).outTradeNo).toBe(second?.outTradeNo);
  await expectRules(orderId);
});
