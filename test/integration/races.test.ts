import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type { Shop } from '../support';
import { openShop, waitFor } from '../support';

/** Longer than a notification takes to reach Temporal, shorter than the second of the fast path. */
const LATENCY_MS = 600;

let shop: Shop;
let orders = 0;
beforeAll(async () => {
  shop = await openShop(__filename);
});
afterAll(() => shop.close());
afterEach(() => shop.alipay.control.latency(0));

async function checkOut(payments = shop.payments) {
  orders += 1;
  const checkout = await payments.checkout({
    orderId: `order-${orders}`,
    subject: 'A pot of tea',
    totalAmount: '12.30',
  });
  await shop.alipay.control.open(checkout.paymentUrl);
  // A notification that was stored before the run ended and reaches Temporal after it starts another run.
  const { runId } = await shop.temporal.workflow.getHandle(checkout.workflowId).describe();
  return { ...checkout, handle: shop.temporal.workflow.getHandle(checkout.workflowId, runId) };
}

async function queriesOf(outTradeNo: string): Promise<number> {
  const journal = await shop.alipay.control.journal();
  return journal.filter(
    (entry) =>
      entry.kind === 'call' && entry.method === 'alipay.trade.query' && entry.outTradeNo === outTradeNo,
  ).length;
}

/** What the ledger and the order service hold of a payment made once. */
async function expectPaidOnce(orderId: string, outTradeNo: string): Promise<void> {
  await waitFor(
    async () => (await shop.sql('SELECT 1 FROM order_log WHERE order_id = :orderId', { orderId })).length > 0,
    { what: 'the order service to act' },
  );
  expect(
    await shop.sql(`SELECT event FROM payment_events WHERE out_trade_no = :outTradeNo AND event = 'paid'`, {
      outTradeNo,
    }),
  ).toHaveLength(1);
  expect(await shop.sql(`SELECT status FROM order_messages WHERE order_id = :orderId`, { orderId })).toEqual([
    { status: 'PAID' },
  ]);
  expect(
    await shop.sql(`SELECT message_id, status FROM order_log WHERE order_id = :orderId`, { orderId }),
  ).toEqual([{ message_id: `PAID-${outTradeNo}`, status: 'PAID' }]);
  expect(await shop.payments.order(orderId)).toMatchObject({ status: 'PAID' });
}

describe('a notification that arrives while a check is asked', () => {
  it.each([1, 2, 3])('of check %i: one payment, one order effect', async (check) => {
    const { orderId, outTradeNo, handle } = await checkOut();
    await waitFor(async () => (await queriesOf(outTradeNo)) === check - 1, {
      what: `check ${check - 1} to be made`,
    });
    // The buyer has paid; check `check` will find it, and its answer takes a while.
    await shop.alipay.control.pay(outTradeNo, { notify: false });
    await shop.alipay.control.latency(LATENCY_MS);
    await waitFor(async () => (await queriesOf(outTradeNo)) === check, {
      what: `the query of check ${check} to be in flight`,
      everyMs: 10,
    });
    expect(await shop.alipay.control.notify(outTradeNo)).toMatchObject({ accepted: true });

    // It is recorded while the query is in flight, and ends it.
    expect(await handle.result()).toMatchObject({ status: 'PAID', checks: check });
    await waitFor(async () => (await shop.payments.payment(outTradeNo)).checks === check, {
      what: 'the row to count the check',
    });
    await expectPaidOnce(orderId, outTradeNo);
  });

  it('of a check that finds nothing: the notification wins, and no later check is made', async () => {
    // On a busy machine a notification may take seconds; the next check must not come within them.
    const { orderId, outTradeNo, handle } = await checkOut(shop.clientWith({ intervalMs: 10_000 }));
    await shop.alipay.control.scan(outTradeNo);
    await shop.alipay.control.latency(LATENCY_MS);
    await waitFor(async () => (await queriesOf(outTradeNo)) === 1, {
      what: 'the query of check 1 to be in flight',
      everyMs: 10,
    });
    await shop.alipay.control.pay(outTradeNo);

    expect(await handle.result()).toMatchObject({ status: 'PAID', checks: 1 });
    await expectPaidOnce(orderId, outTradeNo);
  });

  it('and again, and from the query at once: ten repeats change nothing', async () => {
    const { orderId, outTradeNo, handle } = await checkOut();
    await shop.alipay.control.pay(outTradeNo, { notify: false });
    await shop.alipay.control.latency(LATENCY_MS);
    await waitFor(async () => (await queriesOf(outTradeNo)) === 1, {
      what: 'the query of check 1 to be in flight',
      everyMs: 10,
    });
    const answers = await Promise.all(
      Array.from({ length: 10 }, () => shop.alipay.control.notify(outTradeNo)),
    );

    expect(answers.every(({ accepted }) => accepted)).toBe(true);
    expect(await handle.result()).toMatchObject({ status: 'PAID' });
    await expectPaidOnce(orderId, outTradeNo);
  });
});
