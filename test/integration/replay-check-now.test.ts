import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { Worker } from '@temporalio/worker';
import { paymentWorkflowId } from '../../workflows/messages';
import type { Shop } from '../support';
import { openShop, workflowBundle } from '../support';

/** Many, so that the worker is busy and a local activity may end while its task is being ended. */
const PAYMENTS = 250;

let shop: Shop;
let checkouts = 0;
beforeAll(async () => {
  // No check is due meanwhile: what meets an update in one task is known to upset a replay (docs/temporal.md).
  shop = await openShop(__filename, { payments: { intervalMs: 600_000 } });
});
afterAll(() => shop.close());

it('a run that an operator asked right after its checkout is replayed to the same commands', async () => {
  const workflowIds = await Promise.all(Array.from({ length: PAYMENTS }, askAtOnce));
  const histories = workflowIds.map(async (workflowId) => ({
    workflowId,
    history: await shop.temporal.workflow.getHandle(workflowId).fetchHistory(),
  }));
  const replays = Worker.runReplayHistories(
    { workflowBundle: await workflowBundle() },
    await Promise.all(histories),
  );
  const failed: string[] = [];
  let replayed = 0;
  for await (const { workflowId, error } of replays) {
    if (error) failed.push(`${workflowId}: ${error.message}`);
    replayed += 1;
  }
  expect(failed).toEqual([]);
  expect(replayed).toBe(PAYMENTS);
});

/** A payment's whole life; answers its workflow's id. */
async function askAtOnce(): Promise<string> {
  checkouts += 1;
  const { outTradeNo, paymentUrl, workflowId } = await shop.payments.checkout({
    orderId: `order-${checkouts}`,
    subject: 'A pot of tea',
    totalAmount: '12.30',
  });
  await shop.alipay.control.open(paymentUrl);
  await Promise.all([shop.payments.status(outTradeNo), shop.payments.checkNow(outTradeNo)]);
  await shop.alipay.control.pay(outTradeNo);
  await shop.temporal.workflow.getHandle(paymentWorkflowId(outTradeNo)).result();
  return workflowId;
}
