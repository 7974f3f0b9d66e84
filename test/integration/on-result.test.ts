import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { WorkflowNotFoundError } from '@temporalio/client';
import { NativeConnection, Worker } from '@temporalio/worker';
import { diagnose } from '../../client/doctor';
import { insertOrderMessage } from '../../db/order-messages';
import { createWorkers, runWorkers } from '../../worker/worker';
import { orderWorkflowId } from '../../workflows/messages';
import type { PaymentResult } from '../../workflows/messages';
import type { Shop } from '../support';
import { openShop, waitFor } from '../support';
import { environmentOf } from './operator';
import { Story } from './story';

// A shop whose order service is a function in its workers' process.

let shop: Shop;
let story: Story;

const calls: PaymentResult[] = [];
/** How long the shop takes for each result of an order, ms. */
const slow = new Map<string, number>();
/** How often the results of an order are refused. */
const refusals = new Map<string, number>();

beforeAll(async () => {
  shop = await openShop(__filename, {
    payments: { checks: 1, intervalMs: 600_000 },
    onResult: async (result) => {
      calls.push(result);
      const slowMs = slow.get(result.orderId);
      if (slowMs !== undefined) await sleep(slowMs);
      const left = refusals.get(result.orderId) ?? 0;
      refusals.set(result.orderId, left - 1);
      if (left > 0) throw new Error('the database of the shop is away');
    },
  });
  story = new Story(shop);
});
afterAll(() => shop.close());
afterEach(() => refusals.clear());

const idsOf = (orderId: string): string[] =>
  calls.filter((call) => call.orderId === orderId).map(({ messageId }) => messageId);

async function paidOrder(refused = 0) {
  const orderId = `shop-${calls.length}-${refused}`;
  refusals.set(orderId, refused);
  const { outTradeNo } = await story.checkOut({ orderId });
  await story.pay(outTradeNo, { notify: true });
  return { orderId, outTradeNo, messageId: `PAID-${outTradeNo}` };
}

const untilTold = (orderId: string): Promise<unknown> =>
  waitFor(
    async () => {
      const results = await shop.payments.results(orderId);
      return results.length > 0 && results.every(({ toldAt }) => toldAt !== null);
    },
    { what: `all results of ${orderId} to be taken`, timeoutMs: 60_000 },
  );

describe('a result', () => {
  it('is handed over once, as the object that a workflow would be signalled, and no order workflow runs', async () => {
    const { orderId, outTradeNo, messageId } = await paidOrder();
    await story.ended(outTradeNo);
    await untilTold(orderId);
    expect(calls.filter((call) => call.orderId === orderId)).toEqual([
      {
        messageId,
        orderId,
        outTradeNo,
        status: 'PAID',
        tradeNo: expect.any(String),
        totalAmount: '12.30',
        refundedAmount: '0.00',
        at: expect.any(String),
      },
    ]);
    expect(await shop.payments.results(orderId)).toMatchObject([{ messageId, toldBy: 'process' }]);
    await expect(
      shop.temporal.workflow.getHandle(orderWorkflowId(orderId)).describe(),
    ).rejects.toBeInstanceOf(WorkflowNotFoundError);
  });

  it('that is refused by an error stays owed, and comes again under its id until it is taken', async () => {
    const { orderId, messageId } = await paidOrder(1);
    await waitFor(async () => (await shop.payments.results(orderId))[0]?.lastError != null, {
      what: 'the fault to be named',
    });
    const [owed] = await shop.payments.results(orderId);
    expect(owed).toMatchObject({ toldBy: null });
    expect(owed?.lastError).toMatch(/^ORDER_SERVICE_DOWN: onResult failed \(Error\)/);
    expect(owed?.lastError).not.toContain('database of the shop');
    await untilTold(orderId);
    expect(idsOf(orderId)).toEqual(Array<string>(2).fill(messageId));
    expect(await shop.payments.results(orderId)).toMatchObject([{ toldBy: 'process', lastError: null }]);
  });

  it('waits for the ones before it of the same order', async () => {
    // It is refused until the second result exists.
    const { orderId, outTradeNo, messageId } = await paidOrder(Infinity);
    await story.until(outTradeNo, 'PAID');
    await waitFor(() => idsOf(orderId).length > 0, { what: 'the first refusal' });
    await insertOrderMessage(shop.db, { orderId, outTradeNo, status: 'REFUNDED', amount: '12.30' });
    const refused = idsOf(orderId);
    refusals.delete(orderId);
    await untilTold(orderId);
    expect(idsOf(orderId)).toEqual([...refused, messageId, `REFUND-${outTradeNo}-12.30`]);
  });

  it('that the shop takes seconds over is handed over once, and what came meanwhile right after it', async () => {
    const orderId = 'slow-shop';
    slow.set(orderId, 2_500);
    const { outTradeNo } = await story.checkOut({ orderId });
    await story.pay(outTradeNo, { notify: true });
    await waitFor(() => idsOf(orderId).length === 1, { what: 'the shop to be told' });
    await story.until(outTradeNo, 'PAID');
    await insertOrderMessage(shop.db, { orderId, outTradeNo, status: 'REFUNDED', amount: '12.30' });
    const startedAt = Date.now();
    await untilTold(orderId);
    // Sooner than by the follow-up, which this shop does not run.
    expect(Date.now() - startedAt).toBeLessThan(30_000);
    expect(idsOf(orderId)).toEqual([`PAID-${outTradeNo}`, `REFUND-${outTradeNo}-12.30`]);
  });

  it('that the shop took too long over is not skipped for a minute: it may still act on it', async () => {
    const orderId = 'very-slow-shop';
    slow.set(orderId, 12_000);
    const { outTradeNo } = await story.checkOut({ orderId });
    await story.pay(outTradeNo, { notify: true });
    await waitFor(async () => (await shop.payments.results(orderId))[0]?.lastError != null, {
      what: 'the patience to end',
      timeoutMs: 30_000,
    });
    const messageId = `PAID-${outTradeNo}`;
    const skip = () => shop.payments.skipResult({ orderId, messageId, actor: 'li', reason: 'by hand' });
    await expect(skip()).rejects.toMatchObject({ code: 'ORDER_SERVICE_BUSY' });
    await story.terminate(outTradeNo);
    // A try that the run had started may still have it.
    const aMinuteLater = `UPDATE order_messages SET leased_until = leased_until - interval '1 minute' WHERE id = :messageId`;
    const skipped = await waitFor(
      async () => {
        await shop.sql(aMinuteLater, { messageId });
        return skip();
      },
      { what: 'the result to be skipped' },
    );
    expect(skipped).toMatchObject({ toldBy: 'nobody' });
  });

  it('of a close by the sweep is handed over too', async () => {
    const { orderId } = await story.checkOut({ orderId: 'expired' });
    // No run handles it: the sweep tells it, or the follow-up a minute later.
    slow.set(orderId, 2_500);
    await story.expire(orderId);
    await story.sweep();
    await waitFor(async () => (await shop.payments.results(orderId))[0]?.toldAt, {
      what: 'the result to be taken',
    });
    expect(calls.filter((call) => call.orderId === orderId)).toMatchObject([{ status: 'CLOSED' }]);
  });
});

