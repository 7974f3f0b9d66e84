import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Client, Connection } from '@temporalio/client';
import type { FastifyInstance } from 'fastify';
import { pino } from 'pino';
import { openGateways } from '../../activities/alipay/open';
import { buildHttpServer } from '../../client/http';
import { PaymentClient } from '../../client/payment-client';
import { openDatabase } from '../../db/connect';
import type { Shop } from '../support';
import { openShop } from '../support';
import { Story } from './story';

let shop: Shop;
let story: Story;

beforeAll(async () => {
  shop = await openShop(__filename, { payments: { checks: 0 } });
  story = new Story(shop);
});
afterAll(() => shop.close());

const ORDER = { orderId: 'good', subject: 'A pot of tea', totalAmount: '12.30' };

interface Answer {
  httpStatus: number;
  code?: string;
  message?: string;
}

async function post(url: string, payload?: object, http: FastifyInstance = shop.http): Promise<Answer> {
  const answer = await http.inject({ method: 'POST', url, ...(payload && { payload }) });
  return { ...answer.json<object>(), httpStatus: answer.statusCode };
}

async function get(url: string, http: FastifyInstance = shop.http): Promise<Answer> {
  const answer = await http.inject({ method: 'GET', url });
  return { ...answer.json<object>(), httpStatus: answer.statusCode };
}

/** Refused with this status and code and a meaningful message, and nothing was written. */
async function refused(httpStatus: number, code: string, act: () => Promise<Answer>): Promise<void> {
  const before = await story.everything();
  const answer = await act();
  expect(answer).toMatchObject({ httpStatus, code });
  expect(answer.message?.length).toBeGreaterThan(15);
  expect(await story.everything()).toEqual(before);
}

describe.each(['/checkout', '/orders'])('POST %s refuses', (url) => {
  it.each([
    ['0', '0'],
    ['0.00', '0.00'],
    ['a negative amount', '-1'],
    ['three decimals', '1.234'],
    ['an exponent', '1e3'],
    ['a comma', '1,00'],
    ['hexadecimal', '0x10'],
    ['a space', ' 1'],
    ['nothing', ''],
    ['more than Alipay takes', '100000000.01'],
    ['ten digits', '1234567890'],
    ['a number instead of a string', 12.3],
    ['null', null],
    ['no amount at all', undefined],
  ])('an amount: %s', async (_, totalAmount) => {
    await refused(400, 'INVALID_INPUT', () => post(url, { ...ORDER, orderId: 'bad', totalAmount }));
  });

  it.each(['', '  ', 'x'.repeat(257), 'a\nb', 'a\u0000b', 7])('a subject: %j', async (subject) => {
    await refused(400, 'INVALID_INPUT', () => post(url, { ...ORDER, orderId: 'bad', subject }));
  });

  it.each(['', 'a b', 'a/b', '订单', 'x'.repeat(65), "a'b", 7, null])('an orderId: %j', async (orderId) => {
    await refused(400, 'INVALID_INPUT', () => post(url, { ...ORDER, orderId }));
  });

  it.each([
    ['expiresIn', '30'],
    ['expiresIn', '-30m'],
    ['expiresIn', '2s'],
    ['expiresIn', '1000d'],
    ['closeBy', 'hand'],
    ['status', 'PAID'],
  ])('%s %j', async (name, value) => {
    await refused(400, 'INVALID_INPUT', () => post(url, { ...ORDER, orderId: 'bad', [name]: value }));
  });

  it('what is no object', async () => {
    for (const payload of [[], ['x'], {}]) await refused(400, 'INVALID_INPUT', () => post(url, payload));
  });

  it('what is no JSON', async () => {
    await refused(400, 'INVALID_INPUT', async () => {
      const answer = await shop.http.inject({
        method: 'POST',
        url,
        headers: { 'content-type': 'application/json' },
        payload: '{"orderId":',
      });
      return { ...answer.json<object>(), httpStatus: answer.statusCode };
    });
  });

  it('the same order with another amount', async () => {
    await post('/orders', { ...ORDER, orderId: 'registered' });
    await refused(409, 'AMOUNT_DIFFERS', () =>
      post(url, { ...ORDER, orderId: 'registered', totalAmount: '12.31' }),
    );
    expect(await post(url, { ...ORDER, orderId: 'registered', totalAmount: '12.3' })).toMatchObject({
      httpStatus: 200,
    });
  });
});

