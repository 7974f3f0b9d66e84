import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Worker } from '@temporalio/worker';
import { paymentWorkflowId } from '../../workflows/messages';
import type { Shop } from '../support';
import { openShop, waitFor, workflowBundle } from '../support';

// A run may leave the worker's cache, or its worker, at any moment, and is replayed. That must work for what really
// happens, where several messages share one workflow task, not only for the tidy histories under test/replay.

const PAYMENTS = 24;

let shop: Shop;
beforeAll(async () => {
  shop = await openShop(__filename, { payments: { checks: 1, intervalMs: 1_000 } });
});
afterAll(() => shop.close());

async function checkOut(number: number): Promise<string> {
  const { outTradeNo, paymentUrl } = await shop.payments.checkout({
    orderId: `order-${number}`,
    subject: 'A pot of tea',
    totalAmount: '12.30',
  });
  await shop.alipay.control.open(paymentUrl);
  return outTradeNo;
}

const ended = (outTradeNo: string): Promise<unknown> =>
  shop.temporal.workflow.getHandle(paymentWorkflowId(outTradeNo)).result();

describe('runs to which much happens at once', () => {
  it('are replayed to the same commands', async () => {
    const all = await Promise.all(Array.from({ length: PAYMENTS }, (_, number) => checkOut(number)));
    await Promise.all(all.map(ended));
    // Every run has ended: the notification, the operator and the returning buyer all meet in one new run.
    await Promise.all(
      all.map(async (outTradeNo, number) => {
        await shop.alipay.control.scan(outTradeNo);
        await Promise.all([
          shop.alipay.control.pay(outTradeNo),
          shop.payments.checkNow(outTradeNo),
          number % 2 === 0 ? shop.payments.checkNow(outTradeNo) : undefined,
          number % 3 === 0 ? shop.alipay.control.notify(outTradeNo) : undefined,
        ]);
      }),
    );
    await waitFor(
      async () => (await shop.sql(`SELECT 1 FROM payments WHERE status = 'PAID'`)).length === PAYMENTS,
      { what: 'all to be PAID' },
    );
    await Promise.all(all.map(ended));

    const query = `WorkflowType = 'confirmPayment'`;
    await waitFor(async () => (await shop.temporal.workflow.count(query)).count >= 2 * PAYMENTS, {
      what: 'all runs to be listed',
    });
    const runs = shop.temporal.workflow.list({ query });
    const replays = Worker.runReplayHistories(
      { workflowBundle: await workflowBundle() },
      runs.intoHistories(),
    );
    let replayed = 0;
    for await (const { workflowId, error } of replays) {
      expect([workflowId, error]).toEqual([workflowId, undefined]);
      replayed += 1;
    }
    expect(replayed).toBeGreaterThanOrEqual(2 * PAYMENTS);
  });
});
