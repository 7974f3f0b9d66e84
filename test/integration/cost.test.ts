import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { orderWorkflowId, paymentWorkflowId } from '../../workflows/messages';
import type { Shop } from '../support';
import { openShop, waitFor } from '../support';

// State transitions are what a Temporal server's work, and a Temporal Cloud bill, grow with. Unlike payments per second
// they are exact on any machine.

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

describe('state transitions of one payment', () => {
  it('notified before the first check: at most 6', async () => {
    // A notification that takes a second on a busy machine would come behind the first check.
    const outTradeNo = await checkOut(shop.clientWith({ intervalMs: 600_000 }));
    await waitFor(async () => (await shop.payments.status(outTradeNo)).nextCheckAt !== null, {
      what: 'the run to sleep',
    });
    await shop.alipay.control.pay(outTradeNo);
    expect(await transitionsOf(paymentWorkflowId(outTradeNo))).toBeLessThanOrEqual(6);
  });

  it('paid at the first check: at most 10, and its order workflow at most 3', async () => {
    const outTradeNo = await checkOut();
    await shop.alipay.control.pay(outTradeNo, { notify: false });
    expect(await transitionsOf(paymentWorkflowId(outTradeNo))).toBeLessThanOrEqual(10);
    const { orderId } = await shop.payments.payment(outTradeNo);
    expect(await transitionsOf(orderWorkflowId(orderId))).toBeLessThanOrEqual(3);
  });

  it('unpaid after three checks: at most 24', async () => {
    expect(await transitionsOf(paymentWorkflowId(await checkOut()))).toBeLessThanOrEqual(24);
  });

  it('a check that has to ask twice: at most 8 more', async () => {
    const outTradeNo = await checkOut();
    await shop.alipay.control.pay(outTradeNo, { notify: false });
    await shop.alipay.control.fault({
      method: 'alipay.trade.query',
      mode: 'http-500',
      when: 'before',
      times: 1,
      outTradeNo,
    });
    expect(await transitionsOf(paymentWorkflowId(outTradeNo))).toBeLessThanOrEqual(18);
  });
});
