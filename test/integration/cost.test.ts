import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { orderWorkflowId, paymentWorkflowId } from '../../workflows/messages';
import type { Shop } from '../support';
import { openShop, waitFor } from '../support';

// A Temporal server's work, and a Temporal Cloud bill, grow with state transitions. Unlike payments per second they are
// exact on any machine.

let shop: Shop;
let orders = 0;

beforeAll(async () => {
  shop = await openShop(__filename, { payments: { intervalMs: 1_000 } });
});
afterAll(() => shop.close());

async function checkOut(payments = shop.payments): Promise<string> {
  orders += 1;
  const { outTradeNo, paymentUrl } = await payments.checkout({
    orderId: `order-${orders}`,
    subject: 'A pot of tea',
    totalAmount: '12.30',
  });
  await shop.alipay.control.open(paymentUrl);
  return outTradeNo;
}

async function transitionsOf(workflowId: string): Promise<number> {
  const handle = shop.temporal.workflow.getHandle(workflowId);
  await handle.result();
  const { raw } = await handle.describe();
  return Number(raw.workflowExecutionInfo?.stateTransitionCount);
}

/**
 * The fewest of three payments, one after the other: a stalled process lets tasks time out, which adds transitions and
 * never removes any.
 */
async function fewest(measure: () => Promise<number[]>): Promise<number[]> {
  const [first, ...others] = [await measure(), await measure(), await measure()];
  return first.map((count, i) => Math.min(count, ...others.map((other) => other[i] ?? count)));
}

describe('state transitions of one payment', () => {
  it('notified before the first check: at most 6', async () => {
    const [ofPayment] = await fewest(async () => {
      // A notification that takes a second on a busy machine would arrive after the first check.
      const outTradeNo = await checkOut(shop.clientWith({ intervalMs: 600_000 }));
      await waitFor(async () => (await shop.payments.status(outTradeNo)).nextCheckAt !== null, {
        what: 'the run to sleep',
      });
      await shop.alipay.control.pay(outTradeNo);
      return [await transitionsOf(paymentWorkflowId(outTradeNo))];
    });
    expect(ofPayment).toBeLessThanOrEqual(6);
  });

  it('paid at the first check: at most 10, and its order workflow at most 3', async () => {
    const [ofPayment, ofOrder] = await fewest(async () => {
      const outTradeNo = await checkOut();
      await shop.alipay.control.pay(outTradeNo, { notify: false });
      const transitions = await transitionsOf(paymentWorkflowId(outTradeNo));
      const { orderId } = await shop.payments.payment(outTradeNo);
      return [transitions, await transitionsOf(orderWorkflowId(orderId))];
    });
    expect(ofPayment).toBeLessThanOrEqual(10);
    expect(ofOrder).toBeLessThanOrEqual(3);
  });

  it('unpaid after three checks: at most 24', async () => {
    const [ofPayment] = await fewest(async () => [await transitionsOf(paymentWorkflowId(await checkOut()))]);
    expect(ofPayment).toBeLessThanOrEqual(24);
  });

  it('a check that has to ask twice: at most 8 more', async () => {
    const [ofPayment] = await fewest(async () => {
      const outTradeNo = await checkOut();
      await shop.alipay.control.pay(outTradeNo, { notify: false });
      await shop.alipay.control.fault({
        method: 'alipay.trade.query',
        mode: 'http-500',
        when: 'before',
        times: 1,
        outTradeNo,
      });
      return [await transitionsOf(paymentWorkflowId(outTradeNo))];
    });
    expect(ofPayment).toBeLessThanOrEqual(18);
  });
});