it('the doctor sees that the workers take the results themselves', async () => {
  const findings = await diagnose(environmentOf(shop));
  expect(findings.find(({ check }) => check === 'task-queues')).toMatchObject({
    verdict: 'ok',
    says: expect.stringContaining('results go to onResult'),
  });
});

it('the doctor warns where a worker without onResult has told results too, and they are lost to the shop', async () => {
  const { orderId, messageId } = await paidOrder();
  await untilTold(orderId);
  const results = async () =>
    (await diagnose(environmentOf(shop))).find(
      ({ check, verdict }) => check === 'results' && verdict !== 'ok',
    );
  expect(await results()).toBeUndefined();
  await shop.sql(`UPDATE order_messages SET told_by = 'signal' WHERE id = :messageId`, { messageId });
  expect(await results()).toMatchObject({
    verdict: 'warning',
    says: expect.stringMatching(/\d+ by process, 1 by signal/),
    advice: expect.stringMatching(/onResult.*order resend/),
  });
});

it('workers that are given both onResult and ORDER_SERVICE_URL do not start', async () => {
  const env = {
    ...environmentOf(shop),
    ORDER_SERVICE_URL: 'http://127.0.0.1:9/results',
    ORDER_SERVICE_SECRET: `whsec_${Buffer.alloc(32, 1).toString('base64')}`,
  };
  await expect(runWorkers({ env, onResult: () => undefined })).rejects.toMatchObject({
    code: 'CONFIG_INVALID',
    message: expect.stringContaining('onResult'),
  });
});

it.each([
  ['before they work', (abort: () => void) => abort()],
  ['while they work', (abort: () => void) => void setTimeout(abort, 500)],
])('workers end when their signal aborts, %s', async (_when, onReady) => {
  const stopping = new AbortController();
  await runWorkers({
    env: environmentOf(shop),
    queues: ['alipay', 'order-service'],
    onResult: () => undefined,
    onReady: () => onReady(() => stopping.abort()),
    signal: stopping.signal,
  });
});

it('workers whose onReady throws end with that, their connection closed', async () => {
  const onReady = () => {
    throw new Error('boom');
  };
  const close = jest.spyOn(NativeConnection.prototype, 'close');
  await expect(runWorkers({ env: environmentOf(shop), onResult: () => undefined, onReady })).rejects.toThrow(
    /^boom$/,
  );
  await expect(Promise.all(close.mock.results.map(({ value }) => value))).resolves.toHaveLength(1);
  close.mockRestore();
});

it('workers of which one cannot be made let their connection go', async () => {
  const connection = await NativeConnection.connect({ address: shop.temporalAddress });
  const { namespace, deps } = shop;
  const create = jest.spyOn(Worker, 'create');
  // Core refuses the second one.
  const queues = ['alipay', 'alipay'] as const;
  await expect(createWorkers({ connection, namespace, queues, deps })).rejects.toThrow('alipay');
  await Promise.allSettled(create.mock.results.map(({ value }) => value));
  create.mockRestore();
  await connection.close();
});