describe('POST /checkout refuses', () => {
  it.each(['', 'a-b', 'a b', '支付', 'x'.repeat(65), 7])('an outTradeNo: %j', async (outTradeNo) => {
    await refused(400, 'INVALID_INPUT', () => post('/checkout', { ...ORDER, orderId: 'bad', outTradeNo }));
  });

  it('a product that there is not', async () => {
    await refused(400, 'INVALID_INPUT', () =>
      post('/checkout', { ...ORDER, orderId: 'bad', product: 'face' }),
    );
  });

  it('an outTradeNo that pays another order', async () => {
    const { outTradeNo } = await story.checkOut();
    await post('/orders', { ...ORDER, orderId: 'another' });
    await refused(409, 'OUT_TRADE_NO_TAKEN', () =>
      post('/checkout', { ...ORDER, orderId: 'another', outTradeNo }),
    );
  });

  it('an order that is closed, is paid, or has too little time left', async () => {
    const closed = await story.checkOut();
    await story.expire(closed.orderId);
    await story.sweep();
    await story.told(closed.orderId, 1);
    await refused(409, 'ORDER_CLOSED', () => post('/checkout', { ...ORDER, orderId: closed.orderId }));

    const paid = await story.checkOut();
    await story.pay(paid.outTradeNo, { notify: true });
    await story.until(paid.outTradeNo, 'PAID');
    await story.ended(paid.outTradeNo);
    await story.told(paid.orderId, 1);
    await refused(409, 'ORDER_PAID', () => post('/checkout', { ...ORDER, orderId: paid.orderId }));

    const late = await story.checkOut();
    // Less than twice the margin of one second: a payment in that time could not be told from one that is too late.
    await shop.sql(
      `UPDATE orders SET expires_at = now() + interval '1900 milliseconds' WHERE id = :orderId`,
      late,
    );
    await refused(409, 'ORDER_EXPIRED', () => post('/checkout', { ...ORDER, orderId: late.orderId }));
    await story.expire(late.orderId);
    await refused(409, 'ORDER_EXPIRED', () => post('/checkout', { ...ORDER, orderId: late.orderId }));
  });

  it('a payment that is settled', async () => {
    const { orderId, outTradeNo } = await story.checkOut({ product: 'wap' });
    await shop.alipay.control.scan(outTradeNo);
    await shop.gateway.close(outTradeNo);
    await story.until(outTradeNo, 'CLOSED');
    await story.ended(outTradeNo);
    await refused(409, 'PAYMENT_SETTLED', () => post('/checkout', { ...ORDER, orderId, outTradeNo }));
  });
});

describe('amounts that are good', () => {
  it.each([
    ['0.01', '0.01'],
    ['0.29', '0.29'],
    ['1.1', '1.10'],
    ['7', '7.00'],
    ['007.5', '7.50'],
    ['100000000.00', '100000000.00'],
  ])('%s is %s everywhere, to the fen', async (totalAmount, shown) => {
    const { orderId, outTradeNo } = await story.checkOut({ totalAmount });
    await story.pay(outTradeNo, { notify: true });
    await story.until(outTradeNo, 'PAID');
    expect(await get(`/orders/${orderId}`)).toMatchObject({ totalAmount: shown, status: 'PAID' });
    expect(await get(`/payments/${outTradeNo}`)).toMatchObject({ totalAmount: shown, status: 'PAID' });
    expect((await shop.alipay.control.trade(outTradeNo))?.totalAmount).toBe(shown);
    await story.ended(outTradeNo);
    await story.told(orderId, 1);
  });
});

