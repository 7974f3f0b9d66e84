import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { NativeConnection } from '@temporalio/worker';
import { openGateways } from '../../activities/alipay/open';
import { createWorkers } from '../../worker/worker';
import type { SweepReport, TaskQueue } from '../../workflows/messages';
import type { Shop } from '../support';
import { openShop, temporalAddress, workflowBundle } from '../support';
import { freePorts } from '../support/free-ports';
import { Story } from '../integration/story';

// Workers split by queue, as docs/deployment.md recommends: only those of queue `alipay` have internet access, and one
// of them has lost it.

const ORDERS = 100;

let shop: Shop;
let story: Story;
const ends: (() => Promise<void>)[] = [];

beforeAll(async () => {
  // A cut-off worker is refused at once; an order whose answer is too slow on a busy machine is left to the next sweep.
  shop = await openShop(__filename, { queues: [], alipay: { timeoutMs: 20_000 } });
  story = new Story(shop);
  const { gateway } = shop.alipay;
  await startWorker(['payments', 'order-service'], await closedPort());
  await startWorker(['alipay'], gateway);
});
afterAll(async () => {
  await Promise.all(ends.map((end) => end()));
  await shop.close();
});

/** A separate worker: it has its own gateway client and circuit breaker. */
async function startWorker(queues: readonly TaskQueue[], gateway: string): Promise<void> {
  const { namespace, deps, db } = shop;
  const connection = await NativeConnection.connect({ address: temporalAddress() });
  const alipay = openGateways(db, [{ ...shop.gateway.settings, gateway }]);
  const workers = await createWorkers({
    connection,
    namespace,
    queues,
    deps: { ...deps, alipay },
    workflowBundle: await workflowBundle(),
  });
  const running = Promise.all(workers.map((worker) => worker.run()));
  ends.push(async () => {
    for (const worker of workers) worker.shutdown();
    await running;
    await connection.close();
  });
}

/** The address of a port on which nothing listens or will listen. */
async function closedPort(): Promise<string> {
  const [port = 0] = await freePorts(1);
  return `http://127.0.0.1:${port}/gateway.do`;
}

let batches = 0;

/** Sweeps a batch of fresh expired orders, ten at a time. */
async function sweepBatch(): Promise<SweepReport> {
  batches += 1;
  await shop.sql(
    `WITH expired AS (
       INSERT INTO orders (id, subject, total_amount, expires_at)
       SELECT 'batch-' || :batches || '-' || n, 'tea', 12.30, now() - n * interval '1 second'
       FROM generate_series(1, :orders) AS n RETURNING id)
     INSERT INTO payments (out_trade_no, order_id, total_amount) SELECT replace(id, '-', '_'), id, 12.30 FROM expired`,
    { batches: String(batches), orders: ORDERS },
  );
  return story.sweep({ parallel: 10, pageSize: ORDERS });
}

it('every sweep closes all, in about the time that healthy workers take', async () => {
  // The first sweep meets workers that have not connected to anything yet.
  await sweepBatch();
  const healthy = await sweepBatch();
  expect(healthy).toMatchObject({ scanned: ORDERS, closed: ORDERS });

  await startWorker(['alipay'], await closedPort());
  for (let i = 0; i < 3; i += 1) {
    const report = await sweepBatch();
    expect(report).toMatchObject({ scanned: ORDERS, closed: ORDERS, held: 0, failed: 0, gatewayDown: false });
    expect(report.seconds).toBeLessThan(healthy.seconds + 15);
  }
}, 300_000);
