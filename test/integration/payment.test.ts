import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { paymentWorkflowId } from '../../workflows/messages';
import type { PaymentState } from '../../workflows/messages';
import type { Shop } from '../support';
import { openShop, waitFor } from '../support';

let shop: Shop;
let orders = 0;

beforeAll(async () => {
  shop = await openShop(__filename);
});
afterAll(() => shop.close());

async function checkOut(more: object = {}, payments = shop.payments) {
  orders += 1;
  const orderId = `order-${orders}`;
  const checkout = await payments.checkout({
    orderId,
    subject: 'A pot of tea',
    totalAmount: '12.30',
    ...more,
  });
  await shop.alipay.control.open(checkout.paymentUrl);
  return checkout;
}

const resultOf = (outTradeNo: string): Promise<PaymentState> =>
  shop.temporal.workflow.getHandle(paymentWorkflowId(outTradeNo)).result() as Promise<PaymentState>;

const told = (orderId: string) =>
  shop.sql(`SELECT message_id, status FROM order_log WHERE order_id = :orderId ORDER BY at`, { orderId });

describe('a buyer who pays', () => {
  it('is known to have paid by the notification, before the first check', async () => {
    // A notification that takes two seconds on a busy machine would arrive after the first check.
    const { orderId, outTradeNo } = await checkOut({}, shop.clientWith({ intervalMs: 600_000 }));
    await shop.alipay.control.pay(outTradeNo);

    expect(await resultOf(outTradeNo)).toEqual({
      outTradeNo,
      status: 'PAID',
      checks: 0,
      nextCheckAt: null,
      lastAnswer: null,
    });
    expect((await shop.payments.order(orderId)).status).toBe('PAID');
    const payment = await shop.payments.payment(outTradeNo);
    expect(payment).toMatchObject({ status: 'PAID', totalAmount: '12.30', checks: 0 });
    expect(payment.callbackContent).toMatchObject({ trade_status: 'TRADE_SUCCESS' });
    await waitFor(async () => (await told(orderId)).length > 0, { what: 'the order service to be told' });
    expect(await told(orderId)).toEqual([{ message_id: `PAID-${outTradeNo}`, status: 'PAID' }]);
  });

  it('is found by the first check where the notification is lost', async () => {
    const { orderId, outTradeNo } = await checkOut();
    await shop.alipay.control.pay(outTradeNo, { notify: false });

    expect(await resultOf(outTradeNo)).toMatchObject({ status: 'PAID', checks: 1, lastAnswer: 'paid' });
    expect((await shop.payments.payment(outTradeNo)).checks).toBe(1);
    await waitFor(async () => (await told(orderId)).length > 0, { what: 'the order service to be told' });
  });
});

describe('a status that is asked for once the run has ended', () => {
  it('is the one of the row, though the run ended PAID and the money has gone back', async () => {
    const { orderId, outTradeNo } = await checkOut();
    await shop.alipay.control.pay(outTradeNo);
    expect(await resultOf(outTradeNo)).toMatchObject({ status: 'PAID' });
    await shop.payments.refund({ orderId, refundId: 'R-1', amount: '12.30', reason: 'a broken pot' });
    await waitFor(async () => (await shop.payments.payment(outTradeNo)).status === 'REFUNDED', {
      what: 'the money to go back',
    });
    expect(await shop.payments.status(outTradeNo)).toMatchObject({ status: 'REFUNDED', nextCheckAt: null });
  });

  it('is UNCONFIRMED while the row is open, and CLOSED once the sweep has closed it', async () => {
    const { orderId, outTradeNo } = await checkOut({}, shop.clientWith({ checks: 1 }));
    await resultOf(outTradeNo);
    expect(await shop.payments.status(outTradeNo)).toMatchObject({
      status: 'UNCONFIRMED',
      nextCheckAt: null,
    });
    await shop.sql(`UPDATE orders SET expires_at = now() WHERE id = :orderId`, { orderId });
    await shop.payments.sweep.run();
    expect(await shop.payments.status(outTradeNo)).toMatchObject({ status: 'CLOSED', nextCheckAt: null });
  });
});

describe('a buyer who never pays', () => {
  it('is asked about three times and no fourth, and the run gives up with the row still open', async () => {
    const { outTradeNo } = await checkOut();

    expect(await resultOf(outTradeNo)).toEqual({
      outTradeNo,
      status: 'UNCONFIRMED',
      checks: 3,
      nextCheckAt: null,
      lastAnswer: 'not-exist',
    });
    expect(await shop.payments.payment(outTradeNo)).toMatchObject({ status: 'UNPAID', checks: 3 });
    const asked = (await shop.alipay.control.journal()).filter(
      (entry) => 'method' in entry && entry.outTradeNo === outTradeNo,
    );
    expect(asked.filter((entry) => 'method' in entry && entry.method === 'alipay.trade.query')).toHaveLength(
      3,
    );
  });

  it('is closed with the order by the sweep, once it has expired', async () => {
    const { orderId, outTradeNo } = await checkOut({ expiresIn: '3s' });
    await waitFor(
      async () =>
        (await shop.sql(`SELECT 1 FROM orders WHERE id = :orderId AND expires_at <= now()`, { orderId }))
          .length > 0,
      {
        what: 'the order to expire',
      },
    );
    const report = await shop.payments.sweep.run();

    expect(report).toMatchObject({ closed: 1, rescued: 0, held: 0, failed: 0, gatewayDown: false });
    expect((await shop.payments.order(orderId)).status).toBe('CLOSED');
    expect((await shop.payments.payment(outTradeNo)).status).toBe('CLOSED');
    await waitFor(async () => (await told(orderId)).length > 0, { what: 'the order service to be told' });
    expect(await told(orderId)).toEqual([{ message_id: `CLOSED-${orderId}`, status: 'CLOSED' }]);
  });
});