describe('what is not there', () => {
  it.each([
    ['/orders/nobody', 404, 'ORDER_UNKNOWN'],
    ['/payments/nobody', 404, 'PAYMENT_UNKNOWN'],
    ['/orders/a%2Fb', 400, 'INVALID_INPUT'],
    ['/payments/a-b', 400, 'INVALID_INPUT'],
    [`/payments/${'x'.repeat(65)}`, 400, 'INVALID_INPUT'],
    ['/orders/a%00', 400, 'INVALID_INPUT'],
    ['/payments/a%00', 400, 'INVALID_INPUT'],
    ['/refunds/a%00', 400, 'INVALID_INPUT'],
    ['/refunds/a%0A', 400, 'INVALID_INPUT'],
    [`/refunds/${'x'.repeat(65)}`, 400, 'INVALID_INPUT'],
    // A person in the merchant portal may enter any number.
    [`/refunds/${encodeURIComponent('退款 1/2')}`, 404, 'REFUND_UNKNOWN'],
    ['/refunds/SEEN_12.30', 404, 'REFUND_UNKNOWN'],
  ])('GET %s is %i %s', async (url, httpStatus, code) => {
    expect(await get(url)).toMatchObject({ httpStatus, code });
  });

  it('a close of an unknown order is 404, with a bad note 400', async () => {
    await refused(404, 'ORDER_UNKNOWN', () => post('/orders/nobody/close'));
    await post('/orders', { ...ORDER, orderId: 'noted' });
    await refused(400, 'INVALID_INPUT', () => post('/orders/noted/close', { reason: 'x'.repeat(300) }));
    await refused(400, 'INVALID_INPUT', () => post('/orders/noted/close', { by: 'me' }));
  });

  const decision = { actor: 'a', reason: 'r' };
  it.each<[string, (id: string) => Promise<unknown>]>([
    ['order', (id) => shop.payments.order(id)],
    ['results', (id) => shop.payments.results(id)],
    ['payments', (orderId) => shop.payments.payments({ orderId })],
    ['refunds', (orderId) => shop.payments.refunds({ orderId })],
    ['payment', (id) => shop.payments.payment(id)],
    ['runs', (id) => shop.payments.runs(id)],
    ['events', (id) => shop.payments.events(id)],
    ['proofs', (id) => shop.payments.audit.proofs(id)],
    ['status', (id) => shop.payments.status(id)],
    ['checkNow', (id) => shop.payments.checkNow(id)],
    ['resolveReview', (id) => shop.payments.resolveReview(id, { to: 'PAID', ...decision })],
    ['refundStatus', (id) => shop.payments.refundStatus(id)],
    ['resolveRefund', (id) => shop.payments.resolveRefund(id, { to: 'DONE', ...decision })],
    ['pause', (merchant) => shop.payments.pauses.pause({ what: 'merchant', merchant, ...decision })],
    ['correctMerchant', (id) => shop.payments.correctMerchant({ id: `A/${id}`, sellerId: '1', ...decision })],
  ])('is refused in code too where it can be nowhere: %s', async (_method, ask) => {
    for (const id of ['a\0', 'a\n', 'x'.repeat(65), 'x'.repeat(2_000)])
      await expect(ask(id)).rejects.toMatchObject({ code: 'INVALID_INPUT' });
  });

  it('to the client in code as over HTTP', async () => {
    await expect(shop.payments.checkNow('nobody')).rejects.toMatchObject({
      code: 'PAYMENT_UNKNOWN',
      status: 404,
    });
    await expect(shop.payments.status('nobody')).rejects.toMatchObject({ code: 'PAYMENT_UNKNOWN' });
    await expect(
      shop.payments.resolveReview('nobody', { to: 'PAID', actor: 'a', reason: 'r' }),
    ).rejects.toMatchObject({ code: 'PAYMENT_UNKNOWN' });
  });
});

