import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { Worker } from '@temporalio/worker';
import { paymentWorkflowId } from '../../workflows/messages';
import type { Shop } from '../support';
import { openShop, workflowBundle } from '../support';

/** Many, so that the worker is busy and a local activity may end while its task is being completed. */
const PAYMENTS = 250;

/** How many at a time: a busy machine still answers each within its deadline. */
const LANES = 8;

const INTERVAL_MS = 1_500;

let shop: Shop;
let checkouts = 0;
beforeAll(async () => {
  shop = await openShop(__filename, { payments: { intervalMs: INTERVAL_MS } });
});
afterAll(() => shop.close());

it('a run that an operator asks right after its checkout, or just when a check is due, is replayed to the same commands', async () => {
  const workflowIds: string[] = [];
  const lane = async (): Promise<void> => {
    while (checkouts < PAYMENTS) workflowIds.push(await liveOnce());
  };
  await Promise.all(Array.from({ length: LANES }, lane));
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
}, 600_000);

/** A payment's whole life; returns its workflow id. */
async function liveOnce(): Promise<string> {
  checkouts += 1;
  const number = checkouts;
  const { outTradeNo, paymentUrl, workflowId } = await shop.payments.checkout({
    orderId: `order-${checkouts}`,
    subject: 'A pot of tea',
    totalAmount: '12.30',
  });
  await shop.alipay.control.open(paymentUrl);
  // Every other one near the time of its first check, a few milliseconds earlier or later each time.
  if (number % 2 === 1) await sleep(INTERVAL_MS - 50 + (number % 50) * 4);
  await Promise.all([shop.payments.status(outTradeNo), shop.payments.checkNow(outTradeNo)]);
  await shop.alipay.control.pay(outTradeNo);
  await shop.temporal.workflow.getHandle(paymentWorkflowId(outTradeNo)).result();
  return workflowId;
}
