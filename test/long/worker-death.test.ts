import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type { Running, Shop } from '../support';
import { openShop, startProcess, waitFor } from '../support';
import { environmentOf } from '../integration/operator';
import { Story } from '../integration/story';

/** Longer than it takes to end a worker. */
const LATENCY_MS = 600;

let shop: Shop;
let story: Story;
const alive = new Set<Running>();

beforeAll(async () => {
  shop = await openShop(__filename, { queues: [] });
  story = new Story(shop);
});
afterEach(() => shop.alipay.control.latency(0));
afterAll(async () => {
  await Promise.all([...alive].map((worker) => worker.stop()));
  await shop.close();
});

/** `npm run worker`, in its own process. */
async function startWorker(): Promise<Running> {
  const worker = startProcess('worker/main.ts', { ...environmentOf(shop), LOG_LEVEL: 'info' });
  alive.add(worker);
  await waitFor(() => worker.output().includes('worker ready'), { what: 'a worker', timeoutMs: 90_000 });
  return worker;
}

const askedAbout = (outTradeNo: string): Promise<true> =>
  waitFor(async () => (await story.calls(outTradeNo)).length === 1, {
    what: 'the query of check 1 to be in flight',
    timeoutMs: 30_000,
    everyMs: 10,
  });

describe('workers that go away in the middle of a check', () => {
  it('are replaced by others, and no check is lost or counted twice', async () => {
    const workers = await Promise.all([startWorker(), startWorker()]);
    const { orderId, outTradeNo } = await story.checkOut();
    await shop.alipay.control.latency(LATENCY_MS);
    await askedAbout(outTradeNo);
    // It is unknown which of the two is querying. Both are gone before the answer comes.
    for (const worker of workers) worker.kill();
    await Promise.all(workers.map((worker) => worker.ended()));
    await shop.alipay.control.latency(0);
    await story.pay(outTradeNo);

    await startWorker();
    expect(await story.ended(outTradeNo)).toMatchObject({ status: 'PAID', checks: 1, lastAnswer: 'paid' });
    expect(await shop.payments.payment(outTradeNo)).toMatchObject({ checks: 1 });
    expect(await story.events(outTradeNo, 'paid')).toHaveLength(1);
    expect(await story.told(orderId, 1)).toEqual([`PAID-${outTradeNo}`]);
  }, 240_000);

  it('finish what they do when they are asked to stop', async () => {
    for (const worker of alive) await worker.stop();
    const worker = await startWorker();
    const { orderId, outTradeNo } = await story.checkOut();
    await story.pay(outTradeNo);
    await shop.alipay.control.latency(LATENCY_MS);
    await askedAbout(outTradeNo);
    expect(await worker.stop()).toBe(0);
    expect(await shop.payments.payment(outTradeNo)).toMatchObject({ checks: 1 });

    await startWorker();
    expect(await story.ended(outTradeNo)).toMatchObject({ status: 'PAID', checks: 1 });
    expect(await story.events(outTradeNo, 'paid')).toHaveLength(1);
    expect(await story.told(orderId, 1)).toEqual([`PAID-${outTradeNo}`]);
  }, 240_000);
});