describe('a dependency that cannot be reached', () => {
  /** The same shop's interfaces, with one dependency on a port where nothing listens, or in an unknown namespace. */
  async function withOut(
    missing: 'database' | 'temporal' | 'namespace',
    test: (http: FastifyInstance, payments: PaymentClient) => Promise<void>,
  ) {
    const db =
      missing === 'database' ? openDatabase({ url: 'postgres://nobody@127.0.0.1:9/nothing' }) : shop.db;
    const temporal = {
      database: () => shop.temporal,
      temporal: () => new Client({ connection: Connection.lazy({ address: '127.0.0.1:9' }) }),
      namespace: () => new Client({ connection: shop.temporal.connection, namespace: 'nowhere' }),
    }[missing]();
    const { settings } = shop.gateway;
    const log = pino({ level: 'silent' });
    const payments = new PaymentClient({
      temporal,
      db,
      alipay: openGateways(db, [settings]),
      settings: {
        checks: 3,
        intervalMs: 1_000,
        orderTtlMs: 3_600_000,
        closeMarginMs: 1_000,
        slowChecksMs: [],
        sweep: { cron: '@every 30s', parallel: 1 },
      },
      log,
    });
    const http = buildHttpServer({ payments, config: { host: '127.0.0.1', port: 0 }, log });
    try {
      await test(http, payments);
    } finally {
      await http.close();
      // The connection to Temporal is never closed: a call that is retried later would throw from its timer.
      if (missing === 'database') await db.destroy();
    }
  }

  it('the database: 503, and Alipay reads fail', async () => {
    const { outTradeNo } = await story.checkOut();
    await story.pay(outTradeNo);
    await withOut('database', async (http) => {
      const down = { httpStatus: 503, code: 'DATABASE_UNAVAILABLE' };
      const url = `${await http.listen({ host: '127.0.0.1', port: 0 })}/alipay/notify`;
      const [notified, ...answers] = await Promise.all([
        shop.alipay.control.notify(outTradeNo, {}, url),
        post('/orders', ORDER, http),
        post('/checkout', ORDER, http),
        get('/orders/good', http),
        get('/payments/good', http),
        get('/healthz', http),
      ]);
      for (const answer of answers) expect(answer).toMatchObject(down);
      expect(notified).toMatchObject({ accepted: false, status: 503, body: 'fail' });
    });
  });

  it('Temporal: 503; an order is registered, no pay URL is given, and a notification is not answered success', async () => {
    const { outTradeNo } = await story.checkOut();
    await story.pay(outTradeNo);
    await withOut('temporal', async (http) => {
      const down = { httpStatus: 503, code: 'TEMPORAL_UNAVAILABLE' };
      expect(await post('/orders', { ...ORDER, orderId: 'no-temporal' }, http)).toMatchObject({
        httpStatus: 200,
      });
      const url = `${await http.listen({ host: '127.0.0.1', port: 0 })}/alipay/notify`;
      const [checkout, notified] = await Promise.all([
        post('/checkout', { ...ORDER, orderId: 'no-temporal' }, http),
        shop.alipay.control.notify(outTradeNo, { notify_id: 'n' }, url),
      ]);
      expect(checkout).toMatchObject(down);
      expect(checkout).not.toHaveProperty('paymentUrl');
      expect(notified).toMatchObject({ accepted: false, status: 503, body: 'fail' });
    });
    // Alipay sends it again, the body is stored already, and now it counts.
    expect(await story.status(outTradeNo)).toBe('UNPAID');
    expect(await shop.alipay.control.notify(outTradeNo, { notify_id: 'n' })).toMatchObject({
      body: 'success',
    });
    await story.until(outTradeNo, 'PAID');
    expect(await story.events(outTradeNo, 'notified')).toHaveLength(1);
  });

  it('the namespace: 503, which names it; a payment is as its row says', async () => {
    const { orderId, outTradeNo } = await story.checkOut();
    await withOut('namespace', async (http, payments) => {
      const down = {
        httpStatus: 503,
        code: 'TEMPORAL_UNAVAILABLE',
        message: expect.stringMatching(/^There is no namespace nowhere\. .*TEMPORAL_NAMESPACE/) as unknown,
      };
      expect(await get('/readyz', http)).toMatchObject({ ...down, database: true, temporal: false });
      expect(await post('/checkout', { ...ORDER, orderId: 'no-namespace' }, http)).toMatchObject(down);
      expect(await post(`/orders/${orderId}/close`, undefined, http)).toMatchObject(down);
      expect(await payments.status(outTradeNo)).toMatchObject({ status: 'UNPAID' });
    });
  });
});
